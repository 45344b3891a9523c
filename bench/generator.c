/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The world around a gateway under test, on one core: two memif ports, behind which it keeps all
 * that is not its own in touch with the interfaces "cluster" and "uplink" of its network namespace.
 * There ARP is answered, and a VPN server negotiates. Streams it sends and counts itself: it takes
 * the place of the server for ESP packets, and that of a host of the Internet for the others, which
 * it answers.
 *
 *   generator UPLINK_SOCKET CLUSTER_SOCKET CPU
 *
 * Standard input has one command a line, "trial forward|egress RATE SIZE FLOWS MILLISECONDS" (RATE
 * 0: as fast as it goes; SIZE 0: IMIX) or "quit"; each trial is answered with a line of JSON, or
 * with one that begins with "error".
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "bench/latency.h"
#include "bench/stream.h"

#define BURST 32u
#define BUFFERS 8191u
#define DESCRIPTORS 1024u
#define RELAY_TURNS 64u /* of the loop, between two looks at the kernel's side */
#define BEHIND_MAX 256u /* packets; what a generator that was stopped does not catch up with */
#define QUIET_MS 20u    /* without a packet: the trial's last one has come */
#define QUIET_MAX_MS 500u
#define SENT_SLOTS 65536u /* more than can be on their way */
#define RATE_MAX 100000000u

enum { UPLINK, CLUSTER, SIDES };

struct trial {
	struct stream stream;
	uint64_t rate; /* packets a second; 0: no limit */
	uint64_t cycles;
	uint64_t offered;  /* what was due */
	uint64_t sent;     /* what the gateway's ring took */
	uint64_t received; /* at its end: as ESP, or back in the cluster */
	uint64_t skipped;  /* due while this process was stopped, not offered */
	uint64_t last_received;
	bool is_reordered; /* or lost: times cannot be told */
	uint32_t first_sequence;
};

struct generator {
	uint16_t memif[SIDES], kernel[SIDES];
	uint8_t mac[SIDES][6]; /* the gateway's */
	bool is_heard[SIDES];
	struct rte_mempool *pool;
	struct trial *trial; /* NULL: none is under way */
	struct latency latency;
	uint64_t sent_at[SENT_SLOTS]; /* of ESP packets, in which no time can be read */
};

/* ---- what comes from the gateway ---- */

static void learn(struct generator *g, unsigned side, const struct rte_mbuf *m)
{
	if (g->is_heard[side])
		return;
	memcpy(g->mac[side], rte_pktmbuf_mtod(m, const uint8_t *) + 6, 6);
	g->is_heard[side] = true;
}

static void send_all(uint16_t port, struct rte_mbuf **m, unsigned n)
{
	unsigned sent = n ? rte_eth_tx_burst(port, 0, m, (uint16_t)n) : 0;

	rte_pktmbuf_free_bulk(&m[sent], n - sent);
}

static void count(struct generator *g, uint64_t sent, uint64_t now)
{
	struct trial *trial = g->trial;

	trial->received++;
	trial->last_received = now;
	latency_add(&g->latency, now - sent);
}

/* The n-th packet of an SA was the n-th that was sent, as long as none was lost. */
static void count_esp(struct generator *g, const struct rte_mbuf *m, uint64_t now)
{
	struct trial *trial = g->trial;
	uint32_t sequence = stream_esp_sequence(m);

	if (trial->received == 0)
		trial->first_sequence = sequence;
	if (sequence - trial->first_sequence != (uint32_t)trial->received)
		trial->is_reordered = true;
	count(g, g->sent_at[trial->received % SENT_SLOTS], now);
}

static void receive_uplink(struct generator *g)
{
	struct rte_mbuf *in[BURST], *turned[BURST], *others[BURST];
	unsigned n = rte_eth_rx_burst(g->memif[UPLINK], 0, in, BURST), turned_n = 0, others_n = 0;
	const uint64_t now = rte_rdtsc();
	uint64_t sent;

	for (unsigned i = 0; i < n; i++) {
		learn(g, UPLINK, in[i]);
		if (stream_has(in[i], &sent)) {
			stream_turn(in[i]);
			turned[turned_n++] = in[i];
		} else if (g->trial && g->trial->stream.path == STREAM_FORWARD &&
		           stream_is_esp(in[i])) {
			count_esp(g, in[i], now);
			rte_pktmbuf_free(in[i]);
		} else {
			others[others_n++] = in[i];
		}
	}
	send_all(g->memif[UPLINK], turned, turned_n);
	send_all(g->kernel[UPLINK], others, others_n);
}

