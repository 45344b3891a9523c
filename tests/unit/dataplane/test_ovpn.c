/* SPDX-License-Identifier: GPL-2.0-or-later */
/* OpenVPN's data channel bit for bit as stock servers have it, and where keys and numbers end. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include <lz4.h>

#include "dataplane/ovpn_framing.h"
#include "dataplane/ovpn_in.c"
#include "dataplane/ovpn_out.h"
#include "dataplane/pmtu.h"
#include "dataplane/port.h"
#include "dataplane/wire.h"
#include "tests/unit/dataplane/esp_world.h"
#include "tests/unit/dataplane/ovpn_vectors.h"

#define TUNNEL 1u
#define OUTER 28u
#define PORT 40000u
#define SERVER_PORT 1194u
#define PACKET_MAX 2048u

struct fixture {
	struct world *x;
	struct dp_batch answers;
	struct dp_port ports[DP_PORT_COUNT];
};

static struct fixture *create(void)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	f.x = world_create(0, 16);
	f.x->w.answers = &f.answers;
	f.x->w.ports = f.ports;
	f.ports[DP_PORT_UPLINK].mtu = WORLD_LINK_MTU;
	return &f;
}

static void destroy(struct fixture *f)
{
	for (unsigned i = 0; i < f->answers.n; i++)
		rte_pktmbuf_free(f->answers.p[i].m);
	world_destroy(f->x);
}

static unsigned bytes_of(const char *text, uint8_t *bytes)
{
	unsigned n = (unsigned)strlen(text) / 2;

	for (unsigned i = 0; i < n; i++) {
		unsigned value;

		assert_int_equal(sscanf(text + 2 * i, "%2x", &value), 1);
		bytes[i] = (uint8_t)value;
	}
	return n;
}

static struct ipc_sa_add request(enum ipc_direction direction, uint32_t spi_be, unsigned algorithm)
{
	struct ipc_sa_add add = {
		.tunnel = { .environment = "production", .server = "a" },
		.id = { .spi_be = spi_be, .direction = (uint8_t)direction },
		.local_be = htonl(WORLD_LOCAL),
		.remote_be = htonl(WORLD_REMOTE),
		.local_port_be = htons(PORT),
		.remote_port_be = htons(SERVER_PORT),
		.flags = IPC_SA_OPENVPN,
		.algorithm = (uint16_t)algorithm,
		.replay_window = 64,
	};
	const struct dp_crypto_suite *suite = dp_crypto_suite(algorithm);

	add.id.destination_be = direction == IPC_IN ? add.local_be : add.remote_be;
	add.key_length = (uint16_t)(suite->key_bytes +
	                            (suite->integrity_bytes ? suite->integrity_bytes : 8u));
	memset(add.key, 0x42, add.key_length);
	return add;
}

static struct ipc_sa_add request_of(const struct ovpn_vector *v, enum ipc_direction direction,
                                    uint32_t spi_be)
{
	struct ipc_sa_add add = request(direction, spi_be, v->algorithm);
	uint8_t packet[PACKET_MAX];
	unsigned length = bytes_of(v->packet, packet);

	assert_int_equal(bytes_of(v->key, add.key), add.key_length);
	assert_true(length > 4);
	add.openvpn.key_id = packet[0] & 7;
	add.openvpn.peer_id = v->is_v1 ? IPC_OPENVPN_NO_PEER : dp_load32(packet) >> 8;
	if (!v->is_v1)
		add.openvpn.peer_id = ntohl(dp_load32(packet)) & IPC_OPENVPN_PEER_MAX;
	add.openvpn.framing = (uint8_t)v->framing;
	return add;
}

static uint32_t allocate(struct fixture *f)
{
	uint32_t spi_be;

	assert_int_equal(dp_sa_spi_alloc(&f->x->w, TUNNEL, f->x->random++, &spi_be), 0);
	return spi_be;
}

static struct dp_sa_in *add_in(struct fixture *f, struct ipc_sa_add *add)
{
	add->id.spi_be = allocate(f);
	assert_int_equal(world_add(f->x, add, TUNNEL), 0);
	return dp_sa_lookup(f->x->w.sas, add->id.spi_be)->sa;
}

/* A data packet in a UDP datagram of the server's. */
static struct dp_pkt *push_outer(struct fixture *f, const uint8_t *data, unsigned length)
{
	uint8_t packet[OUTER + PACKET_MAX];
	struct dp_pkt *p;

	dp_ipv4_write(packet, (uint16_t)(OUTER + length), 60, IPPROTO_UDP, htonl(WORLD_REMOTE),
	              htonl(WORLD_LOCAL));
	dp_store16(packet + 20, htons(SERVER_PORT));
	dp_store16(packet + 22, htons(PORT));
	dp_store16(packet + 24, htons((uint16_t)(8 + length)));
	dp_store16(packet + 26, 0);
	memcpy(packet + OUTER, data, length);
	p = world_push_outer(f->x, packet, OUTER + length);
	p->tunnel = TUNNEL;
	return p;
}

