/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the next control plane needs to end the IKE_SAs that this one leaves behind.
 *
 * The list holds a record of each IKE_SA of ours from the derivation of its keys on, and of those
 * that predecessors left. It is changed by libcharon's threads with the bus locked, so the
 * dataplane is told by a job of its own.
 *
 * A DELETE of ours is protected with a key whose nonces the predecessor counted from a random start
 * that we do not know: ours begins at another random one (RFC 5282 section 3.1; 2^64 of them).
 */
#include "controlplane/ike_keepsake.h"

#include <daemon.h>
#include <encoding/message.h>
#include <encoding/payloads/delete_payload.h>
#include <processing/jobs/callback_job.h>
#include <sa/ikev2/keymat_v2.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "common/log.h"
#include "common/netaddr.h"
#include "common/secret.h"

#define ENCRYPTION_KEY_MAX 40u
#define INTEGRITY_KEY_MAX 64u
#define KEEPSAKE_VERSION 1u
#define DELETE_ROUNDS 3u /* against loss */
#define DELETE_PAUSE_MS 500u

/** An IKE_SA, as the keepsake has it: read by the same build or a later one of the same version. */
struct ike_record {
	uint64_t initiator_spi;
	uint64_t responder_spi;
	uint32_t next_mid; /* of our requests */
	uint32_t local_be;
	uint32_t remote_be;
	uint16_t local_port;
	uint16_t remote_port;
	uint16_t encryption; /* IANA's numbers */
	uint16_t integrity;
	uint8_t is_initiator;
	uint8_t encryption_length;
	uint8_t integrity_length;
	uint8_t pad;
	uint8_t encryption_key[ENCRYPTION_KEY_MAX]; /* of what we send */
	uint8_t integrity_key[INTEGRITY_KEY_MAX];
};
_Static_assert(sizeof(struct ike_record) == 144, "ike_record");

struct keepsake_head {
	uint32_t version;
	uint32_t count;
};

#define RECORDS_MAX ((IPC_KEEPSAKE_MAX - sizeof(struct keepsake_head)) / sizeof(struct ike_record))

typedef struct private_keepsake_t private_keepsake_t;
typedef struct entry_t entry_t;
typedef struct retirement_t retirement_t;
typedef struct lone_keymat_t lone_keymat_t;

struct entry_t {
	struct ike_record record;
	size_t tunnel;
	uint32_t ike_id; /* 0: a predecessor's */
	entry_t *next;
};

struct private_keepsake_t {
	listener_t public;
	struct cp_ike *ike;
	pthread_mutex_t lock; /* list; newest first */
	entry_t *list;
};

/** The end of one IKE_SA of a predecessor. */
struct retirement_t {
	struct cp_ike *ike;
	const struct cp_ike_tunnel *tunnel;
	struct ike_record record;
	unsigned rounds;
};

/** A keymat_t that protects what is sent with one key. */
struct lone_keymat_t {
	keymat_t public;
	aead_t *aead;
};

static private_keepsake_t *keepsake;

static void destroy_entry(entry_t *entry)
{
	sp_wipe(&entry->record, sizeof(entry->record));
	free(entry);
}

/* ---- to the dataplane ---- */

/* With the lock held. What does not fit is older than RECORDS_MAX restarts. */
static void compose(size_t tunnel, struct ipc_keepsake *message)
{
	struct keepsake_head head = { .version = KEEPSAKE_VERSION };
	uint8_t *to = message->data + sizeof(head);

	for (entry_t *entry = keepsake->list; entry && head.count < RECORDS_MAX;
	     entry = entry->next) {
		if (entry->tunnel != tunnel)
			continue;
		memcpy(to, &entry->record, sizeof(entry->record));
		to += sizeof(entry->record);
		head.count++;
	}
	memcpy(message->data, &head, sizeof(head));
	message->length = head.count ? to - message->data : 0;
	if (!head.count)
		memset(message->data, 0, sizeof(head));
}

static job_requeue_t bring(const struct cp_ike_tunnel *tunnel)
{
	struct ipc_keepsake message = { .id = tunnel->id };
	int rc;

	if (keepsake->ike->is_muted)
		return JOB_REQUEUE_NONE;
	pthread_mutex_lock(&keepsake->lock);
	compose(tunnel - keepsake->ike->tunnels, &message);
	pthread_mutex_unlock(&keepsake->lock);
	rc = cp_dp_call(keepsake->ike->dp, IPC_KEEPSAKE_SET, &message, sizeof(message), NULL, 0);
	sp_wipe(&message, sizeof(message));
	if (rc != 0) /* a dataplane that is gone gets it when it is back */
		sp_log(SP_LOG_DEBUG,
		       "ike: the dataplane did not take a keepsake tunnel=%s error=%s",
		       tunnel->name, strerror(-rc));
	return JOB_REQUEUE_NONE;
}

