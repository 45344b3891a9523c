/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An OpenVPN server for the tests of a session.
 */
#include "tests/unit/controlplane/ovpn_peer.h"

#include "controlplane/ovpn_resume.h"

#include "controlplane/ovpn_bytes.h"
#include "controlplane/ovpn_push.h"
#include "controlplane/ovpn_tls.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define PAYLOAD 1100u
#define UP_PUSH                                                                 \
	"PUSH_REPLY,ifconfig 10.8.0.2 255.255.255.0,topology subnet,peer-id 7," \
	"cipher AES-256-GCM,ping 10,ping-restart 120,protocol-flags cc-exit tls-ekm"

/* ---- the client's side ---- */

static void note(struct peer *peer, const char *format, unsigned number)
{
	size_t length = strlen(peer->events);

	snprintf(peer->events + length, sizeof(peer->events) - length, format, number);
}

static void put(struct peer *peer, struct peer_queue *queue, const uint8_t *bytes, size_t length)
{
	if (peer->loss_percent && (unsigned)rand_r(&peer->seed) % 100 < peer->loss_percent)
		return;
	assert_true(queue->count < 64 && length <= CP_OVPN_PACKET_MAX);
	queue->packets[queue->count].length = length;
	memcpy(queue->packets[queue->count++].bytes, bytes, length);
}

static void on_send(void *context, const uint8_t *packet, size_t length)
{
	struct peer *peer = context;
	size_t at = strlen(peer->opcodes);

	snprintf(peer->opcodes + at, sizeof(peer->opcodes) - at, "%u ", packet[0] >> 3);
	put(peer, &peer->to_server, packet, length);
}

static void on_up(void *context, const struct cp_ovpn_push *push)
{
	assert_true(push->is_complete);
	note(context, "up ", 0);
}

static void on_key(void *context, const struct cp_ovpn_key *key)
{
	struct peer *peer = context;

	peer->key = *key;
	note(peer, "key%u ", key->key_id);
}

static void on_use(void *context, uint8_t key_id)
{
	note(context, "use%u ", key_id);
}

static void on_forget(void *context, uint8_t key_id)
{
	note(context, "forget%u ", key_id);
}

static void on_unrenewed(void *context, const char *why)
{
	struct peer *peer = context;

	snprintf(peer->unrenewed, sizeof(peer->unrenewed), "%s", why);
	note(peer, "unrenewed ", 0);
}

static void on_stuck(void *context)
{
	note(context, "stuck ", 0);
}

static void on_send_exit(void *context)
{
	note(context, "occ-exit ", 0);
}

static void on_tell(void *context, const char *text)
{
	struct peer *peer = context;

	snprintf(peer->told, sizeof(peer->told), "%s", text);
	peer->tellings++;
}

static void on_ended(void *context, const struct cp_ovpn_end *end)
{
	struct peer *peer = context;

	peer->end = *end;
	note(peer, "ended ", 0);
}

static const struct cp_ovpn_calls calls = {
	.send = on_send,
	.up = on_up,
	.key = on_key,
	.use = on_use,
	.forget = on_forget,
	.unrenewed = on_unrenewed,
	.stuck = on_stuck,
	.send_exit = on_send_exit,
	.tell = on_tell,
	.ended = on_ended,
};

/* ---- its certificate ---- */

static char *pem_of(X509 *certificate)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text, *copy;
	long length;

	PEM_write_bio_X509(bio, certificate);
	length = BIO_get_mem_data(bio, &text);
	copy = strndup(text, (size_t)length);
	BIO_free(bio);
	return copy;
}

static void make_certificate(struct peer *peer)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	X509_NAME *name = X509_get_subject_name(certificate);

	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"server", -1, -1, 0);
	X509_set_issuer_name(certificate, name);
	X509_set_pubkey(certificate, key);
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
	peer->tls = SSL_CTX_new(TLS_server_method());
	assert_int_equal(SSL_CTX_use_certificate(peer->tls, certificate), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(peer->tls, key), 1);
	SSL_CTX_set_num_tickets(peer->tls, 0);
	peer->certificate = pem_of(certificate);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

