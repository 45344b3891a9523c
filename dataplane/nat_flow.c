/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The session table: buckets, pool and timer wheel.
 */
#include "dataplane/nat_flow.h"

#include <assert.h>
#include <errno.h>

#include <rte_malloc.h>

/* Flows per ten buckets that the table is sized for: 90 of 100 ways in use when it is full, in
 * which insert() finds places for all. */
#define FLOWS_PER_TEN_BUCKETS 90u
#define BUCKETS_MIN 16u

static uint32_t bucket_count(uint32_t sessions)
{
	uint32_t n = (uint32_t)((uint64_t)sessions * 20 / FLOWS_PER_TEN_BUCKETS) + 1;

	return n < BUCKETS_MIN ? BUCKETS_MIN : n;
}

static struct dp_flow_bucket *second(const struct dp_flow_table *t, uint64_t hash)
{
	const struct dp_flow_bucket *first = dp_flow_first(t, hash);
	struct dp_flow_bucket *b = &t->buckets[(uint64_t)(uint32_t)hash * t->bucket_count >> 32];

	if (b != first)
		return b;
	return ++b == t->buckets + t->bucket_count ? t->buckets : b;
}

/* The way of the bucket where the key is, or -1. */
static int find_way(const struct dp_flow_table *t, const struct dp_flow_bucket *b,
                    const struct dp_flow_key *key, uint64_t hash)
{
	uint32_t ways = dp_flow_ways(b, dp_flow_tag(hash));

	while (ways) {
		int way = __builtin_ctz(ways) / 2;

		if (dp_flow_is(&t->flows[b->flow[way]], key))
			return way;
		ways &= ~(3u << 2 * way);
	}
	return -1;
}

static int free_way(const struct dp_flow_bucket *b)
{
	uint32_t ways = dp_flow_ways(b, 0);

	return ways ? __builtin_ctz(ways) / 2 : -1;
}

static void put(struct dp_flow_bucket *b, int way, uint16_t tag, uint32_t flow)
{
	b->flow[way] = flow;
	b->tag[way] = tag;
}

/* The other one of the two buckets of the key that is in this way of B. */
static struct dp_flow_bucket *other_bucket(const struct dp_flow_table *t,
                                           const struct dp_flow_bucket *b, unsigned way)
{
	uint64_t hash = dp_flow_hash(t, &t->flows[b->flow[way]].key);
	struct dp_flow_bucket *first = dp_flow_first(t, hash);

	return b == first ? second(t, hash) : first;
}

/* Moves a key from its bucket to a free way of its other one. */
static void move(const struct dp_flow_table *t, struct dp_flow_bucket *from, unsigned way,
                 struct dp_flow_bucket *to, int free)
{
	put(to, free, from->tag[way], from->flow[way]);
	from->tag[way] = 0;
	if (dp_flow_first(t, dp_flow_hash(t, &t->flows[from->flow[way]].key)) == from)
		from->overflow++;
	else
		to->overflow--;
}

/* Makes room in a full bucket: moves one of its keys to that key's other bucket, in which another
 * one is moved first if need be, MOVES times. Returns the free way or -1. */
static int make_room(struct dp_flow_table *t, struct dp_flow_bucket *b, unsigned moves)
{
	for (unsigned i = 0; i < DP_FLOW_WAYS; i++) {
		struct dp_flow_bucket *other = other_bucket(t, b, i);
		int way = free_way(other);

		if (way < 0)
			continue;
		move(t, b, i, other, way);
		return (int)i;
	}
	for (unsigned i = 0; i < DP_FLOW_WAYS && moves; i++) {
		struct dp_flow_bucket *other = other_bucket(t, b, i);
		int way = other == b ? -1 : make_room(t, other, moves - 1);

		if (way < 0)
			continue;
		move(t, b, i, other, way);
		return (int)i;
	}
	return -1;
}

static int insert(struct dp_flow_table *t, uint64_t hash, uint32_t flow)
{
	struct dp_flow_bucket *b1 = dp_flow_first(t, hash), *b2;
	int way = free_way(b1);

	if (way >= 0) {
		put(b1, way, dp_flow_tag(hash), flow);
		return 0;
	}
	b2 = second(t, hash);
	way = free_way(b2);
	if (way < 0) {
		way = make_room(t, b1, 1);
		if (way >= 0) {
			put(b1, way, dp_flow_tag(hash), flow);
			return 0;
		}
		way = make_room(t, b2, 1);
	}
	if (way < 0)
		return -ENOSPC;
	put(b2, way, dp_flow_tag(hash), flow);
	b1->overflow++;
	return 0;
}

