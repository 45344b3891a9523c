/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cost of a packet: TSC cycles of the whole path on one worker, and of the encryption of the
 * same bytes alone, in turns, each sample between two probes of the machine. Prints the samples,
 * one JSON object a line; bench/cost.py judges them.
 *
 * A pass writes 1,024 frames of sessions drawn anew into 1,024 buffers; then chunks of 256 go
 * through the path or through the cipher, in turns, burst by burst of 32.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_hash_crc.h>
#include <x86intrin.h>

#include "bench/frames.h"
#include "bench/raw.h"
#include "bench/stages.h"
#include "bench/world.h"
#include "common/log.h"
#include "dataplane/path.h"

#define BUFFERS 1024u
#define CHUNK 256u
#define CHUNKS (BUFFERS / CHUNK)
#define WARM_UP 8u /* passes */
#define TUNNELS_EACH 4u

struct path {
	const char *name;
	enum dp_port_id from;
	enum world_kind sessions;
	enum frame_way way;
	enum world_protocol protocol;
};

static const struct path paths[] = {
	{ "forward-out", DP_PORT_CLUSTER, WORLD_FORWARDS, FRAME_FROM_CLUSTER, WORLD_ESP },
	{ "forward-in", DP_PORT_UPLINK, WORLD_FORWARDS, FRAME_FROM_TUNNEL, WORLD_ESP },
	{ "forward-udp-out", DP_PORT_CLUSTER, WORLD_FORWARDS, FRAME_FROM_CLUSTER, WORLD_ESP_UDP },
	{ "forward-udp-in", DP_PORT_UPLINK, WORLD_FORWARDS, FRAME_FROM_TUNNEL, WORLD_ESP_UDP },
	{ "openvpn-out", DP_PORT_CLUSTER, WORLD_FORWARDS, FRAME_FROM_CLUSTER, WORLD_OPENVPN },
	{ "openvpn-in", DP_PORT_UPLINK, WORLD_FORWARDS, FRAME_FROM_TUNNEL, WORLD_OPENVPN },
	{ "egress-out", DP_PORT_CLUSTER, WORLD_EGRESS, FRAME_FROM_CLUSTER, WORLD_ESP },
	{ "egress-in", DP_PORT_UPLINK, WORLD_EGRESS, FRAME_FROM_UPLINK, WORLD_ESP },
};

static const struct cipher {
	const char *name;
	unsigned algorithm;
} ciphers[] = {
	{ "aes128gcm", IPC_AES128_GCM16 },
	{ "aes256gcm", IPC_AES256_GCM16 },
	{ "chacha20poly1305", IPC_CHACHA20_POLY1305 },
	{ "aes128cbc-sha256", IPC_AES128_CBC_SHA256_128 },
	{ "aes256cbc-sha256", IPC_AES256_CBC_SHA256_128 },
};

struct options {
	struct world_options world;
	const char *path;
	const char *cipher;
	uint32_t size;
	uint32_t rounds;
	int cpu; /* -1: any */
};

/* What was measured of a chunk. */
struct sample {
	uint32_t cycles;
	uint32_t probe; /* the slower one of before and after */
	struct stages_sample stages;
};

struct samples {
	uint32_t n;
	struct sample *list;
};

struct bench {
	struct world world;
	struct rte_mbuf *m[BUFFERS];
	uint32_t sessions[BUFFERS];
	struct raw_text texts[BUFFERS];
	struct raw *raw;
	struct samples of_path, of_raw;
	uint64_t random;
};

static uint32_t draw(struct bench *x, uint32_t below)
{
	x->random = x->random * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((x->random >> 32) * below >> 32);
}

/* ---- one pass ---- */