static void open_all(struct fixture *f)
{
	dp_ovpn_in_lookup(&f->x->w, &f->x->batch);
	dp_ovpn_in_open(&f->x->w, &f->x->batch);
}

static void seal_all(struct fixture *f)
{
	dp_ovpn_out_encapsulate(&f->x->w, &f->x->batch);
	dp_ovpn_out_seal(&f->x->w, &f->x->batch);
}

/* What the framing leaves of a vector's plain text; it is as long, or a byte shorter. */
static unsigned payload_of(const struct ovpn_vector *v, uint8_t *plain)
{
	unsigned length = bytes_of(v->plain, plain);

	switch (v->framing) {
	case IPC_OPENVPN_FRAMING_LZO_NO:
		memmove(plain, plain + 1, --length);
		break;
	case IPC_OPENVPN_FRAMING_STUB:
		plain[0] = plain[--length];
		break;
	}
	return length;
}

static void opens_the_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < RTE_DIM(ovpn_vectors); i++) {
		const struct ovpn_vector *v = &ovpn_vectors[i];
		struct fixture *f = create();
		struct ipc_sa_add add = request_of(v, IPC_IN, 0);
		uint8_t packet[PACKET_MAX], plain[PACKET_MAX];
		unsigned length = bytes_of(v->packet, packet), n = payload_of(v, plain);
		struct dp_pkt *p;

		add_in(f, &add);
		p = push_outer(f, packet, length);
		open_all(f);
		if (plain[0] == 0x45) {
			assert_int_equal(p->verdict, DP_OK);
			assert_int_equal(p->l3_length, n);
			assert_memory_equal(p->l3, plain, n);
		} else { /* a ping; IPv6 or fragments, which we do not carry */
			assert_int_equal(p->verdict, dp_ovpn_message(plain, n) ? DP_OVPN_PING
			                                                       : DP_INNER_INVALID);
		}
		assert_true(f->x->tunnels[TUNNEL].heard_ns > 0);
		world_clear(f->x);
		p = push_outer(f, packet, length);
		open_all(f);
		assert_int_equal(p->verdict, DP_OVPN_REPLAY);
		world_clear(f->x);
		for (unsigned at = 0; at < length; at += 3) { /* no bit may be another one */
			packet[at] ^= 0x10;
			p = push_outer(f, packet, length);
			open_all(f);
			assert_true(p->verdict == DP_OVPN_ICV || p->verdict == DP_OVPN_REPLAY ||
			            p->verdict == DP_OVPN_NO_KEY);
			packet[at] ^= 0x10;
			world_clear(f->x);
		}
		destroy(f);
	}
}

static void seals_the_vectors(void **state)
{
	unsigned sealed = 0;

	(void)state;
	for (size_t i = 0; i < RTE_DIM(ovpn_vectors); i++) {
		const struct ovpn_vector *v = &ovpn_vectors[i];
		struct fixture *f = create();
		struct ipc_sa_add add = request_of(v, IPC_OUT, htonl(0x10000));
		uint8_t packet[PACKET_MAX], plain[PACKET_MAX];
		unsigned length = bytes_of(v->packet, packet), n = payload_of(v, plain);
		struct dp_pkt *p;

		if (v->is_sent && plain[0] == 0x45) {
			assert_int_equal(world_add(f->x, &add, TUNNEL), 0);
			p = world_push_inner(f->x, plain, n, TUNNEL);
			if (v->algorithm <= IPC_CHACHA20_POLY1305) /* CBC's is inside */
				f->x->tunnels[TUNNEL].out->sequence =
					ntohl(dp_load32(packet + (v->is_v1 ? 1 : 4))) - 1;
			seal_all(f);
			assert_int_equal(p->verdict, DP_OK);
			assert_int_equal(p->l3_length, OUTER + length);
			if (v->algorithm <= IPC_CHACHA20_POLY1305) {
				assert_memory_equal(p->l3 + OUTER, packet, length);
				sealed++;
			}
		}
		destroy(f);
	}
	assert_true(sealed >= 15);
}