static void receive_cluster(struct generator *g)
{
	struct rte_mbuf *in[BURST], *others[BURST];
	unsigned n = rte_eth_rx_burst(g->memif[CLUSTER], 0, in, BURST), others_n = 0;
	const uint64_t now = rte_rdtsc();
	uint64_t sent;

	for (unsigned i = 0; i < n; i++) {
		learn(g, CLUSTER, in[i]);
		if (stream_has(in[i], &sent)) {
			if (g->trial)
				count(g, sent, now);
			rte_pktmbuf_free(in[i]);
		} else {
			others[others_n++] = in[i];
		}
	}
	send_all(g->kernel[CLUSTER], others, others_n);
}

static void relay(struct generator *g)
{
	for (unsigned side = 0; side < SIDES; side++) {
		struct rte_mbuf *m[BURST];

		send_all(g->memif[side], m, rte_eth_rx_burst(g->kernel[side], 0, m, BURST));
	}
}

/* ---- a trial ---- */

/* How many are to be sent now. */
static unsigned due(struct trial *trial, uint64_t elapsed)
{
	uint64_t target, n;

	if (!trial->rate)
		return BURST;
	target = (uint64_t)((double)elapsed * (double)trial->rate / (double)rte_get_tsc_hz());
	n = target - trial->offered - trial->skipped;
	if (n > BEHIND_MAX) {
		trial->skipped += n - BEHIND_MAX;
		n = BEHIND_MAX;
	}
	return (unsigned)RTE_MIN(n, BURST);
}

static void send_due(struct generator *g, unsigned n, uint64_t now)
{
	struct trial *trial = g->trial;
	struct rte_mbuf *m[BURST];
	unsigned sent;

	stream_take(&trial->stream, m, n, now);
	sent = rte_eth_tx_burst(g->memif[CLUSTER], 0, m, (uint16_t)n);
	for (unsigned i = 0; i < sent; i++)
		g->sent_at[(trial->sent + i) % SENT_SLOTS] = now;
	for (unsigned i = sent; i < n; i++)
		rte_mbuf_refcnt_update(m[i], -1);
	trial->sent += sent;
	trial->offered += trial->rate ? n : sent;
}

static void run_trial(struct generator *g, struct trial *trial)
{
	const uint64_t ms = rte_get_tsc_hz() / 1000;
	uint64_t start, now, end;

	latency_clear(&g->latency);
	g->trial = trial;
	start = now = rte_rdtsc();
	for (unsigned turn = 0; now - start < trial->cycles; now = rte_rdtsc(), turn++) {
		unsigned n = due(trial, now - start);

		if (n)
			send_due(g, n, now);
		receive_uplink(g);
		receive_cluster(g);
		if (turn % RELAY_TURNS == 0)
			relay(g);
	}
	end = now;
	trial->last_received = end;
	while (trial->received < trial->sent && now - trial->last_received < QUIET_MS * ms &&
	       now - end < QUIET_MAX_MS * ms) {
		receive_uplink(g);
		receive_cluster(g);
		relay(g);
		now = rte_rdtsc();
	}
	trial->cycles = end - start;
	g->trial = NULL;
}

static double us(uint64_t cycles)
{
	return (double)cycles * 1e6 / (double)rte_get_tsc_hz();
}

static void report(const struct generator *g, const struct trial *trial)
{
	const struct latency *l = &g->latency;
	const bool is_whole =
		!trial->is_reordered && trial->received == trial->sent && trial->received > 0;

	printf("{\"seconds\": %.6f, \"offered\": %" PRIu64 ", \"sent\": %" PRIu64
	       ", \"received\": %" PRIu64 ", \"skipped\": %" PRIu64 ", \"latency_us\": ",
	       us(trial->cycles) / 1e6, trial->offered, trial->sent, trial->received,
	       trial->skipped);
	if (is_whole || (trial->stream.path == STREAM_EGRESS && trial->received > 0))
		printf("{\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p99.9\": %.1f, \"max\": %.1f}}\n",
		       us(latency_part(l, 0.5)), us(latency_part(l, 0.9)),
		       us(latency_part(l, 0.99)), us(latency_part(l, 0.999)), us(l->max));
	else
		printf("null}\n");
}

