/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What new sessions cost: SYNs of egress through the whole path of one worker, with the table 80 %
 * full, one destination's ports 90 % in use, and as many sessions ending as beginning. Prints
 * samples, one JSON object a line; bench/sessions.py judges them.
 *
 * The clock is the bench's own: it goes as fast as sessions begin, so that the ones that were never
 * answered end after their 4 minutes as the new ones come. Lastly, what sessions and pairs of SAs
 * take of the heap.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_malloc.h>
#include <x86intrin.h>

#include "bench/frames.h"
#include "bench/raw.h"
#include "bench/world.h"
#include "common/log.h"
#include "dataplane/nat_flow.h"
#include "dataplane/path.h"
#include "dataplane/portpool.h"
#include "dataplane/sa.h"
#include "dataplane/tcp_track.h"

#define BUFFERS 256u /* a sample */
#define FILL 80u     /* per cent of the table */
#define HOT 90u      /* per cent of the one destination's ports */
#define OTHERS 4095u /* destinations */
#define CLIENT_PORTS 60000u
#define RESOLVE_NS 20000000000ull
#define SECOND_NS 1000000000ull
#define SA_PAIRS 512u

struct options {
	struct world_options world;
	uint32_t count; /* new sessions of each case */
	int cpu;        /* -1: any */
};

struct bench {
	struct world world;
	struct raw *raw;
	struct rte_mbuf *m[BUFFERS];
	uint64_t random;
	uint64_t calls;   /* so far, each by a client and port of its own */
	uint64_t now_ns;  /* the bench's clock */
	uint64_t step_ns; /* between two sessions */
	uint64_t resolved_ns;
	uint32_t hot, all; /* sessions that shall be open */
	uint64_t refused;
};

/* Where new sessions go. */
enum mix {
	TO_ALL, /* as those that are open do */
	TO_HOT, /* to the one destination */
};

static uint32_t draw(struct bench *x, uint32_t below)
{
	x->random = x->random * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((x->random >> 32) * below >> 32);
}

static struct frame_call make_call(struct bench *x, enum mix mix)
{
	uint64_t n = x->calls++;
	bool is_hot = mix == TO_HOT || draw(x, x->all) < x->hot;

	return (struct frame_call){
		.client = (uint32_t)(n % WORLD_CLIENTS),
		.client_port = (uint16_t)(WORLD_CLIENT_PORT + n / WORLD_CLIENTS % CLIENT_PORTS),
		.remote_be = rte_cpu_to_be_32(WORLD_REMOTE + (is_hot ? 0 : 1 + draw(x, OTHERS))),
	};
}

/* ---- the worker ---- */

/* As dp_worker_tick(), by the bench's clock. */
static void tick(struct bench *x, unsigned sessions)
{
	struct dp_worker *w = x->world.w;

	x->now_ns += sessions * x->step_ns;
	w->now_tsc = rte_rdtsc();
	w->now_ns = x->now_ns;
	w->now_s = (uint32_t)(x->now_ns / SECOND_NS);
}

static void turn(struct bench *x, struct rte_mbuf **m, unsigned n)
{
	tick(x, n);
	dp_failover_tick(x->world.w);
	dp_path_received(x->world.w, DP_PORT_CLUSTER, m, n);
	dp_worker_tend(x->world.w);
}

/* Takes back what went out. A packet that was refused gave its buffer back: another one comes in
 * its place. */
static int collect(struct bench *x, struct rte_mbuf **m, unsigned n)
{
	unsigned sent = world_take(x->world.w, DP_PORT_UPLINK, m);
	struct rte_mbuf *answers[DP_TX_BUFFER];

	rte_pktmbuf_free_bulk(answers, world_take(x->world.w, DP_PORT_CLUSTER, answers));
	x->refused += n - sent;
	if (x->now_ns - x->resolved_ns > RESOLVE_NS) {
		world_resolve(&x->world);
		x->resolved_ns = x->now_ns;
	}
	return sent < n ? rte_pktmbuf_alloc_bulk(x->world.core.mbufs, m + sent, n - sent) : 0;
}

static int open_burst(struct bench *x, enum mix mix, struct rte_mbuf **m, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct frame_call call = make_call(x, mix);

		frames_write_call(&x->world, m[i], &call);
	}
	turn(x, m, n);
	return collect(x, m, n);
}

/* Sessions end in no order, so that those behind each other on the wheel are not beside each other
 * in memory. */
static void shuffle(struct bench *x)
{
	struct dp_flow_table *t = x->world.w->flows;
	uint32_t life_s = dp_flow_timeout_s(DP_FLOW_OPENING);

	for (uint32_t i = 0; i < t->top; i++) {
		struct dp_flow *out = dp_flow_at(t, i, DP_FLOW_OUTWARD);
		uint32_t rest_s = draw(x, life_s);

		if (out->state == DP_FLOW_FREE)
			continue;
		out->last_s = dp_flow_other(out)->last_s = x->world.w->now_s - life_s + rest_s;
		dp_flow_schedule(t, i, x->world.w->now_s + rest_s);
	}
}

