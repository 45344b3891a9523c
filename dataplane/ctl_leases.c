/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests for leases go to the home of their tunnel. */
#include "dataplane/ctl_leases.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include "common/log.h"
#include "common/netaddr.h"
#include "common/secret.h"
#include "dataplane/failover.h"
#include "dataplane/ipv4.h"
#include "dataplane/nexthop.h"
#include "dataplane/peers.h"
#include "dataplane/sa.h"

/* The worker that has an SA: inbound ones say it themselves, outbound ones are looked for. */
static struct dp_worker *worker_of_spi(const struct dp_core *core, const struct ipc_sa_id *id)
{
	unsigned worker = dp_sa_spi_worker(id->spi_be);

	return id->direction == IPC_IN && worker < core->worker_count ? core->workers[worker]
	                                                              : NULL;
}

/* A port for OpenVPN tells the tunnel: another one's is refused. */
static bool is_port_taken(const struct dp_core *core, uint16_t tunnel, const struct ipc_peer *peer)
{
	uint16_t port_be = peer->openvpn_port_be;

	return port_be && peer->remote_be &&
	       dp_peers_port(core->peers, port_be) != DP_PEER_PORT_NONE &&
	       (dp_peers_port(core->peers, port_be) != DP_PEER_PORT_OPENVPN ||
	        dp_peers_openvpn(core->peers, port_be).tunnel != tunnel);
}

int dp_lease_peer_set(struct dp_requests *r, const struct ipc_peer *peer)
{
	struct dp_core *core = r->core;
	uint16_t tunnel = dp_core_find_tunnel(core, &peer->id);

	if (tunnel == DP_NONE_SLOT)
		return -ENOENT;
	if (peer->remote_be && dp_ipv4_is_martian(peer->remote_be))
		return -EINVAL;
	if (is_port_taken(core, tunnel, peer))
		return -EADDRINUSE;
	if (memcmp(&core->tunnel_slots[tunnel].peer, peer, sizeof(*peer)) == 0)
		return 0;
	dp_core_set_peer(core, tunnel, peer);
	if (peer->remote_be)
		dp_nexthop_want(core->nexthops, DP_PORT_UPLINK,
		                dp_port_route(&core->ports[DP_PORT_UPLINK], peer->remote_be));
	return 0;
}

struct tunnel_request {
	uint16_t tunnel;
	uint16_t environment;
	const struct ipc_tunnel_state *state;
	const struct ipc_sa_add *add;
	const struct ipc_sa_update *update;
	uint64_t control_epoch;
	uint16_t link_mtu;
	uint32_t random;
	uint32_t spi_be;
	void *memory;
	const struct ipc_sa_id *id;
	struct ipc_sa_info *info;
	int moved;
};

static int on_tunnel_set(struct dp_worker *w, void *argument)
{
	struct tunnel_request *q = argument;
	struct dp_tunnel *t = &w->tunnels[q->tunnel];

	t->inner_be = q->state->inner_address_be;
	t->is_wanted = q->state->is_up;
	q->moved = dp_failover_refresh(w, q->environment);
	return 0;
}

int dp_lease_tunnel_set(struct dp_requests *r, const struct ipc_tunnel_state *state)
{
	struct tunnel_request q = { .state = state,
		                    .tunnel = dp_core_find_tunnel(r->core, &state->id) };

	if (q.tunnel == DP_NONE_SLOT)
		return -ENOENT;
	q.environment = r->core->tunnel_slots[q.tunnel].environment_slot;
	dp_worker_call(dp_core_tunnel_home(r->core, q.tunnel), on_tunnel_set, &q);
	if (q.moved)
		r->changed |= IPC_CHANGED_TUNNELS;
	return 0;
}

static int on_spi_alloc(struct dp_worker *w, void *argument)
{
	struct tunnel_request *q = argument;

	return dp_sa_spi_alloc(w, q->tunnel, q->random, &q->spi_be);
}

