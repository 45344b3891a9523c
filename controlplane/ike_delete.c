/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of an IKE_SA that libcharon does not have: an authenticated DELETE, made from what is
 * known of it (RFC 7296 section 1.4.1).
 *
 * It is protected with a key whose nonces the predecessor counted from a random start that we do
 * not know: ours begins at another random one (RFC 5282 section 3.1; 2^64 of them).
 */
#include "controlplane/ike_delete.h"

#include <daemon.h>
#include <encoding/message.h>
#include <encoding/payloads/delete_payload.h>
#include <sa/ikev2/keymat_v2.h>

#include "common/log.h"
#include "controlplane/ike_host.h"

typedef struct lone_keymat_t lone_keymat_t;

/** A keymat_t that protects what is sent with one key. */
struct lone_keymat_t {
	keymat_t public;
	aead_t *aead;
};

METHOD(keymat_t, get_version, ike_version_t, lone_keymat_t *this)
{
	return IKEV2;
}

METHOD(keymat_t, get_aead, aead_t *, lone_keymat_t *this, bool in)
{
	return in ? NULL : this->aead;
}

/* As libcharon's keymat does it; NULL: an algorithm that is not there. */
static aead_t *build_aead(const struct cp_ike_record *record)
{
	const chunk_t encryption =
		chunk_create((u_char *)record->encryption_key, record->encryption_length);
	const chunk_t integrity =
		chunk_create((u_char *)record->integrity_key, record->integrity_length);
	crypter_t *crypter;
	signer_t *signer;
	iv_gen_t *iv_gen;
	aead_t *aead;

	if (encryption_algorithm_is_aead(record->encryption)) {
		const size_t salt = 4;

		if (encryption.len <= salt)
			return NULL;
		aead = lib->crypto->create_aead(lib->crypto, record->encryption,
		                                encryption.len - salt, salt);
		if (aead && !aead->set_key(aead, encryption)) {
			aead->destroy(aead);
			return NULL;
		}
		return aead;
	}
	crypter = lib->crypto->create_crypter(lib->crypto, record->encryption, encryption.len);
	signer = lib->crypto->create_signer(lib->crypto, record->integrity);
	iv_gen = iv_gen_create_for_alg(record->encryption);
	if (crypter && signer && iv_gen && crypter->set_key(crypter, encryption) &&
	    signer->set_key(signer, integrity))
		return aead_create(crypter, signer, iv_gen);
	DESTROY_IF(crypter);
	DESTROY_IF(signer);
	DESTROY_IF(iv_gen);
	return NULL;
}

static packet_t *build_delete(const struct cp_ike_record *record, keymat_t *keymat, uint32_t mid)
{
	message_t *message = message_create(IKEV2_MAJOR_VERSION, IKEV2_MINOR_VERSION);
	ike_sa_id_t *id = ike_sa_id_create(IKEV2_MAJOR_VERSION, record->initiator_spi,
	                                   record->responder_spi, record->is_initiator);
	packet_t *packet = NULL;

	message->set_ike_sa_id(message, id);
	message->set_exchange_type(message, INFORMATIONAL);
	message->set_request(message, TRUE);
	message->set_message_id(message, mid);
	message->set_source(message, cp_ike_host_of(record->local_be, record->local_port));
	message->set_destination(message, cp_ike_host_of(record->remote_be, record->remote_port));
	message->add_payload(message, (payload_t *)delete_payload_create(PLV2_DELETE, PROTO_IKE));
	if (message->generate(message, keymat, &packet) != SUCCESS)
		packet = NULL;
	id->destroy(id);
	message->destroy(message);
	return packet;
}

/* The server takes the number that it expects and no other. That is the one after the last request
 * that we know of, unless that was never received, or the last one was not noted any more. */
void cp_ike_delete_send(const struct cp_ike_record *record)
{
	const uint32_t first = record->next_mid ? record->next_mid - 1 : 0;
	lone_keymat_t keymat = {
		.public = { .get_version = _get_version, .get_aead = _get_aead },
		.aead = build_aead(record),
	};

	if (!keymat.aead) {
		sp_log(SP_LOG_WARN,
		       "ike: a predecessor's IKE_SA cannot be ended: no such cipher here encryption=%u integrity=%u",
		       record->encryption, record->integrity);
		return;
	}
	for (uint32_t mid = first; mid <= record->next_mid + 1; mid++) {
		packet_t *packet = build_delete(record, &keymat.public, mid);

		if (packet)
			charon->sender->send(charon->sender, packet);
	}
	keymat.aead->destroy(keymat.aead);
}
