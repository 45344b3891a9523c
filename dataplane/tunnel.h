/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a home worker keeps of its tunnels and environments while it runs: state, not configuration.
 *
 * The arrays are shared by all workers, an entry is written by its home worker alone (control
 * requests run on the worker too: dataplane/worker.h). Both protocols, ESP and OpenVPN, meet in
 * struct dp_tunnel.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <rte_common.h>

#include "common/ipc_proto.h"

struct dp_sa_in;
struct dp_sa_out;

#define DP_TUNNEL_KEYS 2u /* the one in use, and the one before or behind it */
#define DP_PROBES_MAX 16u /* in flight in a tunnel */

/*
 * Whether a tunnel's server answers: dataplane/failover.h. Times called _at are of the failover's
 * clock, which stands still while the worker does; 0: never.
 */
struct dp_liveness {
	/* line 0: looked at each time */
	uint64_t heard_ns;      /* dp_tunnel.heard_ns as last seen */
	uint64_t user_packets;  /* sent by others than us, as last seen */
	uint64_t probe_packets; /* sent by us */
	uint64_t unanswered_at; /* the first packet behind the last one heard */
	uint64_t suspect_at;    /* since when it is suspect, or was when it died */
	uint64_t due_at;        /* the next probe */
	uint64_t expiry_at;     /* the next deadline of a probe; UINT64_MAX: none in flight */
	uint8_t state;          /* enum ipc_liveness */
	uint8_t is_echoed;      /* an echo was answered since it is up: silence says something */
	uint8_t misses;         /* probes in a row that nothing was heard behind */
	uint8_t oldest;         /* probe in flight; counts on, as next does */
	uint8_t next;
	uint8_t is_syn_pending;
	uint16_t syn_port_be; /* of the last SYN: ours */
	/* line 1 */
	uint64_t heard_at;
	uint64_t answered_sent_at; /* when the latest probe that was answered was sent */
	uint64_t answered_at;
	uint64_t lost_at;   /* since when it is dead */
	uint64_t missed_ns; /* CLOCK_MONOTONIC of the miss that was one too many */
	uint64_t alive_since_ns;
	uint64_t held_until_ns; /* was dead: nobody's preferred one until then */
	uint64_t answered_ns;
	/* line 2 */
	uint64_t sent_at[DP_PROBES_MAX]; /* echoes, by number; 0: answered */
	/* line 4 */
	uint64_t syn_at;
	uint64_t srtt_ns; /* RFC 6298; 0: no sample yet */
	uint64_t rttvar_ns;
	uint32_t syn_target_be;
	uint32_t syn_sequence; /* host byte order */
	uint16_t syn_target_port_be;
	uint8_t is_risen; /* dp_tunnel.is_up as last told */
	uint8_t pad;
	uint32_t deaths;
	uint64_t asked; /* probes */
	uint64_t answered;
	uint64_t missed;
	/* line 5 */
	uint64_t opinion_at; /* when the control plane was last told that it is suspect */
};
_Static_assert(offsetof(struct dp_liveness, heard_at) == 64, "dp_liveness: line 1");
_Static_assert(offsetof(struct dp_liveness, syn_at) == 256, "dp_liveness: line 4");

struct dp_tunnel {
	struct dp_sa_out *out; /* the outbound SA in use; NULL: none */
	uint32_t inner_be;     /* our address inside; 0: none */
	uint32_t remote_be;    /* server, outside */
	uint16_t environment;  /* slot; DP_NONE_SLOT: entry not in use */
	uint16_t inner_mtu;    /* largest IPv4 packet that fits, bytes; 0 without an SA */
	uint16_t mss;          /* inner_mtu - 40 */
	uint8_t is_up;         /* is_wanted, an outbound SA and an inner address are there */
	uint8_t is_usable;     /* is_up, and not known to lose what it is given: sessions stay */
	uint64_t heard_ns;     /* CLOCK_MONOTONIC of the last authenticated packet, 0: never */
	uint64_t packets_out;
	uint64_t bytes_out; /* inner IPv4 bytes */
	uint64_t packets_in;
	uint64_t bytes_in;
	/* line 1 */
	struct dp_liveness liveness __rte_cache_aligned;
	uint8_t is_wanted; /* the control plane says so */
	uint8_t pad;
	uint16_t path_mtu; /* outer bytes that the way to the server takes (dataplane/pmtu.h); 0:
	                      the link's */
	uint32_t path_until_s;                 /* path_mtu holds until then */
	struct dp_sa_in *keys[DP_TUNNEL_KEYS]; /* inbound keys of OpenVPN; NULL: none */
} __rte_cache_aligned;
_Static_assert(offsetof(struct dp_tunnel, liveness) == 64, "dp_tunnel: line 1");

#define DP_GREETINGS_MAX 8u /* of an environment */

/* A host that shall hear from us through a tunnel: dataplane/asking.h. */
struct dp_greeting {
	uint32_t host_be;
	uint16_t tunnel;
	uint16_t pad;
};

struct dp_environment_state {
	uint64_t packets_out;
	uint64_t bytes_out;
	uint64_t packets_in;
	uint64_t bytes_in;
	uint64_t move_counter;
	uint16_t active; /* tunnel slot; DP_NONE_SLOT: none */
	uint16_t pad[11];
	/* line 1, cold: the last move (common/ipc_proto.h) */
	uint64_t moved_ns;
	uint64_t detection_ns;
	uint64_t switch_ns;
	uint32_t sessions_kept;
	uint32_t sessions_reset;
	uint32_t sweep_round; /* in which sessions_kept was counted: dataplane/nat_failover.h */
	uint16_t moved_from;
	uint8_t move_reason;
	uint8_t is_settled;
	/* whom probes ask: dataplane/failover.h; forwards by dp_forward.key */
	uint64_t target_at;          /* since when this one; of the failover's clock */
	uint64_t target_answered_at; /* when it last answered, through any tunnel */
	uint64_t target_key;         /* 0: the configured one */
	uint64_t opened_key;         /* of the last session that began */
	uint64_t turn_key;           /* the last one in the forwards' turn; 0: the first is next */
	uint64_t moves[IPC_MOVE_REASONS];
	struct dp_greeting greetings[DP_GREETINGS_MAX];
	uint64_t greet_at; /* the next time */
	uint8_t greeting_count;
	uint8_t greetings_left; /* times */
	uint8_t pad1[6];
} __rte_cache_aligned;
_Static_assert(offsetof(struct dp_environment_state, moved_ns) == 64,
               "dp_environment_state: line 1");