static void erase(struct dp_flow_table *t, const struct dp_flow_key *key)
{
	uint64_t hash = dp_flow_hash(t, key);
	struct dp_flow_bucket *b1 = dp_flow_first(t, hash), *b2;
	int way = find_way(t, b1, key, hash);

	if (way >= 0) {
		b1->tag[way] = 0;
		return;
	}
	b2 = second(t, hash);
	way = find_way(t, b2, key, hash);
	assert(way >= 0);
	b2->tag[way] = 0;
	b1->overflow--;
}

static void unschedule(struct dp_flow_table *t, uint32_t session)
{
	struct dp_flow_cold *c = &t->cold[session];

	if (c->previous == DP_FLOW_NONE)
		return;
	if (c->previous == DP_FLOW_IS_DUE) {
		c->previous = DP_FLOW_NONE;
		return;
	}
	if (c->previous & DP_FLOW_WHEEL_HEAD)
		t->wheel[c->previous & ~DP_FLOW_WHEEL_HEAD] = c->next;
	else
		t->cold[c->previous].next = c->next;
	if (c->next != DP_FLOW_NONE)
		t->cold[c->next].previous = c->previous;
	c->previous = DP_FLOW_NONE;
}

static int check_new(struct dp_flow_table *t, const struct dp_flow_key *key, uint64_t hash)
{
	return dp_flow_lookup(t, key, hash) ? -EEXIST : 0;
}

/* The number of a session that is not in use; the caller knows that there is one. */
static uint32_t take_session(struct dp_flow_table *t)
{
	uint32_t session = t->free;

	if (session == DP_FLOW_NONE)
		return t->top++;
	t->free = t->cold[session].next;
	return session;
}

static void give_session(struct dp_flow_table *t, uint32_t session)
{
	memset(&t->flows[2 * session], 0, 2 * sizeof(struct dp_flow));
	t->cold[session].next = t->free;
	t->free = session;
}

size_t dp_flow_table_bytes(uint32_t sessions)
{
	return sizeof(struct dp_flow_table) +
	       (size_t)bucket_count(sessions) * sizeof(struct dp_flow_bucket) +
	       (size_t)sessions * (2 * sizeof(struct dp_flow) + sizeof(struct dp_flow_cold));
}

int dp_flow_table_create(struct dp_flow_table **table, uint32_t sessions, uint64_t seed, int socket)
{
	struct dp_flow_table *t;

	if (sessions == 0 || sessions > DP_FLOW_SESSIONS_MAX)
		return -EINVAL;
	t = rte_zmalloc_socket("flow_table", sizeof(*t), RTE_CACHE_LINE_SIZE, socket);
	if (!t)
		return -ENOMEM;
	t->capacity = sessions;
	t->bucket_count = bucket_count(sessions);
	t->buckets =
		rte_zmalloc_socket("flow_buckets", (size_t)t->bucket_count * sizeof(*t->buckets),
	                           RTE_CACHE_LINE_SIZE, socket);
	t->flows = rte_zmalloc_socket("flows", (size_t)sessions * 2 * sizeof(*t->flows),
	                              2 * sizeof(*t->flows), socket);
	t->cold = rte_zmalloc_socket("flow_cold", (size_t)sessions * sizeof(*t->cold),
	                             RTE_CACHE_LINE_SIZE, socket);
	if (!t->buckets || !t->flows || !t->cold) {
		dp_flow_table_destroy(t);
		return -ENOMEM;
	}
	dp_hash_seed_init(&t->seed, seed);
	t->free = DP_FLOW_NONE;
	t->sweep = DP_FLOW_NONE;
	for (unsigned i = 0; i < RTE_DIM(t->wheel); i++)
		t->wheel[i] = DP_FLOW_NONE;
	*table = t;
	return 0;
}

void dp_flow_table_destroy(struct dp_flow_table *t)
{
	if (!t)
		return;
	rte_free(t->cold);
	rte_free(t->flows);
	rte_free(t->buckets);
	rte_free(t);
}

struct dp_flow *dp_flow_lookup(struct dp_flow_table *t, const struct dp_flow_key *key,
                               uint64_t hash)
{
	const struct dp_flow_bucket *b = dp_flow_first(t, hash);
	int way = find_way(t, b, key, hash);

	if (way < 0 && b->overflow) {
		b = second(t, hash);
		way = find_way(t, b, key, hash);
	}
	return way < 0 ? NULL : &t->flows[b->flow[way]];
}

int dp_flow_add(struct dp_flow_table *t, const struct dp_flow_key *outward,
                const struct dp_flow_key *inward, enum dp_flow_state state, uint32_t now_s,
                struct dp_flow **flow)
{
	uint64_t hash_out = dp_flow_hash(t, outward), hash_in = dp_flow_hash(t, inward);
	struct dp_flow *out, *in;
	uint32_t session;