/* Opens what shall be open, over one life of an unanswered session, so that it ends as evenly. */
static int fill(struct bench *x)
{
	uint64_t life_ns = dp_flow_timeout_s(DP_FLOW_OPENING) * SECOND_NS;
	int rc = 0;

	x->all = (uint32_t)((uint64_t)x->world.options.capacity * FILL / 100);
	x->hot = RTE_MIN(dp_portpool_capacity(x->world.w->portpool) * HOT / 100, x->all / 2);
	x->step_ns = life_ns / x->all;
	x->now_ns = x->resolved_ns = x->world.w->now_ns;
	for (uint32_t i = 0; rc == 0 && i < x->all; i += DP_BURST)
		rc = open_burst(x, TO_ALL, x->m, RTE_MIN(DP_BURST, x->all - i));
	shuffle(x);
	return rc;
}

/* Was answered: all but the sessions with the one destination. They stay for two hours, so that it
 * alone has new ones. */
static void keep_others(struct bench *x)
{
	struct dp_flow_table *t = x->world.w->flows;

	for (uint32_t i = 0; i < t->top; i++) {
		struct dp_flow *out = dp_flow_at(t, i, DP_FLOW_OUTWARD);

		if (out->state == DP_FLOW_FREE ||
		    out->key.destination_be == rte_cpu_to_be_32(WORLD_REMOTE))
			continue;
		out->state = dp_flow_other(out)->state = DP_FLOW_ESTABLISHED;
		dp_flow_schedule(t, i, x->world.w->now_s + dp_flow_timeout_s(DP_FLOW_ESTABLISHED));
	}
	x->step_ns = dp_flow_timeout_s(DP_FLOW_OPENING) * SECOND_NS / x->hot;
}

/* ---- cases ---- */

static uint64_t begin_clock(void)
{
	uint64_t cycles;

	_mm_lfence();
	cycles = __rdtsc();
	_mm_lfence();
	return cycles;
}

static uint64_t end_clock(uint64_t begin)
{
	unsigned unused;
	uint64_t cycles = __rdtscp(&unused) - begin;

	_mm_lfence();
	return cycles;
}

static void print_state(const struct bench *x)
{
	printf(", \"sessions\": %" PRIu64 ", \"ended\": %" PRIu64 ", \"refused\": %" PRIu64 "}\n",
	       x->world.w->count->sessions_now, x->world.w->count->sessions_ended, x->refused);
}

/* In bursts of 32, one behind the other, as a loaded worker has them; a sample is BUFFERS sessions.
 */
static int run_rate(struct bench *x, enum mix mix, uint32_t count)
{
	uint32_t before = raw_probe(x->raw);
	int rc = 0;

	x->refused = 0;
	printf("{\"case\": \"%s\", \"samples\": [", mix == TO_HOT ? "hot" : "all");
	for (uint32_t done = 0; rc == 0 && done < count; done += BUFFERS) {
		uint64_t cycles;
		uint32_t after;

		for (unsigned i = 0; i < BUFFERS; i++) {
			struct frame_call call = make_call(x, mix);

			frames_write_call(&x->world, x->m[i], &call);
		}
		cycles = begin_clock();
		for (unsigned i = 0; rc == 0 && i < BUFFERS; i += DP_BURST) {
			turn(x, &x->m[i], DP_BURST);
			rc = collect(x, &x->m[i], DP_BURST);
		}
		cycles = end_clock(cycles);
		after = raw_probe(x->raw);
		printf("%s[%" PRIu64 ",%" PRIu32 "]", done ? "," : "", cycles,
		       RTE_MAX(before, after));
		before = after;
	}
	printf("]");
	print_state(x);
	return rc;
}

static int compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* One by one to the one destination, until its ports are gone and beyond: what the path takes for
 * each, without the rest of the loop. */
static int run_single(struct bench *x, uint32_t count)
{
	uint32_t *each = calloc(count, sizeof(*each));
	int rc = each ? 0 : -ENOMEM;

	x->refused = 0;
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		struct frame_call call = make_call(x, TO_HOT);
		uint64_t begin;

		frames_write_call(&x->world, x->m[0], &call);
		tick(x, 0);
		dp_failover_tick(x->world.w);
		begin = begin_clock();
		dp_path_received(x->world.w, DP_PORT_CLUSTER, x->m, 1);
		each[i] = (uint32_t)RTE_MIN(end_clock(begin), (uint64_t)UINT32_MAX);
		rc = collect(x, x->m, 1);
	}
	if (rc == 0) {
		qsort(each, count, sizeof(*each), compare);
		printf("{\"case\": \"single\", \"median\": %" PRIu32 ", \"p99.9\": %" PRIu32
		       ", \"p99.99\": %" PRIu32 ", \"worst\": %" PRIu32,
		       each[count / 2], each[(uint64_t)count * 999 / 1000],
		       each[(uint64_t)count * 9999 / 10000], each[count - 1]);
		print_state(x);
	}
	free(each);
	return rc;
}

/* ---- memory ---- */

