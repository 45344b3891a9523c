/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OpenVPN's control channel (controlplane/ovpn_session.h) on a plain socket, for the tests that
 * meet it with stock servers. The data channel is a ping: AEAD ciphers, no framing.
 *
 *   openvpn-client KEY=VALUE...      what there is: set_option(), set_material()
 *
 * Prints what happens, a line each, and ends with status 0 when it did what it was told to: so many
 * keys, each with answered pings, and an end.
 */
#include "controlplane/ovpn_bytes.h"
#include "controlplane/ovpn_packet.h"
#include "controlplane/ovpn_push.h"
#include "controlplane/ovpn_session.h"
#include "controlplane/ovpn_material.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#define PING_EVERY_MS 50
#define TAG_LEN 16
#define IV_LEN 8

struct client {
	struct cp_ovpn_settings settings;
	struct cp_ovpn_material material;
	struct sp_secret *token;
	struct cp_ovpn_session *session;
	struct sockaddr_in server;
	bool is_tcp;
	int socket;
	uint8_t stream[4096]; /* TCP: what is not a whole packet yet */
	size_t stream_length;

	unsigned loss_percent; /* of control packets, each way */
	unsigned seed;
	unsigned keys_wanted; /* then it takes leave; 0: it stays until the server ends it */
	bool renegotiates;    /* asks for each key but the first */

	struct cp_ovpn_key keys[CP_OVPN_KEY_IDS];
	bool is_live[CP_OVPN_KEY_IDS];
	uint32_t sent[CP_OVPN_KEY_IDS]; /* packet ids */
	bool is_answered[CP_OVPN_KEY_IDS];
	int sending; /* -1: no key yet */
	uint8_t newest;
	unsigned keys_proved; /* a ping was answered under them */
	uint32_t local_be, target_be;
	uint64_t ping_ms;
	bool is_leaving, is_over;
	enum cp_ovpn_next next;
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void __attribute__((noreturn)) die(const char *what)
{
	printf("error %s\n", what);
	exit(2);
}

/* ---- the wire ---- */

static void put_on_wire(struct client *client, const uint8_t *packet, size_t length)
{
	uint8_t framed[2 + 4096];

	if (client->is_tcp) {
		cp_put_be16(framed, (uint16_t)length);
		memcpy(framed + 2, packet, length);
		if (write(client->socket, framed, length + 2) != (ssize_t)length + 2)
			printf("closed\n");
	} else if (send(client->socket, packet, length, 0) < 0 && errno != ECONNREFUSED) {
		die("send");
	}
}

static bool is_lost(struct client *client)
{
	return client->loss_percent && (unsigned)rand_r(&client->seed) % 100 < client->loss_percent;
}

/* ---- the data channel ---- */

static const EVP_CIPHER *cipher_of(const struct cp_ovpn_key *key)
{
	switch (key->algorithm) {
	case IPC_AES256_GCM16:
		return EVP_aes_256_gcm();
	case IPC_AES128_GCM16:
		return EVP_aes_128_gcm();
	case IPC_CHACHA20_POLY1305:
		return EVP_chacha20_poly1305();
	default:
		return NULL;
	}
}

static void nonce_of(const struct cp_ovpn_key *key, const uint8_t *secret, const uint8_t *id,
                     uint8_t nonce[12])
{
	memcpy(nonce, id, 4);
	memcpy(nonce + 4, secret + key->length - IV_LEN, IV_LEN);
}

static void send_data(struct client *client, const uint8_t *plain, size_t length)
{
	const struct cp_ovpn_key *key = &client->keys[client->sending];
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	bool has_peer = key->peer_id != IPC_OPENVPN_NO_PEER;
	size_t head = has_peer ? 4 : 1;
	uint8_t packet[2048], nonce[12];
	int written;

	cp_put_be32(packet, (uint32_t)cp_ovpn_first_byte(CP_OVPN_DATA_V2, key->key_id) << 24 |
	                            (key->peer_id & 0xffffff));
	if (!has_peer)
		packet[0] = cp_ovpn_first_byte(CP_OVPN_DATA_V1, key->key_id);
	cp_put_be32(packet + head, ++client->sent[key->key_id]);
	nonce_of(key, key->send, packet + head, nonce);
	EVP_EncryptInit_ex(context, cipher_of(key), NULL, key->send, nonce);
	EVP_EncryptUpdate(context, NULL, &written, has_peer ? packet : packet + 1,
	                  has_peer ? 8 : 4);
	EVP_EncryptUpdate(context, packet + head + 4 + TAG_LEN, &written, plain, (int)length);
	EVP_EncryptFinal_ex(context, NULL, &written);
	EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, packet + head + 4);
	EVP_CIPHER_CTX_free(context);
	put_on_wire(client, packet, head + 4 + TAG_LEN + length);
}