	if (t->count == t->capacity)
		return -ENOSPC;
	if (check_new(t, outward, hash_out) || check_new(t, inward, hash_in))
		return -EEXIST;
	session = take_session(t);
	out = dp_flow_at(t, session, DP_FLOW_OUTWARD);
	in = dp_flow_at(t, session, DP_FLOW_INWARD);
	out->key = *outward;
	in->key = *inward;
	if (insert(t, hash_out, 2 * session) < 0)
		goto err_session;
	if (insert(t, hash_in, 2 * session + 1) < 0)
		goto err_outward;
	out->state = in->state = (uint8_t)state;
	out->last_s = in->last_s = now_s;
	t->cold[session] = (struct dp_flow_cold){ .next = DP_FLOW_NONE,
		                                  .previous = DP_FLOW_NONE,
		                                  .created_s = now_s,
		                                  .environment = outward->environment };
	t->count++;
	*flow = out;
	return 0;

err_outward:
	erase(t, outward);
err_session:
	give_session(t, session);
	return -ENOSPC;
}

void dp_flow_del(struct dp_flow_table *t, uint32_t session)
{
	assert(dp_flow_at(t, session, DP_FLOW_OUTWARD)->state != DP_FLOW_FREE);
	erase(t, &dp_flow_at(t, session, DP_FLOW_OUTWARD)->key);
	erase(t, &dp_flow_at(t, session, DP_FLOW_INWARD)->key);
	unschedule(t, session);
	give_session(t, session);
	t->count--;
}

/* The first lane of the slot of a second; of a step of seconds that are later. */
static uint32_t near_lane(uint32_t second)
{
	return second % DP_FLOW_SLOTS * DP_FLOW_LANES;
}

static uint32_t far_lane(uint32_t second)
{
	return (DP_FLOW_SLOTS + second % DP_FLOW_WHEEL / DP_FLOW_STEP) * DP_FLOW_LANES;
}

void dp_flow_schedule(struct dp_flow_table *t, uint32_t session, uint32_t deadline_s)
{
	struct dp_flow_cold *c = &t->cold[session];
	uint32_t lane;

	unschedule(t, session);
	/* not behind the cursor, and not a whole round ahead of it: looked at too early is only a
	 * look */
	if ((int32_t)(deadline_s - t->cursor_s) < 0)
		deadline_s = t->cursor_s;
	if (deadline_s - t->cursor_s >= DP_FLOW_WHEEL - DP_FLOW_STEP)
		deadline_s = t->cursor_s + DP_FLOW_WHEEL - DP_FLOW_STEP - 1;
	lane = deadline_s - t->cursor_s < DP_FLOW_SLOTS ? near_lane(deadline_s)
	                                                : far_lane(deadline_s);
	lane += session % DP_FLOW_LANES;
	c->previous = DP_FLOW_WHEEL_HEAD | lane;
	c->next = t->wheel[lane];
	if (c->next != DP_FLOW_NONE)
		t->cold[c->next].previous = session;
	t->wheel[lane] = session;
}

/* The first session of one of the slot's lanes, another one each time; DP_FLOW_NONE: none has any.
 */
static uint32_t first_of(struct dp_flow_table *t, uint32_t slot)
{
	const uint32_t *lanes = &t->wheel[slot];
	const __m256i none = _mm256_set1_epi32(-1);

	_Static_assert(DP_FLOW_LANES * sizeof(*lanes) == sizeof(none), "a slot is a register");
	if (_mm256_testc_si256(_mm256_load_si256((const __m256i *)lanes), none))
		return DP_FLOW_NONE;
	while (lanes[++t->lane % DP_FLOW_LANES] == DP_FLOW_NONE)
		;
	return lanes[t->lane % DP_FLOW_LANES];
}

uint32_t dp_flow_due(struct dp_flow_table *t, uint32_t now_s)
{
	/* after a long pause each slot is due, once */
	if ((int32_t)(now_s - t->cursor_s) >= (int32_t)DP_FLOW_WHEEL)
		t->cursor_s = now_s - (DP_FLOW_WHEEL - 1);
	while ((int32_t)(now_s - t->cursor_s) >= 0) {
		uint32_t session = first_of(t, far_lane(t->cursor_s));

		if (session == DP_FLOW_NONE)
			session = first_of(t, near_lane(t->cursor_s));
		if (session != DP_FLOW_NONE) {
			unschedule(t, session);
			t->cold[session].previous = DP_FLOW_IS_DUE;
			return session;
		}
		t->cursor_s++;
	}
	return DP_FLOW_NONE;
}
