/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sessions of one worker: found by key, ended by a timer wheel. No allocation after create;
 * worker only.
 *
 * A session is two flows, outward (from the cluster) and inward (its replies), one cache line each,
 * beside each other in a dense pool: flows 2 * i and 2 * i + 1 of session i, so that the other
 * direction is index ^ 1. They are found through buckets of one line: ten 16-bit tags and ten flow
 * numbers. A key has two buckets; the second is looked at only where the first says that one of its
 * keys had to go there. What is used once in a session's life is in struct dp_flow_cold.
 */
#pragma once

#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_common.h>
#include <rte_prefetch.h>

#include "dataplane/keyed_hash.h"

#define DP_FLOW_NONE UINT32_MAX
#define DP_FLOW_WAYS 10u
#define DP_FLOW_SLOTS 512u   /* of the wheel, for one second each */
#define DP_FLOW_STEP 16u     /* seconds of a slot of the wheel for what is later */
#define DP_FLOW_WHEEL 8192u  /* seconds of that: longer than the longest timeout */
#define DP_FLOW_LANES 8u     /* lists of a slot: one's next link is loaded beside another one's */
#define DP_FLOW_DUE_ROOM 32u /* sessions that are prepared together for their end */
#define DP_FLOW_SESSIONS_MAX (1u << 30)

enum dp_flow_direction { DP_FLOW_OUTWARD = 0, DP_FLOW_INWARD = 1 };

/* Both flows of a session carry the same state. */
enum dp_flow_state {
	DP_FLOW_FREE = 0,
	DP_FLOW_OPENING,  /* SYN seen */
	DP_FLOW_ANSWERED, /* SYN-ACK seen */
	DP_FLOW_ESTABLISHED,
	DP_FLOW_CLOSING,   /* FIN from one side or both */
	DP_FLOW_TIME_WAIT, /* both FINs acknowledged */
	DP_FLOW_CLOSED,    /* RST */
	DP_FLOW_UDP,
	DP_FLOW_ECHO, /* ICMP */
	DP_FLOW_STATE_COUNT
};

/* The first twelve bytes are as they stand in the packet behind offset 12 of an IPv4 header without
 * options. */
struct dp_flow_key {
	uint32_t source_be;
	uint32_t destination_be;
	uint16_t source_port_be;
	uint16_t destination_port_be;
	uint8_t protocol;
	uint8_t direction;    /* enum dp_flow_direction */
	uint16_t environment; /* slot */
};
_Static_assert(sizeof(struct dp_flow_key) == 16, "dp_flow_key");
_Static_assert(offsetof(struct dp_flow_key, protocol) == 12,
               "dp_flow_key: the word that is not in the packet");

/* One direction: key, rewrite (read-only after the session began), tracking, counters. */
struct dp_flow {
	struct dp_flow_key key;
	/* dataplane/nat_rewrite.h; one 16-byte load */
	uint32_t ip_delta;  /* IPv4 checksum delta << 16 | 1 for the TTL */
	uint32_t source_be; /* the new ones */
	uint32_t destination_be;
	uint16_t source_port_be;
	uint16_t destination_port_be;
	/* dataplane/tcp_track.h: what this side has sent */
	uint32_t sequence_end; /* next sequence number expected from it */
	uint32_t acknowledged; /* highest acknowledgement number in it */
	uint32_t window;       /* that it offered with that acknowledgement, bytes */
	uint32_t last_s;       /* last packet */
	uint64_t bytes;        /* IPv4 bytes */
	uint16_t l4_delta;     /* TCP or UDP checksum delta */
	uint16_t tunnel;       /* slot */
	uint8_t state;         /* enum dp_flow_state */
	uint8_t flags;         /* DP_TCP_FLOW_* */
	uint8_t scale;         /* window scale, RFC 7323 */
	uint8_t checksum_off;  /* of the TCP or UDP checksum, from the IPv4 header */
} __rte_cache_aligned;
_Static_assert(sizeof(struct dp_flow) == 64, "dp_flow: one line");
_Static_assert(offsetof(struct dp_flow, ip_delta) == 16, "dp_flow: rewrite");
_Static_assert(offsetof(struct dp_flow, sequence_end) == 32, "dp_flow: tracking");
_Static_assert(offsetof(struct dp_flow, bytes) == 48, "dp_flow: counters");

