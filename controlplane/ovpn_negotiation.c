/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One negotiation of data keys between us and an OpenVPN server.
 */
#include "controlplane/ovpn_negotiation.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#define FIRST_CONTROL 1u /* the id of the packet behind the reset */
/* Bytes that may wait for us to read them. What comes then stays in the window, which a server may
 * fill but not move on: so one that acknowledges nothing takes no more of our memory than that. */
#define UNREAD_MAX 65536u

static bool fill_entropy(struct sp_secret *secrets)
{
	secrets->length = sizeof(struct cp_ovpn_entropy);
	return RAND_bytes(secrets->data, (int)secrets->length) == 1;
}

struct cp_ovpn_negotiation *cp_ovpn_negotiation_create(struct cp_ovpn_tls *tls, uint8_t key_id,
                                                       enum cp_ovpn_opcode opcode,
                                                       uint32_t timeout_ms, uint64_t now_ms)
{
	struct cp_ovpn_negotiation *negotiation = calloc(1, sizeof(*negotiation));

	if (!negotiation)
		return NULL;
	negotiation->key_id = key_id;
	negotiation->phase = CP_OVPN_RESETTING;
	negotiation->begun_ms = now_ms;
	negotiation->stream = cp_ovpn_tls_stream_create(tls);
	negotiation->secrets = sp_secret_create();
	if (!negotiation->stream || !negotiation->secrets || !fill_entropy(negotiation->secrets)) {
		cp_ovpn_negotiation_destroy(negotiation);
		return NULL;
	}
	cp_ovpn_reliable_init(&negotiation->reliable, timeout_ms);
	cp_ovpn_reliable_push(&negotiation->reliable, opcode, NULL, 0, now_ms);
	return negotiation;
}

void cp_ovpn_negotiation_destroy(struct cp_ovpn_negotiation *negotiation)
{
	if (!negotiation)
		return;
	cp_ovpn_tls_stream_destroy(negotiation->stream);
	sp_secret_destroy(negotiation->secrets);
	sp_wipe(&negotiation->server, sizeof(negotiation->server));
	free(negotiation);
}

const struct cp_ovpn_entropy *cp_ovpn_negotiation_entropy(
	const struct cp_ovpn_negotiation *negotiation)
{
	return (const struct cp_ovpn_entropy *)(const void *)negotiation->secrets->data;
}

void cp_ovpn_negotiation_receive(struct cp_ovpn_negotiation *negotiation, uint8_t opcode,
                                 const struct cp_ovpn_body *body, uint64_t now_ms)
{
	struct cp_ovpn_reliable *reliable = &negotiation->reliable;
	bool is_first = reliable->next_in == 0;

	cp_ovpn_reliable_acked(reliable, body->acks, body->ack_count);
	if (opcode == CP_OVPN_ACK)
		return;
	if (cp_ovpn_reliable_receive(reliable, opcode, body->id, body->payload,
	                             body->payload_length) &&
	    is_first && body->id == 0)
		cp_ovpn_reliable_hurry(reliable, now_ms);
}

static int fail(char why[CP_WHY_LEN], const char *what)
{
	snprintf(why, CP_WHY_LEN, "%s", what);
	return -EPROTO;
}

/* The server's reset. */
static int take_reset(struct cp_ovpn_negotiation *negotiation,
                      const struct cp_ovpn_incoming *packet, char why[CP_WHY_LEN])
{
	uint8_t wanted = negotiation->key_id ? CP_OVPN_SOFT_RESET : CP_OVPN_HARD_RESET_SERVER;
	uint16_t flags;

	if (packet->opcode != wanted)
		return fail(why, "the server did not begin with a reset");
	if (wanted == CP_OVPN_SOFT_RESET)
		return 0;
	if (cp_ovpn_early_parse(packet->payload, packet->length, &flags) < 0)
		return fail(why, "the server's reset is malformed");
	negotiation->wants_wkc = (flags & CP_OVPN_EARLY_RESEND_WKC) && negotiation->wkc_length > 0;
	return 0;
}

