/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a home worker keeps of its tunnels and environments while it runs: state, not configuration.
 *
 * The arrays are shared by all workers, an entry is written by its home worker alone (control
 * requests run on the worker too: dataplane/worker.h). Both protocols, ESP and later OpenVPN, meet
 * in struct dp_tunnel.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <rte_common.h>

struct dp_sa_out;

struct dp_tunnel {
	struct dp_sa_out *out; /* the outbound SA in use; NULL: none */
	uint32_t inner_be;     /* our address inside; 0: none */
	uint32_t remote_be;    /* server, outside */
	uint16_t environment;  /* slot; DP_NONE_SLOT: entry not in use */
	uint16_t inner_mtu;    /* largest IPv4 packet that fits, bytes; 0 without an SA */
	uint16_t mss;          /* inner_mtu - 40 */
	uint8_t is_up; /* carries traffic: is_wanted, an outbound SA and an inner address are there
	                */
	uint8_t is_wanted; /* the control plane says so */
	uint64_t heard_ns; /* CLOCK_MONOTONIC of the last authenticated packet, 0: never */
	uint64_t packets_out;
	uint64_t bytes_out; /* inner IPv4 bytes */
	uint64_t packets_in;
	uint64_t bytes_in;
	/* line 1, cold */
	uint32_t path_until_s; /* path_mtu holds until then */
	uint16_t path_mtu; /* outer bytes that the way to the server takes (dataplane/pmtu.h); 0:
	                      the link's */
} __rte_cache_aligned;
_Static_assert(offsetof(struct dp_tunnel, path_until_s) == 64, "dp_tunnel: line 1");

struct dp_environment_state {
	uint64_t packets_out;
	uint64_t bytes_out;
	uint64_t packets_in;
	uint64_t bytes_in;
	uint64_t move_counter;
	uint16_t active; /* tunnel slot; DP_NONE_SLOT: none */
	uint16_t pad[11];
} __rte_cache_aligned;
_Static_assert(sizeof(struct dp_environment_state) == 64, "dp_environment_state: one line");
