/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SAs in the dataplane that an earlier control plane added: they carry the traffic until our own
 * do, then go.
 */
#include "controlplane/orphans.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "controlplane/ike_tunnels.h"

struct cp_orphan {
	struct ipc_tunnel tunnel;
	struct ipc_sa_id id;
	uint32_t suite;
	bool is_openvpn;
	bool is_begun; /* the negotiation: whether it came to its end is not known */
	uint64_t added_ns;
	struct cp_orphan *next;
};

static bool is_same_tunnel(const struct ipc_tunnel *a, const struct ipc_tunnel *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static void take_entry(void *context, const void *entry)
{
	struct cp_orphans *orphans = context;
	const struct ipc_sa_info *info = entry;
	struct cp_orphan *orphan;

	if (info->control_epoch == orphans->epoch)
		return;
	orphan = malloc(sizeof(*orphan));
	if (!orphan) /* it goes when its lifetime ends */
		return;
	*orphan = (struct cp_orphan){
		.tunnel = info->tunnel,
		.id = info->id,
		.suite = CP_IKE_SUITE(info->algorithm, info->flags),
		.is_openvpn = info->flags & IPC_SA_OPENVPN,
		.is_begun = info->flags & IPC_SA_EARLY && info->packets == 0,
		.added_ns = info->added_ns,
		.next = orphans->list,
	};
	orphans->list = orphan;
}

static void forget_all(struct cp_orphans *orphans)
{
	while (orphans->list) {
		struct cp_orphan *orphan = orphans->list;

		orphans->list = orphan->next;
		free(orphan);
	}
}

void cp_orphans_init(struct cp_orphans *orphans, struct cp_dp *dp, uint64_t epoch)
{
	*orphans = (struct cp_orphans){ .dp = dp, .epoch = epoch };
}

int cp_orphans_read(struct cp_orphans *orphans)
{
	forget_all(orphans);
	return cp_dp_list(orphans->dp, IPC_SA_LIST, sizeof(struct ipc_sa_info), take_entry,
	                  orphans);
}

size_t cp_orphans_count(const struct cp_orphans *orphans, const struct ipc_tunnel *tunnel)
{
	size_t count = 0;

	for (const struct cp_orphan *orphan = orphans->list; orphan; orphan = orphan->next)
		count += is_same_tunnel(&orphan->tunnel, tunnel);
	return count;
}

uint32_t cp_orphans_suite(const struct cp_orphans *orphans, const struct ipc_tunnel *tunnel)
{
	const struct cp_orphan *newest = NULL;

	for (const struct cp_orphan *orphan = orphans->list; orphan; orphan = orphan->next) {
		if (is_same_tunnel(&orphan->tunnel, tunnel) &&
		    (!newest || orphan->added_ns > newest->added_ns))
			newest = orphan;
	}
	return newest ? newest->suite : 0;
}

bool cp_orphans_were_up(const struct cp_orphans *orphans, const struct ipc_tunnel *tunnel)
{
	for (const struct cp_orphan *orphan = orphans->list; orphan; orphan = orphan->next) {
		if (is_same_tunnel(&orphan->tunnel, tunnel) && !orphan->is_begun)
			return true;
	}
	return false;
}

static bool carries_traffic(struct cp_orphans *orphans, uint32_t spi_be, uint32_t local_be)
{
	const struct ipc_sa_id id = { .spi_be = spi_be,
		                      .destination_be = local_be,
		                      .direction = IPC_IN };
	struct ipc_sa_info info;

	return cp_dp_call(orphans->dp, IPC_SA_QUERY, &id, sizeof(id), &info, sizeof(info)) == 0 &&
	       info.packets > 0;
}

static uint64_t keep_ms(const struct cp_orphans *orphans, const struct ipc_tunnel *tunnel)
{
	for (const struct cp_orphan *orphan = orphans->list; orphan; orphan = orphan->next) {
		if (is_same_tunnel(&orphan->tunnel, tunnel) && orphan->is_openvpn)
			return CP_ORPHANS_KEEP_OPENVPN_MS;
	}
	return CP_ORPHANS_KEEP_MS;
}

/* Takes *AT out of the list and its SA out of the dataplane. */
static void remove_one(struct cp_orphans *orphans, struct cp_orphan **at)
{
	struct cp_orphan *orphan = *at;
	int rc = cp_dp_call(orphans->dp, IPC_SA_DEL, &orphan->id, sizeof(orphan->id), NULL, 0);

	sp_log(rc == 0 || rc == -ENOENT ? SP_LOG_INFO : SP_LOG_WARN,
	       "supervisor: retired an orphan environment=%s server=%s spi=%08x%s%s",
	       orphan->tunnel.environment, orphan->tunnel.server, ntohl(orphan->id.spi_be),
	       rc ? " error=" : "", rc ? strerror(-rc) : "");
	*at = orphan->next;
	free(orphan);
}

size_t cp_orphans_retire(struct cp_orphans *orphans, const struct ipc_tunnel *tunnel,
                         uint32_t spi_be, uint32_t local_be, uint64_t added_ms,
                         uint64_t *switched_ms, uint64_t now_ms)
{
	struct cp_orphan **at = &orphans->list;

	if (!*switched_ms && carries_traffic(orphans, spi_be, local_be))
		*switched_ms = now_ms;
	if (*switched_ms ? now_ms - *switched_ms < CP_ORPHANS_GRACE_MS
	                 : now_ms - added_ms < keep_ms(orphans, tunnel))
		return cp_orphans_count(orphans, tunnel);
	while (*at) {
		if (is_same_tunnel(&(*at)->tunnel, tunnel))
			remove_one(orphans, at);
		else
			at = &(*at)->next;
	}
	return 0;
}

void cp_orphans_drop_strangers(struct cp_orphans *orphans,
                               bool (*is_known)(void *context, const struct ipc_tunnel *tunnel),
                               void *context)
{
	struct cp_orphan **at = &orphans->list;

	while (*at) {
		if (is_known(context, &(*at)->tunnel))
			at = &(*at)->next;
		else
			remove_one(orphans, at);
	}
}