void dp_lease_spi_alloc(struct dp_requests *r, const struct ipc_tunnel *id, struct dp_reply *reply)
{
	struct tunnel_request q = { .tunnel = dp_core_find_tunnel(r->core, id) };

	if (q.tunnel == DP_NONE_SLOT) {
		reply->status = -ENOENT;
		return;
	}
	if (getrandom(&q.random, sizeof(q.random), 0) != sizeof(q.random)) {
		reply->status = -EIO;
		return;
	}
	reply->status = dp_worker_call(dp_core_tunnel_home(r->core, q.tunnel), on_spi_alloc, &q);
	if (reply->status == 0) {
		*(struct ipc_spi *)reply->body = (struct ipc_spi){ .spi_be = q.spi_be };
		reply->length = sizeof(struct ipc_spi);
	}
}

static int on_sa_add(struct dp_worker *w, void *argument)
{
	struct tunnel_request *q = argument;
	int rc = dp_sa_confirm(w, q->add, q->tunnel, q->control_epoch);

	if (rc != -ENOENT)
		return rc;
	rc = dp_sa_add(w, q->add, q->tunnel, q->environment, q->control_epoch, q->link_mtu,
	               q->memory);
	if (rc == 0) {
		q->memory = NULL;
		q->moved = dp_failover_refresh(w, q->environment);
	}
	return rc;
}

int dp_lease_sa_add(struct dp_requests *r, const struct ipc_sa_add *add)
{
	struct tunnel_request q = { .add = add,
		                    .tunnel = dp_core_find_tunnel(r->core, &add->tunnel),
		                    .control_epoch = r->control_epoch,
		                    .link_mtu = r->core->ports[DP_PORT_UPLINK].mtu };
	struct dp_worker *home;
	char remote[SP_ADDRESS_TEXT];
	int rc;

	if (q.tunnel == DP_NONE_SLOT)
		return -ENOENT;
	if (add->local_be != r->core->ports[DP_PORT_UPLINK].address_be)
		return -EADDRNOTAVAIL;
	home = dp_core_tunnel_home(r->core, q.tunnel);
	q.environment = r->core->tunnel_slots[q.tunnel].environment_slot;
	q.memory = dp_sa_alloc(home->sas, (enum ipc_direction)add->id.direction);
	if (!q.memory)
		return -ENOMEM;
	rc = dp_worker_call(home, on_sa_add, &q);
	dp_sa_free(q.memory); /* what the table did not take */
	if (q.moved)
		r->changed |= IPC_CHANGED_TUNNELS;
	sp_log(rc ? SP_LOG_WARN : SP_LOG_INFO,
	       "sa: add environment=%s server=%s direction=%s spi=%08x peer=%s%s result=%s",
	       add->tunnel.environment, add->tunnel.server,
	       add->id.direction == IPC_IN ? "in" : "out", rte_be_to_cpu_32(add->id.spi_be),
	       sp_address_format(remote, add->remote_be),
	       add->flags & IPC_SA_EARLY ? " early=yes" : "", strerror(-rc));
	return rc;
}

static int on_sa_update(struct dp_worker *w, void *argument)
{
	struct tunnel_request *q = argument;

	return dp_sa_update(w, q->update, q->link_mtu);
}

static int on_sa_query(struct dp_worker *w, void *argument)
{
	struct tunnel_request *q = argument;

	return dp_sa_query(w, q->id, q->info);
}

static int on_sa_delete(struct dp_worker *w, void *argument)
{
	struct tunnel_request *q = argument;
	struct ipc_sa_info info;
	int known = dp_sa_query(w, q->id, &info), rc = dp_sa_delete(w, q->id, &q->memory);

	if (rc == 0 && known == 0 && q->tunnel != DP_NONE_SLOT)
		q->moved = dp_failover_refresh(w, q->environment);
	return rc;
}

/* Runs FN where the SA is; an outbound SA's home is not in its SPI, so all are asked. */
static int at_sa(struct dp_core *core, const struct ipc_sa_id *id, dp_worker_fn fn,
                 struct tunnel_request *q)
{
	struct dp_worker *w = worker_of_spi(core, id);
	int rc = -ENOENT;

