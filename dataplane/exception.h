/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The exception port, as the packets see it: which TCP connections end on this gateway, at the
 * uplink's own address. Their packets go to the control thread (dataplane/exception_port.h), which
 * has a TCP stack for them; everything else goes its usual way.
 *
 * One table for all workers: the control thread adds and removes in place while they read.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_branch_prediction.h>
#include <rte_ring.h>

#include "dataplane/batch.h"

struct dp_exception {
	_Atomic uint32_t count; /* of flows; 0 as a rule */
	_Atomic uint64_t
		ports[1024]; /* a bit for each port of ours in use: it stays in the cache */
	/* who is there, by our port in network byte order: dp_exception_remote(); 0: nobody */
	_Atomic uint64_t remotes[65536];
	struct rte_ring *in; /* packets for the control thread, from their IPv4 header on */
};

/* 0 or -ENOMEM. Control thread. */
int dp_exception_create(struct dp_exception **exception);
/* Frees the packets that wait, too. NULL is allowed. */
void dp_exception_destroy(struct dp_exception *exception);

/* The other end of a flow as one word; never 0, as no address is. */
static inline uint64_t dp_exception_remote(uint32_t address_be, uint16_t port_be)
{
	return (uint64_t)address_be << 16 | port_be;
}

/* Lets pass what is between this port of ours and REMOTE; 0: nothing any more. Control thread. */
void dp_exception_set(struct dp_exception *exception, uint16_t local_port_be, uint64_t remote);

/* Whether this is a registered flow. Any thread. */
static inline bool dp_exception_has(const struct dp_exception *e, uint32_t remote_be,
                                    uint16_t remote_port_be, uint16_t local_port_be)
{
	if (likely(atomic_load_explicit(&e->count, memory_order_relaxed) == 0))
		return false;
	if (likely(!(atomic_load_explicit(&e->ports[local_port_be / 64], memory_order_relaxed) >>
	                     (local_port_be % 64) &
	             1)))
		return false;
	return atomic_load_explicit(&e->remotes[local_port_be], memory_order_relaxed) ==
	       dp_exception_remote(remote_be, remote_port_be);
}

/* Whether an ICMP error, of which ROOM >= 8 bytes are there, quotes what OWN_BE, the uplink's
 * address, sent on a registered flow. Any thread. */
bool dp_exception_is_quoted(const struct dp_exception *e, uint32_t own_be, const uint8_t *icmp,
                            unsigned room);

/* Takes a packet of a registered flow, or an error that quotes one, to the control thread. Worker
 * only. */
enum dp_verdict dp_exception_punt(struct dp_worker *w, struct dp_pkt *p);