/* Numbers, volume: a warning first, then the end. */
static void ends_before_a_nonce_comes_again(void **state)
{
	static const uint8_t inner[40] = { 0x45, 0, 0, 40 };
	struct fixture *f = create();
	struct ipc_sa_add add = request(IPC_OUT, htonl(0x10000), IPC_AES128_GCM16);
	struct ipc_sa_info info;
	struct dp_sa_out *sa;
	struct dp_pkt *p;

	(void)state;
	assert_int_equal(world_add(f->x, &add, TUNNEL), 0);
	sa = f->x->tunnels[TUNNEL].out;
	sa->sequence = DP_OVPN_SEQUENCE_MARK - 1;
	world_push_inner(f->x, inner, sizeof(inner), TUNNEL);
	seal_all(f);
	assert_false(dp_sa_take_changed(&f->x->w));
	p = world_push_inner(f->x, inner, sizeof(inner), TUNNEL);
	seal_all(f);
	assert_true(dp_sa_take_changed(&f->x->w));
	assert_int_equal(dp_sa_query(&f->x->w, &add.id, &info), 0);
	assert_true(info.flags & IPC_SA_EXPIRING);
	world_clear(f->x);
	sa->sequence = UINT32_MAX - 1;
	for (unsigned i = 0; i < 3; i++)
		p = world_push_inner(f->x, inner, sizeof(inner), TUNNEL);
	seal_all(f);
	assert_int_equal(f->x->batch.p[0].verdict, DP_OK);
	assert_int_equal(f->x->batch.p[1].verdict, DP_OVPN_SEQUENCE);
	assert_int_equal(p->verdict, DP_OVPN_SEQUENCE);
	assert_true(sa->sequence == UINT32_MAX);
	assert_false(info.flags & IPC_SA_SPENT);
	assert_int_equal(dp_sa_query(&f->x->w, &add.id, &info), 0);
	assert_true(info.flags & IPC_SA_SPENT);
	destroy(f);

	f = create();
	assert_int_equal(world_add(f->x, &add, TUNNEL), 0);
	sa = f->x->tunnels[TUNNEL].out;
	sa->openvpn.volume = DP_OVPN_VOLUME_MAX / 2 - 1;
	world_push_inner(f->x, inner, sizeof(inner), TUNNEL);
	seal_all(f);
	assert_true(dp_sa_take_changed(&f->x->w));
	assert_int_equal(dp_sa_query(&f->x->w, &add.id, &info), 0);
	assert_true(info.flags & IPC_SA_EXPIRING);
	world_clear(f->x);
	sa->openvpn.volume = DP_OVPN_VOLUME_MAX - 1;
	world_push_inner(f->x, inner, sizeof(inner), TUNNEL);
	seal_all(f);
	assert_int_equal(f->x->batch.p[0].verdict, DP_OK);
	world_clear(f->x);
	p = world_push_inner(f->x, inner, sizeof(inner), TUNNEL);
	seal_all(f);
	assert_int_equal(p->verdict, DP_OVPN_SEQUENCE);
	destroy(f);
}

/* A number twice in one burst, and in lanes where packets are opened together. */
static void takes_a_number_once_in_a_burst(void **state)
{
	static const unsigned algorithms[] = { IPC_AES256_GCM16, IPC_CHACHA20_POLY1305,
		                               IPC_AES256_CBC_SHA256_256 };

	(void)state;
	for (unsigned a = 0; a < RTE_DIM(algorithms); a++) {
		for (size_t i = 0; i < RTE_DIM(ovpn_vectors); i++) {
			const struct ovpn_vector *v = &ovpn_vectors[i];
			struct fixture *f = create();
			struct ipc_sa_add add = request_of(v, IPC_IN, 0);
			uint8_t packet[PACKET_MAX];
			unsigned length = bytes_of(v->packet, packet), taken = 0;

			if (v->algorithm == algorithms[a]) {
				add_in(f, &add);
				for (unsigned n = 0; n < 4; n++)
					push_outer(f, packet, length);
				open_all(f);
				for (unsigned n = 0; n < 4; n++)
					taken += f->x->batch.p[n].verdict != DP_OVPN_REPLAY;
				assert_int_equal(taken, 1);
			}
			destroy(f);
		}
	}
}

/* The server's address changes by an authentic packet; its keys keep their names. */
static void floats(void **state)
{
	const struct ovpn_vector *v = ovpn_vectors;
	uint8_t packet[PACKET_MAX];
	struct fixture *f = create();
	struct ipc_sa_add in, out;
	struct dp_sa_out *sa;
	struct dp_pkt *p;
	unsigned length;
	void *memory;

	(void)state;
	while (v->algorithm != IPC_AES256_GCM16)
		v++;
	in = request_of(v, IPC_IN, 0);
	in.openvpn.flags = IPC_OPENVPN_FLOAT;
	add_in(f, &in);
	out = request_of(v, IPC_OUT, in.id.spi_be);
	assert_int_equal(world_add(f->x, &out, TUNNEL), 0);
	sa = f->x->tunnels[TUNNEL].out;
	length = bytes_of(v->packet, packet);
	p = push_outer(f, packet, length);
	dp_store32(p->l3 + 12, htonl(WORLD_REMOTE + 1));
	dp_store16(p->l3 + 20, htons(SERVER_PORT + 1));
	open_all(f);
	assert_int_equal(sa->remote_be, htonl(WORLD_REMOTE + 1));
	assert_int_equal(sa->lease.remote_port_be, htons(SERVER_PORT + 1));
	assert_int_equal(dp_sa_delete(&f->x->w, &out.id, &memory), 0);
	assert_ptr_equal(memory, sa);
	dp_sa_free(memory);
	assert_null(f->x->tunnels[TUNNEL].out);
	destroy(f);
}

