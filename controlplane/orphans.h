/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SAs in the dataplane that an earlier control plane added: they carry the traffic until our own
 * do, then go.
 *
 * Used by the supervisor's thread only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/dp_client.h"

#define CP_ORPHANS_KEEP_MS 10000u /* at most, after our own outbound SA is there */
/* The same of OpenVPN: a stock server sends with the old key for a minute. */
#define CP_ORPHANS_KEEP_OPENVPN_MS 75000u
#define CP_ORPHANS_GRACE_MS \
	2000u /* after the switch: what the server sent before is still on its way */
#define CP_ORPHANS_POLL_MS 200u

struct cp_orphan;

struct cp_orphans {
	struct cp_dp *dp;
	uint64_t epoch; /* our own: another one's SAs are orphans */
	struct cp_orphan *list;
};

void cp_orphans_init(struct cp_orphans *orphans, struct cp_dp *dp, uint64_t epoch);

/* Reads what there is; call when the dataplane's connection is ready. Returns 0 or -errno. */
int cp_orphans_read(struct cp_orphans *orphans);

size_t cp_orphans_count(const struct cp_orphans *orphans, const struct ipc_tunnel *tunnel);

/* CP_IKE_SUITE() of the newest orphan of TUNNEL; 0: there is none. */
uint32_t cp_orphans_suite(const struct cp_orphans *orphans, const struct ipc_tunnel *tunnel);

/* Whether one of them came of a negotiation that ended well. An early SA (IPC_SA_EARLY) without a
 * packet did not, as far as anybody can tell. */
bool cp_orphans_were_up(const struct cp_orphans *orphans, const struct ipc_tunnel *tunnel);

/* The orphans of TUNNEL, which has an inbound SA SPI_BE of ours at LOCAL_BE since ADDED_MS: removed
 * CP_ORPHANS_GRACE_MS after that one began to carry traffic (noted in *SWITCHED_MS, 0: not yet), or
 * CP_ORPHANS_KEEP_MS (CP_ORPHANS_KEEP_OPENVPN_MS) after ADDED_MS without any. Returns how many are
 * left. */
size_t cp_orphans_retire(struct cp_orphans *orphans, const struct ipc_tunnel *tunnel,
                         uint32_t spi_be, uint32_t local_be, uint64_t added_ms,
                         uint64_t *switched_ms, uint64_t now_ms);

/* Removes the orphans of tunnels that IS_KNOWN does not know: nobody will take over from them. */
void cp_orphans_drop_strangers(struct cp_orphans *orphans,
                               bool (*is_known)(void *context, const struct ipc_tunnel *tunnel),
                               void *context);
