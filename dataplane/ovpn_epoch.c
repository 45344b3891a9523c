/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Derivation takes microseconds, but a forged packet may ask for it: such tries are limited, for a
 * key and for all, so that nobody's forgeries stop another tunnel's next epoch. */
#include "dataplane/ovpn_epoch.h"

#include "common/secret.h"
#include "dataplane/sa.h"
#include "dataplane/wire.h"
#include "dataplane/worker.h"

#include <string.h>

#define EPOCH_MAX UINT16_MAX
#define INFO_MAX 32u
#define COPY_MAX 2048u

/* RFC 5869 section 2.3, of one block: LENGTH <= 32. The info is TLS 1.3's, with a prefix of
 * OpenVPN's. */
static void expand(struct dp_crypto *crypto, const uint8_t *secret, const char *label, uint8_t *to,
                   unsigned length)
{
	uint8_t info[INFO_MAX] = { 0, (uint8_t)length }, whole[DP_OVPN_EPOCH_SECRET];
	unsigned n = (unsigned)strlen(label);

	info[2] = (uint8_t)(5 + n);
	memcpy(info + 3, "ovpn ", 5);
	memcpy(info + 8, label, n);
	info[8 + n] = 0; /* no context */
	info[9 + n] = 1; /* the first block */
	dp_crypto_hmac_sha256(crypto, secret, info, 10 + n, whole);
	memcpy(to, whole, length);
	sp_wipe(whole, sizeof(whole));
}

/* Schedule and IV of an epoch whose secret is there. */
static int make_key(struct dp_worker *w, struct dp_ovpn_epoch *epoch, struct dp_crypto_key *key,
                    const struct dp_crypto_suite *suite)
{
	static const uint8_t no_seed[DP_CRYPTO_SEED]; /* of CBC alone */
	uint8_t bytes[DP_OVPN_EPOCH_SECRET + 4] = { 0 };
	int rc;

	expand(w->crypto, epoch->secret, "data_key", bytes, suite->key_bytes);
	expand(w->crypto, epoch->secret, "data_iv", epoch->iv, sizeof(epoch->iv));
	rc = dp_crypto_key_init(w->crypto, key, suite->algorithm, bytes,
	                        (size_t)suite->key_bytes + suite->salt_bytes, no_seed);
	sp_wipe(bytes, sizeof(bytes));
	return rc;
}

/* The secret of a later epoch. */
static void advance(struct dp_worker *w, struct dp_ovpn_epoch *epoch, uint16_t number)
{
	uint8_t next[DP_OVPN_EPOCH_SECRET];

	for (; epoch->number < number; epoch->number++) {
		expand(w->crypto, epoch->secret, "datakey upd", next, sizeof(next));
		memcpy(epoch->secret, next, sizeof(next));
	}
	sp_wipe(next, sizeof(next));
}

int dp_ovpn_epoch_begin(struct dp_worker *w, struct dp_ovpn_epoch *epoch, struct dp_crypto_key *key,
                        const struct dp_crypto_suite *suite, const uint8_t *secret)
{
	memcpy(epoch->secret, secret, sizeof(epoch->secret));
	epoch->number = 1;
	return make_key(w, epoch, key, suite);
}

void dp_ovpn_epoch_nonce(const struct dp_ovpn_epoch *epoch, const uint8_t number[8],
                         uint8_t nonce[12])
{
	memcpy(nonce, epoch->iv, DP_OVPN_EPOCH_IV);
	for (unsigned i = 0; i < 8; i++)
		nonce[i] ^= number[i];
}

bool dp_ovpn_epoch_send(struct dp_worker *w, struct dp_sa_out *sa, uint32_t number)
{
	if (number > EPOCH_MAX)
		return false;
	if (number <= sa->epoch.number)
		return true;
	advance(w, &sa->epoch, (uint16_t)number);
	if (make_key(w, &sa->epoch, &sa->key, &sa->suite) != 0)
		return false;
	sa->sequence = (uint64_t)number << DP_OVPN_COUNTER_BITS;
	sa->openvpn.volume = 0;
	return true;
}

