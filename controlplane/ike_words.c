/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a server's message says about why there will be no tunnel, in words.
 */
#include "controlplane/ike_words.h"

#include <encoding/payloads/delete_payload.h>
#include <encoding/payloads/notify_payload.h>

#include "controlplane/ike_eap.h"

#define LAST_ERROR 16383 /* higher notifications are status, RFC 7296 section 3.10.1 */

static bool is_exchange_of_child(message_t *message)
{
	return message->get_exchange_type(message) != IKE_SA_INIT;
}

/* What the server says in its own words; NULL: nothing of interest. */
static const char *notified_fault(message_t *message, enum cp_rank *rank)
{
	*rank = CP_RANK_EXACT;
	if (message->get_notify(message, NO_PROPOSAL_CHOSEN))
		return is_exchange_of_child(message)
		               ? "no common ESP proposal: the server accepts none of ours"
		               : "no common IKE proposal: the server accepts none of ours, or no client from our address";
	if (message->get_notify(message, TS_UNACCEPTABLE))
		return "the server does not accept our traffic selectors";
	if (message->get_notify(message, INTERNAL_ADDRESS_FAILURE))
		return "no virtual IP address: the server has none for us, or none left";
	if (message->get_notify(message, FAILED_CP_REQUIRED))
		return "no virtual IP address: the server refused the request for one";
	return NULL;
}

/* Refused in answer to the very first message that names anybody: no password was asked for yet. */
static bool refuses_names(message_t *message)
{
	return message->get_exchange_type(message) == IKE_AUTH &&
	       message->get_message_id(message) == 1 &&
	       message->get_notify(message, AUTHENTICATION_FAILED);
}

static bool deletes_ike(message_t *message)
{
	delete_payload_t *payload = (delete_payload_t *)message->get_payload(message, PLV2_DELETE);

	return payload && payload->get_protocol_id(payload) == PROTO_IKE;
}

static bool has_error(message_t *message)
{
	enumerator_t *enumerator = message->create_payload_enumerator(message);
	bool is_there = FALSE;
	payload_t *payload;

	while (!is_there && enumerator->enumerate(enumerator, &payload))
		is_there = payload->get_type(payload) == PLV2_NOTIFY &&
		           ((notify_payload_t *)payload)
		                           ->get_notify_type((notify_payload_t *)payload) <=
		                   LAST_ERROR;
	enumerator->destroy(enumerator);
	return is_there;
}

/* RFC 7296 section 1.2 wants AUTH in this answer, section 2.16 EAP. libcharon takes it for a
 * refusal of our account. */
static bool proves_nothing(message_t *message)
{
	return message->get_exchange_type(message) == IKE_AUTH && !message->get_request(message) &&
	       !message->get_payload(message, PLV2_AUTH) &&
	       !message->get_payload(message, PLV2_EAP) && !has_error(message);
}

void cp_ike_words_explain(const struct cp_ike *ike, const struct cp_ike_tunnel *tunnel,
                          ike_sa_t *ike_sa, message_t *message)
{
	const char *why = cp_ike_eap_watch(ike_sa, message);
	enum cp_rank rank = CP_RANK_EXACT;

	if (!why)
		why = notified_fault(message, &rank);
	if (!why && message->get_request(message) && deletes_ike(message)) {
		rank = CP_RANK_NOTIFY;
		why = "the server closed the connection";
	}
	if (!why && proves_nothing(message))
		why = "the server proves nothing: its answer has neither AUTH nor EAP in it";
	if (why)
		cp_ike_explain(ike, tunnel, ike_sa->get_unique_id(ike_sa), rank, "%s", why);
	else if (refuses_names(message))
		cp_ike_explain(
			ike, tunnel, ike_sa->get_unique_id(ike_sa), CP_RANK_EXACT,
			"the server refused %s: the account, or \"%s\" as its own identity, is not configured there",
			tunnel->server->auth == CP_AUTH_PSK ? "our account or secret"
			: tunnel->server->auth == CP_AUTH_CERTIFICATE
				? "our certificate"
				: "us before it asked for a proof",
			tunnel->server->identity);
}
