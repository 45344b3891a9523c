/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What libcharon's bus tells, as events of tunnels and reasons in words.
 *
 * All of this runs on libcharon's threads with the bus locked and the IKE_SA checked out: it copies
 * and reports.
 */
#include "controlplane/ike_listener.h"

#include <daemon.h>
#include <encoding/payloads/delete_payload.h>

#include <stdio.h>
#include <string.h>

typedef struct private_listener_t private_listener_t;

struct private_listener_t {
	listener_t public;
	struct cp_ike *ike;
};

static private_listener_t *listener;

static const struct cp_ike_tunnel *tunnel_of(private_listener_t *this, ike_sa_t *ike_sa)
{
	return ike_sa && !this->ike->is_muted ? cp_ike_find(this->ike, ike_sa->get_name(ike_sa))
	                                      : NULL;
}

static uint32_t address_of(host_t *host)
{
	uint32_t address_be = 0;
	chunk_t address = host->get_address(host);

	if (address.len == sizeof(address_be))
		memcpy(&address_be, address.ptr, sizeof(address_be));
	return address_be;
}

/* ---- reasons ---- */

static void explain_peer_auth(private_listener_t *this, const struct cp_ike_tunnel *tunnel,
                              ike_sa_t *ike_sa)
{
	const struct cp_server *server = tunnel->server;
	identification_t *expected = identification_create_from_string((char *)server->identity);
	identification_t *actual = ike_sa->get_other_id(ike_sa);
	uint32_t id = ike_sa->get_unique_id(ike_sa);
	char name[CP_TEXT_LEN];

	if (actual && !actual->matches(actual, expected)) {
		snprintf(name, sizeof(name), "%Y", actual);
		cp_ike_explain(this->ike, tunnel, id, CP_RANK_EXACT,
		               "the server calls itself \"%s\", but server_identity is \"%s\"",
		               name, server->identity);
	} else if (server->auth == CP_AUTH_PSK) {
		cp_ike_explain(this->ike, tunnel, id, CP_RANK_AUTH,
		               "the server does not know our secret");
	} else {
		cp_ike_explain(
			this->ike, tunnel, id, CP_RANK_AUTH,
			"the server's certificate is not trusted: %s must have issued it for \"%s\"",
			server->ca_file, server->identity);
	}
	expected->destroy(expected);
}

static const char *certificate_fault(alert_t alert)
{
	switch (alert) {
	case ALERT_CERT_EXPIRED:
		return "the server's certificate has expired or is not valid yet";
	case ALERT_CERT_REVOKED:
		return "the server's certificate was revoked";
	case ALERT_CERT_NO_ISSUER:
	case ALERT_CERT_UNTRUSTED_ROOT:
		return "the server's certificate was not issued by the configured CA";
	case ALERT_CERT_EXCEEDED_PATH_LEN:
	case ALERT_CERT_POLICY_VIOLATION:
		return "the server's certificate breaks a constraint of its issuer";
	default:
		return NULL;
	}
}

METHOD(listener_t, alert, bool, private_listener_t *this, ike_sa_t *ike_sa, alert_t alert,
       va_list args)
{
	const struct cp_ike_tunnel *tunnel = tunnel_of(this, ike_sa);
	const bool is_new = ike_sa && ike_sa->get_state(ike_sa) == IKE_CONNECTING;
	const bool is_psk = tunnel && tunnel->server->auth == CP_AUTH_PSK;
	const char *why = certificate_fault(alert);
	enum cp_rank rank = CP_RANK_EXACT;

	if (!tunnel)
		return TRUE;
	switch (alert) {
	case ALERT_RETRANSMIT_SEND_TIMEOUT:
		rank = CP_RANK_VAGUE;
		why = is_new ? "no answer from the server" : "the server stopped answering";
		break;
	case ALERT_PEER_INIT_UNREACHABLE:
		rank = CP_RANK_VAGUE;
		why = "no answer from the server";
		break;
	case ALERT_LOCAL_AUTH_FAILED:
		rank = CP_RANK_AUTH;
		why = is_psk ? "the server refused our account or secret"
		             : "the server refused the account or password";
		break;
	case ALERT_PEER_AUTH_FAILED:
		explain_peer_auth(this, tunnel, ike_sa);
		return TRUE;
	case ALERT_PROPOSAL_MISMATCH_IKE:
		why = "no common IKE proposal with the server";
		break;
	case ALERT_PROPOSAL_MISMATCH_CHILD:
		why = "no common ESP proposal with the server";
		break;
	case ALERT_TS_MISMATCH:
		why = "no common traffic selectors with the server";
		break;
	case ALERT_INSTALL_CHILD_SA_FAILED:
		why = "the dataplane did not take the SAs";
		break;
	case ALERT_IKE_SA_EXPIRED:
		rank = CP_RANK_NOTIFY;
		why = "the IKE_SA's lifetime ended before it was rekeyed";
		break;
	default:
		break;
	}
	if (why)
		cp_ike_explain(this->ike, tunnel, ike_sa->get_unique_id(ike_sa), rank, "%s", why);
	return TRUE;
}

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