static void write_frames(struct bench *x, const struct frame *frame)
{
	for (unsigned i = 0; i < BUFFERS; i++)
		x->sessions[i] = draw(x, x->world.options.sessions);
	for (unsigned i = 0; i < BUFFERS; i += DP_BURST)
		frames_write(&x->world, frame, &x->m[i], &x->sessions[i], DP_BURST);
	for (unsigned i = 0; i < BUFFERS; i++)
		x->texts[i] = frames_text(&x->world, frame, x->m[i]);
}

/* How many of the chunk were sent. */
static unsigned run_path(struct bench *x, const struct path *path, unsigned first)
{
	enum dp_port_id to = path->from == DP_PORT_CLUSTER ? DP_PORT_UPLINK : DP_PORT_CLUSTER;
	struct rte_mbuf *sent[DP_TX_BUFFER];
	unsigned n = 0;

	for (unsigned i = first; i < first + CHUNK; i += DP_BURST) {
		world_turn(x->world.w, path->from, &x->m[i], DP_BURST);
		n += world_take(x->world.w, to, sent);
	}
	return n;
}

static unsigned run_raw(struct bench *x, const struct path *path, unsigned first)
{
	enum raw_direction direction = path->way == FRAME_FROM_TUNNEL ? RAW_DECRYPT : RAW_ENCRYPT;

	for (unsigned i = first; i < first + CHUNK; i += DP_BURST)
		raw_burst(x->raw, direction, &x->texts[i], DP_BURST);
	return CHUNK;
}

static bool has_crypto(const struct path *path)
{
	return path->sessions == WORLD_FORWARDS;
}

/* Measures the buffers, chunk by chunk; ROUND decides what begins. -EIO: a packet was lost. */
static int run_pass(struct bench *x, const struct path *path, unsigned round, bool is_kept)
{
	uint32_t before = raw_probe(x->raw);

	for (unsigned c = 0; c < CHUNKS; c++) {
		bool is_raw = has_crypto(path) && (c + round) % 2;
		struct samples *to = is_raw ? &x->of_raw : &x->of_path;
		struct sample *s;
		uint32_t after;
		uint64_t cycles;
		unsigned unused, n;

		_mm_lfence();
		cycles = __rdtsc();
		_mm_lfence();
		n = is_raw ? run_raw(x, path, c * CHUNK) : run_path(x, path, c * CHUNK);
		cycles = __rdtscp(&unused) - cycles;
		_mm_lfence();
		after = raw_probe(x->raw);
		if (n != CHUNK)
			return -EIO;
		s = &to->list[to->n];
		s->cycles = (uint32_t)cycles;
		s->probe = RTE_MAX(before, after);
		if (STAGES_MEASURED)
			stages_take(&s->stages);
		to->n += is_kept;
		before = after;
	}
	return 0;
}

/* ---- output ---- */

static void print_samples(const char *name, const struct samples *s)
{
	printf(", \"%s\": [", name);
	for (uint32_t i = 0; i < s->n; i++)
		printf("%s[%" PRIu32 ",%" PRIu32 "]", i ? "," : "", s->list[i].cycles,
		       s->list[i].probe);
	printf("]");
}

/* The names, and for each sample the cycles of each stage. */
static void print_stages(const struct samples *s)
{
	printf(", \"stages\": ");
	stages_print_names();
	printf(", \"stage_samples\": [");
	for (uint32_t i = 0; i < s->n; i++) {
		printf("%s[", i ? "," : "");
		for (unsigned k = 0; k < STAGES_MAX; k++)
			printf("%s%" PRIu32, k ? "," : "", s->list[i].stages.cycles[k]);
		printf("]");
	}
	printf("]");
}

static void print_drops(const struct bench *x)
{
	for (unsigned v = 0; v < DP_VERDICT_COUNT; v++)
		if (x->world.w->count->drop[v])
			fprintf(stderr, "bench: drop/%s %" PRIu64 "\n",
			        dp_verdict_name((enum dp_verdict)v), x->world.w->count->drop[v]);
}