static void bring_soon(size_t tunnel)
{
	lib->processor->queue_job(lib->processor,
	                          (job_t *)callback_job_create_with_prio(
					  (callback_job_cb_t)bring, &keepsake->ike->tunnels[tunnel],
					  NULL, NULL, JOB_PRIO_HIGH));
}

/* ---- our own IKE_SAs ---- */

static uint32_t address_of(host_t *host)
{
	uint32_t address_be = 0;
	chunk_t address = host->get_address(host);

	if (address.len == sizeof(address_be))
		memcpy(&address_be, address.ptr, sizeof(address_be));
	return address_be;
}

/* With the lock held. */
static entry_t **find(uint32_t ike_id)
{
	entry_t **at = &keepsake->list;

	while (*at && (*at)->ike_id != ike_id)
		at = &(*at)->next;
	return at;
}

static bool fill(struct ike_record *record, ike_sa_t *ike_sa, chunk_t encryption, chunk_t integrity)
{
	proposal_t *proposal = ike_sa->get_proposal(ike_sa);
	ike_sa_id_t *id = ike_sa->get_id(ike_sa);
	uint16_t bits;

	if (!proposal ||
	    !proposal->get_algorithm(proposal, ENCRYPTION_ALGORITHM, &record->encryption, &bits) ||
	    encryption.len > sizeof(record->encryption_key) ||
	    integrity.len > sizeof(record->integrity_key))
		return FALSE;
	if (integrity.len &&
	    !proposal->get_algorithm(proposal, INTEGRITY_ALGORITHM, &record->integrity, &bits))
		return FALSE;
	record->initiator_spi = id->get_initiator_spi(id);
	record->responder_spi = id->get_responder_spi(id);
	record->is_initiator = id->is_initiator(id);
	record->encryption_length = encryption.len;
	memcpy(record->encryption_key, encryption.ptr, encryption.len);
	record->integrity_length = integrity.len;
	if (integrity.len)
		memcpy(record->integrity_key, integrity.ptr, integrity.len);
	return TRUE;
}

METHOD(listener_t, ike_derived_keys, bool, private_keepsake_t *this, ike_sa_t *ike_sa, chunk_t sk_d,
       chunk_t sk_ai, chunk_t sk_ar, chunk_t sk_ei, chunk_t sk_er, chunk_t sk_pi, chunk_t sk_pr)
{
	const struct cp_ike_tunnel *tunnel =
		ike_sa && !this->ike->is_muted ? cp_ike_find(this->ike, ike_sa->get_name(ike_sa))
					       : NULL;
	bool is_initiator;
	entry_t *entry;

	if (!tunnel)
		return TRUE;
	is_initiator = ike_sa->get_id(ike_sa)->is_initiator(ike_sa->get_id(ike_sa));
	INIT(entry, .tunnel = tunnel - this->ike->tunnels,
	     .ike_id = ike_sa->get_unique_id(ike_sa), );
	if (!fill(&entry->record, ike_sa, is_initiator ? sk_ei : sk_er,
	          is_initiator ? sk_ai : sk_ar)) {
		destroy_entry(entry);
		return TRUE;
	}
	pthread_mutex_lock(&this->lock);
	entry->next = this->list;
	this->list = entry;
	pthread_mutex_unlock(&this->lock);
	return TRUE; /* it is brought with its first message */
}

/* With the lock held. */
static void note_hosts(entry_t *entry, ike_sa_t *ike_sa)
{
	host_t *local = ike_sa->get_my_host(ike_sa), *remote = ike_sa->get_other_host(ike_sa);

	entry->record.local_be = address_of(local);
	entry->record.remote_be = address_of(remote);
	entry->record.local_port = local->get_port(local);
	entry->record.remote_port = remote->get_port(remote);
	bring_soon(entry->tunnel);
}

/* Each request of ours takes a number; the addresses may have changed since the last one. */
METHOD(listener_t, message_hook, bool, private_keepsake_t *this, ike_sa_t *ike_sa,
       message_t *message, bool incoming, bool plain)
{
	entry_t *entry;

	if (!ike_sa || incoming || !plain || this->ike->is_muted)
		return TRUE;
	pthread_mutex_lock(&this->lock);
	entry = *find(ike_sa->get_unique_id(ike_sa));
	if (entry) {
		if (message->get_request(message))
			entry->record.next_mid = message->get_message_id(message) + 1;
		note_hosts(entry, ike_sa);
	}
	pthread_mutex_unlock(&this->lock);
	return TRUE;
}