/* One that takes packets off the way and is faster does not drive the tunnel to and fro; nor does
 * one that repeats what was said. */
static void floats_once_in_a_while(void **state)
{
	struct fixture *f = create();
	struct ipc_sa_add in = request(IPC_IN, 0, IPC_AES256_GCM16);
	struct dp_sa_in *sa;
	struct dp_pkt packet = { 0 };
	uint8_t l3[64] = { 0 };

	(void)state;
	in.openvpn.flags = IPC_OPENVPN_FLOAT;
	sa = add_in(f, &in);
	packet.l3 = l3;
	packet.esp = l3 + OUTER;
	for (unsigned i = 0; i < 10; i++) {
		dp_store32(l3 + 12, htonl(WORLD_REMOTE + 1 + i));
		dp_store16(l3 + 20, htons(SERVER_PORT));
		float_to(&f->x->w, &packet, sa);
		assert_int_equal(sa->lease.remote_be, htonl(WORLD_REMOTE + 1));
		assert_int_equal(dp_sa_take_changed(&f->x->w), i == 0);
		f->x->w.now_ns += DP_SA_FLOAT_NS / 10;
	}
	float_to(&f->x->w, &packet, sa);
	assert_int_equal(sa->lease.remote_be, htonl(WORLD_REMOTE + 10));
	destroy(f);
}

/* An exit is an event; that it is said again, and everything else that OCC has, is none. */
static void tells_an_exit_once(void **state)
{
	struct fixture *f = create();
	struct ipc_sa_add in = request(IPC_IN, 0, IPC_AES256_GCM16);
	struct dp_sa_in *sa = add_in(f, &in);
	uint8_t message[17];
	struct ipc_sa_info info;

	(void)state;
	assert_int_equal(bytes_of("287f346bd4ef7a812d56b8d3afc5459c00", message), sizeof(message));
	(void)dp_sa_take_changed(&f->x->w);
	assert_int_equal(open_other(&f->x->w, sa, message, sizeof(message)), DP_OVPN_OCC);
	assert_false(dp_sa_take_changed(&f->x->w));
	message[16] = 6;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(open_other(&f->x->w, sa, message, sizeof(message)), DP_OVPN_OCC);
		assert_int_equal(dp_sa_take_changed(&f->x->w), i == 0);
		assert_int_equal(dp_sa_query(&f->x->w, &in.id, &info), 0);
		assert_true(info.flags & IPC_SA_EXITED);
	}
	destroy(f);
}

static void keeps_two_keys(void **state)
{
	struct fixture *f = create();
	struct ipc_sa_add add = request(IPC_IN, 0, IPC_AES256_GCM16);
	void *memory;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		add.openvpn.key_id = (uint8_t)i;
		add_in(f, &add);
	}
	add.id.spi_be = allocate(f);
	assert_int_equal(world_add(f->x, &add, TUNNEL), -EEXIST);
	add.openvpn.key_id = 2;
	assert_int_equal(world_add(f->x, &add, TUNNEL), -ENOSPC);
	add.id.spi_be = f->x->tunnels[TUNNEL].keys[0]->spi_be;
	assert_int_equal(dp_sa_delete(&f->x->w, &add.id, &memory), 0);
	dp_sa_free(memory);
	assert_null(f->x->tunnels[TUNNEL].keys[0]);
	add_in(f, &add);
	assert_int_equal(f->x->tunnels[TUNNEL].keys[0]->openvpn.first & 7, 2);
	destroy(f);
}

/* That a server understands it is tests/e2e/test_openvpn_life.py. */
static void says_that_we_end(void **state)
{
	struct fixture *f = create();
	struct ipc_sa_add esp = world_add_request(IPC_OUT, 0x1002, IPC_AES128_GCM16, 0);
	struct ipc_sa_add add = request(IPC_OUT, htonl(0x1001), IPC_AES256_GCM16);
	uint8_t *packet;

	(void)state;
	dp_ovpn_out_exit(&f->x->w, TUNNEL); /* without a key there is no way */
	assert_int_equal(world_add(f->x, &esp, TUNNEL), 0);
	dp_ovpn_out_exit(&f->x->w, TUNNEL);
	assert_int_equal(f->answers.n, 0);
	assert_int_equal(world_add(f->x, &add, TUNNEL), 0);
	f->answers.n = DP_BURST;
	dp_ovpn_out_exit(&f->x->w, TUNNEL);
	assert_int_equal(f->answers.n, DP_BURST);
	f->answers.n = 0;
	dp_ovpn_out_exit(&f->x->w, TUNNEL);
	assert_int_equal(f->answers.n, 1);
	packet = rte_pktmbuf_mtod(f->answers.p[0].m, uint8_t *);
	assert_int_equal(f->answers.p[0].m->data_len, OUTER + 24 + DP_OVPN_EXIT_BYTES);
	assert_int_equal(packet[OUTER] >> 3, DP_OVPN_DATA_V2);
	destroy(f);
}

