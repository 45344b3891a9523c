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

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/netaddr.h"
#include "controlplane/ike_auth.h"

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

/* ---- whether the plugins that are loaded do what a proposal names ---- */

static enumerator_t *supported(transform_type_t type, bool is_aead)
{
	switch (type) {
	case ENCRYPTION_ALGORITHM:
		return is_aead ? lib->crypto->create_aead_enumerator(lib->crypto)
		               : lib->crypto->create_crypter_enumerator(lib->crypto);
	case INTEGRITY_ALGORITHM:
		return lib->crypto->create_signer_enumerator(lib->crypto);
	case PSEUDO_RANDOM_FUNCTION:
		return lib->crypto->create_prf_enumerator(lib->crypto);
	case KEY_EXCHANGE_METHOD:
		return lib->crypto->create_ke_enumerator(lib->crypto);
	default:
		return NULL;
	}
}

static bool is_supported(transform_type_t type, uint16_t algorithm)
{
	const bool is_aead =
		type == ENCRYPTION_ALGORITHM && encryption_algorithm_is_aead(algorithm);
	enumerator_t *enumerator = supported(type, is_aead);
	const char *plugin;
	bool is_there = !enumerator;
	u_int candidate = 0; /* an enum of the four kinds */

	while (!is_there && enumerator->enumerate(enumerator, &candidate, &plugin))
		is_there = candidate == algorithm;
	DESTROY_IF(enumerator);
	return is_there;
}

static int check_supported(proposal_t *proposal, const char *text, char why[CP_WHY_LEN])
{
	static const transform_type_t types[] = { ENCRYPTION_ALGORITHM, INTEGRITY_ALGORITHM,
		                                  PSEUDO_RANDOM_FUNCTION, KEY_EXCHANGE_METHOD };
	uint16_t algorithm, key_bits;
	int rc = 0;

	for (size_t i = 0; i < countof(types); i++) {
		enumerator_t *enumerator = proposal->create_enumerator(proposal, types[i]);

		while (enumerator->enumerate(enumerator, &algorithm, &key_bits)) {
			if (is_supported(types[i], algorithm))
				continue;
			snprintf(why, CP_WHY_LEN,
			         "\"%s\": the plugins of libcharon that are installed do not do %N",
			         text, transform_get_enum_names(types[i]), algorithm);
			rc = -EINVAL;
		}
		enumerator->destroy(enumerator);
	}
	return rc;
}

static int check_ike_proposals(const struct cp_server *server, char why[CP_WHY_LEN])
{
	for (size_t i = 0; i < CP_PROPOSALS_MAX && server->ike_proposals[i][0]; i++) {
		proposal_t *proposal =
			proposal_create_from_string(PROTO_IKE, server->ike_proposals[i]);
		int rc = check_supported(proposal, server->ike_proposals[i], why);

		proposal->destroy(proposal);
		if (rc != 0)
			return rc;
	}
	return 0;
}

int cp_ike_config_check(const struct cp_server *server, char why[CP_WHY_LEN])
{
	int rc = add_proposals(server->ike_proposals, PROTO_IKE, drop_proposal, NULL, why);

	if (rc == 0)
		rc = check_ike_proposals(server, why);
	if (rc == 0)
		rc = add_proposals(server->esp_proposals, PROTO_ESP, drop_proposal, NULL, why);
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
		.cert_policy =
			server->auth == CP_AUTH_CERTIFICATE ? CERT_ALWAYS_SEND : CERT_NEVER_SEND,
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
		rc = cp_ike_auth_add(peer, tunnel, why);
	if (rc != 0) {
		child->destroy(child);
		peer->destroy(peer);
		return rc;
	}
	peer->add_child_cfg(peer, child->get_ref(child));
	/* takes both references; without a callback it only sends the first message */
	if (charon->controller->initiate(charon->controller, peer, child, NULL, NULL, 0, FALSE) !=
	    SUCCESS) {
		snprintf(why, CP_WHY_LEN, "the negotiation could not be started");
		return -EINVAL;
	}
	return 0;
}
