/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker: one core, its tables, its clock and counters; the loop that runs packets to completion.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_common.h>
#include <rte_ring.h>

#include "common/ipc_proto.h"
#include "dataplane/batch.h"
#include "dataplane/bucket.h"
#include "dataplane/failover.h"
#include "dataplane/generation.h"
#include "dataplane/keepalive.h"
#include "dataplane/tunnel.h"
#include "dataplane/verdict.h"

#define DP_SERVER_LIMITS 256u /* a power of two */

struct dp_crypto;
struct dp_exception;
struct dp_flow_table;
struct dp_handoff_share;
struct dp_hold;
struct dp_larval;
struct dp_nexthops;
struct dp_peers;
struct dp_portpool;
struct dp_port;
struct dp_reassembly;
struct dp_sa_table;
struct dp_share;
struct dp_tx;

/* A function that the control thread lets run on a worker, between two bursts. */
typedef int (*dp_worker_fn)(struct dp_worker *w, void *argument);

/* Cells of one worker in the shared-memory segment (dataplane/stats.h gives them their names). */
struct dp_counters {
	uint64_t drop[DP_VERDICT_COUNT];
	uint64_t rx_packets[DP_PORT_COUNT];
	uint64_t rx_bytes[DP_PORT_COUNT];
	uint64_t tx_packets[DP_PORT_COUNT];
	uint64_t tx_bytes[DP_PORT_COUNT];
	/* of the drivers' own counters; the control thread alone */
	uint64_t rx_missed[DP_PORT_COUNT];    /* the device had no room: we were too slow */
	uint64_t rx_no_buffer[DP_PORT_COUNT]; /* no buffer for it */
	uint64_t rx_errors[DP_PORT_COUNT];
	uint64_t tx_errors[DP_PORT_COUNT];
	uint64_t esp_in_packets;
	uint64_t esp_out_packets;
	uint64_t esp_held; /* waited for their key */
	uint64_t esp_resync_tries;
	uint64_t esp_resyncs;
	uint64_t esp_keepalives;
	uint64_t ovpn_in_packets;
	uint64_t ovpn_out_packets;
	uint64_t ovpn_pings;        /* sent */
	uint64_t ovpn_decompressed; /* packets of servers that compress */
	uint64_t ovpn_stream_in;    /* out of TCP connections; the control thread alone */
	uint64_t ovpn_stream_out;   /* for TCP connections, whether or not they take them */
	uint64_t ovpn_control_in;
	uint64_t egress_out_packets;
	uint64_t egress_out_bytes;
	uint64_t egress_in_packets;
	uint64_t egress_in_bytes;
	uint64_t sas_now; /* both directions, and SPIs that wait for their key */
	uint64_t sessions_created;
	uint64_t sessions_ended;
	uint64_t sessions_reclaimed; /* of those: for their port */
	uint64_t sessions_moved;     /* to another tunnel */
	uint64_t sessions_reset;     /* because their tunnel failed */
	uint64_t sessions_now;
	uint64_t session_capacity;
	uint64_t answers_rst;
	uint64_t answers_icmp;
	uint64_t answers_limited;
	uint64_t arp_replies;
	uint64_t arp_in; /* for the control thread */
	uint64_t echo_replies;
	uint64_t ike_in;
	uint64_t ike_out;
	uint64_t exception_in; /* the control thread alone */
	uint64_t exception_out;
	uint64_t handoffs;
	uint64_t icmp_translated;
	uint64_t fragments_in;      /* that were put together, or wait for it */
	uint64_t fragments_waiting; /* now */
	uint64_t fragments_out;     /* pieces that we cut */
	uint64_t reassembled;       /* datagrams */
	uint64_t probes_sent;
	uint64_t probes_answered;
	uint64_t probes_missed;
	uint64_t tunnel_deaths;
	uint64_t moves[IPC_MOVE_BACK]; /* by reason - 1 */
	/* of moves because a tunnel died: dp_failover_bounds_ms */
	uint64_t detection[DP_FAILOVER_BOUNDS + 1];
	uint64_t switching[DP_FAILOVER_BOUNDS + 1];
	uint64_t detection_ns; /* sums */
	uint64_t switching_ns;
	uint64_t loops;
	uint64_t loops_idle;
	uint64_t mbufs_free;           /* of the pool; the control thread alone */
	uint64_t egress_busiest_ports; /* in use towards one destination; the control thread alone
	                                */
};

