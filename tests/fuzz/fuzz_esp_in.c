/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A burst from the uplink, and from a peer who knows the key: what is behind the ICV is as hostile
 * as what is before it.
 *
 * Input: one byte chooses the SA (bit 0 UDP, bit 1 extended numbers, bits 2 and 3 AES-GCM's
 * key or 3 for what bits 4 to 7 choose of the other algorithms, bits 4 to 7 window), then records
 * of flags (1 byte: bit 0 sealed, bit 1 with our SPI, bit 2 number and addresses as they are in the
 * data), type of service (1), sequence number (4), length (2) and as many bytes: the text to seal,
 * or what follows the outer header.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>

#include "dataplane/esp_in.h"
#include "dataplane/ipv4.h"
#include "dataplane/larval.h"
#include "dataplane/sa.h"
#include "dataplane/worker.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/dataplane/esp_peer.h"

#define RECORD_HEADER 8u
#define LENGTH_MAX 2048u
#define ETHERNET 14u
#define OUTER_MAX 28u
#define ESP_OVERHEAD 56u
#define LOCAL 0xcb00710au
#define REMOTE 0xc6336465u
#define PORT 4500
#define ENVIRONMENT 7

static struct dp_worker worker;
static struct dp_tunnel tunnels[2];
static struct dp_environment_state environments[ENVIRONMENT + 1];
static struct dp_counters counters;
static struct dp_batch batch;
static struct rte_mbuf mbufs[DP_BURST];
static void *memory;

static void require(int condition)
{
	if (!condition)
		abort();
}

static void start(void)
{
	char *arguments[] = { "fuzz",           "--no-huge", "--no-pci", "--no-shconf",
		              "--no-telemetry", "-m",        "32",       "--log-level=error" };

	require(rte_eal_init(RTE_DIM(arguments), arguments) >= 0);
	worker.tunnels = tunnels;
	worker.environments = environments;
	worker.count = &counters;
	worker.now_s = 1000;
	worker.now_ns = 1000 * 1000000000ull;
	require(dp_crypto_create(&worker.crypto, true) == 0);
	require(dp_sa_table_create(&worker.sas, 0, 4, SOCKET_ID_ANY) == 0);
	worker.larval = dp_larval_create();
	require(worker.larval != NULL);
	memory = dp_sa_alloc(worker.sas, IPC_IN);
	require(memory != NULL);
}

static struct ipc_sa_add request(uint8_t choice)
{
	struct ipc_sa_add add = {
		.id = { .destination_be = htonl(LOCAL), .direction = IPC_IN },
		.local_be = htonl(LOCAL),
		.remote_be = htonl(REMOTE),
		.local_port_be = htons(PORT),
		.remote_port_be = htons(PORT),
		.flags = (choice & 1 ? IPC_SA_UDP : 0) | (choice & 2 ? IPC_SA_ESN : 0),
		.algorithm = (uint16_t)((choice >> 2 & 3) < 3
		                                ? IPC_AES128_GCM16 + (choice >> 2 & 3)
		                                : IPC_CHACHA20_POLY1305 + (choice >> 4) % 13),
		.replay_window = 64u * (choice >> 4),
	};
	const struct dp_crypto_suite *suite = dp_crypto_suite(add.algorithm);

	add.key_length = (uint16_t)(suite->key_bytes + suite->salt_bytes + suite->integrity_bytes);
	memset(add.key, 0x5a, add.key_length);
	return add;
}

/* The packet in memory that ends where it ends, as the parser would pass it on. */
static void push(const uint8_t *packet, unsigned length)
{
	struct dp_pkt *p = &batch.p[batch.n];
	struct rte_mbuf *m = &mbufs[batch.n++];

	memset(m, 0, sizeof(*m));
	memset(p, 0, sizeof(*p));
	m->buf_addr = malloc(ETHERNET + length);
	require(m->buf_addr != NULL);
	memset(m->buf_addr, 0, ETHERNET);
	memcpy((uint8_t *)m->buf_addr + ETHERNET, packet, length);
	m->buf_len = (uint16_t)(ETHERNET + length);
	m->data_len = m->buf_len;
	m->pkt_len = m->buf_len;
	m->nb_segs = 1;
	p->m = m;
	p->l3 = (uint8_t *)m->buf_addr + ETHERNET;
	p->l3_length = (uint16_t)length;
	p->l3_header = 20;
	p->protocol = packet[9];
	p->esp = p->l3 + (p->protocol == 17 ? 28 : 20);
	p->environment = DP_NONE_SLOT;
	p->tunnel = DP_NONE_SLOT;
}