static uint16_t checksum(const uint8_t *bytes, size_t length)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < length; i += 2)
		sum += cp_get_be16(bytes + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void send_ping(struct client *client)
{
	uint8_t packet[60] = { 0x45, 0, 0, sizeof(packet), 0, 1, 0x40, 0, 64, 1 };

	memcpy(packet + 12, &client->local_be, 4);
	memcpy(packet + 16, &client->target_be, 4);
	packet[20] = 8;                        /* echo request */
	packet[24] = (uint8_t)client->sending; /* comes back: which key it went out under */
	cp_put_be16(packet + 22, checksum(packet + 20, sizeof(packet) - 20));
	cp_put_be16(packet + 10, checksum(packet, 20));
	send_data(client, packet, sizeof(packet));
}

static void take_data(struct client *client, const uint8_t *packet, size_t length)
{
	uint8_t key_id = cp_ovpn_key_id(packet[0]), nonce[12], plain[4096], tag[TAG_LEN];
	size_t head = cp_ovpn_opcode(packet[0]) == CP_OVPN_DATA_V2 ? 4 : 1;
	const struct cp_ovpn_key *key = &client->keys[key_id];
	EVP_CIPHER_CTX *context;
	int written = 0, ok;

	if (!client->is_live[key_id] || !cipher_of(key) || length <= head + 4 + TAG_LEN)
		return;
	nonce_of(key, key->receive, packet + head, nonce);
	memcpy(tag, packet + head + 4, TAG_LEN);
	context = EVP_CIPHER_CTX_new();
	EVP_DecryptInit_ex(context, cipher_of(key), NULL, key->receive, nonce);
	EVP_DecryptUpdate(context, NULL, &written, head == 4 ? packet : packet + 1,
	                  head == 4 ? 8 : 4);
	EVP_DecryptUpdate(context, plain, &written, packet + head + 4 + TAG_LEN,
	                  (int)(length - head - 4 - TAG_LEN));
	EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag);
	ok = EVP_DecryptFinal_ex(context, plain + written, &(int){ 0 }) == 1;
	EVP_CIPHER_CTX_free(context);
	if (!ok) {
		printf("undecipherable %u\n", key_id);
		return;
	}
	cp_ovpn_session_heard(client->session, key_id, now_ms());
	if (written >= 28 && plain[0] == 0x45 && plain[9] == 1 && plain[20] == 0 &&
	    plain[24] < CP_OVPN_KEY_IDS && !client->is_answered[plain[24]]) {
		client->is_answered[plain[24]] = true;
		client->keys_proved++;
		printf("answered %u\n", plain[24]);
	}
}

/* ---- what the session says ---- */

static void on_send(void *context, const uint8_t *packet, size_t length)
{
	struct client *client = context;

	if (!is_lost(client))
		put_on_wire(client, packet, length);
}

static void on_up(void *context, const struct cp_ovpn_push *push)
{
	struct client *client = context;
	char local[INET_ADDRSTRLEN];

	client->local_be = push->local_be;
	inet_ntop(AF_INET, &push->local_be, local, sizeof(local));
	printf("up %s ekm=%d exit=%d dynamic=%d tls=%s\n", local, push->has_tls_ekm,
	       push->has_cc_exit, push->has_dyn_tls_crypt, cp_ovpn_session_tls(client->session));
}

static void on_key(void *context, const struct cp_ovpn_key *key)
{
	struct client *client = context;

	client->keys[key->key_id] = *key;
	client->is_live[key->key_id] = true;
	client->is_answered[key->key_id] = false;
	client->sent[key->key_id] = 0;
	client->newest = key->key_id;
	printf("key %u cipher=%s framing=%u peer=%d\n", key->key_id, key->cipher, key->framing,
	       (int)key->peer_id);
}

