/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Staging, validation, and the step from one generation to the next. */
#include "dataplane/commit.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/secret.h"
#include "dataplane/egress.h"
#include "dataplane/failover.h"
#include "dataplane/nat_session.h"
#include "dataplane/ovpn_out.h"
#include "dataplane/portpool.h"
#include "dataplane/reassembly.h"
#include "dataplane/sa.h"
#include "dataplane/share.h"

#define FORWARDS_LIMIT (1u << 20)
#define INBOUND_LIMIT 4096u
#define SAS_AT_ONCE 16u

struct dp_staging {
	uint64_t generation; /* 0: no BEGIN */
	struct ipc_environment *environments;
	struct ipc_server *servers;
	struct ipc_forward *forwards;
	struct ipc_egress *egress;
	struct ipc_inbound *inbound;
	uint32_t environment_count, server_count, forward_count, egress_count, inbound_count;
};

struct dp_staging *dp_staging_create(void)
{
	return calloc(1, sizeof(struct dp_staging));
}

static void clear(struct dp_staging *s)
{
	free(s->environments);
	free(s->servers);
	free(s->forwards);
	free(s->egress);
	free(s->inbound);
	memset(s, 0, sizeof(*s));
}

void dp_staging_destroy(struct dp_staging *s)
{
	if (s)
		clear(s);
	free(s);
}

void dp_staging_begin(struct dp_staging *s, uint64_t generation)
{
	clear(s);
	s->generation = generation;
}

/* Places of an array with N entries: it grows by doubling. */
static uint32_t places(uint32_t n)
{
	return n ? RTE_MAX(64u, rte_align32pow2(n)) : 0;
}

/* Appends COUNT entries of SIZE bytes. */
static int append(void **array, uint32_t *have, const void *entries, uint32_t count, size_t size,
                  uint32_t limit)
{
	uint32_t need = *have + count;

	if (need > limit)
		return -E2BIG;
	if (places(need) > places(*have)) {
		void *grown = realloc(*array, places(need) * size);

		if (!grown)
			return -ENOMEM;
		*array = grown;
	}
	memcpy((char *)*array + *have * size, entries, count * size);
	*have = need;
	return 0;
}

int dp_staging_environment(struct dp_staging *s, const struct ipc_environment *e)
{
	if (!s->generation)
		return -EPROTO;
	return append((void **)&s->environments, &s->environment_count, e, 1, sizeof(*e),
	              DP_ENVIRONMENTS_MAX);
}

int dp_staging_server(struct dp_staging *s, const struct ipc_server *server)
{
	if (!s->generation)
		return -EPROTO;
	return append((void **)&s->servers, &s->server_count, server, 1, sizeof(*server),
	              DP_TUNNELS_MAX);
}

int dp_staging_forwards(struct dp_staging *s, const struct ipc_forward *forwards, uint32_t count)
{
	if (!s->generation)
		return -EPROTO;
	return append((void **)&s->forwards, &s->forward_count, forwards, count, sizeof(*forwards),
	              FORWARDS_LIMIT);
}

int dp_staging_egress(struct dp_staging *s, const struct ipc_egress *egress)
{
	if (!s->generation)
		return -EPROTO;
	return append((void **)&s->egress, &s->egress_count, egress, 1, sizeof(*egress),
	              DP_ENVIRONMENTS_MAX + 1);
}

int dp_staging_inbound(struct dp_staging *s, const struct ipc_inbound *inbound, uint32_t count)
{
	if (!s->generation)
		return -EPROTO;
	return append((void **)&s->inbound, &s->inbound_count, inbound, count, sizeof(*inbound),
	              INBOUND_LIMIT);
}

/* ---- building a generation ---- */

void dp_generation_destroy(struct dp_generation *g)
{
	if (!g)
		return;
	dp_egress_destroy(g->egress);
	free(g->forwards);
	free(g->tunnels);
	free(g->pods);
	free(g->environments);
	free(g);
}

static __rte_format_printf(3, 4) int refuse(char why[256], int rc, const char *format, ...)
{
	va_list a;

	va_start(a, format);
	vsnprintf(why, 256, format, a);
	va_end(a);
	return rc;
}

static struct dp_generation *allocate(const struct dp_staging *s)
{
	struct dp_generation *g = calloc(1, sizeof(*g));
	uint32_t forwards = rte_align32pow2(2 * s->forward_count + 2);
	/* sparse: egress looks all its destinations up here, in vain */
	uint32_t pods = rte_align32pow2(4 * s->environment_count + 1024);

