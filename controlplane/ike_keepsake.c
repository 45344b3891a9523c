/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the next control plane needs to end the IKE_SAs that this one leaves behind.
 *
 * The list holds a record of each IKE_SA of ours from the derivation of its keys on, and of those
 * that predecessors left. It is changed by libcharon's threads with the bus locked, so the
 * dataplane is told by a job of its own.
 */
#include "controlplane/ike_keepsake.h"

#include <daemon.h>
#include <processing/jobs/callback_job.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "common/log.h"
#include "common/netaddr.h"
#include "common/secret.h"
#include "controlplane/ike_delete.h"
#include "controlplane/ike_host.h"

#define KEEPSAKE_VERSION 1u
#define DELETE_ROUNDS 3u /* against loss */
#define DELETE_PAUSE_MS 500u

struct keepsake_head {
	uint32_t version;
	uint32_t count;
};

#define RECORDS_MAX \
	((IPC_KEEPSAKE_MAX - sizeof(struct keepsake_head)) / sizeof(struct cp_ike_record))

typedef struct private_keepsake_t private_keepsake_t;
typedef struct entry_t entry_t;
typedef struct retirement_t retirement_t;

struct entry_t {
	struct cp_ike_record record;
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
	struct cp_ike_record record;
	unsigned rounds;
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

/* With the lock held. */
static entry_t **find(uint32_t ike_id)
{
	entry_t **at = &keepsake->list;

	while (*at && (*at)->ike_id != ike_id)
		at = &(*at)->next;
	return at;
}

static bool fill(struct cp_ike_record *record, ike_sa_t *ike_sa, chunk_t encryption,
                 chunk_t integrity)
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

	entry->record.local_be = cp_ike_address_of(local);
	entry->record.remote_be = cp_ike_address_of(remote);
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

static bool is_sound(const struct cp_ike_record *record)
{
	return record->encryption_length <= sizeof(record->encryption_key) &&
	       record->integrity_length <= sizeof(record->integrity_key) && record->remote_be &&
	       record->local_be == keepsake->ike->config->uplink.address_be;
}

/* With the lock held: ours, or known from an earlier reading. */
static bool is_known(const struct cp_ike_record *record)
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
	    message->length != sizeof(head) + head.count * sizeof(struct cp_ike_record)) {
		if (message->length)
			sp_log(SP_LOG_WARN,
			       "ike: a predecessor of another version left IKE_SAs, which end by themselves tunnel=%s",
			       keepsake->ike->tunnels[tunnel].name);
		return;
	}
	pthread_mutex_lock(&keepsake->lock);
	for (uint32_t i = 0; i < head.count; i++, from += sizeof(struct cp_ike_record)) {
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
		int rc;

		if (ike->tunnels[i].server->openvpn)
			continue; /* it is another one's */
		rc = cp_dp_call(ike->dp, IPC_KEEPSAKE_GET, &ike->tunnels[i].id,
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

/* ---- the end of those ---- */

static void destroy_retirement(retirement_t *this)
{
	sp_wipe(&this->record, sizeof(this->record));
	free(this);
}

/* With the lock held or not: takes the record out of the list. */
static void forget(const struct cp_ike_record *record)
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
	cp_ike_delete_send(&this->record);
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
