/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor's view of the dataplane's SAs: what predecessors left, what nobody knows, what is
 * used up.
 */
#include "controlplane/supervisor_private.h"

#include <arpa/inet.h>
#include <string.h>

#include "common/log.h"
#include "controlplane/ike_keepsake.h"
#include "controlplane/ike_kernel.h"
#include "controlplane/ovpn_client.h"
#include "controlplane/strays.h"

static bool is_configured(void *context, const struct ipc_tunnel *id)
{
	const struct cp_supervisor *supervisor = context;

	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++) {
		if (supervisor->tunnels[i].is_configured &&
		    memcmp(&supervisor->ike.tunnels[i].id, id, sizeof(*id)) == 0)
			return true;
	}
	return false;
}

static bool has_sa(void *context, const struct ipc_sa_id *id)
{
	const struct cp_supervisor *supervisor = context;

	return cp_ike_kernel_has(id) || cp_ovpn_client_has(&supervisor->ike, id);
}

/* What was added when the connection ended, without an acknowledgement, or should have been removed
 * then. */
static void remove_strays(struct cp_supervisor *supervisor)
{
	int rc;

	if (!supervisor->lost_ns)
		return;
	rc = cp_strays_remove(supervisor->dp, supervisor->orphans.epoch, supervisor->lost_ns,
	                      has_sa, supervisor);
	if (rc < 0)
		sp_log(SP_LOG_WARN, "supervisor: SAs that nobody knows may be left error=%s",
		       strerror(-rc));
}

void cp_supervisor_read_sas(struct cp_supervisor *supervisor)
{
	int rc = cp_orphans_read(&supervisor->orphans);

	remove_strays(supervisor);
	if (rc != 0)
		sp_log(SP_LOG_WARN, "supervisor: the dataplane's SAs could not be read error=%s",
		       strerror(-rc));
	cp_orphans_drop_strangers(&supervisor->orphans, is_configured, supervisor);
	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++) {
		struct cp_ike_tunnel *tunnel = &supervisor->ike.tunnels[i];
		uint32_t suite = cp_orphans_suite(&supervisor->orphans, &tunnel->id);

		if (suite)
			tunnel->suite = suite;
		pthread_mutex_lock(&supervisor->lock);
		supervisor->tunnels[i].was_carried =
			cp_orphans_were_up(&supervisor->orphans, &tunnel->id);
		pthread_mutex_unlock(&supervisor->lock);
	}
	cp_ike_keepsake_read(&supervisor->ike);
	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++)
		supervisor->tunnels[i].has_left_ike =
			cp_ike_keepsake_has(&supervisor->ike.tunnels[i]);
	pthread_mutex_lock(&supervisor->lock);
	supervisor->has_read = rc == 0;
	pthread_mutex_unlock(&supervisor->lock);
}

static const struct cp_server *server_of(const struct cp_supervisor *supervisor,
                                         const struct ipc_tunnel *id)
{
	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++) {
		if (supervisor->tunnels[i].is_configured &&
		    memcmp(&supervisor->ike.tunnels[i].id, id, sizeof(*id)) == 0)
			return supervisor->ike.tunnels[i].server;
	}
	return NULL;
}

static void rekey_if_used_up(void *context, const void *entry)
{
	struct cp_supervisor *supervisor = context;
	const struct ipc_sa_info *info = entry;
	const struct cp_server *server = server_of(supervisor, &info->tunnel);
	const bool is_expiring = info->flags & IPC_SA_EXPIRING;

	if (info->control_epoch != supervisor->orphans.epoch || !server)
		return;
	if (!is_expiring && !cp_rekey_limits_reached(&supervisor->limits, server, info))
		return;
	sp_log(SP_LOG_INFO, "supervisor: %s, rekeying environment=%s server=%s spi=%08x",
	       is_expiring ? "sequence numbers run out" : "an SA has carried its share",
	       info->tunnel.environment, info->tunnel.server, ntohl(info->id.spi_be));
	cp_protocol_of(server)->rekey(&supervisor->ike, &info->id);
}

void cp_supervisor_look_at_sas(struct cp_supervisor *supervisor, bool have_changed)
{
	const uint64_t now = cp_now_ms();

	if (supervisor->has_limits && now - supervisor->limits_ms >= CP_LIMITS_POLL_MS)
		have_changed = true;
	if (!have_changed)
		return;
	supervisor->limits_ms = now;
	cp_dp_list(supervisor->dp, IPC_SA_LIST, sizeof(struct ipc_sa_info), rekey_if_used_up,
	           supervisor);
}

void cp_supervisor_retire(struct cp_supervisor *supervisor)
{
	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++) {
		struct tunnel *tunnel = &supervisor->tunnels[i];

		if (tunnel->orphan_count && tunnel->up_ms && tunnel->state.child_count)
			tunnel->orphan_count =
				cp_orphans_retire(&supervisor->orphans, &tunnel->ike->id,
			                          tunnel->state.children[0].spi_be,
			                          supervisor->config->uplink.address_be,
			                          tunnel->up_ms, &tunnel->switched_ms, cp_now_ms());
		/* together with the SAs, or as late as they would have gone */
		if (tunnel->has_left_ike && tunnel->up_ms && !tunnel->orphan_count &&
		    cp_now_ms() - tunnel->up_ms >= CP_ORPHANS_GRACE_MS) {
			cp_ike_keepsake_retire(&supervisor->ike, tunnel->ike);
			tunnel->has_left_ike = false;
		}
	}
}