/* ---- epochs ---- */

static struct ipc_sa_add request_epoch(enum ipc_direction direction, const char *secret,
                                       uint32_t spi_be)
{
	struct ipc_sa_add add = request(direction, spi_be, IPC_AES256_GCM16);

	memset(add.key, 0, sizeof(add.key));
	add.key_length = (uint16_t)bytes_of(secret, add.key);
	add.openvpn.format = IPC_OPENVPN_FORMAT_EPOCH;
	return add;
}

static struct dp_pkt *push_received(struct fixture *f, unsigned i)
{
	uint8_t packet[PACKET_MAX];

	return push_outer(f, packet, bytes_of(ovpn_epoch_received[i].packet, packet));
}

static void check_sent(struct fixture *f, unsigned i)
{
	uint8_t packet[PACKET_MAX], plain[PACKET_MAX];
	unsigned length = bytes_of(ovpn_epoch_sent[i].packet, packet),
		 n = bytes_of(ovpn_epoch_sent[i].plain, plain);
	const struct dp_pkt *p = world_push_inner(f->x, plain, n, TUNNEL);

	seal_all(f);
	assert_int_equal(p->verdict, DP_OK);
	assert_int_equal(p->l3_length, OUTER + length);
	assert_memory_equal(p->l3 + OUTER, packet, length);
	world_clear(f->x);
}

/* All of epoch 1 but the second packet have come, and epoch 2 has begun. */
static void check_late(struct fixture *f, struct dp_sa_in *sa)
{
	uint64_t top = sa->replay.top;
	struct dp_pkt *p = push_received(f, 1);

	p->l3[p->l3_length - 1] ^= 1; /* forged */
	open_all(f);
	assert_int_equal(p->verdict, DP_OVPN_ICV);
	world_clear(f->x);
	push_received(f, 1);
	push_received(f, 1); /* once, in one burst too */
	open_all(f);
	assert_int_equal(f->x->batch.p[0].verdict, DP_OK);
	assert_int_equal(f->x->batch.p[1].verdict, DP_OVPN_REPLAY);
	world_clear(f->x);
	for (unsigned i = 0; i < 3; i++) {
		p = push_received(f, i);
		open_all(f);
		assert_int_equal(p->verdict, DP_OVPN_REPLAY);
		world_clear(f->x);
	}
	assert_int_equal(sa->epoch.number, 2);
	assert_true(sa->replay.top == top); /* its own window is another one */
}

/* Of the epoch before those among the last 64, each once. */
static void takes_what_is_late(void **state)
{
	const uint64_t begin = 7ull << DP_OVPN_COUNTER_BITS;
	struct dp_ovpn_late late = { .epoch = { .number = 7 }, .top = begin + 100, .seen = 1 };

	(void)state;
	assert_true(dp_ovpn_epoch_is_late(&late, begin + 1));
	assert_false(dp_ovpn_epoch_is_late(&late, begin - 1));
	assert_false(dp_ovpn_epoch_commit_late(&late, begin + 100));
	assert_false(dp_ovpn_epoch_commit_late(&late, begin + 36));
	assert_true(dp_ovpn_epoch_commit_late(&late, begin + 37));
	assert_false(dp_ovpn_epoch_commit_late(&late, begin + 37));
	assert_true(dp_ovpn_epoch_commit_late(&late, begin + 101)); /* the last one, overtaken */
	assert_false(dp_ovpn_epoch_commit_late(&late, begin + 100));
	assert_false(dp_ovpn_epoch_commit_late(&late, begin + 37));
	assert_true(dp_ovpn_epoch_commit_late(&late, begin + 38));
	assert_true(dp_ovpn_epoch_commit_late(&late, begin + 1000));
	assert_false(dp_ovpn_epoch_commit_late(&late, begin + 101));
	assert_true(dp_ovpn_epoch_commit_late(&late, begin + 999));
	late = (struct dp_ovpn_late){ 0 }; /* there was none */
	assert_false(dp_ovpn_epoch_is_late(&late, 1));
}

