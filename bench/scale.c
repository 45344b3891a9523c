/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What becomes of a packet's cost with more workers, tunnels, environments and forwards. Each
 * worker has a thread on its core that makes its packets, which is not counted, and takes them
 * through the path burst by burst, with what other workers handed over. Prints one JSON object a
 * line for each case; bench/scale.py judges them.
 *
 * Packets come to the worker whose they are ("steered", as by a NIC that knows), or to any
 * ("spread"), so that one of two has to be handed over.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <rte_launch.h>
#include <x86intrin.h>

#include "bench/frames.h"
#include "bench/raw.h"
#include "bench/world.h"
#include "common/log.h"
#include "dataplane/handoff.h"
#include "dataplane/path.h"

#define CHUNK 256u
#define SIZE 64u /* IPv4 bytes */
#define WARM_UP 32u
#define QUEUED 256u /* packets that wait for another worker */

struct path {
	const char *name;
	enum dp_port_id from;
	enum world_kind sessions;
	enum frame_way way;
};

static const struct path paths[] = {
	{ "forward-out", DP_PORT_CLUSTER, WORLD_FORWARDS, FRAME_FROM_CLUSTER },
	{ "forward-in", DP_PORT_UPLINK, WORLD_FORWARDS, FRAME_FROM_TUNNEL },
	{ "egress-out", DP_PORT_CLUSTER, WORLD_EGRESS, FRAME_FROM_CLUSTER },
	{ "egress-in", DP_PORT_UPLINK, WORLD_EGRESS, FRAME_FROM_UPLINK },
};

enum arrival { STEERED, SPREAD, ARRIVALS };

static const char *const arrivals[ARRIVALS] = { "steered", "spread" };

struct options {
	struct world_options world;
	const char *path; /* NULL: all */
	uint32_t chunks;  /* of each worker and case */
	uint32_t cpu;     /* of the first worker */
};

/* One chunk as a worker had it. */
struct sample {
	uint32_t cycles;
	uint32_t packets; /* that left through it */
	uint32_t probe;   /* the slower one of before and after */
};

/* A worker's thread. Lines of its own: nothing of it is another one's. */
struct source {
	struct world *world;
	struct dp_worker *w;
	const struct path *path;
	struct raw *raw;
	uint32_t *sessions; /* that may come here */
	uint32_t session_count;
	uint32_t chunks;
	uint64_t random;
	struct sample *samples;  /* [chunks] */
	atomic_uint *running;    /* sources that have not measured all yet */
	atomic_uint *waiting;    /* that are not ready yet */
	atomic_bool *has_failed; /* one of them: nobody waits for it */
	int cpu;
	int result;
} __rte_cache_aligned;

static uint32_t draw(struct source *s, uint32_t below)
{
	s->random = s->random * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((s->random >> 32) * below >> 32);
}

static enum dp_port_id other_port(enum dp_port_id port)
{
	return port == DP_PORT_CLUSTER ? DP_PORT_UPLINK : DP_PORT_CLUSTER;
}

/* ---- a thread ---- */

/* What is sent was received elsewhere, perhaps: buffers go back to the pool. */
static unsigned take_sent(struct source *s)
{
	struct rte_mbuf *sent[DP_TX_BUFFER];
	unsigned n = world_take(s->w, other_port(s->path->from), sent);

	rte_pktmbuf_free_bulk(sent, n);
	return n;
}

/* What was handed over. Timed apart from the burst before it: both together may fill the buffer of
 * what is sent, which is emptied then. */
static void run_handed(struct source *s, struct sample *sample)
{
	unsigned unused;
	uint64_t cycles;

	_mm_lfence();
	cycles = __rdtsc();
	dp_worker_receive_handed(s->w);
	sample->cycles += (uint32_t)(__rdtscp(&unused) - cycles);
	_mm_lfence();
	sample->packets += take_sent(s);
}