/* What came in order, into TLS. */
static int deliver(struct cp_ovpn_negotiation *negotiation, char why[CP_WHY_LEN])
{
	const struct cp_ovpn_incoming *packet;

	while (cp_ovpn_tls_unread(negotiation->stream) < UNREAD_MAX &&
	       (packet = cp_ovpn_reliable_next(&negotiation->reliable))) {
		int rc = 0;

		if (negotiation->reliable.next_in == FIRST_CONTROL)
			rc = take_reset(negotiation, packet, why);
		else if (packet->opcode != CP_OVPN_CONTROL)
			rc = fail(why, "the server reset the session in the middle of it");
		else if (packet->length > 0 &&
		         cp_ovpn_tls_feed(negotiation->stream, packet->payload, packet->length) < 0)
			rc = fail(why, "out of memory");
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* What TLS has to say, into the window. */
static void fill(struct cp_ovpn_negotiation *negotiation, uint64_t now_ms)
{
	struct cp_ovpn_reliable *reliable = &negotiation->reliable;
	uint8_t payload[CP_OVPN_PAYLOAD_MAX];

	while (cp_ovpn_reliable_has_room(reliable)) {
		bool has_wkc = negotiation->wants_wkc && reliable->next_out == FIRST_CONTROL;
		size_t room = negotiation->payload_max - (has_wkc ? negotiation->wkc_length : 0);
		size_t length = cp_ovpn_tls_drain(negotiation->stream, payload, room);

		if (length == 0)
			return;
		cp_ovpn_reliable_push(reliable, has_wkc ? CP_OVPN_CONTROL_WKC : CP_OVPN_CONTROL,
		                      payload, length, now_ms);
	}
}

static int take_hello(struct cp_ovpn_negotiation *negotiation, char why[CP_WHY_LEN])
{
	uint8_t record[CP_OVPN_RECORD_MAX];
	long length = cp_ovpn_tls_read(negotiation->stream, record, why);
	int rc = 0;

	if (length < 0)
		return -EPROTO;
	if (length == 0)
		return 0;
	if (cp_ovpn_server_hello_parse(&negotiation->server, record, (size_t)length) < 0)
		rc = fail(why, "the server does not speak key method 2");
	else
		negotiation->phase = CP_OVPN_HELLO_GOT;
	sp_wipe(record, (size_t)length);
	return rc;
}

static int shake(struct cp_ovpn_negotiation *negotiation, char why[CP_WHY_LEN])
{
	int rc = cp_ovpn_tls_shake(negotiation->stream, why);

	if (rc == 1)
		negotiation->phase = CP_OVPN_SHAKEN;
	return rc < 0 ? rc : 0;
}

int cp_ovpn_negotiation_step(struct cp_ovpn_negotiation *negotiation, uint64_t now_ms,
                             char why[CP_WHY_LEN])
{
	struct cp_ovpn_reliable *reliable = &negotiation->reliable;
	int rc = deliver(negotiation, why);

	if (rc == 0 && negotiation->phase == CP_OVPN_RESETTING && reliable->next_in > 0 &&
	    cp_ovpn_reliable_is_acked(reliable))
		negotiation->phase = CP_OVPN_SHAKING;
	if (rc == 0 && negotiation->phase == CP_OVPN_SHAKING)
		rc = shake(negotiation, why);
	if (rc == 0 && negotiation->phase == CP_OVPN_HELLO_SENT)
		rc = take_hello(negotiation, why);
	fill(negotiation, now_ms); /* an alert, too */
	if (rc == 0 && negotiation->phase == CP_OVPN_HELLO_GOT &&
	    cp_ovpn_reliable_is_acked(reliable)) {
		negotiation->phase = CP_OVPN_ACTIVE;
		negotiation->active_ms = now_ms;
	}
	return rc;
}

int cp_ovpn_negotiation_write(struct cp_ovpn_negotiation *negotiation, const uint8_t *bytes,
                              size_t length, uint64_t now_ms)
{
	int rc = cp_ovpn_tls_write(negotiation->stream, bytes, length);

	assert(negotiation->phase == CP_OVPN_SHAKEN || negotiation->phase == CP_OVPN_ACTIVE);
	if (rc < 0)
		return rc;
	if (negotiation->phase == CP_OVPN_SHAKEN)
		negotiation->phase = CP_OVPN_HELLO_SENT;
	fill(negotiation, now_ms);
	return 0;
}

long cp_ovpn_negotiation_read(struct cp_ovpn_negotiation *negotiation, uint8_t *bytes,
                              char why[CP_WHY_LEN])
{
	assert(negotiation->phase == CP_OVPN_ACTIVE);
	return cp_ovpn_tls_read(negotiation->stream, bytes, why);
}

bool cp_ovpn_negotiation_holds_acks(const struct cp_ovpn_negotiation *negotiation)
{
	return negotiation->wants_wkc && negotiation->reliable.next_out == FIRST_CONTROL;
}