static void check_volume_moves_on(struct fixture *f, const struct dp_sa_out *sender)
{
	static const uint8_t inner[40] = { 0x45, 0, 0, 40 };
	const struct dp_pkt *p = world_push_inner(f->x, inner, sizeof(inner), TUNNEL);

	seal_all(f);
	assert_int_equal(p->verdict, DP_OK);
	assert_int_equal(ntohs(dp_load16(p->l3 + OUTER + 4)), 2);
	world_clear(f->x);
	p = world_push_inner(f->x, inner, sizeof(inner), TUNNEL);
	seal_all(f);
	assert_int_equal(p->verdict, DP_OK);
	assert_int_equal(ntohs(dp_load16(p->l3 + OUTER + 4)), 3);
	assert_true(sender->sequence == (3ull << DP_OVPN_COUNTER_BITS | 1));
}

static void speaks_in_epochs(void **state)
{
	struct fixture *f = create();
	struct ipc_sa_add in = request_epoch(IPC_IN, ovpn_epoch_receive, 0), out;
	struct dp_sa_in *sa = add_in(f, &in);
	struct dp_sa_out *sender;
	struct dp_pkt *p;

	(void)state;
	out = request_epoch(IPC_OUT, ovpn_epoch_send, in.id.spi_be);
	assert_int_equal(world_add(f->x, &out, TUNNEL), 0);
	sender = f->x->tunnels[TUNNEL].out;
	for (unsigned i = 0; i < 3; i++)
		check_sent(f, i);
	p = push_received(f, 4); /* of epoch 2, forged */
	p->l3[p->l3_length - 1] ^= 1;
	open_all(f);
	assert_int_equal(p->verdict, DP_OVPN_ICV);
	assert_int_equal(sa->epoch.number, 1);
	world_clear(f->x);
	for (unsigned i = 0; i < 6; i++) /* all in one burst, but for one of epoch 1 */
		if (i != 1)
			push_received(f, i);
	open_all(f);
	for (unsigned i = 0, k = 0; i < 6; i++) {
		uint8_t plain[PACKET_MAX];
		unsigned n = bytes_of(ovpn_epoch_received[i].plain, plain);

		if (i == 1)
			continue;
		p = &f->x->batch.p[k++];
		assert_int_equal(p->verdict, DP_OK);
		assert_int_equal(p->l3_length, n);
		assert_memory_equal(p->l3, plain, n);
	}
	world_clear(f->x);
	assert_int_equal(sa->epoch.number, 2);
	check_late(f, sa);
	p = push_received(f, 5);
	open_all(f);
	assert_int_equal(p->verdict, DP_OVPN_REPLAY);
	world_clear(f->x);
	assert_int_equal(sender->epoch.number, 2); /* it followed */
	for (unsigned i = 3; i < 6; i++)
		check_sent(f, i);
	sender->openvpn.volume = sender->openvpn.volume_mark; /* enough for this one */
	check_volume_moves_on(f, sender);
	destroy(f);
}

/* Forgeries of a later epoch cost a key its own tries, which come back, and no other key's. */
static void forgers_have_a_budget(void **state)
{
	struct fixture *f = create();
	struct ipc_sa_add in = request_epoch(IPC_IN, ovpn_epoch_receive, 0);
	struct dp_sa_in *sa = add_in(f, &in);
	struct dp_pkt *p;

	(void)state;
	f->x->w.resync_limit.tokens = 0; /* ESP's has been used up just now */
	f->x->w.resync_limit.last_ns = f->x->w.now_ns;
	for (unsigned i = 0; i < 3 * DP_OVPN_EPOCH_PACKETS_PER_SECOND; i++) {
		p = push_received(f, 4);
		p->l3[p->l3_length - 1] ^= 1;
		open_all(f);
		assert_int_equal(p->verdict, DP_OVPN_ICV);
		world_clear(f->x);
	}
	assert_int_equal(f->x->w.epoch_limit.tokens,
	                 DP_OVPN_EPOCH_WORKER_PER_SECOND - DP_OVPN_EPOCH_PACKETS_PER_SECOND);
	p = push_received(f, 4);
	open_all(f);
	assert_int_equal(p->verdict, DP_OVPN_ICV); /* nothing is tried at the moment */
	assert_int_equal(sa->epoch.number, 1);
	world_clear(f->x);
	f->x->w.now_ns += 1000000000u;
	p = push_received(f, 4);
	open_all(f);
	assert_int_equal(p->verdict, DP_OK);
	assert_int_equal(sa->epoch.number, 2);
	destroy(f);
}

/* ---- the path's MTU ---- */

/* What an error would quote of the packet P that was just sealed. */
static struct dp_pmtu_quote quote_of(const struct dp_pkt *p, uint16_t mtu)
{
	uint8_t error[20 + 8 + OUTER + 8] = { 0x45 };
	struct dp_pmtu_quote quote;
	uint8_t *icmp = error + 20;