	if (!g)
		return NULL;
	g->id = s->generation;
	g->forward_mask = forwards - 1;
	g->pod_mask = pods - 1;
	g->forwards = aligned_alloc(RTE_CACHE_LINE_SIZE, forwards * sizeof(*g->forwards));
	g->pods = calloc(pods, sizeof(*g->pods));
	g->environments = calloc(s->environment_count + 1, sizeof(*g->environments));
	if (!g->forwards || !g->pods || !g->environments) {
		dp_generation_destroy(g);
		return NULL;
	}
	memset(g->forwards, 0, forwards * sizeof(*g->forwards));
	return g;
}

/* A free slot, searched from *NEXT on, so that one that was freed comes last. */
static uint16_t take_slot(struct dp_slot *slots, uint32_t count, uint16_t *next,
                          const char *environment, const char *server)
{
	for (uint32_t i = 0; i < count; i++) {
		uint16_t at = (uint16_t)((*next + i) % count);

		if (*slots[at].environment)
			continue;
		memset(&slots[at], 0, sizeof(slots[at]));
		memcpy(slots[at].environment, environment, IPC_NAME_LEN);
		memcpy(slots[at].server, server, IPC_NAME_LEN);
		*next = (uint16_t)((at + 1u) % count);
		return at;
	}
	return DP_NONE_SLOT;
}

static struct dp_environment *find_environment(struct dp_generation *g, const char *name)
{
	for (uint32_t i = 0; i < g->environment_count; i++)
		if (strcmp(g->environments[i].name, name) == 0)
			return &g->environments[i];
	return NULL;
}

static int add_environment(struct dp_generation *g, struct dp_core *core,
                           const struct ipc_environment *from, char why[256])
{
	static const char no_server[IPC_NAME_LEN];
	struct dp_environment *e;
	uint32_t at = dp_crc4(from->pod_address_be) & g->pod_mask;

	if (find_environment(g, from->name))
		return refuse(why, -EEXIST, "environment \"%s\" is there twice", from->name);
	if (from->pod_address_be == core->ports[DP_PORT_CLUSTER].address_be)
		return refuse(why, -EADDRINUSE,
		              "environment \"%s\" has the cluster port's own address", from->name);
	for (; g->pods[at].address_be; at = (at + 1) & g->pod_mask)
		if (g->pods[at].address_be == from->pod_address_be)
			return refuse(why, -EADDRINUSE,
			              "environments \"%s\" and \"%s\" have the same pod address",
			              from->name, g->by_slot[g->pods[at].environment]->name);
	e = &g->environments[g->environment_count];
	memcpy(e->name, from->name, sizeof(e->name));
	e->pod_address_be = from->pod_address_be;
	e->session_quota = from->session_quota;
	e->port_quota = from->port_quota;
	e->rate_bps = from->rate_bps;
	g->has_rates |= e->rate_bps != 0;
	e->source_count = from->source_count;
	memcpy(e->sources, from->sources, sizeof(e->sources));
	e->flags = from->flags;
	e->probe_target_be = from->probe_target_be;
	e->slot = dp_core_find_environment(core, from->name);
	if (e->slot == DP_NONE_SLOT)
		e->slot = take_slot(core->environment_slots, DP_ENVIRONMENTS_MAX,
		                    &core->next_environment_slot, e->name, no_server);
	if (e->slot == DP_NONE_SLOT)
		return refuse(why, -ENOSPC, "no slot left for environment \"%s\"", e->name);
	e->home = dp_core_home(core, e->slot);
	g->environment_count++;
	g->by_slot[e->slot] = e;
	g->pods[at] = (struct dp_pod){ .address_be = e->pod_address_be, .environment = e->slot };
	return 0;
}