/* Cycles of the core per cycle of the TSC, by a chain of multiplications of three cycles each. */
static double core_ratio(void)
{
	uint64_t best = UINT64_MAX, x = 3;

	for (unsigned k = 0; k < 50; k++) {
		uint64_t cycles = __rdtsc();

		for (unsigned i = 0; i < 10000; i++)
			__asm__ volatile("imul %0, %0" : "+r"(x));
		cycles = __rdtsc() - cycles;
		best = RTE_MIN(best, cycles);
	}
	return 30000.0 / (double)best;
}

static void print_head(const struct bench *x)
{
	printf("{\"crypto\": \"%s\", \"hugepages\": %s, \"tsc_hz\": %" PRIu64
	       ", \"core_cycles_per_tsc_cycle\": %.3f, \"packets_per_sample\": %u, \"sessions\": %" PRIu32
	       "}\n",
	       dp_crypto_arch(x->world.w->crypto), rte_eal_has_hugepages() ? "true" : "false",
	       rte_get_tsc_hz(), core_ratio(), CHUNK, x->world.options.sessions);
}

/* ---- cases ---- */

static int run_case(struct bench *x, const struct options *o, const struct path *path,
                    const struct cipher *cipher, uint16_t size)
{
	struct frame frame = { path->sessions, path->way, FRAME_DATA, size, 0 };
	int rc = 0;

	x->of_path.n = x->of_raw.n = 0;
	if (STAGES_MEASURED)
		stages_begin();
	for (unsigned round = 0; rc == 0 && round < o->rounds + WARM_UP; round++) {
		write_frames(x, &frame);
		rc = run_pass(x, path, round, round >= WARM_UP);
	}
	if (rc) {
		fprintf(stderr, "bench: %s %s %u: not all packets came out\n", path->name,
		        cipher->name, size);
		print_drops(x);
		return rc;
	}
	printf("{\"path\": \"%s\", \"cipher\": %s%s%s, \"size\": %u", path->name,
	       has_crypto(path) ? "\"" : "", has_crypto(path) ? cipher->name : "null",
	       has_crypto(path) ? "\"" : "", size);
	print_samples("samples", &x->of_path);
	if (has_crypto(path))
		print_samples("raw_samples", &x->of_raw);
	if (STAGES_MEASURED)
		print_stages(&x->of_path);
	printf("}\n");
	return 0;
}

static int run_sizes(struct bench *x, const struct options *o, const struct path *path,
                     const struct cipher *cipher)
{
	static const uint16_t sizes[] = { 64, 256, 512, 1024, 1420 };
	int rc = world_open(&x->world, path->sessions);

	if (rc) {
		fprintf(stderr, "bench: sessions cannot be opened: %s\n", strerror(-rc));
		print_drops(x);
	}
	if (rc == 0)
		rc = world_rekey(&x->world, cipher->algorithm, path->protocol);
	for (unsigned i = 0; rc == 0 && i < RTE_DIM(sizes); i++)
		if (!o->size || o->size == sizes[i])
			rc = run_case(x, o, path, cipher, sizes[i]);
	return rc;
}

static bool is_wanted(const char *wanted, const char *name)
{
	return !wanted || strcmp(wanted, name) == 0;
}

/* What is measured of OpenVPN are its AEAD ciphers. */
static bool has_cipher(const struct path *path, const struct cipher *cipher)
{
	return path->protocol != WORLD_OPENVPN || cipher->algorithm <= IPC_CHACHA20_POLY1305;
}

static int run_all(struct bench *x, const struct options *o)
{
	int rc = 0;

	for (unsigned c = 0; rc == 0 && c < RTE_DIM(ciphers); c++) {
		if (!is_wanted(o->cipher, ciphers[c].name))
			continue;
		raw_destroy(x->raw);
		x->raw = raw_create(dp_crypto_suite(ciphers[c].algorithm));
		if (!x->raw)
			return -ENOMEM;
		for (unsigned i = 0; rc == 0 && i < RTE_DIM(paths); i++) {
			if (!has_cipher(&paths[i], &ciphers[c]))
				continue;
			/* without a cipher: once */
			if (!has_crypto(&paths[i]) && c > 0 && !o->cipher)
				continue;
			if (is_wanted(o->path, paths[i].name))
				rc = run_sizes(x, o, &paths[i], &ciphers[c]);
		}
	}
	return rc;
}

