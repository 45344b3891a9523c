/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a server of the configuration to libcharon's configuration of it, and the start of a
 * connection.
 *
 * There is no backend_t: nobody may connect to us, so libcharon has no configuration to answer
 * with.
 */
#include "controlplane/ike_config.h"

#include <daemon.h>
#include <credentials/certificates/x509.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/netaddr.h"

/* Between soft and hard lifetime of a CHILD_SA, at least: a rekeying that needs retransmits fits
 * in. */
#define CHILD_MARGIN_S 60u
/* The same of an IKE_SA, and how long before the end of an authentication's lifetime that the
 * server sets (RFC 4478) we authenticate anew. A lifetime shorter than this would have us do it all
 * the time. */
#define IKE_MARGIN_S 60u

typedef void (*add_proposal_fn)(void *to, proposal_t *proposal);

static void add_ike_proposal(void *to, proposal_t *proposal)
{
	ike_cfg_t *ike = to;

	ike->add_proposal(ike, proposal);
}

static void add_child_proposal(void *to, proposal_t *proposal)
{
	child_cfg_t *child = to;

	child->add_proposal(child, proposal);
}

static void drop_proposal(void *to, proposal_t *proposal)
{
	proposal->destroy(proposal);
}

static int add_proposals(const char (*texts)[CP_TEXT_LEN], protocol_id_t protocol,
                         add_proposal_fn add, void *to, char why[CP_WHY_LEN])
{
	for (size_t i = 0; i < CP_PROPOSALS_MAX && texts[i][0]; i++) {
		proposal_t *proposal = proposal_create_from_string(protocol, texts[i]);

		if (!proposal) {
			snprintf(why, CP_WHY_LEN, "\"%s\" is not a proposal for %s", texts[i],
			         protocol == PROTO_IKE ? "IKE" : "ESP");
			return -EINVAL;
		}
		add(to, proposal);
	}
	return 0;
}

int cp_ike_config_check(const struct cp_ike_tunnel *tunnel, char why[CP_WHY_LEN])
{
	int rc = add_proposals(tunnel->server->ike_proposals, PROTO_IKE, drop_proposal, NULL, why);

	if (rc == 0)
		rc = add_proposals(tunnel->server->esp_proposals, PROTO_ESP, drop_proposal, NULL,
		                   why);
	return rc;
}

static ike_cfg_t *build_ike(struct cp_ike *ike, const struct cp_server *server, uint32_t remote_be)
{
	char local[SP_ADDRESS_TEXT], remote[SP_ADDRESS_TEXT];
	ike_cfg_create_t create = {
		.version = IKEV2,
		.local = sp_address_format(local, ike->config->uplink.address_be),
		.local_port = server->ike_port,
		.remote = sp_address_format(remote, remote_be),
		.remote_port = CP_IKE_PORT,
		.force_encap = server->force_udp,
		.fragmentation = FRAGMENTATION_YES,
	};

	return ike_cfg_create(&create);
}

static peer_cfg_t *build_peer(const struct cp_ike_tunnel *tunnel, ike_cfg_t *ike_cfg)
{
	const struct cp_server *server = tunnel->server;
	peer_cfg_create_t create = {
		.cert_policy = CERT_NEVER_SEND,
		.unique =
			UNIQUE_NEVER, /* no INITIAL_CONTACT: SAs of before our restart stay alive */
		.keyingtries = 1,     /* the supervisor retries */
		.rekey_time = server->ike_rekey_s,
		.jitter_time = server->ike_rekey_s / 20,
		.over_time = IKE_MARGIN_S,
		.no_mobike = TRUE, /* one address of ours, one of the server */
		.dpd = server->dpd_s,
	};
	peer_cfg_t *peer = peer_cfg_create((char *)tunnel->name, ike_cfg, &create);

	peer->add_virtual_ip(peer, host_create_any(AF_INET));
	return peer;
}

