/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worker's loop: receive, process, send, expire, serve the control thread, rest. */
#include "dataplane/worker.h"

#include <sys/prctl.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_pause.h>

#include "dataplane/handoff.h"
#include "dataplane/larval.h"
#include "dataplane/keepalive.h"
#include "dataplane/nat_session.h"
#include "dataplane/nexthop.h"
#include "dataplane/path.h"
#include "dataplane/port.h"
#include "dataplane/reassembly.h"

enum { REQUEST_FREE = 0, REQUEST_POSTED = 1, REQUEST_DONE = 2 };

#define EXPIRE_BUDGET 32u  /* sessions looked at per loop */
#define DATAGRAM_BUDGET 8u /* incomplete datagrams given up per loop */

/* adaptive: so many idle loops in a row are spun, then rests of growing length */
#define IDLE_SPINS 64u
#define REST_SHORT_NS 50000
#define REST_LONG_NS 250000
#define REST_LONG_AFTER 20000u /* idle loops: about a second */

int dp_worker_call(struct dp_worker *w, dp_worker_fn fn, void *argument)
{
	if (rte_eal_get_lcore_state(w->lcore) != RUNNING || w->lcore == rte_get_main_lcore())
		return fn(w, argument);
	w->request_fn = fn;
	w->request_argument = argument;
	atomic_store_explicit(&w->request_state, REQUEST_POSTED, memory_order_release);
	while (atomic_load_explicit(&w->request_state, memory_order_acquire) != REQUEST_DONE) {
		struct timespec pause = { .tv_nsec = 20000 };

		nanosleep(&pause, NULL);
	}
	atomic_store_explicit(&w->request_state, REQUEST_FREE, memory_order_relaxed);
	return w->request_result;
}

static void serve_request(struct dp_worker *w)
{
	if (likely(atomic_load_explicit(&w->request_state, memory_order_acquire) != REQUEST_POSTED))
		return;
	w->request_result = w->request_fn(w, w->request_argument);
	atomic_store_explicit(&w->request_state, REQUEST_DONE, memory_order_release);
}

/* Takes CLOCK_MONOTONIC as the new base; never goes back. */
static void set_base(struct dp_worker *w)
{
	struct timespec now;
	uint64_t ns;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	w->clock_base_tsc = rte_rdtsc();
	w->clock_base_ns = RTE_MAX(ns, w->now_ns);
	w->now_s = (uint32_t)(w->clock_base_ns / 1000000000u);
	w->next_second_ns = (w->now_s + 1ull) * 1000000000u;
}

void dp_worker_clock_init(struct dp_worker *w)
{
	w->ns_per_cycle = (1000000000ull << 32) / rte_get_tsc_hz();
	set_base(w);
	dp_worker_tick(w);
}

void dp_worker_tick(struct dp_worker *w)
{
	w->now_tsc = rte_rdtsc();
	w->now_ns =
		w->clock_base_ns + (uint64_t)(((unsigned __int128)(w->now_tsc - w->clock_base_tsc) *
	                                       w->ns_per_cycle) >>
	                                      32);
	if (unlikely(w->now_ns >= w->next_second_ns))
		set_base(w); /* the vDSO, once a second: the TSC's rate is only nearly known */
}

static unsigned receive(struct dp_worker *w)
{
	struct rte_mbuf *m[DP_BURST];
	unsigned total = 0;

	for (enum dp_port_id id = 0; id < DP_PORT_COUNT; id++) {
		const struct dp_port *port = &w->ports[id];

		for (uint16_t q = w->index; q < port->rx_queues; q += w->worker_count) {
			uint16_t n = rte_eth_rx_burst(port->ethdev, q, m, DP_BURST);
			uint64_t bytes = 0;

			if (n == 0)
				continue;
			for (unsigned i = 0; i < n; i++)
				bytes += m[i]->pkt_len;
			w->count->rx_packets[id] += n;
			w->count->rx_bytes[id] += bytes;
			dp_path_received(w, id, m, n);
			total += n;
		}
	}
	return total;
}

/* ESP whose key came: before what came after it. */
static unsigned receive_released(struct dp_worker *w)
{
	struct rte_mbuf *m[DP_BURST];
	unsigned total = 0, n;

	while ((n = dp_larval_take(w, m, DP_BURST)) != 0) {
		dp_path_handed(w, DP_PORT_UPLINK, m, n);
		dp_port_flush(w);
		total += n;
	}
	return total;
}

/* Frames of both ports come mixed: those of one port are a burst. */
unsigned dp_worker_receive_handed(struct dp_worker *w)
{
	struct rte_mbuf *m[DP_BURST];
	unsigned n, from = 0;

	if (dp_handoff_waiting(w->handoff_in) == 0)
		return 0;
	n = rte_ring_dequeue_burst(w->handoff_in, (void **)m, DP_BURST, NULL);

	for (unsigned i = 1; i <= n; i++) {
		if (i < n && m[i]->port == m[from]->port)
			continue;
		dp_path_handed(w, (enum dp_port_id)m[from]->port, &m[from], i - from);
		from = i;
	}
	return n;
}

static void rest(struct dp_worker *w, unsigned idle)
{
	if (w->is_adaptive && idle > IDLE_SPINS) {
		struct timespec pause = { .tv_nsec = idle > REST_LONG_AFTER ? REST_LONG_NS
			                                                    : REST_SHORT_NS };

		nanosleep(&pause, NULL);
	} else {
		rte_pause();
	}
}

unsigned dp_worker_tend(struct dp_worker *w)
{
	unsigned work = dp_failover_poll(w);

	dp_keepalive(w);
	if (w->answers->n || w->answers_inside->n)
		dp_path_answers(w);
	dp_nexthop_poll(w);
	dp_nat_expire(w, EXPIRE_BUDGET);
	dp_reassembly_expire(w, DATAGRAM_BUDGET);
	return work;
}

int dp_worker_run(void *worker)
{
	struct dp_worker *w = worker;
	unsigned idle = 0;

	prctl(PR_SET_TIMERSLACK, 1000UL);
	while (!atomic_load_explicit(&w->stop, memory_order_relaxed)) {
		unsigned work;

		dp_worker_tick(w);
		dp_failover_tick(w);
		work = receive_released(w);
		work += receive(w);
		work += dp_worker_receive_handed(w);
		work += dp_port_send_others(w);
		work += dp_worker_tend(w);
		dp_port_flush(w);
		serve_request(w);
		w->count->loops++;
		if (work) {
			idle = 0;
			continue;
		}
		w->count->loops_idle++;
		rest(w, ++idle);
	}
	atomic_store_explicit(&w->has_stopped, true, memory_order_release);
	return 0;
}