static int add_server(struct dp_generation *g, struct dp_core *core, const struct ipc_server *from,
                      char why[256])
{
	struct dp_environment *e = find_environment(g, from->id.environment);
	uint16_t slot;

	if (!e)
		return refuse(why, -ENOENT, "server \"%s\": there is no environment \"%s\"",
		              from->id.server, from->id.environment);
	for (unsigned i = 0; i < e->tunnel_count; i++)
		if (strcmp(core->tunnel_slots[e->tunnels[i]].server, from->id.server) == 0)
			return refuse(why, -EEXIST, "server \"%s\" of \"%s\" is there twice",
			              from->id.server, e->name);
	if (e->tunnel_count == DP_ENVIRONMENT_TUNNELS_MAX)
		return refuse(why, -ENOSPC, "environment \"%s\" has more than %u servers", e->name,
		              DP_ENVIRONMENT_TUNNELS_MAX);
	slot = dp_core_find_tunnel(core, &from->id);
	if (slot == DP_NONE_SLOT)
		slot = take_slot(core->tunnel_slots, DP_TUNNELS_MAX, &core->next_tunnel_slot,
		                 e->name, from->id.server);
	if (slot == DP_NONE_SLOT)
		return refuse(why, -ENOSPC, "no slot left for server \"%s\" of \"%s\"",
		              from->id.server, e->name);
	core->tunnel_slots[slot].environment_slot = e->slot;
	e->tunnels[e->tunnel_count++] = slot;
	return 0;
}

static uint16_t find_server(const struct dp_core *core, const struct dp_environment *e,
                            const char *server)
{
	for (unsigned i = 0; i < e->tunnel_count; i++)
		if (strcmp(core->tunnel_slots[e->tunnels[i]].server, server) == 0)
			return e->tunnels[i];
	return DP_NONE_SLOT;
}

static int add_forward(struct dp_generation *g, struct dp_core *core,
                       const struct ipc_forward *from, char why[256])
{
	struct dp_environment *e = find_environment(g, from->environment);
	unsigned port = rte_be_to_cpu_16(from->port_be);
	struct dp_forward f = { .to_address_be = from->to_address_be,
		                .to_port_be = from->to_port_be,
		                .tunnel = DP_NONE_SLOT };
	uint32_t at;

	if (!e)
		return refuse(why, -ENOENT, "forward %u: there is no environment \"%s\"", port,
		              from->environment);
	if (*from->server) {
		f.tunnel = find_server(core, e, from->server);
		if (f.tunnel == DP_NONE_SLOT)
			return refuse(why, -ENOENT,
			              "forward %u of \"%s\": there is no server \"%s\"", port,
			              e->name, from->server);
	}
	f.environment = e->slot;
	f.key = dp_forward_key(e->pod_address_be, from->protocol, from->port_be);
	for (at = dp_crc8(f.key) & g->forward_mask; g->forwards[at].key;
	     at = (at + 1) & g->forward_mask)
		if (g->forwards[at].key == f.key)
			return refuse(why, -EEXIST, "forward %u of \"%s\" is there twice", port,
			              e->name);
	g->forwards[at] = f;
	g->forward_count++;
	if (e->last_forward)
		g->forwards[e->last_forward - 1].next = at + 1;
	else
		e->first_forward = at + 1;
	e->last_forward = at + 1;
	return 0;
}

/* Lists the tunnels of each worker, for those that have to look at all of theirs in turn. */
static int list_tunnels(struct dp_generation *g, uint32_t count)
{
	uint32_t n = 0;

	g->tunnels = calloc(count + 1, sizeof(*g->tunnels));
	if (!g->tunnels)
		return -ENOMEM;
	for (unsigned home = 0; home < DP_WORKERS_MAX; home++) {
		g->homes[home] = n;
		for (uint32_t i = 0; i < g->environment_count; i++) {
			const struct dp_environment *e = &g->environments[i];

			for (unsigned t = 0; e->home == home && t < e->tunnel_count; t++)
				g->tunnels[n++] = e->tunnels[t];
		}
	}
	g->homes[DP_WORKERS_MAX] = n;
	return 0;
}

static bool is_server_port(const struct dp_staging *s, const struct ipc_inbound *inbound)
{
	for (uint32_t i = 0; inbound->protocol == IPPROTO_UDP && i < s->server_count; i++)
		if (s->servers[i].ike_port_be == inbound->port_be ||
		    s->servers[i].natt_port_be == inbound->port_be ||
		    s->servers[i].openvpn_port_be == inbound->port_be)
			return true;
	return false;
}