/* Whether P is authentic under this key; on a copy. */
static bool is_authentic(struct dp_worker *w, const struct dp_sa_in *sa,
                         const struct dp_ovpn_epoch *epoch, const struct dp_crypto_key *key,
                         const struct dp_pkt *p)
{
	uint8_t copy[COPY_MAX];
	struct dp_batch one = { .n = 1 };
	struct dp_pkt *q = &one.p[0];
	unsigned length = (unsigned)(p->l3 + p->l3_length - p->esp);
	bool is_good;

	if (length > sizeof(copy))
		return false; /* the next packet will do */
	memcpy(copy, p->esp, length);
	q->esp = q->l3 = copy;
	q->l3_length = (uint16_t)length;
	dp_ovpn_epoch_nonce(epoch, copy + 4, q->iv);
	memcpy(q->aad, copy, 12);
	dp_crypto_decrypt(w->crypto, &sa->suite, key, &one, 0, 1);
	dp_crypto_flush(w->crypto);
	is_good = q->verdict == DP_OK;
	sp_wipe(copy, length);
	return is_good;
}

/* Forgers may have tried too often. */
static bool may_try(struct dp_worker *w, struct dp_sa_in *sa)
{
	return dp_bucket_take(&sa->resync_limit, w->now_ns) &&
	       dp_bucket_take(&w->epoch_limit, w->now_ns);
}

/* What is left of the current epoch when the next one begins. */
static void keep_late(struct dp_sa_in *sa)
{
	struct dp_ovpn_late *late = &sa->late;
	const uint64_t begin = (uint64_t)sa->epoch.number << DP_OVPN_COUNTER_BITS;

	late->epoch = sa->epoch;
	late->top = sa->replay.top > begin ? sa->replay.top : begin;
	late->seen = 0;
	for (unsigned i = 0; i < 64; i++)
		if (late->top - i <= begin || !dp_replay_check(&sa->replay, late->top - i))
			late->seen |= UINT64_C(1) << i;
}

bool dp_ovpn_epoch_check_late(const struct dp_ovpn_late *late, uint64_t number)
{
	if (number > late->top)
		return true;
	return late->top - number < 64 && !(late->seen >> (late->top - number) & 1);
}

bool dp_ovpn_epoch_commit_late(struct dp_ovpn_late *late, uint64_t number)
{
	if (!dp_ovpn_epoch_check_late(late, number))
		return false;
	if (number > late->top) {
		const uint64_t ahead = number - late->top;

		late->seen = ahead < 64 ? late->seen << ahead : 0;
		late->top = number;
	}
	late->seen |= UINT64_C(1) << (late->top - number);
	return true;
}

void dp_ovpn_epoch_open_late(struct dp_worker *w, struct dp_sa_in *sa, struct dp_batch *b,
                             unsigned i)
{
	struct dp_pkt *p = &b->p[i];
	struct dp_crypto_key key;

	if (!may_try(w, sa) || make_key(w, &sa->late.epoch, &key, &sa->suite) != 0) {
		p->verdict = DP_OVPN_REPLAY;
		return;
	}
	dp_ovpn_epoch_nonce(&sa->late.epoch, p->esp + 4, p->iv);
	memcpy(p->aad, p->esp, 12);
	dp_crypto_decrypt(w->crypto, &sa->suite, &key, b, i, i + 1);
	dp_crypto_flush(w->crypto);
	dp_crypto_key_wipe(&key);
}

void dp_ovpn_epoch_follow(struct dp_worker *w, struct dp_sa_in *sa, const struct dp_pkt *p)
{
	uint16_t number = rte_be_to_cpu_16(dp_load16(p->esp + 4));
	struct dp_ovpn_epoch epoch = sa->epoch;
	struct dp_crypto_key key;

	if (number - sa->epoch.number > (int)DP_OVPN_EPOCHS_AHEAD || !may_try(w, sa))
		return;
	advance(w, &epoch, number);
	if (make_key(w, &epoch, &key, &sa->suite) == 0 && is_authentic(w, sa, &epoch, &key, p)) {
		keep_late(sa);
		sa->epoch = epoch;
		sa->key = key;
		for (struct dp_sa_out *out = w->tunnels[sa->tunnel].out; out; out = out->older)
			if (out->epoch.number && out->spi_be == sa->spi_be)
				(void)dp_ovpn_epoch_send(w, out, number);
	}
	dp_crypto_key_wipe(&key);
	sp_wipe(&epoch, sizeof(epoch));
}