/* A burst, and what others handed over meanwhile: the cycles of the path alone. */
static void run_burst(struct source *s, struct rte_mbuf **m, struct sample *sample)
{
	bool is_alone = true;
	unsigned unused;
	uint64_t cycles;

	_mm_lfence();
	cycles = __rdtsc();
	world_turn(s->w, s->path->from, m, DP_BURST);
	if (s->w->worker_count > 1)
		is_alone = dp_handoff_waiting(s->w->handoff_in) == 0; /* as the worker finds it */
	sample->cycles += (uint32_t)(__rdtscp(&unused) - cycles);
	_mm_lfence();
	sample->packets += take_sent(s);
	if (!is_alone)
		run_handed(s, sample);
}

static bool is_behind(const struct source *s)
{
	for (unsigned i = 0; i < s->world->core.worker_count; i++) {
		struct dp_worker *w = s->world->core.workers[i];

		if (w != s->w && rte_ring_count(w->handoff_in) > QUEUED)
			return true;
	}
	return false;
}

/* Lets others catch up with what was handed to them, and does the same. */
static void wait_for_others(struct source *s, struct sample *sample)
{
	while (atomic_load(s->running) && !atomic_load(s->has_failed) && is_behind(s)) {
		if (rte_ring_count(s->w->handoff_in))
			run_handed(s, sample);
		else
			rte_pause();
	}
}

static int run_chunk(struct source *s, struct sample *sample)
{
	struct frame frame = { s->path->sessions, s->path->way, FRAME_DATA, SIZE, s->w->index };
	struct rte_mbuf *m[CHUNK];
	uint32_t sessions[CHUNK], before = raw_probe(s->raw);

	*sample = (struct sample){ 0 };
	if (rte_pktmbuf_alloc_bulk(s->world->core.mbufs, m, CHUNK) != 0)
		return -ENOMEM;
	for (unsigned i = 0; i < CHUNK; i++) {
		m[i]->port = (uint16_t)s->path->from;
		sessions[i] = s->sessions[draw(s, s->session_count)];
	}
	for (unsigned i = 0; i < CHUNK; i += DP_BURST)
		frames_write(s->world, &frame, &m[i], &sessions[i], DP_BURST);
	for (unsigned i = 0; i < CHUNK; i += DP_BURST) {
		wait_for_others(s, sample);
		run_burst(s, &m[i], sample);
	}
	sample->probe = RTE_MAX(before, raw_probe(s->raw));
	return 0;
}

static int stay_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) < 0 ? -errno : 0;
}

/* Measures its chunks, and goes on until all have theirs: nobody measures alone. */
static int run_source(void *source)
{
	struct source *s = source;
	struct sample scratch;

	s->result = stay_on(s->cpu);
	atomic_fetch_sub(s->waiting, 1);
	while (atomic_load(s->waiting))
		rte_pause();
	for (unsigned i = 0; s->result == 0 && i < WARM_UP; i++)
		s->result = run_chunk(s, &scratch);
	for (uint32_t i = 0; s->result == 0 && i < s->chunks; i++)
		s->result = run_chunk(s, &s->samples[i]);
	if (s->result)
		atomic_store(s->has_failed, true);
	atomic_fetch_sub(s->running, 1);
	while (atomic_load(s->running) && !atomic_load(s->has_failed)) {
		s->result = run_chunk(s, &scratch);
		if (s->result)
			atomic_store(s->has_failed, true);
	}
	return s->result;
}

/* ---- a case ---- */

static int choose_sessions(struct source *s, enum arrival arrival)
{
	uint32_t all = s->world->options.sessions;

	s->sessions = calloc(all, sizeof(*s->sessions));
	if (!s->sessions)
		return -ENOMEM;
	for (uint32_t i = 0; i < all; i++)
		if (arrival == SPREAD || world_home(s->world, s->path->sessions, i) == s->w)
			s->sessions[s->session_count++] = i;
	return 0;
}

static int make_source(struct source *s, struct world *world, uint16_t worker, enum arrival arrival,
                       uint32_t chunks)
{
	s->world = world;
	s->w = world->core.workers[worker];
	s->random = worker + 1u;
	s->chunks = chunks;
	s->raw = raw_create(dp_crypto_suite(IPC_AES128_GCM16));
	s->samples = calloc(chunks, sizeof(*s->samples));
	return s->raw && s->samples ? choose_sessions(s, arrival) : -ENOMEM;
}

