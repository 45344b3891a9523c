/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a tunnel's server answers: round trips and deadlines, probes that were missed; alive,
 * suspect, dead (struct dp_liveness in dataplane/tunnel.h). What follows from it for environments
 * is dataplane/failover.h's. Worker only; times of the failover's clock.
 */
#pragma once

#include <stdint.h>

#include "dataplane/worker.h"

enum dp_probe_kind { DP_PROBE_ECHO, DP_PROBE_SYN };

/* Something for IPC_CHANGED_TUNNELS. */
static inline void dp_liveness_tell(struct dp_worker *w)
{
	atomic_store_explicit(&w->failover.is_changed, 1, memory_order_relaxed);
}

/* A new life: what was learned of the server's network is forgotten, what was counted is not. */
void dp_liveness_rise(struct dp_worker *w, uint16_t slot);

/* It went down. */
void dp_liveness_fall(struct dp_worker *w, uint16_t slot);

/* Packets that others than us have sent into it. */
static inline uint64_t dp_liveness_sent_by_users(const struct dp_tunnel *t)
{
	return t->packets_out - t->liveness.probe_packets;
}

/* An authentic packet came out of it since it was looked at last. */
void dp_liveness_hear(struct dp_worker *w, uint16_t slot);

/* It is asked at once, and so are the others: one of them has to be the witness. */
void dp_liveness_suspect(struct dp_worker *w, const struct dp_environment *e, uint16_t slot);

/* Takes note of probes whose deadline has passed. */
void dp_liveness_expire(struct dp_worker *w, const struct dp_environment *e, uint16_t slot);

void dp_liveness_die(struct dp_worker *w, uint16_t slot);

/* How long a probe may take, ns: RFC 6298, within bounds. */
uint64_t dp_liveness_deadline(const struct dp_liveness *l);

/* The probe that was sent into TUNNEL at SENT_AT was answered; dataplane/probe.c. */
void dp_liveness_answered(struct dp_worker *w, uint16_t tunnel, enum dp_probe_kind kind,
                          uint64_t sent_at);