/* An outer header the parser would pass, and the bytes as they are. */
static void push_raw(const struct esp_peer *peer, unsigned flags, const uint8_t *data,
                     unsigned length)
{
	uint8_t packet[OUTER_MAX + LENGTH_MAX + ESP_OVERHEAD],
		*esp = packet + (peer->is_udp ? 28 : 20);
	uint32_t spi_be = htonl(peer->spi);

	(void)peer_seal(peer, 1, 1, data, 0, packet); /* for its outer header */
	memcpy(esp, data, length);
	if (flags & 2 && length >= 4)
		memcpy(esp, &spi_be, 4);
	if (flags & 4 && length >= 12)
		memcpy(packet + 12, data + 4, 8);
	if (peer->is_udp && !(flags & 4)) {
		uint16_t udp_be = htons((uint16_t)(length + 8));

		memcpy(packet + 24, &udp_be, 2);
	}
	push(packet, (unsigned)(esp - packet) + length);
}

/* Whoever knows the key may choose all of the text, and a number the window will take. */
static void push_sealed(const struct esp_peer *peer, const struct dp_sa_in *sa, unsigned flags,
                        uint32_t number, const uint8_t *data, unsigned length)
{
	uint8_t packet[OUTER_MAX + LENGTH_MAX + ESP_OVERHEAD];
	uint64_t sequence = number;

	if (peer->is_esn && !(flags & 4))
		sequence = dp_replay_infer(&sa->replay, number);
	length -=
		length % peer_suite(peer->algorithm).block_bytes % 16; /* CBC cannot seal others */
	push(packet, peer_seal(peer, sequence, sequence, data, length, packet));
}

static void check(const struct dp_sa_in *sa, const struct dp_pkt *p)
{
	const struct rte_mbuf *m = p->m;

	require(p->verdict < DP_VERDICT_COUNT);
	if (p->verdict != DP_OK)
		return;
	require(p->sa_in == sa && p->tunnel == 1 && p->environment == ENVIRONMENT);
	require(p->l3 == rte_pktmbuf_mtod(m, uint8_t *) && m->data_len == p->l3_length);
	require(m->pkt_len == m->data_len && m->data_off + m->data_len <= m->buf_len);
	require(p->l3_length >= 20 && p->l3_header == 20 && p->l3[0] == 0x45);
	require((unsigned)p->l3[2] << 8 == (p->l3_length & 0xff00u) &&
	        p->l3[3] == (p->l3_length & 0xff));
	require(p->protocol == p->l3[9] && p->l3[8] > 1 && p->l3[12] < 224);
	if (dp_ipv4_is_fragment(p->l3)) /* looked at when the datagram is whole */
		return;
	require(p->protocol != 6 || p->l3_length >= 40);
	require(p->protocol != 17 || p->l3_length >= 28);
}

/* No number is taken twice; the additional data names it. */
static void check_numbers(const struct dp_sa_in *sa)
{
	for (unsigned i = 0; i < batch.n; i++) {
		for (unsigned j = 0; j < i; j++)
			require(batch.p[i].verdict != DP_OK || batch.p[j].verdict != DP_OK ||
			        memcmp(batch.p[i].aad, batch.p[j].aad, sa->suite.aad_bytes) != 0);
	}
}

static void run(struct dp_sa_in *sa, const struct esp_peer *base, const uint8_t *data, size_t size)
{
	batch.n = 0;
	while (size >= RECORD_HEADER && batch.n < DP_BURST) {
		struct esp_peer peer = *base;
		unsigned flags = data[0], length = (unsigned)data[6] << 8 | data[7];
		uint32_t number;

		memcpy(&number, data + 2, sizeof(number));
		peer.tos = data[1];
		data += RECORD_HEADER;
		size -= RECORD_HEADER;
		if (length > size)
			length = (unsigned)size;
		if (length > LENGTH_MAX)
			length = LENGTH_MAX;
		if (flags & 1)
			push_sealed(&peer, sa, flags, ntohl(number), data, length);
		else
			push_raw(&peer, flags, data, length);
		data += length;
		size -= length;
	}
	dp_esp_in_lookup(&worker, &batch);
	dp_esp_in_decrypt(&worker, &batch);
	for (unsigned i = 0; i < batch.n; i++) {
		check(sa, &batch.p[i]);
		free(mbufs[i].buf_addr);
	}
	check_numbers(sa);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipc_sa_add add;
	struct esp_peer peer = { .source = REMOTE,
		                 .destination = LOCAL,
		                 .source_port = PORT,
		                 .destination_port = PORT };
	void *to_free;

	if (size == 0)
		return 0;
	if (!memory)
		start();
	add = request(data[0]);
	require(dp_sa_spi_alloc(&worker, 1, 0x4321, &add.id.spi_be) == 0);
	require(dp_sa_add(&worker, &add, 1, ENVIRONMENT, 1, 1500, memory) == 0);
	memcpy(peer.key, add.key, add.key_length);
	peer.algorithm = add.algorithm;
	peer.spi = ntohl(add.id.spi_be);
	peer.is_udp = (add.flags & IPC_SA_UDP) != 0;
	peer.is_esn = (add.flags & IPC_SA_ESN) != 0;
	run(memory, &peer, data + 1, size - 1);
	require(dp_sa_delete(&worker, &add.id, &to_free) == 0 && to_free == memory);
	return 0;
}