static void add_local_auth(peer_cfg_t *peer, const struct cp_server *server)
{
	auth_cfg_t *auth = auth_cfg_create();

	auth->add(auth, AUTH_RULE_IDENTITY,
	          identification_create_from_string((char *)server->account));
	if (server->auth == CP_AUTH_PSK) {
		auth->add(auth, AUTH_RULE_AUTH_CLASS, AUTH_CLASS_PSK);
	} else {
		auth->add(auth, AUTH_RULE_AUTH_CLASS, AUTH_CLASS_EAP);
		auth->add(auth, AUTH_RULE_EAP_TYPE, EAP_MSCHAPV2);
		auth->add(auth, AUTH_RULE_EAP_IDENTITY,
		          identification_create_from_string((char *)server->account));
	}
	peer->add_auth_cfg(peer, auth, TRUE);
}

static int add_remote_auth(peer_cfg_t *peer, const struct cp_server *server, char why[CP_WHY_LEN])
{
	auth_cfg_t *auth = auth_cfg_create();

	auth->add(auth, AUTH_RULE_IDENTITY,
	          identification_create_from_string((char *)server->identity));
	if (server->auth == CP_AUTH_PSK) {
		auth->add(auth, AUTH_RULE_AUTH_CLASS, AUTH_CLASS_PSK);
	} else {
		certificate_t *ca = lib->creds->create(lib->creds, CRED_CERTIFICATE, CERT_X509,
		                                       BUILD_FROM_FILE, server->ca_file, BUILD_END);

		if (!ca || !(((x509_t *)ca)->get_flags((x509_t *)ca) & X509_CA)) {
			snprintf(why, CP_WHY_LEN, "%.200s %s", server->ca_file,
			         ca ? "is not a CA's certificate"
			            : "cannot be read as a certificate");
			DESTROY_IF(ca);
			auth->destroy(auth);
			return -EINVAL;
		}
		auth->add(auth, AUTH_RULE_AUTH_CLASS, AUTH_CLASS_PUBKEY);
		auth->add(auth, AUTH_RULE_CA_CERT, ca);
	}
	peer->add_auth_cfg(peer, auth, FALSE);
	return 0;
}

static child_cfg_t *build_child(struct cp_ike *ike, const struct cp_ike_tunnel *tunnel)
{
	const uint32_t rekey_s = tunnel->server->child_rekey_s;
	child_cfg_create_t create = {
		.reqid = (uint32_t)(tunnel - ike->tunnels) + 1,
		.mode = MODE_TUNNEL,
		.lifetime = { .time = {
			.rekey = rekey_s,
			.life = rekey_s ? rekey_s + CHILD_MARGIN_S + rekey_s / 10 : 0,
			.jitter = rekey_s / 20,
		} },
		.start_action = ACTION_NONE,
		.dpd_action = ACTION_NONE, /* the supervisor connects again */
		.close_action = ACTION_NONE,
	};
	child_cfg_t *child = child_cfg_create((char *)tunnel->name, &create);

	child->set_replay_window(child, ike->config->replay_window);
	child->add_traffic_selector(child, TRUE, traffic_selector_create_dynamic(0, 0, 65535));
	child->add_traffic_selector(child, FALSE,
	                            traffic_selector_create_from_cidr("0.0.0.0/0", 0, 0, 65535));
	return child;
}

int cp_ike_config_initiate(struct cp_ike *ike, const struct cp_ike_tunnel *tunnel,
                           uint32_t remote_be, char why[CP_WHY_LEN])
{
	const struct cp_server *server = tunnel->server;
	ike_cfg_t *ike_cfg = build_ike(ike, server, remote_be);
	peer_cfg_t *peer = build_peer(tunnel, ike_cfg); /* owns ike_cfg */
	child_cfg_t *child = build_child(ike, tunnel);
	int rc;

	rc = add_proposals(server->ike_proposals, PROTO_IKE, add_ike_proposal, ike_cfg, why);
	if (rc == 0)
		rc = add_proposals(server->esp_proposals, PROTO_ESP, add_child_proposal, child,
		                   why);
	if (rc == 0)
		rc = add_remote_auth(peer, server, why);
	if (rc != 0) {
		child->destroy(child);
		peer->destroy(peer);
		return rc;
	}
	add_local_auth(peer, server);
	peer->add_child_cfg(peer, child->get_ref(child));
	/* takes both references; without a callback it only sends the first message */
	if (charon->controller->initiate(charon->controller, peer, child, NULL, NULL, 0, FALSE) !=
	    SUCCESS) {
		snprintf(why, CP_WHY_LEN, "the negotiation could not be started");
		return -EINVAL;
	}
	return 0;
}