struct dp_flow_cold {
	uint32_t next;     /* session in the same wheel slot, or in the free list */
	uint32_t previous; /* session, DP_FLOW_WHEEL_HEAD | lane of the wheel, or one of those below
	                    */
	uint32_t created_s;
	uint16_t environment; /* slot of whose quota it is part; DP_NONE_SLOT: of none */
	uint8_t kind;         /* enum dp_session_kind */
	uint8_t pad;
};
#define DP_FLOW_WHEEL_HEAD 0x80000000u
#define DP_FLOW_IS_DUE (DP_FLOW_NONE - 1) /* dp_flow_due() took it off the wheel */
_Static_assert(sizeof(struct dp_flow_cold) == 16, "dp_flow_cold");

struct dp_flow_bucket {
	uint16_t tag[DP_FLOW_WAYS]; /* 0: free */
	uint16_t overflow; /* keys whose first bucket this is and which live in their second */
	uint16_t pad;
	uint32_t flow[DP_FLOW_WAYS];
} __rte_cache_aligned;
_Static_assert(sizeof(struct dp_flow_bucket) == 64, "dp_flow_bucket: one line");

struct dp_flow_due {
	uint32_t n;
	uint32_t sessions[DP_FLOW_DUE_ROOM];
};

struct dp_flow_table {
	struct dp_flow_bucket *buckets;
	struct dp_flow *flows;
	struct dp_flow_cold *cold;
	uint32_t bucket_count;
	uint32_t capacity; /* sessions */
	struct dp_hash_seed seed;
	uint32_t count;    /* sessions now */
	uint32_t top;      /* sessions from here on were never used */
	uint32_t free;     /* list of ended sessions below top */
	uint32_t cursor_s; /* the next second of the wheel to look at */
	uint32_t sweep;    /* next session to be checked against the generation; nat_session's */
	uint32_t lane;     /* of it */
	/* sessions that are due, whose lines and then whose buckets are on the way; nat_session's
	 */
	struct dp_flow_due near, next;
	/* first session of each lane of each slot, one second's slots first */
	uint32_t wheel[(DP_FLOW_SLOTS + DP_FLOW_WHEEL / DP_FLOW_STEP) *
	               DP_FLOW_LANES] __rte_aligned(32);
};

/* Room for SESSIONS sessions (1 to DP_FLOW_SESSIONS_MAX) on NUMA node SOCKET. Returns 0, -EINVAL or
 * -ENOMEM. Control thread. */
int dp_flow_table_create(struct dp_flow_table **table, uint32_t sessions, uint64_t seed,
                         int socket);
void dp_flow_table_destroy(struct dp_flow_table *t);

/* What a table for SESSIONS sessions takes, all of it, bytes. */
size_t dp_flow_table_bytes(uint32_t sessions);

/* The flow with this key, or NULL. */
struct dp_flow *dp_flow_lookup(struct dp_flow_table *t, const struct dp_flow_key *key,
                               uint64_t hash);

/*
 * Begins a session: both flows with their keys, all else zero but the state, which is STATE; not
 * yet on the wheel. Returns 0 and its outward flow, -EEXIST (one of the keys is in use) or -ENOSPC.
 */
int dp_flow_add(struct dp_flow_table *t, const struct dp_flow_key *outward,
                const struct dp_flow_key *inward, enum dp_flow_state state, uint32_t now_s,
                struct dp_flow **flow);

/* Ends a session. */
void dp_flow_del(struct dp_flow_table *t, uint32_t session);

/* Looks at the session again at DEADLINE_S (earlier is possible, later not, but for a backlog). */
void dp_flow_schedule(struct dp_flow_table *t, uint32_t session, uint32_t deadline_s);

/* Takes the next session whose time to be looked at has come off the wheel: end it or schedule it
 * again. DP_FLOW_NONE: no more. */
uint32_t dp_flow_due(struct dp_flow_table *t, uint32_t now_s);

/* Whether it was neither scheduled nor ended since dp_flow_due() took it. */
static inline bool dp_flow_is_due(const struct dp_flow_table *t, uint32_t session)
{
	return t->cold[session].previous == DP_FLOW_IS_DUE;
}

/* ---- inline: the packet's way ---- */

static inline struct dp_flow *dp_flow_at(struct dp_flow_table *t, uint32_t session,
                                         enum dp_flow_direction direction)
{
	return &t->flows[2 * session + direction];
}

