/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OpenVPN data packets from the uplink, and from a server who knows the key: framing, compression
 * and inner packet are as hostile as what is before the tag.
 *
 * Input: one byte chooses the key (bits 0 and 1 framing, bit 2 without a peer id, bit 3 LZ4, bits 4
 * to 7 the algorithm, from 13 on epochs), then records of flags (1 byte: bit 0 sealed, bit 1 with
 * our first bytes, bit 2 the same number as the one before), length (2) and as many bytes: the
 * payload to seal, or the packet.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>

#include "dataplane/ipv4.h"
#include "dataplane/larval.h"
#include "dataplane/ovpn_in.h"
#include "dataplane/ovpn_out.h"
#include "dataplane/sa.h"
#include "dataplane/wire.h"
#include "dataplane/worker.h"
#include "tests/fuzz/fuzz.h"

#define RECORD_HEADER 3u
#define LENGTH_MAX 1200u
#define OUTER 28u
#define LOCAL 0xcb00710au
#define REMOTE 0xc6336465u
#define PORT 40000
#define BUFFERS 127u

static struct dp_worker worker;
static struct dp_tunnel tunnels[3]; /* 1: opens; 2: its server, which seals */
static struct dp_counters counters;
static struct dp_batch batch;
static struct rte_mempool *pool;

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
	pool = rte_pktmbuf_pool_create("fuzz", BUFFERS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
	                               SOCKET_ID_ANY);
	require(pool != NULL);
	worker.tunnels = tunnels;
	worker.count = &counters;
	worker.mbufs = pool;
	worker.epoch_limit.per_second = 1000000;
	worker.now_s = 1000;
	worker.now_ns = 1000 * 1000000000ull;
	require(dp_crypto_create(&worker.crypto, true) == 0);
	require(dp_sa_table_create(&worker.sas, 0, 4, SOCKET_ID_ANY) == 0);
	worker.larval = dp_larval_create();
	require(worker.larval != NULL);
}

static struct ipc_sa_add request(uint8_t choice)
{
	static const uint16_t algorithms[] = { IPC_AES128_GCM16, IPC_AES192_GCM16, IPC_AES256_GCM16,
		                               IPC_CHACHA20_POLY1305 };
	unsigned kind = choice >> 4;
	struct ipc_sa_add add = {
		.local_be = htonl(LOCAL),
		.remote_be = htonl(REMOTE),
		.local_port_be = htons(PORT),
		.remote_port_be = htons(PORT),
		.flags = IPC_SA_OPENVPN,
		.algorithm = kind < 4 ? algorithms[kind]
		                      : (uint16_t)(IPC_AES128_CBC_SHA1_160 + (kind - 4) % 9),
		.replay_window = 64,
		.openvpn = { .peer_id = choice & 4 ? IPC_OPENVPN_NO_PEER : 7,
		             .key_id = 3,
		             .framing = choice & 3,
		             .flags = choice & 8 ? IPC_OPENVPN_LZ4 : 0 },
	};
	const struct dp_crypto_suite *suite = dp_crypto_suite(add.algorithm);

	add.key_length = (uint16_t)(suite->key_bytes +
	                            (suite->integrity_bytes ? suite->integrity_bytes : 8u));
	if (kind > 12) {
		add.algorithm = algorithms[kind - 12];
		add.openvpn.format = IPC_OPENVPN_FORMAT_EPOCH;
		add.openvpn.peer_id = 7;
		add.key_length = DP_OVPN_EPOCH_SECRET;
	}
	memset(add.key, 0x5a, add.key_length);
	return add;
}

static void add_sa(struct ipc_sa_add *add, enum ipc_direction direction, uint16_t tunnel)
{
	void *memory = dp_sa_alloc(worker.sas, direction);

	require(memory != NULL);
	add->id.direction = (uint8_t)direction;
	add->id.destination_be = direction == IPC_IN ? add->local_be : add->remote_be;
	require(dp_sa_add(&worker, add, tunnel, 7, 1, 1500, memory) == 0);
}

static void remove_sa(const struct ipc_sa_add *add)
{
	void *memory;

	require(dp_sa_delete(&worker, &add->id, &memory) == 0);
	dp_sa_free(memory);
}

static struct dp_pkt *push(const uint8_t *data, unsigned length)
{
	struct dp_pkt *p = &batch.p[batch.n++];
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	require(m != NULL);
	memset(p, 0, sizeof(*p));
	p->m = m;
	p->l3 = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)length);
	p->l3_length = (uint16_t)length;
	p->l3_header = 20;
	p->environment = DP_NONE_SLOT;
	memcpy(p->l3, data, length);
	return p;
}