	if (w)
		return dp_worker_call(w, fn, q);
	if (id->direction == IPC_IN)
		return -ENOENT;
	for (uint16_t i = 0; rc == -ENOENT && i < core->worker_count; i++)
		rc = dp_worker_call(core->workers[i], fn, q);
	return rc;
}

int dp_lease_sa_delete(struct dp_requests *r, const struct ipc_sa_id *id)
{
	struct ipc_sa_info info;
	struct tunnel_request q = { .id = id, .info = &info, .tunnel = DP_NONE_SLOT };
	int rc;

	if (at_sa(r->core, id, on_sa_query, &q) == 0)
		q.tunnel = dp_core_find_tunnel(r->core, &info.tunnel);
	if (q.tunnel != DP_NONE_SLOT)
		q.environment = r->core->tunnel_slots[q.tunnel].environment_slot;
	rc = at_sa(r->core, id, on_sa_delete, &q);
	if (rc)
		return rc;
	dp_sa_free(q.memory);
	if (q.moved)
		r->changed |= IPC_CHANGED_TUNNELS;
	sp_log(SP_LOG_INFO, "sa: del direction=%s spi=%08x", id->direction == IPC_IN ? "in" : "out",
	       rte_be_to_cpu_32(id->spi_be));
	return 0;
}

int dp_lease_sa_update(struct dp_requests *r, const struct ipc_sa_update *update)
{
	struct tunnel_request q = { .update = update,
		                    .link_mtu = r->core->ports[DP_PORT_UPLINK].mtu };

	if (update->local_be != r->core->ports[DP_PORT_UPLINK].address_be)
		return -EADDRNOTAVAIL;
	return at_sa(r->core, &update->id, on_sa_update, &q);
}

void dp_lease_sa_query(struct dp_requests *r, const struct ipc_sa_id *id, struct dp_reply *reply)
{
	struct tunnel_request q = { .id = id, .info = (struct ipc_sa_info *)reply->body };

	reply->status = at_sa(r->core, id, on_sa_query, &q);
	if (reply->status == 0)
		reply->length = sizeof(struct ipc_sa_info);
}

/* ---- what a control plane leaves to the next one ---- */

int dp_lease_keepsake_set(struct dp_requests *r, const struct ipc_keepsake *keepsake)
{
	uint16_t tunnel = dp_core_find_tunnel(r->core, &keepsake->id);
	struct dp_slot *slot;

	if (tunnel == DP_NONE_SLOT)
		return -ENOENT;
	slot = &r->core->tunnel_slots[tunnel];
	if (keepsake->length == 0) {
		sp_secret_destroy(slot->keepsake);
		slot->keepsake = NULL;
		return 0;
	}
	if (!slot->keepsake)
		slot->keepsake = sp_secret_create();
	if (!slot->keepsake)
		return -ENOMEM;
	sp_wipe(slot->keepsake->data, sizeof(slot->keepsake->data));
	memcpy(slot->keepsake->data, keepsake->data, keepsake->length);
	slot->keepsake->length = keepsake->length;
	return 0;
}

void dp_lease_keepsake_get(struct dp_requests *r, const struct ipc_tunnel *id,
                           struct dp_reply *reply)
{
	struct ipc_keepsake *out = (struct ipc_keepsake *)reply->body;
	uint16_t tunnel = dp_core_find_tunnel(r->core, id);
	const struct sp_secret *kept;

	if (tunnel == DP_NONE_SLOT) {
		reply->status = -ENOENT;
		return;
	}
	kept = r->core->tunnel_slots[tunnel].keepsake;
	memset(out, 0, sizeof(*out));
	out->id = *id;
	if (kept) {
		out->length = (uint32_t)kept->length;
		memcpy(out->data, kept->data, kept->length);
	}
	reply->length = sizeof(*out);
}
