/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Epochs of an OpenVPN key, as OpenVPN 2.7 has them: each has a data key and an implicit IV of its
 * own, derived from a secret of which the next one's comes (RFC 5869, HKDF-Expand with SHA-256).
 *
 * A number is the epoch, 16 bits, and the packet's counter in it, 48 bits. Each side sends in an
 * epoch of its own; who opens a packet of a later one follows, in both directions. Of the epoch
 * before, packets may still be late: those among the last 64, as OpenVPN takes them, are opened.
 * Worker only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/crypto_mb.h"

#define DP_OVPN_EPOCH_SECRET 32u
#define DP_OVPN_EPOCH_IV 12u
#define DP_OVPN_EPOCHS_AHEAD 16u /* that a packet may be ahead of us */
#define DP_OVPN_COUNTER_BITS 48u
#define DP_OVPN_EPOCH_PACKETS_PER_SECOND 32u /* tried with another epoch, of a key */
#define DP_OVPN_EPOCH_WORKER_PER_SECOND 256u /* the same of all keys */

struct dp_worker;
struct dp_batch;
struct dp_pkt;
struct dp_sa_in;
struct dp_sa_out;

struct dp_ovpn_epoch {
	uint8_t secret[DP_OVPN_EPOCH_SECRET];
	uint8_t iv[DP_OVPN_EPOCH_IV];
	uint16_t number; /* 0: the key has no epochs */
	uint8_t pad[2];
};

/* The epoch before, and which packets of it came; its key is made anew for each that is late. */
struct dp_ovpn_late {
	struct dp_ovpn_epoch epoch; /* its number 0: there was none */
	uint64_t top;               /* highest number of an authentic packet */
	uint64_t seen;              /* bit i: top - i was there, or cannot be */
};

/* The first epoch of SECRET; KEY becomes its schedule. -ENOTSUP, -EINVAL as dp_crypto_key_init().
 */
int dp_ovpn_epoch_begin(struct dp_worker *w, struct dp_ovpn_epoch *epoch, struct dp_crypto_key *key,
                        const struct dp_crypto_suite *suite, const uint8_t *secret);

/* What a packet's 8 bytes of epoch and counter make its nonce. */
void dp_ovpn_epoch_nonce(const struct dp_ovpn_epoch *epoch, const uint8_t number[8],
                         uint8_t nonce[12]);

/* The outbound key goes on in epoch NUMBER, if that is later than its own: counters begin anew.
 * False: it was the last one. */
bool dp_ovpn_epoch_send(struct dp_worker *w, struct dp_sa_out *sa, uint32_t number);

/* Whether NUMBER, epoch and counter, is one of the epoch before. */
static inline bool dp_ovpn_epoch_is_late(const struct dp_ovpn_late *late, uint64_t number)
{
	return late->epoch.number && number >> DP_OVPN_COUNTER_BITS == late->epoch.number;
}

/* Whether such a packet may still be accepted; and accepts it, if it is authentic. */
bool dp_ovpn_epoch_check_late(const struct dp_ovpn_late *late, uint64_t number);
bool dp_ovpn_epoch_commit_late(struct dp_ovpn_late *late, uint64_t number);

/* Opens packet I of B, which is of the epoch before. Its verdict is that of a decryption, or
 * DP_OVPN_REPLAY where too many were late lately. */
void dp_ovpn_epoch_open_late(struct dp_worker *w, struct dp_sa_in *sa, struct dp_batch *b,
                             unsigned i);

/* P is of a later epoch than SA: if it is authentic in that, the key goes on there, and so do the
 * outbound keys of the same name. The packet itself is not changed. */
void dp_ovpn_epoch_follow(struct dp_worker *w, struct dp_sa_in *sa, const struct dp_pkt *p);
