/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a server says inside EAP, and a proper end of an EAP exchange that we give up.
 *
 * libcharon as a client just stops answering EAP, and sends an INFORMATIONAL that a strongSwan
 * server acknowledges and forgets: its half-open IKE_SA stays for 30 s. After five of them a stock
 * server ignores us, and every further attempt would look like a dead server. So that message
 * becomes an answer to the EAP request that waits for one, which ends the method there.
 */
#include "controlplane/ike_eap.h"

#include <daemon.h>
#include <encoding/payloads/eap_payload.h>
#include <encoding/payloads/notify_payload.h>

#include <string.h>

/* EAP-MSCHAPv2, draft-kamath-pppext-eap-mschapv2-02: OpCode behind the type, message behind 4 more
 * bytes. */
#define MSCHAPV2_OPCODE 5u
#define MSCHAPV2_MESSAGE 9u
#define MSCHAPV2_FAILURE 4u

/* The server's last message, of the IKE_SA that this thread works on. */
static __thread struct {
	u_int ike_id;
	uint32_t message_id;
	uint8_t identifier;
	bool is_request; /* an EAP request, not answered yet */
	bool is_mschapv2_failure;
} last;

static const char *words_of_error(int error)
{
	switch (error) {
	case 646:
		return "the server refused the account: not at this time of day";
	case 647:
		return "the server refused the account: it is disabled";
	case 648:
		return "the server refused the account: its password has expired";
	case 649:
		return "the server refused the account: it may not dial in";
	default:
		return NULL; /* 691, wrong password or account: as without EAP's own words */
	}
}

/* The failure packet says "E=691 R=1 C=... V=3 M=...". */
static const char *words_of_failure(chunk_t data)
{
	char text[128];
	size_t length = data.len - MSCHAPV2_MESSAGE;
	const char *error;

	if (length >= sizeof(text))
		length = sizeof(text) - 1;
	memcpy(text, data.ptr + MSCHAPV2_MESSAGE, length);
	text[length] = 0;
	error = strstr(text, "E=");
	return error ? words_of_error(atoi(error + 2)) : NULL;
}

const char *cp_ike_eap_watch(ike_sa_t *ike_sa, message_t *message)
{
	eap_payload_t *payload = (eap_payload_t *)message->get_payload(message, PLV2_EAP);
	uint32_t vendor;
	chunk_t data;

	memset(&last, 0, sizeof(last));
	if (!payload || message->get_request(message) || payload->get_code(payload) != EAP_REQUEST)
		return NULL;
	last.ike_id = ike_sa->get_unique_id(ike_sa);
	last.message_id = message->get_message_id(message);
	last.identifier = payload->get_identifier(payload);
	last.is_request = TRUE;
	data = payload->get_data(payload);
	if (payload->get_type(payload, &vendor) != EAP_MSCHAPV2 || data.len < MSCHAPV2_MESSAGE ||
	    data.ptr[MSCHAPV2_OPCODE] != MSCHAPV2_FAILURE)
		return NULL;
	last.is_mschapv2_failure = TRUE;
	return words_of_failure(data);
}

/* A failure is acknowledged in the method's own way, anything else refused. */
static eap_payload_t *last_answer(void)
{
	const u_char failure[] = { EAP_RESPONSE, last.identifier, 0, 6,
		                   EAP_MSCHAPV2, MSCHAPV2_FAILURE };

	if (last.is_mschapv2_failure)
		return eap_payload_create_data(chunk_from_thing(failure));
	return eap_payload_create_nak(last.identifier, 0, 0, FALSE);
}

/* The AUTHENTICATION_FAILED that libcharon tells in a message of its own. */
static bool remove_failure(message_t *message)
{
	enumerator_t *enumerator = message->create_payload_enumerator(message);
	bool was_there = FALSE;
	payload_t *payload;

	while (!was_there && enumerator->enumerate(enumerator, &payload)) {
		if (payload->get_type(payload) != PLV2_NOTIFY ||
		    ((notify_payload_t *)payload)->get_notify_type((notify_payload_t *)payload) !=
		            AUTHENTICATION_FAILED)
			continue;
		message->remove_payload_at(message, enumerator);
		payload->destroy(payload);
		was_there = TRUE;
	}
	enumerator->destroy(enumerator);
	return was_there;
}

void cp_ike_eap_give_up(ike_sa_t *ike_sa, message_t *message)
{
	if (!last.is_request || last.ike_id != ike_sa->get_unique_id(ike_sa) ||
	    message->get_exchange_type(message) != INFORMATIONAL ||
	    message->get_message_id(message) != last.message_id + 1 || !remove_failure(message))
		return;
	last.is_request = FALSE;
	message->set_exchange_type(message, IKE_AUTH);
	message->add_payload(message, (payload_t *)last_answer());
}