static inline uint32_t dp_flow_session(const struct dp_flow_table *t, const struct dp_flow *f)
{
	return (uint32_t)(f - t->flows) / 2;
}

/* The other direction. Flow 0 is on a 128-byte boundary, so a session's two lines differ in one
 * address bit. */
static inline struct dp_flow *dp_flow_other(const struct dp_flow *f)
{
	return (struct dp_flow *)((uintptr_t)f ^ sizeof(struct dp_flow));
}

/* The last word of a key. */
static inline uint32_t dp_flow_word(uint8_t protocol, enum dp_flow_direction direction,
                                    uint16_t environment)
{
	return protocol | (uint32_t)direction << 8 | (uint32_t)environment << 16;
}

/* The key of the packet at IP (no options, ports and the four bytes behind them present). KEY is 16
 * bytes, aligned. Returns its hash, taken from the register: a load of what was just stored in
 * smaller pieces would wait. */
static inline uint64_t dp_flow_key_load(const struct dp_flow_table *t, void *key, const uint8_t *ip,
                                        uint32_t word)
{
	__m128i x = _mm_insert_epi32(_mm_loadu_si128((const __m128i *)(ip + 12)), (int)word, 3);

	_mm_store_si128(key, x);
	return dp_hash16(&t->seed, (uint64_t)_mm_cvtsi128_si64(x),
	                 (uint64_t)_mm_extract_epi64(x, 1));
}

static inline uint64_t dp_flow_hash(const struct dp_flow_table *t, const void *key)
{
	uint64_t word[2];

	memcpy(word, key, sizeof(word));
	return dp_hash16(&t->seed, word[0], word[1]);
}

static inline bool dp_flow_is(const struct dp_flow *f, const void *key)
{
	__m128i x = _mm_xor_si128(_mm_load_si128((const __m128i *)&f->key),
	                          _mm_loadu_si128((const __m128i *)key));

	return _mm_testz_si128(x, x);
}

/* First bucket: upper half of the hash; second bucket: lower half; tag: the lowest bits. */
static inline struct dp_flow_bucket *dp_flow_first(const struct dp_flow_table *t, uint64_t hash)
{
	return &t->buckets[(hash >> 32) * t->bucket_count >> 32];
}

static inline uint16_t dp_flow_tag(uint64_t hash)
{
	return (uint16_t)(hash | 1);
}

/* Ways of the bucket with this tag, two bits each. */
static inline uint32_t dp_flow_ways(const struct dp_flow_bucket *b, uint16_t tag)
{
	__m256i tags = _mm256_load_si256((const __m256i *)b);

	return (uint32_t)_mm256_movemask_epi8(
		       _mm256_cmpeq_epi16(tags, _mm256_set1_epi16((short)tag))) &
	       ((1u << 2 * DP_FLOW_WAYS) - 1);
}

/* Not __builtin_prefetch(): GCC takes a function that does nothing else for one without effect. */
static inline void dp_flow_prefetch(const struct dp_flow_table *t, uint64_t hash)
{
	rte_prefetch0(dp_flow_first(t, hash));
}

/* For a session that is about to be looked at: both its lines. */
static inline void dp_flow_prefetch_session(const struct dp_flow_table *t, uint32_t session)
{
	rte_prefetch0(&t->flows[2 * session]);
	rte_prefetch0(&t->flows[2 * session + 1]);
}

/* For one that is about to end: the buckets that its keys are in, as a rule. */
static inline void dp_flow_prefetch_buckets(const struct dp_flow_table *t, uint32_t session)
{
	dp_flow_prefetch(t, dp_flow_hash(t, &t->flows[2 * session].key));
	dp_flow_prefetch(t, dp_flow_hash(t, &t->flows[2 * session + 1].key));
}

/* The first flow with the hash's tag in its first bucket, its line on the way to the cache, or
 * NULL. Right but once in thousands: compare with dp_flow_is(), then dp_flow_lookup(). */
static inline struct dp_flow *dp_flow_candidate(const struct dp_flow_table *t, uint64_t hash)
{
	const struct dp_flow_bucket *b = dp_flow_first(t, hash);
	uint32_t ways = dp_flow_ways(b, dp_flow_tag(hash));
	struct dp_flow *f;

	if (unlikely(ways == 0))
		return NULL;
	f = &t->flows[b->flow[(unsigned)__builtin_ctz(ways) / 2]];
	__builtin_prefetch(f, 1);
	return f;
}