static void drop_source(struct source *s)
{
	raw_destroy(s->raw);
	free(s->samples);
	free(s->sessions);
}

static uint64_t dropped(const struct world *world)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < world->core.worker_count; i++)
		for (unsigned v = 0; v < DP_VERDICT_COUNT; v++)
			sum += world->core.workers[i]->count->drop[v];
	return sum;
}

static uint64_t handed_over(const struct world *world)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < world->core.worker_count; i++)
		sum += world->core.workers[i]->count->handoffs;
	return sum;
}

static void print_case(const struct world *world, const struct source *sources, unsigned n,
                       enum arrival arrival, uint64_t drops, uint64_t handoffs)
{
	printf("{\"path\": \"%s\", \"arrival\": \"%s\", \"dropped\": %" PRIu64
	       ", \"handed_over\": %" PRIu64 ", \"workers\": [",
	       sources[0].path->name, arrivals[arrival], dropped(world) - drops,
	       handed_over(world) - handoffs);
	for (unsigned i = 0; i < n; i++) {
		printf("%s[", i ? "," : "");
		for (uint32_t k = 0; k < sources[i].chunks; k++)
			printf("%s[%" PRIu32 ",%" PRIu32 ",%" PRIu32 "]", k ? "," : "",
			       sources[i].samples[k].cycles, sources[i].samples[k].packets,
			       sources[i].samples[k].probe);
		printf("]");
	}
	printf("]}\n");
}

/* What is on the way still is let go of. */
static void drain(struct world *world, const struct path *path)
{
	for (unsigned i = 0; i < 2 * world->core.worker_count; i++) {
		struct source s = { .w = world->core.workers[i % world->core.worker_count],
			            .path = path };
		struct sample scratch = { 0 };

		while (rte_ring_count(s.w->handoff_in))
			run_handed(&s, &scratch);
	}
}

/* rte_eal_wait_lcore() spins, which takes time from the cores that are measured. */
static void wait_for(unsigned lcore)
{
	while (rte_eal_get_lcore_state(lcore) == RUNNING)
		usleep(1000);
	rte_eal_wait_lcore(lcore);
}

static int run_case(struct world *world, const struct options *o, const struct path *path,
                    enum arrival arrival)
{
	uint64_t drops = dropped(world), handoffs = handed_over(world);
	unsigned n = world->core.worker_count;
	struct source sources[WORLD_WORKERS_MAX];
	atomic_uint running = n, waiting = n;
	atomic_bool has_failed = false;
	int rc = 0;

	memset(sources, 0, sizeof(sources));
	for (unsigned i = 0; rc == 0 && i < n; i++) {
		sources[i].path = path;
		sources[i].cpu = (int)((o->cpu + i) % (unsigned)get_nprocs());
		sources[i].running = &running;
		sources[i].waiting = &waiting;
		sources[i].has_failed = &has_failed;
		rc = make_source(&sources[i], world, (uint16_t)i, arrival, o->chunks);
		/* all is one worker's: the other one has nothing to do */
		if (rc == 0 && sources[i].session_count == 0)
			rc = -ENODATA;
	}
	for (unsigned i = 0; rc == 0 && i < n; i++)
		rc = rte_eal_remote_launch(run_source, &sources[i], sources[i].w->lcore);
	for (unsigned i = 0; i < n; i++)
		wait_for(world->core.workers[i]->lcore);
	for (unsigned i = 0; rc == 0 && i < n; i++)
		rc = sources[i].result;
	if (rc == 0)
		print_case(world, sources, n, arrival, drops, handoffs);
	drain(world, path);
	for (unsigned i = 0; i < n; i++)
		drop_source(&sources[i]);
	return rc == -ENODATA ? 0 : rc;
}

