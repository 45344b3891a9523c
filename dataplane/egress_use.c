/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sessions of all workers, summed up by destination in a hash table that is emptied each round.
 */
#include "dataplane/egress_use.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/log.h"
#include "common/netaddr.h"
#include "dataplane/egress.h"
#include "dataplane/keyed_hash.h"
#include "dataplane/portpool.h"

#define PLACES 65536u /* a power of two; what does not fit is not told of */
#define FILL_MAX (PLACES / 2)
#define ADDRESSES_MAX 512u
#define USES_AT_ONCE 1024u

struct dp_egress_count {
	struct dp_hash_seed seed; /* pods choose the destinations */
	/* this round */
	uint64_t due_ns;
	uint32_t cursor; /* in the worker's pool */
	uint16_t worker;
	bool is_counting;
	bool is_alarmed;
	uint32_t used;                        /* places */
	struct ipc_egress_use places[PLACES]; /* ports 0: empty */
	/* the last whole one */
	uint32_t address_count, top_count;
	struct ipc_egress_use addresses[ADDRESSES_MAX];
	struct ipc_egress_use top[DP_EGRESS_USE_TOP];
};

struct dp_egress_count *dp_egress_count_create(void)
{
	struct dp_egress_count *c = calloc(1, sizeof(*c));

	if (c && getrandom(&c->seed, sizeof(c->seed), 0) != sizeof(c->seed)) {
		free(c);
		return NULL;
	}
	return c;
}

void dp_egress_count_destroy(struct dp_egress_count *c)
{
	free(c);
}

/* ---- a step ---- */

struct part {
	uint32_t cursor;
	unsigned count;
	struct dp_port_use uses[USES_AT_ONCE];
};

static int on_list(struct dp_worker *w, void *argument)
{
	struct part *part = argument;

	part->count = dp_portpool_list(w->portpool, DP_SCOPE_EGRESS, &part->cursor, part->uses,
	                               USES_AT_ONCE);
	return 0;
}

static void add(struct dp_egress_count *c, const struct dp_port_use *use)
{
	const struct dp_port_endpoint *e = &use->endpoint;
	uint32_t at = (uint32_t)dp_hash16(&c->seed, (uint64_t)e->remote_be << 32 | e->inner_be,
	                                  (uint64_t)e->remote_port_be << 8 | e->protocol) &
	              (PLACES - 1);

	for (; c->places[at].ports; at = (at + 1) & (PLACES - 1)) {
		struct ipc_egress_use *p = &c->places[at];

		if (p->address_be == e->inner_be && p->remote_be == e->remote_be &&
		    p->remote_port_be == e->remote_port_be && p->protocol == e->protocol) {
			p->ports += use->ports;
			return;
		}
	}
	if (c->used == FILL_MAX)
		return;
	c->used++;
	c->places[at] = (struct ipc_egress_use){ .address_be = e->inner_be,
		                                 .remote_be = e->remote_be,
		                                 .remote_port_be = e->remote_port_be,
		                                 .protocol = e->protocol,
		                                 .ports = use->ports };
}

/* ---- the end of a round ---- */

static void note_top(struct dp_egress_count *c, const struct ipc_egress_use *use)
{
	uint32_t at = c->top_count;

	if (at == DP_EGRESS_USE_TOP && c->top[at - 1].ports >= use->ports)
		return;
	if (at < DP_EGRESS_USE_TOP)
		c->top_count++;
	else
		at--;
	for (; at > 0 && c->top[at - 1].ports < use->ports; at--)
		c->top[at] = c->top[at - 1];
	c->top[at] = *use;
	c->top[at].sessions = use->ports;
}

static void note_address(struct dp_egress_count *c, const struct ipc_egress_use *use)
{
	for (uint32_t i = 0; i < c->address_count; i++) {
		struct ipc_egress_use *a = &c->addresses[i];

		if (a->address_be != use->address_be)
			continue;
		a->sessions += use->ports;
		a->ports = RTE_MAX(a->ports, use->ports);
		return;
	}
}

/* Every address of the policy has a line, used or not. */
static void begin_addresses(struct dp_egress_count *c, const struct dp_egress *e, uint32_t capacity)
{
	c->address_count = 0;
	for (uint32_t i = 0; i <= e->address_mask && c->address_count < ADDRESSES_MAX; i++)
		if (e->addresses_be[i])
			c->addresses[c->address_count++] =
				(struct ipc_egress_use){ .address_be = e->addresses_be[i],
				                         .capacity = capacity };
}

static void tell(struct dp_egress_count *c)
{
	const struct ipc_egress_use *b = &c->top[0];
	char address[SP_ADDRESS_TEXT], remote[SP_ENDPOINT_TEXT];
	bool is_high = c->top_count &&
	               (uint64_t)b->ports * 100 >= (uint64_t)b->capacity * DP_EGRESS_USE_ALARM;

	if (is_high && !c->is_alarmed)
		sp_log(SP_LOG_WARN,
		       "egress: ports are running out address=%s destination=%s protocol=%u used=%u of=%u",
		       sp_address_format(address, b->address_be),
		       sp_endpoint_format(remote, b->remote_be, b->remote_port_be), b->protocol,
		       b->ports, b->capacity);
	c->is_alarmed = is_high;
}

static void end_round(struct dp_egress_count *c, const struct dp_core *core)
{
	uint32_t capacity = dp_portpool_capacity(core->workers[0]->portpool);

	begin_addresses(c, core->generation->egress, capacity);
	c->top_count = 0;
	for (uint32_t i = 0; i < PLACES; i++) {
		if (!c->places[i].ports)
			continue;
		c->places[i].capacity = capacity;
		note_address(c, &c->places[i]);
		note_top(c, &c->places[i]);
	}
	memset(c->places, 0, sizeof(c->places));
	c->used = 0;
	c->is_counting = false;
	tell(c);
}

void dp_egress_count_step(struct dp_egress_count *c, struct dp_core *core, uint64_t now_ns)
{
	struct part part;

	if (!core->generation || !core->generation->egress) {
		c->address_count = c->top_count = 0;
		return;
	}
	if (!c->is_counting) {
		if (now_ns < c->due_ns)
			return;
		c->due_ns = now_ns + DP_EGRESS_USE_ROUND_NS;
		c->is_counting = true;
		c->worker = 0;
		c->cursor = 0;
	}
	part.cursor = c->cursor;
	dp_worker_call(core->workers[c->worker], on_list, &part);
	for (unsigned i = 0; i < part.count; i++)
		add(c, &part.uses[i]);
	c->cursor = part.cursor;
	if (c->cursor == 0 && ++c->worker == core->worker_count)
		end_round(c, core);
}

uint32_t dp_egress_count_list(const struct dp_egress_count *c, uint32_t first,
                              struct ipc_egress_use *entries, uint32_t max, uint32_t *all)
{
	uint32_t n = 0;

	*all = c->address_count + c->top_count;
	for (uint32_t i = first; i < *all && n < max; i++)
		entries[n++] =
			i < c->address_count ? c->addresses[i] : c->top[i - c->address_count];
	return n;
}

uint32_t dp_egress_count_busiest(const struct dp_egress_count *c)
{
	return c->top_count ? c->top[0].ports : 0;
}