	icmp[0] = 3;
	icmp[1] = 4;
	dp_store16(icmp + 6, htons(mtu));
	memcpy(icmp + 8, p->l3, OUTER + 8);
	dp_store16(icmp + 2, (uint16_t)~dp_checksum_fold(dp_checksum_add(icmp, OUTER + 16, 0)));
	assert_int_equal(dp_pmtu_read(error, sizeof(error), &quote), 0);
	return quote;
}

static void believes_who_quotes_its_packets(void **state)
{
	static const uint32_t peer_ids[] = { 7, IPC_OPENVPN_NO_PEER };
	static const uint8_t inner[40] = { 0x45, 0, 0, 40 };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct fixture *f = create();
		struct ipc_sa_add add = request(IPC_OUT, htonl(0x10000), IPC_AES256_GCM16);
		struct ipc_peer peer = { .remote_be = htonl(WORLD_REMOTE),
			                 .openvpn_port_be = htons(PORT),
			                 .remote_port_be = htons(SERVER_PORT) };
		struct dp_pmtu_quote quote, other;
		struct dp_pkt *p;

		dp_peers_add(f->x->peers, &peer, TUNNEL);
		add.openvpn.peer_id = peer_ids[i];
		assert_int_equal(world_add(f->x, &add, TUNNEL), 0);
		f->x->tunnels[TUNNEL].out->sequence = 70000;
		p = world_push_inner(f->x, inner, sizeof(inner), TUNNEL);
		seal_all(f);
		assert_int_equal(p->verdict, DP_OK);
		assert_int_equal(p->l3[6], 0x40); /* DF */
		quote = quote_of(p, 1300);
		other = quote; /* another number, by far */
		if (i == 0)
			other.sequence ^= 0x00010000;
		else /* it begins a byte behind the first one */
			other.spi_be ^= htonl(0x00000100);
		assert_int_equal(dp_pmtu_learn(&f->x->w, &other), -ENOENT);
		other = quote;
		other.ports_be ^= htonl(1);
		assert_int_equal(dp_pmtu_learn(&f->x->w, &other), -ENOENT);
		other = quote;
		other.destination_be ^= htonl(1);
		assert_int_equal(dp_pmtu_learn(&f->x->w, &other), -ENOENT);
		assert_int_equal(f->x->tunnels[TUNNEL].inner_mtu, 1500 - 28 - (i ? 21 : 24));
		assert_int_equal(dp_pmtu_learn(&f->x->w, &quote), 0);
		assert_int_equal(f->x->tunnels[TUNNEL].inner_mtu, 1300 - 28 - (i ? 21 : 24));
		destroy(f);
	}
}

/* Nobody can quote what is encrypted: such packets may be fragmented. */
static void lets_cbc_be_fragmented(void **state)
{
	static const uint8_t inner[40] = { 0x45, 0, 0, 40 };
	struct fixture *f = create();
	struct ipc_sa_add add = request(IPC_OUT, htonl(0x10000), IPC_AES256_CBC_SHA256_256);

	(void)state;
	assert_int_equal(world_add(f->x, &add, TUNNEL), 0);
	f->x->w.identification = 0xfffe;
	for (unsigned i = 0; i < 3; i++)
		world_push_inner(f->x, inner, sizeof(inner), TUNNEL);
	seal_all(f);
	for (unsigned i = 0; i < 3; i++) {
		const struct dp_pkt *p = &f->x->batch.p[i];

		assert_int_equal(p->verdict, DP_OK);
		assert_int_equal(dp_load16(p->l3 + 6), 0);
		assert_int_equal(ntohs(dp_load16(p->l3 + 4)), (uint16_t)(0xfffe + i));
		assert_int_equal(dp_ipv4_sum(p->l3), 0xffff);
	}
	destroy(f);
}

/* ---- framing ---- */

static enum dp_verdict unframe(struct fixture *f, unsigned framing, unsigned flags,
                               const uint8_t *bytes, unsigned length, uint8_t *out, unsigned *n)
{
	struct dp_sa_in sa = { .openvpn = { .framing = (uint8_t)framing,
		                            .flags = (uint8_t)flags } };
	uint8_t packet[OUTER + PACKET_MAX] = { 0x45 }, *payload;
	struct dp_pkt *p;
	enum dp_verdict verdict;

	memcpy(packet + OUTER, bytes, length);
	p = world_push_outer(f->x, packet, OUTER + length);
	payload = p->l3 + OUTER;
	*n = length;
	verdict = dp_ovpn_unframe(&f->x->w, p, &sa, &payload, n);
	if (verdict == DP_OK)
		memcpy(out, payload, *n);
	world_clear(f->x);
	return verdict;
}