/* ---- the server's side ---- */

static struct cp_ovpn_wrap *wrap_of(struct peer *peer)
{
	return peer->key_id && peer->has_renewals ? &peer->renewals : &peer->wrap;
}

static void begin(struct peer *peer, uint8_t key_id)
{
	static const uint8_t early[] = { 0, 1, 0, 2, 0, 1 };

	peer->key_id = key_id;
	peer->is_hello_done = false;
	SSL_free(peer->ssl);
	peer->ssl = SSL_new(peer->tls);
	SSL_set_bio(peer->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_accept_state(peer->ssl);
	cp_ovpn_reliable_init(&peer->reliable, 2000);
	cp_ovpn_reliable_push(&peer->reliable,
	                      key_id ? CP_OVPN_SOFT_RESET : CP_OVPN_HARD_RESET_SERVER, early,
	                      peer->wants_wkc && !key_id ? sizeof(early) : 0, peer->now_ms);
}

static void transmit(struct peer *peer, uint8_t opcode, struct cp_ovpn_body *body)
{
	uint8_t head[CP_OVPN_HEAD_LEN], bytes[CP_OVPN_PACKET_MAX], packet[CP_OVPN_PACKET_MAX];
	long length;

	head[0] = cp_ovpn_first_byte(opcode, peer->key_id);
	memcpy(head + 1, peer->own_id, sizeof(peer->own_id));
	memcpy(body->peer_session_id, peer->client_id, sizeof(peer->client_id));
	length = cp_ovpn_wrap(wrap_of(peer), head, bytes, cp_ovpn_body_write(body, opcode, bytes),
	                      packet, sizeof(packet));
	assert_true(length > 0);
	put(peer, &peer->to_client, packet, (size_t)length);
}

static size_t take_acks(struct peer *peer, uint32_t *acks, size_t max)
{
	size_t count = cp_ovpn_reliable_take_acks(&peer->reliable, acks, max), kept = 0;

	for (size_t i = 0; i < count; i++)
		if (!peer->is_thankless || acks[i] == 0)
			acks[kept++] = acks[i];
	return kept;
}

static void flush(struct peer *peer)
{
	struct cp_ovpn_reliable *reliable = &peer->reliable;
	const struct cp_ovpn_outgoing *due;

	if (peer->is_mute)
		return;
	while (cp_ovpn_reliable_has_room(reliable)) {
		uint8_t payload[PAYLOAD];
		int length = BIO_read(SSL_get_wbio(peer->ssl), payload, sizeof(payload));

		if (length <= 0)
			break;
		cp_ovpn_reliable_push(reliable, CP_OVPN_CONTROL, payload, (size_t)length,
		                      peer->now_ms);
	}
	while ((due = cp_ovpn_reliable_due(reliable, peer->now_ms))) {
		struct cp_ovpn_body body = { .id = due->id,
			                     .payload = due->payload,
			                     .payload_length = due->length };

		body.ack_count = take_acks(peer, body.acks, 4);
		transmit(peer, due->opcode, &body);
	}
	while (reliable->ack_count > 0) {
		struct cp_ovpn_body body = { 0 };

		body.ack_count = take_acks(peer, body.acks, 8);
		if (body.ack_count > 0)
			transmit(peer, CP_OVPN_ACK, &body);
	}
}

static void write_text(struct peer *peer, const char *text)
{
	assert_true(SSL_write(peer->ssl, text, (int)strlen(text) + 1) > 0);
}

/* The client's key method 2; our answer is the same without what only clients have. */
static void answer_hello(struct peer *peer, const uint8_t *bytes, size_t length)
{
	static const char options[] = "V4,dev-type tun,cipher AES-128-CBC,tls-server";
	uint8_t answer[256] = { 0, 0, 0, 0, 2 };
	size_t at = 5 + sizeof(peer->client_entropy);

	assert_true(length > at + 8 && bytes[4] == 2);
	memcpy(&peer->client_entropy, bytes + 5, sizeof(peer->client_entropy));
	at += 2u + cp_get_be16(bytes + at); /* options */
	peer->login[0] = 0;
	if (cp_get_be16(bytes + at)) {
		const char *account = (const char *)bytes + at + 2;

		at += 2u + cp_get_be16(bytes + at);
		snprintf(peer->login, sizeof(peer->login), "%s/%s", account,
		         (const char *)bytes + at + 2);
	}
	memset(&peer->entropy, 0x40 + peer->key_id, sizeof(peer->entropy));
	memcpy(answer + 5, peer->entropy.random1, 32);
	memcpy(answer + 37, peer->entropy.random2, 32);
	cp_put_be16(answer + 69, sizeof(options));
	memcpy(answer + 71, options, sizeof(options));
	assert_true(SSL_write(peer->ssl, answer, 71 + (int)sizeof(options) + 6) > 0);
	assert_int_equal(SSL_export_keying_material(peer->ssl, peer->key2, sizeof(peer->key2),
	                                            CP_OVPN_EKM_DATA, strlen(CP_OVPN_EKM_DATA),
	                                            NULL, 0, 0),
	                 1);
	if (peer->push && peer->key_id == 0)
		write_text(peer, peer->push);
}

static void read_records(struct peer *peer)
{
	uint8_t record[CP_OVPN_RECORD_MAX];
	int length;

	while ((length = SSL_read(peer->ssl, record, sizeof(record))) > 0) {
		size_t at = strlen(peer->heard);

		if (peer->is_hello_done)
			snprintf(peer->heard + at, sizeof(peer->heard) - at, "%s|",
			         (const char *)record);
		else
			answer_hello(peer, record, (size_t)length);
		peer->is_hello_done = true;
	}
}

static void deliver(struct peer *peer)
{
	const struct cp_ovpn_incoming *packet;

	while ((packet = cp_ovpn_reliable_next(&peer->reliable)))
		if (packet->length > 0)
			BIO_write(SSL_get_rbio(peer->ssl), packet->payload, (int)packet->length);
	read_records(peer);
}

static void serve(struct peer *peer, const struct peer_packet *packet)
{
	uint8_t opcode = cp_ovpn_opcode(packet->bytes[0]),
		key_id = cp_ovpn_key_id(packet->bytes[0]);
	uint8_t bytes[CP_OVPN_PACKET_MAX];
	size_t whole = packet->length;
	struct cp_ovpn_body body;
	long length;

	if (opcode == CP_OVPN_HARD_RESET_CLIENT_V3 || opcode == CP_OVPN_CONTROL_WKC)
		whole -= cp_get_be16(packet->bytes + whole - 2);
	if (opcode == CP_OVPN_SOFT_RESET && key_id != peer->key_id)
		begin(peer, key_id);
	if (key_id != peer->key_id)
		return;
	length = cp_ovpn_unwrap(wrap_of(peer), packet->bytes, whole, bytes);
	assert_true(length > 0);
	assert_int_equal(cp_ovpn_body_parse(&body, opcode, bytes, (size_t)length), 0);
	if (opcode == CP_OVPN_HARD_RESET_CLIENT || opcode == CP_OVPN_HARD_RESET_CLIENT_V3) {
		memcpy(peer->client_id, packet->bytes + 1, sizeof(peer->client_id));
		if (!peer->ssl)
			begin(peer, 0);
	}
	if (!peer->ssl)
		return;
	if (body.ack_count > 0)
		assert_memory_equal(body.peer_session_id, peer->own_id, sizeof(peer->own_id));
	cp_ovpn_reliable_acked(&peer->reliable, body.acks, body.ack_count);
	if (opcode != CP_OVPN_ACK)
		cp_ovpn_reliable_receive(&peer->reliable, opcode, body.id, body.payload,
		                         body.payload_length);
	deliver(peer);
	flush(peer);
}

/* ---- both ---- */

void peer_init(struct peer *peer)
{
	memset(peer, 0, sizeof(*peer));
	peer->now_ms = 1000;
	make_certificate(peer);
	memset(peer->own_id, 0x5e, sizeof(peer->own_id));
	cp_ovpn_settings_init(&peer->settings);
	strcpy(peer->settings.ca.file, "inline");
	peer->material.ca = peer->certificate;
	strcpy(peer->material.account, "alice");
	peer->material.password = sp_secret_create();
	peer->material.password->length = 6;
	memcpy(peer->material.password->data, "secret", 6);
	peer->settings.has_password = true;
	peer->token = sp_secret_create();
	peer->push = UP_PUSH;
}

void peer_fini(struct peer *peer)
{
	cp_ovpn_session_destroy(peer->session);
	sp_secret_destroy(peer->token);
	sp_secret_destroy(peer->material.password);
	sp_secret_destroy(peer->material.wrap);
	free(peer->certificate);
	SSL_free(peer->ssl);
	SSL_CTX_free(peer->tls);
}

static void create(struct peer *peer, uint32_t unix_s)
{
	char why[CP_WHY_LEN] = "";

	peer->session = cp_ovpn_session_create(&peer->settings, &peer->material, &peer->link,
	                                       peer->token, unix_s, &calls, peer, why);
	assert_string_equal(why[0] && !peer->session ? why : "", "");
}

void peer_start(struct peer *peer)
{
	create(peer, 100);
	cp_ovpn_session_start(peer->session, peer->now_ms);
}

int peer_resume(struct peer *peer, const uint8_t *bytes, size_t length, uint32_t unix_s)
{
	cp_ovpn_session_destroy(peer->session);
	peer->token->length = 0;
	peer->to_server.count = peer->to_client.count = 0;
	create(peer, unix_s);
	return cp_ovpn_session_resume(peer->session, bytes, length, peer->now_ms);
}

void peer_settle(struct peer *peer)
{
	while (peer->to_server.count > 0 || peer->to_client.count > 0) {
		struct peer_queue queue = peer->to_server;

		peer->to_server.count = 0;
		for (size_t i = 0; i < queue.count && !peer->is_mute; i++)
			serve(peer, &queue.packets[i]);
		queue = peer->to_client;
		peer->to_client.count = 0;
		for (size_t i = 0; i < queue.count; i++)
			cp_ovpn_session_receive(peer->session, queue.packets[i].bytes,
			                        queue.packets[i].length, peer->now_ms);
	}
}

void peer_pass(struct peer *peer, uint64_t until_ms)
{
	for (;;) {
		uint64_t next_ms = cp_ovpn_session_deadline_ms(peer->session);
		uint64_t server_ms = peer->ssl && !peer->is_mute
		                             ? cp_ovpn_reliable_deadline_ms(&peer->reliable)
		                             : UINT64_MAX;

		if (server_ms < next_ms)
			next_ms = server_ms;
		if (next_ms > until_ms)
			break;
		if (next_ms > peer->now_ms)
			peer->now_ms = next_ms;
		cp_ovpn_session_tick(peer->session, peer->now_ms);
		if (peer->ssl)
			flush(peer);
		peer_settle(peer);
	}
	peer->now_ms = until_ms;
}

void peer_say_later(struct peer *peer, const char *text)
{
	write_text(peer, text);
	flush(peer);
}

void peer_say(struct peer *peer, const char *text)
{
	write_text(peer, text);
	flush(peer);
	peer_settle(peer);
}

void peer_renegotiate(struct peer *peer)
{
	begin(peer, peer->key_id % 7 + 1);
	flush(peer);
}

const char *peer_events(struct peer *peer)
{
	static char events[sizeof(peer->events)];

	strcpy(events, peer->events);
	peer->events[0] = 0;
	return events;
}

void peer_connect(struct peer *peer)
{
	peer_start(peer);
	peer_settle(peer);
	assert_string_equal(peer_events(peer), "up key0 use0 ");
}

void peer_come_up(struct peer *peer)
{
	peer_init(peer);
	peer_connect(peer);
}