/* From the server to us, as the parser would hand it over. */
static void turn_around(struct dp_pkt *p)
{
	unsigned length = p->l3_length;

	dp_ipv4_write(p->l3, (uint16_t)length, 64, IPPROTO_UDP, htonl(REMOTE), htonl(LOCAL));
	dp_store16(p->l3 + 20, htons(PORT));
	dp_store16(p->l3 + 22, htons(PORT));
	dp_store16(p->l3 + 24, htons((uint16_t)(length - 20)));
	dp_store16(p->l3 + 26, 0);
	p->esp = p->l3 + OUTER;
	p->tunnel = 1;
	p->environment = DP_NONE_SLOT;
	p->protocol = IPPROTO_UDP;
	p->sa_in = NULL;
}

/* Whoever knows the key may choose the whole payload. */
static void push_sealed(struct dp_sa_out *sa, unsigned flags, const uint8_t *data, unsigned length)
{
	struct dp_batch one = { .n = 1 };
	struct dp_pkt *p = push(data, length);

	if (flags & 4 && sa->sequence)
		sa->sequence--;
	p->tunnel = 2;
	one.p[0] = *p;
	dp_ovpn_out_encapsulate(&worker, &one);
	require(one.p[0].verdict == DP_OK);
	dp_ovpn_out_seal(&worker, &one);
	require(one.p[0].verdict == DP_OK);
	*p = one.p[0];
	turn_around(p);
}

static void push_raw(const struct dp_sa_out *sa, unsigned flags, const uint8_t *data,
                     unsigned length)
{
	uint8_t packet[OUTER + LENGTH_MAX] = { 0 };

	memcpy(packet + OUTER, data, length);
	if (flags & 2 && length >= 4)
		dp_store32(packet + OUTER, sa->openvpn.first_be);
	turn_around(push(packet, OUTER + length));
}

static void check(const struct dp_pkt *p)
{
	const struct rte_mbuf *m = p->m;

	require(p->verdict < DP_VERDICT_COUNT && p->verdict != DP_CRYPTO);
	if (p->verdict != DP_OK)
		return;
	require(p->tunnel == 1 && p->environment == 7);
	require(p->l3 == rte_pktmbuf_mtod(m, uint8_t *) && m->data_len == p->l3_length);
	require(m->pkt_len == m->data_len && m->data_off + m->data_len <= m->buf_len);
	require(p->l3_length >= 20 && p->l3_header == 20 && p->l3[0] == 0x45);
	require(p->protocol == p->l3[9] && p->l3[8] > 1 && p->l3[12] < 224);
	if (dp_ipv4_is_fragment(p->l3))
		return;
	require(p->protocol != 6 || p->l3_length >= 40);
	require(p->protocol != 17 || p->l3_length >= 28);
}

static void run(struct dp_sa_out *sa, const uint8_t *data, size_t size)
{
	batch.n = 0;
	while (size > RECORD_HEADER && batch.n < DP_BURST) {
		unsigned flags = data[0], length = (unsigned)data[1] << 8 | data[2];

		data += RECORD_HEADER;
		size -= RECORD_HEADER;
		if (length > size)
			length = (unsigned)size;
		if (length > LENGTH_MAX)
			length = LENGTH_MAX;
		if (length == 0)
			continue; /* the parser sees to it */
		if (flags & 1)
			push_sealed(sa, flags, data, length);
		else
			push_raw(sa, flags, data, length);
		data += length;
		size -= length;
	}
	dp_ovpn_in_lookup(&worker, &batch);
	dp_ovpn_in_open(&worker, &batch);
	for (unsigned i = 0; i < batch.n; i++) {
		check(&batch.p[i]);
		rte_pktmbuf_free(batch.p[i].m);
	}
	require(rte_mempool_avail_count(pool) == BUFFERS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipc_sa_add in, out;

	if (size == 0)
		return 0;
	if (!pool)
		start();
	in = out = request(data[0]);
	require(dp_sa_spi_alloc(&worker, 1, 0x4321, &in.id.spi_be) == 0);
	out.id.spi_be = in.id.spi_be;
	out.openvpn.framing = IPC_OPENVPN_FRAMING_NONE; /* the input has it */
	add_sa(&in, IPC_IN, 1);
	add_sa(&out, IPC_OUT, 2);
	run(tunnels[2].out, data + 1, size - 1);
	remove_sa(&in);
	remove_sa(&out);
	return 0;
}