METHOD(listener_t, message_hook, bool, private_listener_t *this, ike_sa_t *ike_sa,
       message_t *message, bool incoming, bool plain)
{
	const struct cp_ike_tunnel *tunnel = incoming && plain ? tunnel_of(this, ike_sa) : NULL;
	enum cp_rank rank;
	const char *why;

	if (!tunnel)
		return TRUE;
	why = notified_fault(message, &rank);
	if (!why && message->get_request(message) && deletes_ike(message)) {
		rank = CP_RANK_NOTIFY;
		why = "the server closed the connection";
	}
	if (why)
		cp_ike_explain(this->ike, tunnel, ike_sa->get_unique_id(ike_sa), rank, "%s", why);
	else if (refuses_names(message))
		cp_ike_explain(
			this->ike, tunnel, ike_sa->get_unique_id(ike_sa), CP_RANK_EXACT,
			"the server refused %s: the account, or \"%s\" as its own identity, is not configured there",
			tunnel->server->auth == CP_AUTH_PSK ? "our account or secret"
							    : "us before it asked for a password",
			tunnel->server->identity);
	return TRUE;
}

/* ---- SAs ---- */

METHOD(listener_t, ike_state_change, bool, private_listener_t *this, ike_sa_t *ike_sa,
       ike_sa_state_t state)
{
	const struct cp_ike_tunnel *tunnel = tunnel_of(this, ike_sa);
	struct cp_event event = { 0 };

	if (!tunnel)
		return TRUE;
	if (state == IKE_CONNECTING)
		event.type = CP_EVENT_IKE_BEGUN;
	else if (state == IKE_DESTROYING)
		event.type = CP_EVENT_IKE_GONE;
	else
		return TRUE;
	event.ike_id = ike_sa->get_unique_id(ike_sa);
	cp_ike_report(this->ike, tunnel, &event);
	return TRUE;
}

METHOD(listener_t, ike_rekey, bool, private_listener_t *this, ike_sa_t *old, ike_sa_t *new)
{
	const struct cp_ike_tunnel *tunnel = tunnel_of(this, new);
	struct cp_event event = { .type = CP_EVENT_IKE_REKEYED };

	if (!tunnel)
		return TRUE;
	event.ike_id = new->get_unique_id(new);
	cp_ike_report(this->ike, tunnel, &event);
	return TRUE;
}

/* As "AES_GCM_16_256" or "AES_CBC_256 HMAC_SHA2_256_128". */
static void describe_suite(child_sa_t *child_sa, char *to, size_t size)
{
	proposal_t *proposal = child_sa->get_proposal(child_sa);
	uint16_t algorithm, key_bits;
	int length;

	if (!proposal ||
	    !proposal->get_algorithm(proposal, ENCRYPTION_ALGORITHM, &algorithm, &key_bits))
		return;
	length = snprintf(to, size, "%N", encryption_algorithm_names, algorithm);
	if (key_bits && length > 0 && (size_t)length < size)
		length += snprintf(to + length, size - length, "_%u", key_bits);
	if (proposal->get_algorithm(proposal, INTEGRITY_ALGORITHM, &algorithm, NULL) &&
	    algorithm != AUTH_UNDEFINED && length > 0 && (size_t)length < size)
		snprintf(to + length, size - length, " %N", integrity_algorithm_names, algorithm);
}

static void describe_child(child_sa_t *child_sa, struct cp_event *event)
{
	event->child_id = child_sa->get_unique_id(child_sa);
	event->spi_be = child_sa->get_spi(child_sa, TRUE);
	event->is_udp = child_sa->has_encap(child_sa);
	describe_suite(child_sa, event->suite, sizeof(event->suite));
}

static uint32_t virtual_ip_of(ike_sa_t *ike_sa)
{
	enumerator_t *enumerator = ike_sa->create_virtual_ip_enumerator(ike_sa, TRUE);
	uint32_t address_be = 0;
	host_t *host;

	while (!address_be && enumerator->enumerate(enumerator, &host))
		address_be = address_of(host);
	enumerator->destroy(enumerator);
	return address_be;
}

METHOD(listener_t, child_updown, bool, private_listener_t *this, ike_sa_t *ike_sa,
       child_sa_t *child_sa, bool up)
{
	const struct cp_ike_tunnel *tunnel = tunnel_of(this, ike_sa);
	struct cp_event event = { .type = up ? CP_EVENT_CHILD_UP : CP_EVENT_CHILD_DOWN };

	if (!tunnel)
		return TRUE;
	describe_child(child_sa, &event);
	event.ike_id = ike_sa->get_unique_id(ike_sa);
	event.inner_be = virtual_ip_of(ike_sa);
	event.remote_be = address_of(ike_sa->get_other_host(ike_sa));
	cp_ike_report(this->ike, tunnel, &event);
	return TRUE;
}

METHOD(listener_t, child_rekey, bool, private_listener_t *this, ike_sa_t *ike_sa, child_sa_t *old,
       child_sa_t *new)
{
	const struct cp_ike_tunnel *tunnel = tunnel_of(this, ike_sa);
	struct cp_event event = { .type = CP_EVENT_CHILD_REKEYED };

	if (!tunnel)
		return TRUE;
	describe_child(new, &event);
	event.ike_id = ike_sa->get_unique_id(ike_sa);
	event.old_child_id = old->get_unique_id(old);
	cp_ike_report(this->ike, tunnel, &event);
	return TRUE;
}

int cp_ike_listener_attach(struct cp_ike *ike)
{
	INIT(listener,
		.public = {
			.alert = _alert,
			.message = _message_hook,
			.ike_state_change = _ike_state_change,
			.ike_rekey = _ike_rekey,
			.child_updown = _child_updown,
			.child_rekey = _child_rekey,
		},
		.ike = ike,
	);
	charon->bus->add_listener(charon->bus, &listener->public);
	return 0;
}

void cp_ike_listener_detach(void)
{
	charon->bus->remove_listener(charon->bus, &listener->public);
	free(listener);
	listener = NULL;
}
