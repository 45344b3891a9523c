/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The key of an inbound CHILD_SA before its negotiation ends.
 */
#include "controlplane/ike_early.h"

#include <daemon.h>
#include <sa/ikev2/keymat_v2.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

typedef struct private_early_t private_early_t;
typedef struct nonces_t nonces_t;

/** Of an IKE_SA that is being negotiated; no secret. */
struct nonces_t {
	uint32_t ike_id;
	chunk_t initiator;
	chunk_t responder;
	nonces_t *next;
};

struct private_early_t {
	listener_t public;
	struct cp_ike *ike;
	pthread_mutex_t lock; /* list */
	nonces_t *list;
};

static private_early_t *early;

/* ---- nonces ---- */

/* Takes those of IKE_SA out of the list; NULL: there are none. */
static nonces_t *take(uint32_t ike_id)
{
	nonces_t **at, *found;

	pthread_mutex_lock(&early->lock);
	for (at = &early->list; *at && (*at)->ike_id != ike_id; at = &(*at)->next)
		;
	found = *at;
	if (found)
		*at = found->next;
	pthread_mutex_unlock(&early->lock);
	return found;
}

static void destroy_nonces(nonces_t *nonces)
{
	if (!nonces)
		return;
	chunk_free(&nonces->initiator);
	chunk_free(&nonces->responder);
	free(nonces);
}

METHOD(listener_t, ike_keys, bool, private_early_t *this, ike_sa_t *ike_sa, key_exchange_t *dh,
       chunk_t dh_other, chunk_t nonce_i, chunk_t nonce_r, ike_sa_t *rekey, shared_key_t *shared,
       auth_method_t method)
{
	nonces_t *nonces;

	if (rekey || this->ike->is_muted)
		return TRUE;
	INIT(nonces, .ike_id = ike_sa->get_unique_id(ike_sa), .initiator = chunk_clone(nonce_i),
	     .responder = chunk_clone(nonce_r), );
	destroy_nonces(take(nonces->ike_id));
	pthread_mutex_lock(&this->lock);
	nonces->next = this->list;
	this->list = nonces;
	pthread_mutex_unlock(&this->lock);
	return TRUE;
}

METHOD(listener_t, ike_state_change, bool, private_early_t *this, ike_sa_t *ike_sa,
       ike_sa_state_t state)
{
	if (state == IKE_ESTABLISHED || state == IKE_DESTROYING)
		destroy_nonces(take(ike_sa->get_unique_id(ike_sa)));
	return TRUE;
}

/* ---- the suite ---- */

static const char *const suite_names[] = {
	[IPC_AES128_GCM16] = "aes128gcm16",
	[IPC_AES192_GCM16] = "aes192gcm16",
	[IPC_AES256_GCM16] = "aes256gcm16",
	[IPC_CHACHA20_POLY1305] = "chacha20poly1305",
	[IPC_AES128_CBC_SHA1_96] = "aes128-sha1",
	[IPC_AES128_CBC_SHA256_128] = "aes128-sha256",
	[IPC_AES128_CBC_SHA384_192] = "aes128-sha384",
	[IPC_AES128_CBC_SHA512_256] = "aes128-sha512",
	[IPC_AES192_CBC_SHA1_96] = "aes192-sha1",
	[IPC_AES192_CBC_SHA256_128] = "aes192-sha256",
	[IPC_AES192_CBC_SHA384_192] = "aes192-sha384",
	[IPC_AES192_CBC_SHA512_256] = "aes192-sha512",
	[IPC_AES256_CBC_SHA1_96] = "aes256-sha1",
	[IPC_AES256_CBC_SHA256_128] = "aes256-sha256",
	[IPC_AES256_CBC_SHA384_192] = "aes256-sha384",
	[IPC_AES256_CBC_SHA512_256] = "aes256-sha512",
};

static uint16_t suite_of(const char *name)
{
	for (uint16_t i = 0; i < countof(suite_names); i++) {
		if (suite_names[i] && streq(suite_names[i], name))
			return i;
	}
	return 0;
}

/* What the tunnel had the last time; otherwise the only one that is configured. Returns 0 or
 * -EAGAIN. */
static int expect_suite(const struct cp_ike_tunnel *tunnel, struct ipc_sa_add *add)
{
	uint32_t last = tunnel->suite;

	if (last) {
		add->algorithm = CP_IKE_SUITE_ALGORITHM(last);
		add->flags |= CP_IKE_SUITE_FLAGS(last);
		return 0;
	}
	if (tunnel->server->esp_proposals[1][0])
		return -EAGAIN;
	add->algorithm = suite_of(tunnel->server->esp_proposals[0]);
	return add->algorithm ? 0 : -EAGAIN;
}

/* ---- the key ---- */

static int derive(ike_sa_t *ike_sa, const nonces_t *nonces, const char *suite,
                  struct ipc_sa_add *add)
{
	keymat_v2_t *keymat = (keymat_v2_t *)ike_sa->get_keymat(ike_sa);
	proposal_t *proposal = proposal_create_from_string(PROTO_ESP, suite);
	chunk_t encr_i = chunk_empty, integ_i = chunk_empty, encr_r = chunk_empty,
		integ_r = chunk_empty;
	int rc = -EAGAIN;

	/* we are the initiator: the responder's keys are those of what comes in */
	if (proposal &&
	    keymat->derive_child_keys(keymat, proposal, NULL, nonces->initiator, nonces->responder,
	                              &encr_i, &integ_i, &encr_r, &integ_r) &&
	    encr_r.len + integ_r.len <= sizeof(add->key)) {
		memcpy(add->key, encr_r.ptr, encr_r.len);
		if (integ_r.len)
			memcpy(add->key + encr_r.len, integ_r.ptr, integ_r.len);
		add->key_length = encr_r.len + integ_r.len;
		rc = 0;
	}
	chunk_clear(&encr_i);
	chunk_clear(&integ_i);
	chunk_clear(&encr_r);
	chunk_clear(&integ_r);
	DESTROY_IF(proposal);
	return rc;
}

int cp_ike_early_key(const struct cp_ike_tunnel *tunnel, struct ipc_sa_add *add)
{
	ike_sa_t *ike_sa = charon->bus->get_sa(charon->bus);
	nonces_t *nonces = ike_sa ? take(ike_sa->get_unique_id(ike_sa)) : NULL;
	int rc = -EAGAIN;

	if (nonces && ike_sa->get_state(ike_sa) == IKE_CONNECTING)
		rc = expect_suite(tunnel, add);
	if (rc == 0 && (add->algorithm >= countof(suite_names) || !suite_names[add->algorithm]))
		rc = -EAGAIN;
	if (rc == 0)
		rc = derive(ike_sa, nonces, suite_names[add->algorithm], add);
	destroy_nonces(nonces);
	return rc;
}

int cp_ike_early_attach(struct cp_ike *ike)
{
	INIT(early,
		.public = {
			.ike_keys = _ike_keys,
			.ike_state_change = _ike_state_change,
		},
		.ike = ike,
	);
	pthread_mutex_init(&early->lock, NULL);
	charon->bus->add_listener(charon->bus, &early->public);
	return 0;
}

void cp_ike_early_detach(void)
{
	charon->bus->remove_listener(charon->bus, &early->public);
	while (early->list)
		destroy_nonces(take(early->list->ike_id));
	pthread_mutex_destroy(&early->lock);
	free(early);
	early = NULL;
}
