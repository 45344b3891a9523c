/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Entries keep their place, so a place is a cursor. */
#include "dataplane/sa_list.h"

#include <string.h>

#include "dataplane/worker.h"

static void fill_info(struct ipc_sa_info *info, const struct dp_sa_lease *lease, uint32_t spi_be)
{
	memset(info, 0, sizeof(*info));
	info->tunnel = lease->names;
	info->id.spi_be = spi_be;
	info->control_epoch = lease->control_epoch;
	info->added_ns = lease->added_ns;
	info->flags = lease->flags;
	info->local_be = lease->local_be;
	info->remote_be = lease->remote_be;
	info->local_port_be = lease->local_port_be;
	info->remote_port_be = lease->remote_port_be;
}

#define LATE_EPOCH 0xff00u

/* OpenVPN: long before, as one renegotiation serves both directions. */
static bool is_openvpn_expiring(uint64_t sequence, const struct dp_ovpn_epoch *epoch)
{
	return epoch->number ? epoch->number >= LATE_EPOCH : sequence >= DP_OVPN_SEQUENCE_MARK;
}

static bool is_expiring(uint64_t sequence, bool is_esn)
{
	return sequence >= (is_esn ? UINT64_MAX : UINT32_MAX) / 4 * 3;
}

static void info_in(const struct dp_sa_in *sa, struct ipc_sa_info *info)
{
	fill_info(info, &sa->lease, sa->spi_be);
	info->id.direction = IPC_IN;
	info->id.destination_be = sa->lease.local_be;
	info->packets = sa->packets;
	info->bytes = sa->bytes;
	info->used_ns = sa->used_ns;
	info->sequence = sa->replay.top;
	info->algorithm = sa->suite.algorithm;
	if (sa->is_early)
		info->flags |= IPC_SA_EARLY;
	if (!(info->flags & IPC_SA_OPENVPN)) {
		if (is_expiring(info->sequence, sa->is_esn))
			info->flags |= IPC_SA_EXPIRING;
		return;
	}
	info->key_id = sa->openvpn.first & 7u;
	if (is_openvpn_expiring(info->sequence, &sa->epoch))
		info->flags |= IPC_SA_EXPIRING;
	if (sa->openvpn.is_exited)
		info->flags |= IPC_SA_EXITED;
}

static void info_out(const struct dp_worker *w, const struct dp_sa_out *sa,
                     struct ipc_sa_info *info)
{
	fill_info(info, &sa->lease, sa->spi_be);
	info->id.direction = IPC_OUT;
	info->id.destination_be = sa->lease.destination_be;
	info->packets = sa->packets;
	info->bytes = sa->bytes;
	info->used_ns = sa->used_ns;
	info->sequence = sa->sequence;
	info->algorithm = sa->suite.algorithm;
	if (w->tunnels[sa->tunnel].out == sa)
		info->flags |= IPC_SA_ACTIVE;
	if (!(info->flags & IPC_SA_OPENVPN)) {
		if (is_expiring(info->sequence, sa->is_esn))
			info->flags |= IPC_SA_EXPIRING;
		return;
	}
	info->key_id = rte_be_to_cpu_32(sa->openvpn.first_be) >> 24 & 7u;
	if (sa->sequence >= sa->limit)
		info->flags |= IPC_SA_SPENT;
	if (is_openvpn_expiring(info->sequence, &sa->epoch) ||
	    (!sa->epoch.number && sa->openvpn.volume >= DP_OVPN_VOLUME_MAX / 2))
		info->flags |= IPC_SA_EXPIRING;
}

bool dp_sa_describe(const struct dp_worker *w, const struct dp_sa_entry *e,
                    struct ipc_sa_info *info)
{
	switch (e->kind) {
	case DP_SA_IN:
		info_in(e->in, info);
		return true;
	case DP_SA_OUT:
		info_out(w, e->out, info);
		return true;
	default:
		return false;
	}
}

unsigned dp_sa_list(struct dp_worker *w, uint64_t cursor, struct ipc_sa_info *infos, unsigned max,
                    uint64_t *next)
{
	const struct dp_sa_table *t = w->sas;
	unsigned n = 0;

	*next = 0;
	for (uint64_t i = cursor; i < t->capacity; i++) {
		if (t->entries[i].kind != DP_SA_IN && t->entries[i].kind != DP_SA_OUT)
			continue;
		if (n == max) {
			*next = i;
			break;
		}
		dp_sa_describe(w, &t->entries[i], &infos[n++]);
	}
	return n;
}
