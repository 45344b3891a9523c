/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What libcharon's bus tells, as events of tunnels and reasons in words.
 *
 * All of this runs on libcharon's threads with the bus locked and the IKE_SA checked out: it copies
 * and reports.
 */
#include "controlplane/ike_listener.h"

#include <daemon.h>
#include <encoding/payloads/notify_payload.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "controlplane/ike_auth.h"
#include "controlplane/ike_cut.h"
#include "controlplane/ike_daemon.h"
#include "controlplane/ike_dns.h"
#include "controlplane/ike_eap.h"
#include "controlplane/ike_host.h"
#include "controlplane/ike_revocation.h"
#include "controlplane/ike_words.h"

/* Of an authentication that the server sets (RFC 4478): shorter ones are renewed at half of their
 * time, but not more often than this, s. */
#define LIFETIME_SHORT_S 120u
#define LIFETIME_RENEW_MIN_S 5u

/* So often a request was sent again without an answer, which took 1.25 s (ike_daemon.c): the server
 * is not merely slow. */
#define RETRANSMITS_DOUBTFUL 2u
/* And this often in 10.4 s: a login is given up; what is up, if no ESP passes either. */
#define RETRANSMITS_SILENT 6u

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

/* ---- reasons ---- */

/* Why the server's proof of its identity was not accepted, unless an alert before told exactly. */
static void explain_peer_auth(private_listener_t *this, const struct cp_ike_tunnel *tunnel,
                              ike_sa_t *ike_sa)
{
	const struct cp_server *server = tunnel->server;
	identification_t *expected = identification_create_from_string((char *)server->identity);
	identification_t *actual = ike_sa->get_other_id(ike_sa);
	auth_cfg_t *auth = ike_sa->get_auth_cfg(ike_sa, FALSE);
	certificate_t *certificate = auth->get(auth, AUTH_HELPER_SUBJECT_CERT);
	const bool is_named = actual && actual->matches(actual, expected);
	const bool is_proven = certificate && certificate->has_subject(certificate, actual);
	uint32_t id = ike_sa->get_unique_id(ike_sa);
	char name[CP_TEXT_LEN], subject[CP_TEXT_LEN];

	snprintf(name, sizeof(name), "%Y", actual);
	if (server->auth != CP_AUTH_PSK && certificate && !is_proven) {
		snprintf(subject, sizeof(subject), "%Y", certificate->get_subject(certificate));
		cp_ike_explain(
			this->ike, tunnel, id, CP_RANK_EXACT,
			"the server's certificate (\"%.90s\") does not name \"%.90s\", as the server calls itself",
			subject, name);
	} else if (!is_named &&
	           (!certificate || !certificate->has_subject(certificate, expected))) {
		cp_ike_explain(this->ike, tunnel, id,
		               server->is_identity_set ? CP_RANK_EXACT : CP_RANK_AUTH,
		               "the server calls itself \"%.90s\", %s \"%.90s\"", name,
		               server->is_identity_set
		                       ? "but server_identity is"
		                       : "and neither that nor its certificate is for",
		               server->identity);
	} else if (server->auth == CP_AUTH_PSK) {
		cp_ike_explain(this->ike, tunnel, id, CP_RANK_AUTH,
		               "the server does not know our secret");
	} else if (!certificate) {
		cp_ike_explain(this->ike, tunnel, id, CP_RANK_AUTH,
		               "the server sent no certificate");
	} else {
		cp_ike_explain(
			this->ike, tunnel, id, CP_RANK_AUTH,
			"the server's certificate is not trusted: %.90s must have issued it for \"%.90s\"",
			server->ca_file, server->identity);
	}
	expected->destroy(expected);
}

/* A certificate of the server's chain that is out of its time. */
static void explain_validity(private_listener_t *this, const struct cp_ike_tunnel *tunnel,
                             ike_sa_t *ike_sa, certificate_t *certificate)
{
	char subject[CP_TEXT_LEN], when[32];
	time_t not_before, not_after;
	bool is_early;

	certificate->get_validity(certificate, NULL, &not_before, &not_after);
	is_early = time(NULL) < not_before;
	snprintf(subject, sizeof(subject), "%Y", certificate->get_subject(certificate));
	snprintf(when, sizeof(when), "%T", is_early ? &not_before : &not_after, TRUE);
	cp_ike_explain(this->ike, tunnel, ike_sa->get_unique_id(ike_sa), CP_RANK_EXACT,
	               "the server's certificate is %s: \"%.100s\" %s %s",
	               is_early ? "not valid yet" : "expired", subject,
	               is_early ? "is valid from" : "was valid until", when);
}