static int add_egress(struct dp_generation *g, const struct dp_core *core,
                      const struct dp_staging *s, char why[256])
{
	const struct dp_egress_parts parts = { .rules = s->egress,
		                               .rule_count = s->egress_count,
		                               .inbound = s->inbound,
		                               .inbound_count = s->inbound_count,
		                               .generation = g,
		                               .ports = core->ports };

	for (uint32_t i = 0; i < s->egress_count; i++)
		if (*s->egress[i].environment && !find_environment(g, s->egress[i].environment))
			return refuse(why, -ENOENT, "egress: there is no environment \"%s\"",
			              s->egress[i].environment);
	for (uint32_t i = 0; i < s->inbound_count; i++)
		if (is_server_port(s, &s->inbound[i]))
			return refuse(why, -EADDRINUSE, "inbound port %u is that of a tunnel",
			              rte_be_to_cpu_16(s->inbound[i].port_be));
	if (s->egress_count == 0)
		return s->inbound_count ? refuse(why, -EINVAL, "inbound ports without egress") : 0;
	return dp_egress_build(&parts, &g->egress, why);
}

static int build(struct dp_staging *s, struct dp_core *core, struct dp_generation **generation,
                 char why[256])
{
	struct dp_generation *g = allocate(s);
	int rc = 0;

	if (!g)
		return refuse(why, -ENOMEM, "out of memory");
	for (uint32_t i = 0; rc == 0 && i < s->environment_count; i++)
		rc = add_environment(g, core, &s->environments[i], why);
	for (uint32_t i = 0; rc == 0 && i < s->server_count; i++)
		rc = add_server(g, core, &s->servers[i], why);
	for (uint32_t i = 0; rc == 0 && i < s->forward_count; i++)
		rc = add_forward(g, core, &s->forwards[i], why);
	if (rc == 0)
		rc = add_egress(g, core, s, why);
	if (rc == 0 && list_tunnels(g, s->server_count) < 0)
		rc = refuse(why, -ENOMEM, "out of memory");
	if (rc) {
		dp_generation_destroy(g);
		return rc;
	}
	*generation = g;
	return 0;
}

/* ---- from one generation to the next ---- */

/* Frees the slots that the configuration does not have; nothing holds them any more. */
static void free_slots(struct dp_core *core)
{
	const struct dp_generation *g = core->generation;

	for (unsigned i = 0; i < DP_TUNNELS_MAX; i++)
		if (*core->tunnel_slots[i].environment && !dp_core_has_tunnel(core, (uint16_t)i))
			dp_slot_clear(&core->tunnel_slots[i]);
	for (unsigned i = 0; i < DP_ENVIRONMENTS_MAX; i++)
		if (*core->environment_slots[i].environment && (!g || !g->by_slot[i]))
			dp_slot_clear(&core->environment_slots[i]);
}

/* Before anything could be given one of them. */
static int reserve_ports(struct dp_worker *w, void *staging)
{
	const struct dp_staging *s = staging;

	for (uint32_t i = 0; i < s->server_count; i++) {
		dp_portpool_reserve(w->portpool, rte_be_to_cpu_16(s->servers[i].ike_port_be));
		dp_portpool_reserve(w->portpool, rte_be_to_cpu_16(s->servers[i].natt_port_be));
		dp_portpool_reserve(w->portpool, rte_be_to_cpu_16(s->servers[i].openvpn_port_be));
	}
	for (uint32_t i = 0; i < s->inbound_count; i++)
		dp_portpool_reserve(w->portpool, rte_be_to_cpu_16(s->inbound[i].port_be));
	return 0;
}

static int use_generation(struct dp_worker *w, void *generation)
{
	w->generation = generation;
	dp_nat_doubt(w);
	dp_shares_configure(w);
	for (uint32_t i = 0; i < w->generation->environment_count; i++) {
		const struct dp_environment *e = &w->generation->environments[i];

		if (e->home != w->index)
			continue;
		for (unsigned t = 0; t < e->tunnel_count; t++)
			w->tunnels[e->tunnels[t]].environment = e->slot;
		dp_failover_refresh(w, e->slot);
	}
	return 0;
}

/* What a worker has to give up of a tunnel that is gone. */
struct retire {
	uint16_t tunnel;
	void *memory[SAS_AT_ONCE];
	unsigned count;
};

/* Takes up to SAS_AT_ONCE SAs of the tunnel out of use; 1: there may be more. The last that is said
 * with them is that it ends. */
static int retire_sas(struct dp_worker *w, void *argument)
{
	struct retire *r = argument;

	dp_ovpn_out_exit(w, r->tunnel);
	r->count = dp_sa_retire(w, r->tunnel, r->memory, SAS_AT_ONCE);
	return r->count == SAS_AT_ONCE;
}