static void on_use(void *context, uint8_t key_id)
{
	struct client *client = context;

	client->sending = key_id;
	printf("use %u\n", key_id);
}

static void on_forget(void *context, uint8_t key_id)
{
	struct client *client = context;

	client->is_live[key_id] = false;
	printf("forget %u\n", key_id);
}

static void on_unrenewed(void *context, const char *why)
{
	(void)context;
	printf("unrenewed %s\n", why);
}

static void on_stuck(void *context)
{
	(void)context;
	printf("stuck\n");
}

static void on_send_exit(void *context)
{
	static const uint8_t occ_exit[] = { 0x28, 0x7f, 0x34, 0x6b, 0xd4, 0xef, 0x7a, 0x81, 0x2d,
		                            0x56, 0xb8, 0xd3, 0xaf, 0xc5, 0x45, 0x9c, 6 };

	send_data(context, occ_exit, sizeof(occ_exit));
	printf("exit in the data channel\n");
}

static void on_tell(void *context, const char *text)
{
	(void)context;
	printf("tell %s\n", text);
}

static void on_ended(void *context, const struct cp_ovpn_end *end)
{
	struct client *client = context;

	client->is_over = true;
	client->next = end->next;
	printf("ended next=%d pause=%u rank=%d token=%d %s\n", end->next, end->pause_s, end->rank,
	       client->token->length > 0, end->why);
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

/* ---- what it is told ---- */

static char *read_text(const char *path)
{
	char *text = calloc(1, 65536);
	FILE *file = fopen(path, "r");

	if (!text || !file || fread(text, 1, 65535, file) == 0)
		die(path);
	fclose(file);
	return text;
}

static struct sp_secret *secret_of(const void *bytes, size_t length)
{
	struct sp_secret *secret = sp_secret_create();

	if (!secret || length > SP_SECRET_MAX)
		die("memory");
	memcpy(secret->data, bytes, length);
	secret->length = length;
	return secret;
}

/* The hexadecimal lines between BEGIN and END. */
static void read_static_key(struct client *client, const char *path)
{
	char *text = read_text(path), *at = strstr(text, "V1-----\n");
	uint8_t key[CP_OVPN_STATIC_KEY_LEN];

	if (!at)
		die(path);
	at = strchr(at, '\n');
	for (size_t i = 0; i < sizeof(key); i++) {
		unsigned byte;

		at += strspn(at, "\n");
		if (sscanf(at, "%2x", &byte) != 1)
			die(path);
		key[i] = (uint8_t)byte;
		at += 2;
	}
	client->material.wrap = secret_of(key, sizeof(key));
	free(text);
}

static void read_client_key(struct client *client, const char *path)
{
	BIO *bio = BIO_new_file(path, "r");
	char *name = NULL, *header = NULL;
	unsigned char *data = NULL;
	long length = 0;

	if (!bio || !PEM_read_bio(bio, &name, &header, &data, &length) ||
	    length <= (long)CP_OVPN_STATIC_KEY_LEN)
		die(path);
	client->material.wrap = secret_of(data, CP_OVPN_STATIC_KEY_LEN);
	client->material.wkc_length = (size_t)length - CP_OVPN_STATIC_KEY_LEN;
	memcpy(client->material.wkc, data + CP_OVPN_STATIC_KEY_LEN, client->material.wkc_length);
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(data);
	BIO_free(bio);
}

static bool set_material(struct client *client, const char *key, const char *value)
{
	struct cp_ovpn_material *material = &client->material;
	struct cp_ovpn_settings *settings = &client->settings;

	if (strcmp(key, "ca") == 0) {
		material->ca = read_text(value);
		strcpy(settings->ca.file, "there");
	} else if (strcmp(key, "crl") == 0) {
		material->crl = read_text(value);
	} else if (strcmp(key, "cert") == 0) {
		material->certificate = read_text(value);
	} else if (strcmp(key, "key") == 0) {
		char *text = read_text(value);

		material->key = secret_of(text, strlen(text));
		free(text);
	} else if (strcmp(key, "account") == 0) {
		snprintf(material->account, sizeof(material->account), "%s", value);
	} else if (strcmp(key, "password") == 0) {
		material->password = secret_of(value, strlen(value));
	} else if (strcmp(key, "tls-auth") == 0) {
		settings->wrapping = CP_OVPN_TLS_AUTH;
		read_static_key(client, value);
	} else if (strcmp(key, "tls-crypt") == 0) {
		settings->wrapping = CP_OVPN_TLS_CRYPT;
		read_static_key(client, value);
	} else if (strcmp(key, "tls-crypt-v2") == 0) {
		settings->wrapping = CP_OVPN_TLS_CRYPT_V2;
		read_client_key(client, value);
	} else {
		return false;
	}
	return true;
}

static void set_ciphers(struct cp_ovpn_settings *settings, const char *list)
{
	char copy[256], *rest = NULL;

	snprintf(copy, sizeof(copy), "%s", list);
	settings->cipher_count = 0;
	for (char *name = strtok_r(copy, ":", &rest); name; name = strtok_r(NULL, ":", &rest))
		if (cp_ovpn_cipher_parse(name, &settings->ciphers[settings->cipher_count++]) < 0)
			die(name);
}

static void set_fingerprint(struct cp_ovpn_settings *settings, const char *hex)
{
	uint8_t *fingerprint = settings->fingerprints[settings->fingerprint_count++];

	for (size_t i = 0; i < 32; i++) {
		unsigned byte;

		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			die("fingerprint");
		fingerprint[i] = (uint8_t)byte;
	}
}

static bool set_option(struct client *client, const char *key, const char *value)
{
	struct cp_ovpn_settings *settings = &client->settings;
	unsigned number = (unsigned)strtoul(value, NULL, 10);

	if (strcmp(key, "server") == 0)
		inet_pton(AF_INET, value, &client->server.sin_addr);
	else if (strcmp(key, "target") == 0)
		inet_pton(AF_INET, value, &client->target_be);
	else if (strcmp(key, "port") == 0)
		client->server.sin_port = htons((uint16_t)number);
	else if (strcmp(key, "tcp") == 0)
		client->is_tcp = number;
	else if (strcmp(key, "loss") == 0)
		client->loss_percent = number;
	else if (strcmp(key, "seed") == 0)
		client->seed = number;
	else if (strcmp(key, "keys") == 0)
		client->keys_wanted = number;
	else if (strcmp(key, "renegotiate") == 0)
		client->renegotiates = number;
	else if (strcmp(key, "direction") == 0)
		settings->key_direction = (int)number;
	else if (strcmp(key, "digest") == 0)
		return cp_ovpn_digest_parse(value, &settings->digest) == 0;
	else if (strcmp(key, "fallback") == 0)
		return cp_ovpn_cipher_parse(value, &settings->fallback) == 0;
	else if (strcmp(key, "ciphers") == 0)
		set_ciphers(settings, value);
	else if (strcmp(key, "tls-max") == 0)
		settings->tls_max = strcmp(value, "1.2") == 0 ? CP_OVPN_TLS_1_2 : CP_OVPN_TLS_1_3;
	else if (strcmp(key, "tls-min") == 0)
		settings->tls_min = strcmp(value, "1.3") == 0 ? CP_OVPN_TLS_1_3 : CP_OVPN_TLS_1_2;
	else if (strcmp(key, "tls-cipher") == 0)
		snprintf(settings->tls_ciphers, sizeof(settings->tls_ciphers), "%s", value);
	else if (strcmp(key, "remote-cert-tls") == 0)
		settings->remote_cert_tls = number;
	else if (strcmp(key, "eku") == 0)
		snprintf(settings->eku, sizeof(settings->eku), "%s", value);
	else if (strcmp(key, "name-mode") == 0)
		settings->name_mode = (enum cp_ovpn_name_mode)number;
	else if (strcmp(key, "name") == 0)
		snprintf(settings->name, sizeof(settings->name), "%s", value);
	else if (strcmp(key, "fingerprint") == 0)
		set_fingerprint(settings, value);
	else if (strcmp(key, "hand-window") == 0)
		settings->hand_window_s = number;
	else if (strcmp(key, "reneg") == 0)
		settings->reneg_s = number;
	else if (strcmp(key, "control-bytes") == 0)
		settings->control_bytes = (uint16_t)number;
	else
		return false;
	return true;
}

/* ---- its life ---- */

static void take(struct client *client, const uint8_t *packet, size_t length)
{
	uint8_t opcode = length > 0 ? cp_ovpn_opcode(packet[0]) : 0;

	if (opcode == CP_OVPN_DATA_V1 || opcode == CP_OVPN_DATA_V2)
		take_data(client, packet, length);
	else if (!is_lost(client))
		cp_ovpn_session_receive(client->session, packet, length, now_ms());
}

static bool receive(struct client *client)
{
	uint8_t packet[4096];
	ssize_t length;

	if (!client->is_tcp) {
		length = recv(client->socket, packet, sizeof(packet), MSG_DONTWAIT);
		if (length > 0)
			take(client, packet, (size_t)length);
		return length > 0;
	}
	length = recv(client->socket, client->stream + client->stream_length,
	              sizeof(client->stream) - client->stream_length, MSG_DONTWAIT);
	if (length <= 0)
		return false;
	client->stream_length += (size_t)length;
	while (client->stream_length >= 2 &&
	       client->stream_length >= 2u + cp_get_be16(client->stream)) {
		size_t one = 2u + cp_get_be16(client->stream);

		memcpy(packet, client->stream + 2, one - 2);
		client->stream_length -= one;
		memmove(client->stream, client->stream + one, client->stream_length);
		take(client, packet, one - 2);
	}
	return true;
}

static void act(struct client *client)
{
	uint64_t now = now_ms();

	cp_ovpn_session_tick(client->session, now);
	if (client->sending >= 0 && !client->is_leaving && client->target_be &&
	    now >= client->ping_ms && cipher_of(&client->keys[client->sending])) {
		client->ping_ms = now + PING_EVERY_MS;
		send_ping(client);
	}
	if (client->keys_wanted && client->keys_proved >= client->keys_wanted &&
	    !client->is_leaving) {
		client->is_leaving = true;
		cp_ovpn_session_stop(client->session, now);
	} else if (client->renegotiates && client->sending == client->newest &&
	           client->is_answered[client->newest] && !client->is_leaving) {
		cp_ovpn_session_renegotiate(client->session, now);
	}
}

static void run(struct client *client)
{
	while (!client->is_over) {
		uint64_t deadline = cp_ovpn_session_deadline_ms(client->session), now = now_ms();
		struct pollfd ready = { .fd = client->socket, .events = POLLIN };
		uint64_t wait = deadline > now ? deadline - now : 0;

		if (client->sending >= 0 && wait > PING_EVERY_MS)
			wait = PING_EVERY_MS;
		poll(&ready, 1, wait > 1000 ? 1000 : (int)wait);
		while (receive(client) && !client->is_over)
			;
		act(client);
	}
}

int main(int argc, char **argv)
{
	static struct client client = { .sending = -1 };
	char why[CP_WHY_LEN];

	setvbuf(stdout, NULL, _IOLBF, 0);
	cp_ovpn_settings_init(&client.settings);
	client.server.sin_family = AF_INET;
	client.token = sp_secret_create();
	for (int i = 1; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (!value)
			die(argv[i]);
		*value++ = 0;
		if (!set_option(&client, argv[i], value) && !set_material(&client, argv[i], value))
			die(argv[i]);
	}
	client.socket = socket(AF_INET, client.is_tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
	if (connect(client.socket, (struct sockaddr *)&client.server, sizeof(client.server)) < 0)
		die("connect");
	client.session = cp_ovpn_session_create(
		&client.settings, &client.material, &(struct cp_ovpn_link){ client.is_tcp, false },
		client.token, (uint32_t)time(NULL), &calls, &client, why);
	if (!client.session)
		die(why);
	cp_ovpn_session_start(client.session, now_ms());
	run(&client);
	cp_ovpn_session_destroy(client.session);
	cp_ovpn_material_wipe(&client.material);
	sp_secret_destroy(client.token);
	close(client.socket);
	return client.keys_wanted && client.keys_proved >= client.keys_wanted ? 0 : 1;
}