/* Any other fault that libcharon found in a certificate of the server's chain. */
static const char *certificate_fault(alert_t alert)
{
	switch (alert) {
	case ALERT_CERT_REVOKED:
		return "the server's certificate was revoked by its issuer";
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

static void explain_certificate(private_listener_t *this, const struct cp_ike_tunnel *tunnel,
                                ike_sa_t *ike_sa, alert_t alert, certificate_t *certificate)
{
	const char *fault = certificate_fault(alert);
	char subject[CP_TEXT_LEN];

	snprintf(subject, sizeof(subject), "%Y", certificate->get_subject(certificate));
	cp_ike_explain(this->ike, tunnel, ike_sa->get_unique_id(ike_sa), CP_RANK_EXACT,
	               "%s: \"%.120s\"", fault, subject);
}

/* Whether ALERT is about a certificate. */
static bool on_certificate(private_listener_t *this, const struct cp_ike_tunnel *tunnel,
                           ike_sa_t *ike_sa, alert_t alert, va_list args)
{
	if (alert == ALERT_CERT_VALIDATION_FAILED)
		cp_ike_revocation_is_unknown();
	else if (alert == ALERT_CERT_EXPIRED)
		explain_validity(this, tunnel, ike_sa, va_arg(args, certificate_t *));
	else if (certificate_fault(alert))
		explain_certificate(this, tunnel, ike_sa, alert, va_arg(args, certificate_t *));
	else
		return FALSE;
	return TRUE;
}

static const char *refusal_of(enum cp_auth auth)
{
	switch (auth) {
	case CP_AUTH_PSK:
		return "the server refused our account or secret";
	case CP_AUTH_EAP_MSCHAPV2:
		return "the server refused the account or password";
	case CP_AUTH_EAP_TLS:
	case CP_AUTH_CERTIFICATE:
		break;
	}
	return "the server refused our certificate";
}

/* A request is sent again, for the Nth time. */
static void on_retransmit(private_listener_t *this, const struct cp_ike_tunnel *tunnel,
                          ike_sa_t *ike_sa, unsigned n)
{
	const ike_sa_state_t state = ike_sa->get_state(ike_sa);
	const struct cp_event event = {
		.type = n < RETRANSMITS_SILENT ? CP_EVENT_UNANSWERED : CP_EVENT_SILENT,
		.ike_id = ike_sa->get_unique_id(ike_sa),
	};

	if (n < RETRANSMITS_DOUBTFUL)
		return;
	if (event.type == CP_EVENT_UNANSWERED || state == IKE_ESTABLISHED ||
	    state == IKE_REKEYING) {
		cp_ike_report(this->ike, tunnel, &event);
		return;
	}
	/* a login that comes to nothing, or one that is over anyway */
	if (state == IKE_CONNECTING)
		cp_ike_explain(this->ike, tunnel, event.ike_id, CP_RANK_VAGUE,
		               "no answer from the server");
	cp_ike_terminate(event.ike_id);
}

METHOD(listener_t, alert, bool, private_listener_t *this, ike_sa_t *ike_sa, alert_t alert,
       va_list args)
{
	const struct cp_ike_tunnel *tunnel = tunnel_of(this, ike_sa);
	const bool is_new = ike_sa && ike_sa->get_state(ike_sa) == IKE_CONNECTING;
	enum cp_rank rank = CP_RANK_EXACT;
	const char *why = NULL;

	if (!tunnel || on_certificate(this, tunnel, ike_sa, alert, args))
		return TRUE;
	switch (alert) {
	case ALERT_RETRANSMIT_SEND:
		(void)va_arg(args, packet_t *);
		on_retransmit(this, tunnel, ike_sa, va_arg(args, u_int));
		return TRUE;
	case ALERT_RETRANSMIT_SEND_TIMEOUT:
		rank = CP_RANK_VAGUE;
		why = is_new ? "no answer from the server" : "the server stopped answering";
		break;
	case ALERT_PEER_INIT_UNREACHABLE:
		rank = CP_RANK_VAGUE;
		why = "no answer from the server";
		break;
	case ALERT_PARSE_ERROR_BODY:
		(void)va_arg(args, message_t *);
		rank = CP_RANK_NOTIFY;
		why = va_arg(args, status_t) == NOT_SUPPORTED
		              ? "the server's answer has a critical payload that is not known"
		              : "the server answers, but its answer cannot be understood";
		break;
	case ALERT_LOCAL_AUTH_FAILED:
		rank = CP_RANK_AUTH;
		why = refusal_of(tunnel->server->auth);
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

/* The server says how long our authentication is good for. libcharon renews it a minute before the
 * end; a shorter one, at once and for ever: so that one is taken out of the message and renewed at
 * half of its time. */
static void limit_lifetime(const struct cp_ike_tunnel *tunnel, ike_sa_t *ike_sa, message_t *message)
{
	enumerator_t *enumerator = message->create_payload_enumerator(message);
	u_int lifetime_s, renew_s;
	payload_t *payload;

	while (enumerator->enumerate(enumerator, &payload)) {
		notify_payload_t *notify = (notify_payload_t *)payload;
		chunk_t data;

		if (payload->get_type(payload) != PLV2_NOTIFY ||
		    notify->get_notify_type(notify) != AUTH_LIFETIME)
			continue;
		data = notify->get_notification_data(notify);
		if (data.len != sizeof(uint32_t) || untoh32(data.ptr) >= LIFETIME_SHORT_S)
			continue;
		lifetime_s = untoh32(data.ptr);
		message->remove_payload_at(message, enumerator);
		payload->destroy(payload);
		renew_s = lifetime_s / 2 > LIFETIME_RENEW_MIN_S ? lifetime_s / 2
		                                                : LIFETIME_RENEW_MIN_S;
		sp_log(SP_LOG_WARN,
		       "ike: the server wants a new authentication very often tunnel=%s lifetime_s=%u renew_in_s=%u",
		       tunnel->name, lifetime_s, renew_s);
		ike_sa->set_auth_lifetime(ike_sa,
		                          renew_s + ike_sa->get_peer_cfg(ike_sa)->get_over_time(
							    ike_sa->get_peer_cfg(ike_sa)));
	}
	enumerator->destroy(enumerator);
}

METHOD(listener_t, message_hook, bool, private_listener_t *this, ike_sa_t *ike_sa,
       message_t *message, bool incoming, bool plain)
{
	static const struct cp_event answered = { .type = CP_EVENT_ANSWERED };
	const struct cp_ike_tunnel *tunnel = plain ? tunnel_of(this, ike_sa) : NULL;

	if (tunnel && !incoming)
		cp_ike_eap_give_up(ike_sa, message);
	if (tunnel && incoming) {
		if (!message->get_request(message))
			cp_ike_report(this->ike, tunnel, &answered);
		limit_lifetime(tunnel, ike_sa, message);
		cp_ike_words_explain(this->ike, tunnel, ike_sa, message);
	}
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
	event.old_ike_id = old->get_unique_id(old);
	cp_ike_report(this->ike, tunnel, &event);
	if (cp_ike_cut_short(old, new)) {
		sp_log(SP_LOG_INFO,
		       "ike: the IKE_SA was rekeyed while a CHILD_SA was tunnel=%s: which ones the server has is not known",
		       tunnel->name);
		event.type = CP_EVENT_UNSURE;
		cp_ike_report(this->ike, tunnel, &event);
	}
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

static uint32_t host_order(chunk_t address)
{
	return address.len == sizeof(uint32_t) ? untoh32(address.ptr) : 0;
}

/* What the server agreed to take. */
static void copy_ranges(child_sa_t *child_sa, struct cp_event *event)
{
	enumerator_t *enumerator = child_sa->create_ts_enumerator(child_sa, FALSE);
	traffic_selector_t *ts;

	while (event->range_count < CP_RANGES_MAX && enumerator->enumerate(enumerator, &ts)) {
		if (ts->get_type(ts) != TS_IPV4_ADDR_RANGE)
			continue;
		event->ranges[event->range_count++] = (struct cp_range){
			.first = host_order(ts->get_from_address(ts)),
			.last = host_order(ts->get_to_address(ts)),
			.first_port = ts->get_from_port(ts),
			.last_port = ts->get_to_port(ts),
			.protocol = ts->get_protocol(ts),
		};
	}
	enumerator->destroy(enumerator);
}

static void describe_child(child_sa_t *child_sa, struct cp_event *event)
{
	copy_ranges(child_sa, event);
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
		address_be = cp_ike_address_of(host);
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
	cp_ike_dns_collect(ike_sa, &event.told);
	event.inner_be = virtual_ip_of(ike_sa);
	event.remote_be = cp_ike_address_of(ike_sa->get_other_host(ike_sa));
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
	cp_ike_dns_collect(ike_sa, &event.told);
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
