/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The requests for what a control plane leases: where a tunnel's packets come from, whether it is
 * up, its SAs, its keepsake. Control thread.
 */
#pragma once

#include "common/ipc_proto.h"
#include "dataplane/ctl_requests.h"

/* Each does what its message of the contract says, which ipc_decode() accepted, and returns the
 * reply's status, or fills the reply. -ENOENT: the tunnel or the SA is not there. */
int dp_lease_peer_set(struct dp_requests *r, const struct ipc_peer *peer);
int dp_lease_tunnel_set(struct dp_requests *r, const struct ipc_tunnel_state *state);
void dp_lease_spi_alloc(struct dp_requests *r, const struct ipc_tunnel *id, struct dp_reply *reply);
int dp_lease_sa_add(struct dp_requests *r, const struct ipc_sa_add *add);
int dp_lease_sa_update(struct dp_requests *r, const struct ipc_sa_update *update);
int dp_lease_sa_delete(struct dp_requests *r, const struct ipc_sa_id *id);
void dp_lease_sa_query(struct dp_requests *r, const struct ipc_sa_id *id, struct dp_reply *reply);
int dp_lease_keepsake_set(struct dp_requests *r, const struct ipc_keepsake *keepsake);
void dp_lease_keepsake_get(struct dp_requests *r, const struct ipc_tunnel *id,
                           struct dp_reply *reply);