/* One that the server rekeyed may never see a message of ours. */
METHOD(listener_t, ike_rekey, bool, private_keepsake_t *this, ike_sa_t *old, ike_sa_t *new)
{
	entry_t *entry;

	if (this->ike->is_muted)
		return TRUE;
	pthread_mutex_lock(&this->lock);
	entry = *find(new->get_unique_id(new));
	if (entry)
		note_hosts(entry, new);
	pthread_mutex_unlock(&this->lock);
	return TRUE;
}

METHOD(listener_t, ike_state_change, bool, private_keepsake_t *this, ike_sa_t *ike_sa,
       ike_sa_state_t state)
{
	entry_t **at, *entry;

	if (state != IKE_DESTROYING || this->ike->is_muted)
		return TRUE;
	pthread_mutex_lock(&this->lock);
	at = find(ike_sa->get_unique_id(ike_sa));
	entry = *at;
	if (entry) {
		*at = entry->next;
		bring_soon(entry->tunnel);
		destroy_entry(entry);
	}
	pthread_mutex_unlock(&this->lock);
	return TRUE;
}

/* ---- those of predecessors ---- */

static bool is_sound(const struct ike_record *record)
{
	return record->encryption_length <= sizeof(record->encryption_key) &&
	       record->integrity_length <= sizeof(record->integrity_key) && record->remote_be &&
	       record->local_be == keepsake->ike->config->uplink.address_be;
}

/* With the lock held: ours, or known from an earlier reading. */
static bool is_known(const struct ike_record *record)
{
	entry_t *entry = keepsake->list;

	while (entry && (entry->record.initiator_spi != record->initiator_spi ||
	                 entry->record.responder_spi != record->responder_spi))
		entry = entry->next;
	return entry != NULL;
}

static void take_records(size_t tunnel, const struct ipc_keepsake *message)
{
	const uint8_t *from = message->data + sizeof(struct keepsake_head);
	struct keepsake_head head;

	memcpy(&head, message->data, sizeof(head));
	if (message->length < sizeof(head) || head.version != KEEPSAKE_VERSION ||
	    head.count > RECORDS_MAX ||
	    message->length != sizeof(head) + head.count * sizeof(struct ike_record))
		return;
	pthread_mutex_lock(&keepsake->lock);
	for (uint32_t i = 0; i < head.count; i++, from += sizeof(struct ike_record)) {
		entry_t *entry, **at = &keepsake->list;

		INIT(entry, .tunnel = tunnel, );
		memcpy(&entry->record, from, sizeof(entry->record));
		if (!is_sound(&entry->record) || is_known(&entry->record)) {
			destroy_entry(entry);
			continue;
		}
		while (*at) /* older than what is there */
			at = &(*at)->next;
		*at = entry;
	}
	pthread_mutex_unlock(&keepsake->lock);
}

void cp_ike_keepsake_read(struct cp_ike *ike)
{
	for (size_t i = 0; i < ike->tunnel_count; i++) {
		struct ipc_keepsake message;
		int rc = cp_dp_call(ike->dp, IPC_KEEPSAKE_GET, &ike->tunnels[i].id,
		                    sizeof(ike->tunnels[i].id), &message, sizeof(message));

		if (rc == 0)
			take_records(i, &message);
		else
			sp_log(SP_LOG_DEBUG, "ike: no keepsake tunnel=%s error=%s",
			       ike->tunnels[i].name, strerror(-rc));
		sp_wipe(&message, sizeof(message));
		bring_soon(i);
	}
}

bool cp_ike_keepsake_has(const struct cp_ike_tunnel *tunnel)
{
	const size_t number = tunnel - keepsake->ike->tunnels;
	entry_t *entry;

	pthread_mutex_lock(&keepsake->lock);
	for (entry = keepsake->list; entry; entry = entry->next) {
		if (entry->tunnel == number && entry->ike_id == 0)
			break;
	}
	pthread_mutex_unlock(&keepsake->lock);
	return entry != NULL;
}

/* ---- an authenticated DELETE ---- */

METHOD(keymat_t, get_version, ike_version_t, lone_keymat_t *this)
{
	return IKEV2;
}

METHOD(keymat_t, get_aead, aead_t *, lone_keymat_t *this, bool in)
{
	return in ? NULL : this->aead;
}

/* As libcharon's keymat does it; NULL: an algorithm that is not there. */
static aead_t *build_aead(const struct ike_record *record)
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