static int run_all(struct world *world, const struct options *o)
{
	int rc = 0;

	printf("{\"crypto\": \"%s\", \"hugepages\": %s, \"tsc_hz\": %" PRIu64
	       ", \"workers\": %u, \"tunnels\": %" PRIu32 ", \"environments\": %" PRIu32
	       ", \"used\": %" PRIu32 ", \"forwards\": %" PRIu32 ", \"sessions\": %" PRIu32 "}\n",
	       dp_crypto_arch(world->w->crypto), rte_eal_has_hugepages() ? "true" : "false",
	       rte_get_tsc_hz(), world->core.worker_count, world->tunnel_count,
	       world->options.environments, world->options.used,
	       world->options.forwards * world->options.environments, world->options.sessions);
	for (unsigned i = 0; rc == 0 && i < RTE_DIM(paths); i++) {
		if (o->path && strcmp(o->path, paths[i].name) != 0)
			continue;
		rc = world_open(world, paths[i].sessions);
		for (unsigned a = 0; rc == 0 && a < ARRIVALS; a++)
			if (a == STEERED || world->core.worker_count > 1)
				rc = run_case(world, o, &paths[i], (enum arrival)a);
	}
	return rc;
}

/* ---- main ---- */

static int usage(void)
{
	fprintf(stderr,
	        "usage: scale [--workers N] [--environments N] [--used N] [--servers N] [--forwards N] [--sessions N] [--path NAME] [--chunks N] [--cpu N] [--no-huge]\n");
	return 2;
}

static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		{ "workers", required_argument, NULL, 'w' },
		{ "environments", required_argument, NULL, 'e' },
		{ "used", required_argument, NULL, 'u' },
		{ "servers", required_argument, NULL, 's' },
		{ "forwards", required_argument, NULL, 'f' },
		{ "sessions", required_argument, NULL, 'n' },
		{ "chunks", required_argument, NULL, 'c' },
		{ "cpu", required_argument, NULL, 'i' },
		{ "path", required_argument, NULL, 'p' },
		{ "no-huge", no_argument, NULL, 'h' },
		{ 0 },
	};
	uint32_t *numbers['z' + 1] = {
		['w'] = &o->world.workers,  ['e'] = &o->world.environments,
		['u'] = &o->world.used,     ['s'] = &o->world.servers,
		['f'] = &o->world.forwards, ['n'] = &o->world.sessions,
		['c'] = &o->chunks,         ['i'] = &o->cpu,
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'p')
			o->path = optarg;
		else if (c == 'h')
			o->world.hugepages = IPC_HUGEPAGES_OFF;
		else if (c == '?' || !numbers[c])
			return -EINVAL;
		else
			*numbers[c] = (uint32_t)strtoul(optarg, NULL, 10);
	}
	return optind == argc && o->chunks && o->world.sessions &&
	                       o->world.workers <= WORLD_WORKERS_MAX &&
	                       o->world.environments <= DP_ENVIRONMENTS_MAX &&
	                       o->world.used <= RTE_MAX(o->world.environments, 1u) &&
	                       o->world.servers <= DP_ENVIRONMENT_TUNNELS_MAX
	               ? 0
	               : -EINVAL;
}

int main(int argc, char **argv)
{
	struct options o = {
		.world = { .workers = 1, .sessions = 1024, .hugepages = IPC_HUGEPAGES_AUTO },
		.chunks = 400
	};
	struct world *world = aligned_alloc(RTE_CACHE_LINE_SIZE,
	                                    RTE_ALIGN_CEIL(sizeof(*world), RTE_CACHE_LINE_SIZE));
	char why[256] = "";
	int rc;

	if (parse_options(argc, argv, &o))
		return usage();
	if (!world)
		return 1;
	sp_log_init("bench", SP_LOG_WARN);
	/* two workers, and sessions and keys, of which the dataplane expects fewer by itself */
	o.world.memory_mb = 224 + o.world.sessions / 1024 +
	                    o.world.environments * RTE_MAX(o.world.servers, 1u) / 128;
	rc = world_start(world, &o.world, why);
	if (rc == 0) {
		snprintf(why, sizeof(why), "packets were lost");
		rc = run_all(world, &o);
	}
	if (rc)
		fprintf(stderr, "bench: %s: %s\n", why, strerror(-rc));
	world_stop(world);
	free(world);
	return rc ? 1 : 0;
}