static void undoes_framing(void **state)
{
	enum {
		NONE = IPC_OPENVPN_FRAMING_NONE,
		LZO = IPC_OPENVPN_FRAMING_LZO_NO,
		STUB = IPC_OPENVPN_FRAMING_STUB,
		V2 = IPC_OPENVPN_FRAMING_STUB_V2
	};
	static const struct {
		unsigned framing;
		const char *framed, *plain; /* NULL: refused */
		enum dp_verdict verdict;
	} cases[] = {
		{ NONE, "450102", "450102", DP_OK },
		{ LZO, "fa450102", "450102", DP_OK },
		{ LZO, "66450102", NULL, DP_OVPN_COMPRESSED },
		{ LZO, "45450102", NULL, DP_OVPN_FRAMING },
		{ STUB, "fb010245", "450102", DP_OK },
		{ STUB, "fb45", "45", DP_OK },
		{ STUB, "fb", NULL, DP_OVPN_FRAMING },
		{ STUB, "69010245", NULL, DP_OVPN_COMPRESSED },
		{ STUB, "66010245", NULL, DP_OVPN_COMPRESSED },
		{ STUB, "45010245", NULL, DP_OVPN_FRAMING },
		{ V2, "450102", "450102", DP_OK },
		{ V2, "50005001", "5001", DP_OK },
		{ V2, "5000", NULL, DP_OVPN_FRAMING },
		{ V2, "50", NULL, DP_OVPN_FRAMING },
		{ V2, "50010245", NULL, DP_OVPN_COMPRESSED },
		{ V2, "50020245", NULL, DP_OVPN_COMPRESSED },
		{ V2, "50030245", NULL, DP_OVPN_FRAMING },
	};
	struct fixture *f = create();

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(cases); i++) {
		uint8_t framed[8], plain[8], out[PACKET_MAX];
		unsigned n;

		assert_int_equal(unframe(f, cases[i].framing, 0, framed,
		                         bytes_of(cases[i].framed, framed), out, &n),
		                 cases[i].verdict);
		if (!cases[i].plain)
			continue;
		assert_int_equal(n, bytes_of(cases[i].plain, plain));
		assert_memory_equal(out, plain, n);
	}
	destroy(f);
}

/* LZ4 in both families, as large as a buffer takes and one more. */
static void decompresses(void **state)
{
	static uint8_t plain[4096], packed[4096], framed[4096], out[4096];
	struct fixture *f = create();
	unsigned room = RTE_MBUF_DEFAULT_DATAROOM, n;

	(void)state;
	for (unsigned i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)(i / 64);
	for (unsigned length = 40; length <= room + 1; length = length < 1500 ? 1500 : length + 1) {
		int bytes = LZ4_compress_default((const char *)plain, (char *)packed, (int)length,
		                                 sizeof(packed));
		enum dp_verdict expected = length <= room ? DP_OK : DP_OVPN_COMPRESSED;

		assert_true(bytes > 1);
		framed[0] = 0x50;
		framed[1] = 1;
		memcpy(framed + 2, packed, (size_t)bytes);
		assert_int_equal(unframe(f, IPC_OPENVPN_FRAMING_STUB_V2, IPC_OPENVPN_LZ4, framed,
		                         (unsigned)bytes + 2, out, &n),
		                 expected);
		if (expected == DP_OK) {
			assert_int_equal(n, length);
			assert_memory_equal(out, plain, length);
		}
		framed[0] = 0x69;
		memcpy(framed + 1, packed + 1, (size_t)bytes - 1);
		framed[bytes] = packed[0];
		assert_int_equal(unframe(f, IPC_OPENVPN_FRAMING_STUB, IPC_OPENVPN_LZ4, framed,
		                         (unsigned)bytes + 1, out, &n),
		                 expected);
		assert_int_equal(unframe(f, IPC_OPENVPN_FRAMING_STUB, IPC_OPENVPN_LZ4, framed,
		                         (unsigned)bytes, out, &n), /* cut off */
		                 DP_OVPN_COMPRESSED);
	}
	destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_the_vectors),
		cmocka_unit_test(seals_the_vectors),
		cmocka_unit_test(ends_before_a_nonce_comes_again),
		cmocka_unit_test(takes_a_number_once_in_a_burst),
		cmocka_unit_test(floats),
		cmocka_unit_test(floats_once_in_a_while),
		cmocka_unit_test(tells_an_exit_once),
		cmocka_unit_test(keeps_two_keys),
		cmocka_unit_test(says_that_we_end),
		cmocka_unit_test(speaks_in_epochs),
		cmocka_unit_test(takes_what_is_late),
		cmocka_unit_test(forgers_have_a_budget),
		cmocka_unit_test(believes_who_quotes_its_packets),
		cmocka_unit_test(lets_cbc_be_fragmented),
		cmocka_unit_test(undoes_framing),
		cmocka_unit_test(decompresses),
	};

	return cmocka_run_group_tests(tests, world_eal, NULL);
}