struct dp_worker {
	/* the clock, read once per burst */
	uint64_t now_tsc;
	uint64_t now_ns;       /* CLOCK_MONOTONIC, derived from the TSC */
	uint32_t now_s;        /* seconds of CLOCK_MONOTONIC */
	uint64_t ns_per_cycle; /* 32.32 fixed point */
	uint64_t clock_base_tsc;
	uint64_t clock_base_ns;
	uint64_t next_second_ns;
	uint16_t index;
	uint16_t worker_count;
	/* tables, owned by this worker */
	const struct dp_generation *generation; /* NULL before the first commit */
	struct dp_sa_table *sas;
	struct dp_flow_table *flows;
	struct dp_portpool *portpool;
	struct dp_share *shares; /* [DP_SHARES] */
	uint32_t reserved;       /* places in the session table that are kept for environments */
	struct dp_reassembly *reassembly;
	struct dp_crypto *crypto;
	struct dp_counters *count;
	/* shared arrays, an entry belongs to its home worker */
	struct dp_tunnel *tunnels;                 /* [DP_TUNNELS_MAX] */
	struct dp_environment_state *environments; /* [DP_ENVIRONMENTS_MAX] */
	struct dp_nexthops *nexthops;
	/* ports and other workers */
	const struct dp_peers
		*peers; /* where control packets may come from; never NULL once running */
	const struct dp_exception *exception;    /* flows that end here; never NULL once running */
	struct dp_port *ports;                   /* [DP_PORT_COUNT] */
	struct dp_tx *tx;                        /* [DP_PORT_COUNT] */
	struct dp_worker **workers;              /* [worker_count] */
	struct rte_ring *handoff_in;             /* mbufs to process, from other workers */
	struct dp_handoff_share *handoff_shares; /* [worker_count], of the others' handoff_in */
	struct rte_ring *send;   /* frames to send, from other workers and the control thread */
	struct rte_ring *punt;   /* to the control thread (shared) */
	struct rte_ring *stream; /* the same, for byte streams */
	struct rte_mempool *mbufs;
	struct rte_mempool *datagrams; /* large buffers: of reassembly (shared) */
	/* one each, so that no flood stops another kind: a host that pings us must not make us deaf
	 * to ARP */
	struct dp_bucket echo_limit[DP_PORT_COUNT];
	struct dp_bucket arp_answer_limit[DP_PORT_COUNT];
	struct dp_bucket arp_limit;  /* ARP to the control thread */
	struct dp_bucket punt_limit; /* IKE of all servers */
	struct dp_bucket
		server_limit[DP_SERVER_LIMITS]; /* of one, by its address: dataplane/punt.c */
	struct dp_bucket exception_limit;       /* packets of flows that end here */
	struct dp_bucket resync_limit;          /* packets tried with other sequence numbers */
	struct dp_bucket epoch_limit;           /* packets tried with a later epoch */
	struct dp_keepalive keepalive;
	struct dp_failover failover;
	struct dp_bucket pmtu_limit;     /* "packet too big" about ESP */
	struct dp_batch *answers;        /* built by dp_answer(), sent at the end of the burst */
	struct dp_batch *answers_inside; /* those that go into a tunnel */
	struct dp_hold *hold;            /* packets that wait for ARP */
	struct dp_larval *larval;        /* packets that wait for their key */
	unsigned lcore;
	bool is_adaptive;
	uint16_t identification; /* of the next packet that is fragmented here */
	/* control thread's side: one request at a time */
	dp_worker_fn request_fn __rte_cache_aligned;
	void *request_argument;
	int request_result;
	atomic_uint request_state; /* 0 free, 1 posted, 2 done */
	atomic_bool stop;
	atomic_bool has_stopped; /* the last that the worker writes */
};

/* The worker of WORKERS that owns an environment's slot: the last one first, because where a port
 * has fewer queues than there are workers, the first ones carry its input and output. */
static inline uint16_t dp_worker_home(uint16_t workers, uint16_t environment_slot)
{
	return (uint16_t)(workers - 1 - environment_slot % workers);
}

/* The home of a tunnel; of one that nobody has, this worker. Behind a commit that has it no more it
 * is still the same: the keys are there until its home takes them down, and nobody else may look at
 * them meanwhile. */
static inline uint16_t dp_worker_tunnel_home(const struct dp_worker *w, uint16_t tunnel)
{
	uint16_t environment = w->tunnels[tunnel].environment;

	if (unlikely(environment == DP_NONE_SLOT || w->worker_count <= 1))
		return w->index;
	if (likely(w->generation && w->generation->by_slot[environment]))
		return w->generation->by_slot[environment]->home;
	return dp_worker_home(w->worker_count, environment);
}

/* Runs FN on the worker between two bursts and returns its result; control thread only. In a
 * process without running workers (unit tests) it calls FN directly. */
int dp_worker_call(struct dp_worker *w, dp_worker_fn fn, void *argument);

/* The loop; returns when stop is set. An rte_eal_remote_launch() function. */
int dp_worker_run(void *worker);

/* Takes a burst that other workers handed over through the path; returns how many. */
unsigned dp_worker_receive_handed(struct dp_worker *w);

/* What is due in each turn of the loop besides packets and ports: probes, keepalives, expiry.
 * Returns how much there was. */
unsigned dp_worker_tend(struct dp_worker *w);

/* Sets the clock's base from CLOCK_MONOTONIC; before the worker runs. */
void dp_worker_clock_init(struct dp_worker *w);

/* Reads the clock from the TSC; once per loop. */
void dp_worker_tick(struct dp_worker *w);