/* From here on nothing goes through it: its sessions are refused until the sweep ends them. */
static int retire_tunnel(struct dp_worker *w, void *argument)
{
	struct retire *r = argument;
	uint16_t environment = w->tunnels[r->tunnel].environment;

	dp_sa_disown_larval(w, r->tunnel);
	dp_reassembly_forget(w, w->tunnels[r->tunnel].environment, r->tunnel);
	memset(&w->tunnels[r->tunnel], 0, sizeof(w->tunnels[r->tunnel]));
	w->tunnels[r->tunnel].environment = DP_NONE_SLOT;
	if (environment != DP_NONE_SLOT && w->environments[environment].moved_from == r->tunnel)
		w->environments[environment].moved_from = DP_NONE_SLOT;
	return 0;
}

static int retire_share(struct dp_worker *w, void *argument)
{
	dp_share_clear(w, *(uint16_t *)argument);
	return 0;
}

static int retire_environment(struct dp_worker *w, void *argument)
{
	uint16_t slot = *(uint16_t *)argument;
	struct dp_environment_state *state = &w->environments[slot];

	dp_reassembly_forget(w, slot, DP_NONE_SLOT);
	memset(state, 0, sizeof(*state));
	state->active = DP_NONE_SLOT;
	return 0;
}

static int begin_sweep(struct dp_worker *w, void *argument)
{
	(void)argument;
	return dp_nat_sweep(w);
}

static int go_on_sweeping(struct dp_worker *w, void *argument)
{
	(void)argument;
	return dp_nat_sweep_on(w);
}

static void retire_one_tunnel(struct dp_core *core, uint16_t tunnel)
{
	static const struct ipc_peer nobody;
	struct dp_slot *slot = &core->tunnel_slots[tunnel];
	struct dp_worker *home = core->workers[dp_core_home(core, slot->environment_slot)];
	struct retire r = { .tunnel = tunnel };
	int more;

	do {
		more = dp_worker_call(home, retire_sas, &r);
		for (unsigned i = 0; i < r.count; i++)
			dp_sa_free(r.memory[i]);
	} while (more);
	dp_worker_call(home, retire_tunnel, &r);
	dp_core_set_peer(core, tunnel, &nobody);
	sp_secret_destroy(slot->keepsake);
	slot->keepsake = NULL;
}

/* After the workers have the new generation: nothing finds what is gone any more, so it can be
 * taken down. */
static void retire_missing(struct dp_core *core)
{
	for (unsigned i = 0; i < DP_TUNNELS_MAX; i++)
		if (*core->tunnel_slots[i].environment && !dp_core_has_tunnel(core, (uint16_t)i))
			retire_one_tunnel(core, (uint16_t)i);
}

/*
 * Behind the sweep no session is left of what is gone, so that its slots may be somebody else's.
 * Where the workers' own steps have not brought it to its end, it is done here, step by step:
 * packets pass between them.
 */
static void settle(struct dp_core *core)
{
	for (uint16_t i = 0; i < core->worker_count; i++)
		while (dp_worker_call(core->workers[i], go_on_sweeping, NULL))
			;
	for (unsigned i = 0; i < DP_ENVIRONMENTS_MAX; i++) {
		uint16_t slot = (uint16_t)i;

		if (!*core->environment_slots[i].environment || core->generation->by_slot[i])
			continue;
		dp_core_call_all(core, retire_share, &slot);
		dp_worker_call(core->workers[dp_core_home(core, slot)], retire_environment, &slot);
	}
	free_slots(core);
	core->is_settling = false;
}

int dp_staging_commit(struct dp_staging *s, struct dp_core *core, uint64_t generation,
                      char why[256])
{
	struct dp_generation *fresh = NULL, *old = core->generation;
	int rc;

	if (!s->generation || s->generation != generation)
		return refuse(why, -EPROTO, "generation %llu was not staged",
		              (unsigned long long)generation);
	if (core->is_settling)
		settle(core);
	rc = build(s, core, &fresh, why);
	if (rc == 0)
		dp_core_call_all(core, reserve_ports, s);
	clear(s);
	if (rc) {
		free_slots(core); /* those that the failed build took */
		return rc;
	}
	dp_core_call_all(core, use_generation, fresh);
	core->generation = fresh;
	retire_missing(core);
	core->is_settling = dp_core_call_all(core, begin_sweep, NULL) != 0;
	if (!core->is_settling)
		settle(core);
	dp_generation_destroy(old);
	return 0;
}