/* Buffers in no order, as a pool that was in use has them. */
static int take_buffers(struct bench *x)
{
	if (rte_pktmbuf_alloc_bulk(x->world.core.mbufs, x->m, BUFFERS) != 0)
		return -ENOMEM;
	for (unsigned i = BUFFERS - 1; i; i--) {
		unsigned k = draw(x, i + 1);
		struct rte_mbuf *m = x->m[i];

		x->m[i] = x->m[k];
		x->m[k] = m;
	}
	for (unsigned i = 0; i < BUFFERS; i++)
		memset(x->m[i]->buf_addr, (int)i, x->m[i]->buf_len);
	return 0;
}

static int make_samples(struct bench *x, uint32_t rounds)
{
	x->of_path.list = calloc((size_t)rounds * CHUNKS + 1, sizeof(struct sample));
	x->of_raw.list = calloc((size_t)rounds * CHUNKS + 1, sizeof(struct sample));
	return x->of_path.list && x->of_raw.list ? 0 : -ENOMEM;
}

static int usage(void)
{
	fprintf(stderr,
	        "usage: cost [--path NAME] [--cipher NAME] [--size BYTES] [--rounds N] [--sessions N] [--tunnels N] [--cpu N] [--no-huge]\n");
	return 2;
}

/* Four of each environment, as bench/scale.py has them. */
static void spread(struct world_options *o, uint32_t tunnels)
{
	o->servers = o->forwards = RTE_MIN(tunnels, TUNNELS_EACH);
	o->environments = tunnels / o->servers;
	/* keys, of which the dataplane expects fewer by itself */
	o->memory_mb = 224 + o->sessions / 1024 + tunnels / 128;
}

static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		{ "path", required_argument, NULL, 'p' },
		{ "cipher", required_argument, NULL, 'c' },
		{ "size", required_argument, NULL, 's' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "sessions", required_argument, NULL, 'n' },
		{ "tunnels", required_argument, NULL, 't' },
		{ "cpu", required_argument, NULL, 'u' },
		{ "no-huge", no_argument, NULL, 'h' },
		{ 0 },
	};
	uint32_t tunnels = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			o->path = optarg;
			break;
		case 'c':
			o->cipher = optarg;
			break;
		case 's':
			o->size = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'r':
			o->rounds = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'n':
			o->world.sessions = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 't':
			tunnels = (uint32_t)strtoul(optarg, NULL, 10);
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
	if (tunnels)
		spread(&o->world, tunnels);
	return optind == argc && o->rounds && tunnels <= DP_TUNNELS_MAX && o->world.sessions &&
	                       o->world.sessions <= WORLD_CALLS_PER_TARGET * 512
	               ? 0
	               : -EINVAL;
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
	struct options o = { .world = { .sessions = 1024, .hugepages = IPC_HUGEPAGES_AUTO },
		             .rounds = 200,
		             .cpu = -1 };
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
	rc = stay_on(o.cpu);
	if (rc == 0)
		rc = world_start(&x->world, &o.world, why);
	if (rc == 0)
		rc = take_buffers(x);
	if (rc == 0)
		rc = make_samples(x, o.rounds);
	if (rc == 0) {
		print_head(x);
		rc = run_all(x, &o);
	} else {
		fprintf(stderr, "bench: %s: %s\n", why, strerror(-rc));
	}
	world_stop(&x->world);
	raw_destroy(x->raw);
	free(x->of_path.list);
	free(x->of_raw.list);
	free(x);
	return rc ? 1 : 0;
}