static const char *perform(struct generator *g, const char *line)
{
	static struct trial trial;
	uint64_t rate, milliseconds;
	unsigned size, flows;
	char path[16];
	int end = 0;

	if (sscanf(line, "trial %15s %" SCNu64 " %u %u %" SCNu64 " %n", path, &rate, &size, &flows,
	           &milliseconds, &end) != 5 ||
	    line[end])
		return "no such command";
	if ((strcmp(path, "forward") != 0 && strcmp(path, "egress") != 0) || rate > RATE_MAX ||
	    (size != STREAM_IMIX && (size < STREAM_SIZE_MIN || size > STREAM_SIZE_MAX)) ||
	    flows < 1 || flows > STREAM_FRAMES || milliseconds < 1 || milliseconds > 3600000)
		return "a value is out of its range";
	if (!g->is_heard[CLUSTER])
		return "nothing was heard of the gateway at its cluster port yet";
	trial = (struct trial){ .rate = rate,
		                .cycles = milliseconds * (rte_get_tsc_hz() / 1000),
		                .stream = { .path = strcmp(path, "forward") == 0 ? STREAM_FORWARD
		                                                                 : STREAM_EGRESS,
		                            .size = size,
		                            .flows = flows } };
	if (stream_fill(&trial.stream, g->pool, g->mac[CLUSTER]) != 0)
		return "out of buffers";
	run_trial(g, &trial);
	stream_drain(&trial.stream);
	report(g, &trial);
	return NULL;
}

/* ---- start ---- */

static int start_port(struct generator *g, const char *name, uint16_t *port)
{
	const struct rte_eth_conf conf = { 0 };

	if (rte_eth_dev_get_port_by_name(name, port) != 0 ||
	    rte_eth_dev_configure(*port, 1, 1, &conf) != 0 ||
	    rte_eth_rx_queue_setup(*port, 0, DESCRIPTORS, 0, NULL, g->pool) != 0 ||
	    rte_eth_tx_queue_setup(*port, 0, DESCRIPTORS, 0, NULL) != 0 ||
	    rte_eth_dev_start(*port) != 0) {
		fprintf(stderr, "generator: error: port %s does not start\n", name);
		return -1;
	}
	return 0;
}

static int start(struct generator *g, char **argv)
{
	char memifs[SIDES][256], lcore[64];
	char *eal[] = { argv[0],
		        "--no-huge",
		        "--no-pci",
		        "--no-telemetry",
		        "--log-level=warning",
		        "--no-shconf",
		        "-m128",
		        lcore,
		        memifs[UPLINK],
		        memifs[CLUSTER],
		        "--vdev=net_af_packet_uplink,iface=uplink",
		        "--vdev=net_af_packet_cluster,iface=cluster" };

	snprintf(lcore, sizeof(lcore), "--lcores=0@%s", argv[3]);
	snprintf(memifs[UPLINK], sizeof(memifs[UPLINK]),
	         "--vdev=net_memif_uplink,role=server,id=0,socket-abstract=no,socket=%s", argv[1]);
	snprintf(memifs[CLUSTER], sizeof(memifs[CLUSTER]),
	         "--vdev=net_memif_cluster,role=server,id=0,socket-abstract=no,socket=%s", argv[2]);
	if (rte_eal_init(RTE_DIM(eal), eal) < 0) {
		fprintf(stderr, "generator: error: EAL does not start\n");
		return -1;
	}
	g->pool = rte_pktmbuf_pool_create("frames", BUFFERS, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	if (!g->pool) {
		fprintf(stderr, "generator: error: out of memory\n");
		return -1;
	}
	if (start_port(g, "net_memif_uplink", &g->memif[UPLINK]) != 0 ||
	    start_port(g, "net_memif_cluster", &g->memif[CLUSTER]) != 0 ||
	    start_port(g, "net_af_packet_uplink", &g->kernel[UPLINK]) != 0 ||
	    start_port(g, "net_af_packet_cluster", &g->kernel[CLUSTER]) != 0)
		return -1;
	return 0;
}

/* Until standard input ends. Between trials nothing is in a hurry. */
static void serve(struct generator *g)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	char line[128];

	for (;;) {
		const char *error;

		receive_uplink(g);
		receive_cluster(g);
		relay(g);
		if (poll(&input, 1, 1) <= 0)
			continue;
		if (!fgets(line, sizeof(line), stdin) || strcmp(line, "quit\n") == 0)
			return;
		error = perform(g, line);
		if (error)
			printf("error: %s\n", error);
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	static struct generator generator;

	if (argc != 4) {
		fprintf(stderr, "usage: generator UPLINK_SOCKET CLUSTER_SOCKET CPU\n");
		return 2;
	}
	setvbuf(stdin, NULL, _IONBF, 0); /* what poll() says must be all there is */
	if (start(&generator, argv) != 0)
		return 1;
	printf("ready\n");
	fflush(stdout);
	serve(&generator);
	rte_eal_cleanup();
	return 0;
}