static packet_t *build_delete(const struct ike_record *record, keymat_t *keymat, uint32_t mid)
{
	message_t *message = message_create(IKEV2_MAJOR_VERSION, IKEV2_MINOR_VERSION);
	ike_sa_id_t *id = ike_sa_id_create(IKEV2_MAJOR_VERSION, record->initiator_spi,
	                                   record->responder_spi, record->is_initiator);
	packet_t *packet = NULL;

	message->set_ike_sa_id(message, id);
	message->set_exchange_type(message, INFORMATIONAL);
	message->set_request(message, TRUE);
	message->set_message_id(message, mid);
	message->set_source(message,
	                    host_create_from_chunk(AF_INET, chunk_from_thing(record->local_be),
	                                           record->local_port));
	message->set_destination(
		message, host_create_from_chunk(AF_INET, chunk_from_thing(record->remote_be),
	                                        record->remote_port));
	message->add_payload(message, (payload_t *)delete_payload_create(PLV2_DELETE, PROTO_IKE));
	if (message->generate(message, keymat, &packet) != SUCCESS)
		packet = NULL;
	id->destroy(id);
	message->destroy(message);
	return packet;
}

/* The server takes the number that it expects and no other. That is the one after the last request
 * that we know of, unless that was never received, or the last one was not noted any more. */
static void send_deletes(const struct ike_record *record)
{
	const uint32_t first = record->next_mid ? record->next_mid - 1 : 0;
	lone_keymat_t keymat = {
		.public = { .get_version = _get_version, .get_aead = _get_aead },
		.aead = build_aead(record),
	};

	if (!keymat.aead)
		return;
	for (uint32_t mid = first; mid <= record->next_mid + 1; mid++) {
		packet_t *packet = build_delete(record, &keymat.public, mid);

		if (packet)
			charon->sender->send(charon->sender, packet);
	}
	keymat.aead->destroy(keymat.aead);
}

static void destroy_retirement(retirement_t *this)
{
	sp_wipe(&this->record, sizeof(this->record));
	free(this);
}

/* With the lock held or not: takes the record out of the list. */
static void forget(const struct ike_record *record)
{
	entry_t **at, *entry;

	pthread_mutex_lock(&keepsake->lock);
	for (at = &keepsake->list; *at; at = &(*at)->next) {
		entry = *at;
		if (entry->ike_id == 0 && entry->record.initiator_spi == record->initiator_spi &&
		    entry->record.responder_spi == record->responder_spi) {
			*at = entry->next;
			bring_soon(entry->tunnel);
			destroy_entry(entry);
			break;
		}
	}
	pthread_mutex_unlock(&keepsake->lock);
}

static job_requeue_t retire(retirement_t *this)
{
	if (this->ike->is_muted)
		return JOB_REQUEUE_NONE;
	send_deletes(&this->record);
	if (++this->rounds < DELETE_ROUNDS)
		return JOB_RESCHEDULE_MS(DELETE_PAUSE_MS);
	forget(&this->record);
	return JOB_REQUEUE_NONE;
}

void cp_ike_keepsake_retire(struct cp_ike *ike, const struct cp_ike_tunnel *tunnel)
{
	const size_t number = tunnel - ike->tunnels;
	char remote[SP_ADDRESS_TEXT];

	pthread_mutex_lock(&keepsake->lock);
	for (entry_t *entry = keepsake->list; entry; entry = entry->next) {
		retirement_t *retirement;

		if (entry->tunnel != number || entry->ike_id != 0)
			continue;
		INIT(retirement, .ike = ike, .tunnel = tunnel, .record = entry->record, );
		sp_log(SP_LOG_INFO,
		       "ike: ending a predecessor's IKE_SA tunnel=%s remote=%s message_id=%u",
		       tunnel->name, sp_address_format(remote, entry->record.remote_be),
		       entry->record.next_mid);
		lib->processor->queue_job(
			lib->processor,
			(job_t *)callback_job_create((callback_job_cb_t)retire, retirement,
		                                     (void *)destroy_retirement, NULL));
	}
	pthread_mutex_unlock(&keepsake->lock);
}

/* ---- life ---- */

int cp_ike_keepsake_attach(struct cp_ike *ike)
{
	INIT(keepsake,
		.public = {
			.ike_derived_keys = _ike_derived_keys,
			.ike_rekey = _ike_rekey,
			.ike_state_change = _ike_state_change,
			.message = _message_hook,
		},
		.ike = ike,
	);
	pthread_mutex_init(&keepsake->lock, NULL);
	charon->bus->add_listener(charon->bus, &keepsake->public);
	return 0;
}

void cp_ike_keepsake_detach(void)
{
	charon->bus->remove_listener(charon->bus, &keepsake->public);
	while (keepsake->list) {
		entry_t *entry = keepsake->list;

		keepsake->list = entry->next;
		destroy_entry(entry);
	}
	pthread_mutex_destroy(&keepsake->lock);
	free(keepsake);
	keepsake = NULL;
}