static size_t heap_bytes(void)
{
	struct rte_malloc_socket_stats stats;
	size_t sum = 0;

	for (unsigned i = 0; i < RTE_MAX_NUMA_NODES; i++)
		if (rte_malloc_get_socket_stats((int)i, &stats) == 0)
			sum += stats.heap_allocsz_bytes;
	return sum;
}

/* What is gone from the heap while the tables of a worker are made a second time, and of SAs, with
 * their part of the worker's table. */
static int print_memory(uint32_t sessions)
{
	struct dp_flow_table *flows = NULL;
	struct dp_portpool *ports = NULL;
	struct dp_sa_table *sas = NULL;
	size_t begin = heap_bytes(), session_bytes, pair_bytes;
	void *sa[2 * SA_PAIRS] = { NULL };
	int rc = dp_flow_table_create(&flows, sessions, 1, SOCKET_ID_ANY);

	if (rc == 0)
		rc = dp_portpool_create(&ports, flows, 1, SOCKET_ID_ANY);
	session_bytes = heap_bytes() - begin;
	begin = heap_bytes();
	if (rc == 0)
		rc = dp_sa_table_create(&sas, 0, 2 * SA_PAIRS, SOCKET_ID_ANY);
	for (unsigned i = 0; rc == 0 && i < 2 * SA_PAIRS; i++) {
		sa[i] = dp_sa_alloc(sas, i % 2 ? IPC_IN : IPC_OUT);
		rc = sa[i] ? 0 : -ENOMEM;
	}
	pair_bytes = heap_bytes() - begin;
	if (rc == 0)
		printf("{\"case\": \"memory\", \"sessions\": %" PRIu32
		       ", \"session_bytes\": %.1f, \"sa_pair_bytes\": %.1f}\n",
		       sessions, (double)session_bytes / sessions, (double)pair_bytes / SA_PAIRS);
	for (unsigned i = 0; i < 2 * SA_PAIRS; i++)
		dp_sa_free(sa[i]);
	dp_sa_table_destroy(sas);
	dp_portpool_destroy(ports);
	dp_flow_table_destroy(flows);
	return rc;
}

/* ---- main ---- */

static int run(struct bench *x, const struct options *o)
{
	int rc = rte_pktmbuf_alloc_bulk(x->world.core.mbufs, x->m, BUFFERS);

	printf("{\"crypto\": \"%s\", \"hugepages\": %s, \"tsc_hz\": %" PRIu64
	       ", \"packets_per_sample\": %u, \"capacity\": %" PRIu32 "}\n",
	       dp_crypto_arch(x->world.w->crypto), rte_eal_has_hugepages() ? "true" : "false",
	       rte_get_tsc_hz(), BUFFERS, x->world.options.capacity);
	x->raw = raw_create(dp_crypto_suite(IPC_AES128_GCM16));
	if (rc == 0)
		rc = x->raw ? fill(x) : -ENOMEM;
	if (rc == 0)
		rc = run_rate(x, TO_ALL, o->count);
	if (rc == 0) {
		keep_others(x);
		rc = run_rate(x, TO_HOT, o->count);
	}
	if (rc == 0)
		rc = run_single(x, RTE_MIN(o->count, 20000u));
	return rc ? rc : print_memory(x->world.options.capacity);
}

static int usage(void)
{
	fprintf(stderr, "usage: sessions [--capacity N] [--count N] [--cpu N] [--no-huge]\n");
	return 2;
}

static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		{ "capacity", required_argument, NULL, 'c' },
		{ "count", required_argument, NULL, 'n' },
		{ "cpu", required_argument, NULL, 'u' },
		{ "no-huge", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->world.capacity = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'n':
			o->count = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'u':
			o->cpu = (int)strtol(optarg, NULL, 10);
			break;
		case 'h':
			o->world.hugepages = IPC_HUGEPAGES_OFF;
			break;
		default:
			return -EINVAL;
		}
	}
	return optind == argc && o->count && o->world.capacity >= 1024 ? 0 : -EINVAL;
}

static int stay_on(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return 0;
	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) < 0 ? -errno : 0;
}

int main(int argc, char **argv)
{
	struct options o = {
		.world = { .sessions = 1, .capacity = 1u << 20, .hugepages = IPC_HUGEPAGES_AUTO },
		.count = 400000,
		.cpu = -1
	};
	struct bench *x =
		aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(sizeof(*x), RTE_CACHE_LINE_SIZE));
	char why[256] = "";
	int rc;

	if (parse_options(argc, argv, &o))
		return usage();
	if (!x)
		return 1;
	sp_log_init("bench", SP_LOG_WARN);
	memset(x, 0, sizeof(*x));
	x->random = 1;
	o.world.memory_mb = 256 + o.world.capacity / 2048; /* twice its tables */
	rc = stay_on(o.cpu);
	if (rc == 0)
		rc = world_start(&x->world, &o.world, why);
	if (rc == 0)
		snprintf(why, sizeof(why), "sessions");
	if (rc == 0)
		rc = run(x, &o);
	if (rc)
		fprintf(stderr, "bench: %s: %s\n", why, strerror(-rc));
	raw_destroy(x->raw);
	world_stop(&x->world);
	free(x);
	return rc ? 1 : 0;
}
