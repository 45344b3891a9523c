/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Entries of crowded blocks, the hash table they are found in, and the summaries of endpoints that
 * are nearly full.
 */
#include "dataplane/portpool.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>
#include <rte_common.h>
#include <rte_malloc.h>

#include "dataplane/keyed_hash.h"

#define FIRST_PORT 1024u
#define BLOCKS_PER_ENDPOINT DP_PORT_BLOCKS
#define BLOCK_PORTS DP_PORT_BLOCK
#define BITMAP_WORDS 4u /* of 64 bits */
#define NONE UINT32_MAX
#define RANDOM_TRIES 6u
/* A block gets its entry when it was looked through and had so many sessions, */
#define CROWDED_FROM 96u
/* and loses it when it has fewer than these. So entries have at least as many. */
#define CROWDED 64u
#define SUMMARIES 256u /* a power of two */
#define IKE_NATT_PORT 4500u
#define LIST_AT_ONCE 4096u /* sessions; some 50 us */

struct port_key {
	uint32_t inner_be;
	uint32_t remote_be;
	uint16_t remote_port_be;
	uint16_t scope;
	uint8_t protocol;
	uint8_t direction;
	uint8_t block; /* summaries: 0 */
	uint8_t zero;
};
_Static_assert(sizeof(struct port_key) == 16, "port_key");

struct port_block {
	struct port_key key;
	uint64_t taken[BITMAP_WORDS]; /* in use or reserved */
	uint32_t next;                /* in the hash chain or the free list */
	uint32_t used;                /* by sessions, of those that are not reserved */
	uint64_t pad;
} __rte_cache_aligned;
_Static_assert(sizeof(struct port_block) == 64, "port_block: one line");

/* Which blocks of an endpoint may have a free port: of those that have an entry exact, but for
 * reservations made since; all others. */
struct port_summary {
	struct port_key key; /* protocol 0: not in use */
	uint64_t open[BITMAP_WORDS];
	uint64_t pad[2];
} __rte_cache_aligned;
_Static_assert(sizeof(struct port_summary) == 64, "port_summary: one line");

struct dp_portpool {
	struct dp_flow_table *flows;
	struct port_block *blocks;
	uint32_t *heads;
	uint32_t capacity;
	uint32_t head_mask;
	uint32_t count;
	uint32_t top;  /* blocks from here on were never used */
	uint32_t free; /* list of given back ones */
	uint64_t random;
	struct dp_hash_seed seed;
	uint64_t reserved[BLOCKS_PER_ENDPOINT][BITMAP_WORDS];
	struct port_summary summaries[SUMMARIES];
};

static bool bit_is_set(const uint64_t *map, unsigned i)
{
	return map[i / 64] >> (i % 64) & 1;
}

static void bit_set(uint64_t *map, unsigned i)
{
	map[i / 64] |= UINT64_C(1) << (i % 64);
}

static void bit_clear(uint64_t *map, unsigned i)
{
	map[i / 64] &= ~(UINT64_C(1) << (i % 64));
}

/* The first set bit of MAP xor INVERT (0 or all ones) at or behind START, around the end, or -1. */
static int bit_find(const uint64_t *map, uint64_t invert, unsigned start)
{
	unsigned word = start / 64;
	uint64_t bits = (map[word] ^ invert) & ~UINT64_C(0) << (start % 64);

	for (unsigned i = 0; i <= BITMAP_WORDS; i++) {
		if (bits)
			return (int)(word * 64 + (unsigned)__builtin_ctzll(bits));
		word = (word + 1) % BITMAP_WORDS;
		bits = map[word] ^ invert;
	}
	return -1;
}

static unsigned bit_count(const uint64_t *map)
{
	unsigned n = 0;

	for (unsigned i = 0; i < BITMAP_WORDS; i++)
		n += (unsigned)__builtin_popcountll(map[i]);
	return n;
}

static bool is_full(const uint64_t *taken)
{
	return (taken[0] & taken[1] & taken[2] & taken[3]) == ~UINT64_C(0);
}

/* The block I places behind the window's first. */
static unsigned block_at(struct dp_port_window window, unsigned i)
{
	return (window.first + i) % BLOCKS_PER_ENDPOINT;
}

/* What a random number says: the block and, below, the place in it to begin with. */
static unsigned block_of(struct dp_port_window window, uint64_t draw)
{
	return block_at(window, (unsigned)((draw >> 32) * window.count >> 32));
}

static unsigned bit_of(uint64_t draw)
{
	return (unsigned)draw % BLOCK_PORTS;
}

/* Leaves the blocks of the window set in OPEN. */
static void mask_window(uint64_t *open, struct dp_port_window window)
{
	uint64_t inside[BITMAP_WORDS] = { 0 };

	for (unsigned i = 0; i < window.count; i++)
		bit_set(inside, block_at(window, i));
	for (unsigned i = 0; i < BITMAP_WORDS; i++)
		open[i] &= inside[i];
}

static struct port_key make_key(const struct dp_port_endpoint *e, unsigned block)
{
	return (struct port_key){ .inner_be = e->inner_be,
		                  .remote_be = e->remote_be,
		                  .remote_port_be = e->remote_port_be,
		                  .scope = e->scope,
		                  .protocol = e->protocol,
		                  .direction = e->direction,
		                  .block = (uint8_t)block };
}

static uint64_t hash_key(const struct dp_portpool *p, const struct port_key *key)
{
	uint64_t word[2];

	memcpy(word, key, sizeof(word));
	return dp_hash16(&p->seed, word[0], word[1]);
}

static uint32_t *find_head(struct dp_portpool *p, const struct port_key *key)
{
	return &p->heads[hash_key(p, key) & p->head_mask];
}

/* The link (head or next) that leads to the block of this key; it holds NONE if there is none. */
static uint32_t *find_link(struct dp_portpool *p, const struct port_key *key)
{
	uint32_t *link = find_head(p, key);

	while (*link != NONE && memcmp(&p->blocks[*link].key, key, sizeof(*key)) != 0)
		link = &p->blocks[*link].next;
	return link;
}

static struct port_block *find_block(struct dp_portpool *p, const struct dp_port_endpoint *e,
                                     unsigned n)
{
	struct port_key key = make_key(e, n);
	uint32_t i = *find_link(p, &key);

	return i == NONE ? NULL : &p->blocks[i];
}

static uint16_t port_at(unsigned block, unsigned bit)
{
	return rte_cpu_to_be_16((uint16_t)(FIRST_PORT + block * BLOCK_PORTS + bit));
}

static bool is_in_use(struct dp_portpool *p, const struct dp_port_endpoint *e, uint16_t port_be)
{
	struct dp_flow_key key = dp_port_reply_key(e, port_be);

	return dp_flow_lookup(p->flows, &key, dp_flow_hash(p->flows, &key)) != NULL;
}

/* Looks the whole block up in the session table: sets what is in use or reserved in TAKEN; returns
 * how many ports are in use that are not reserved. */
static unsigned look_through(struct dp_portpool *p, const struct dp_port_endpoint *e, unsigned n,
                             uint64_t taken[BITMAP_WORDS])
{
	uint64_t hash[BLOCK_PORTS];
	unsigned used = 0;

	memcpy(taken, p->reserved[n], sizeof(p->reserved[n]));
	for (unsigned i = 0; i < BLOCK_PORTS; i++) {
		struct dp_flow_key key = dp_port_reply_key(e, port_at(n, i));

		hash[i] = dp_flow_hash(p->flows, &key);
		dp_flow_prefetch(p->flows, hash[i]);
	}
	for (unsigned i = 0; i < BLOCK_PORTS; i++) {
		struct dp_flow_key key = dp_port_reply_key(e, port_at(n, i));

		if (!dp_flow_lookup(p->flows, &key, hash[i]))
			continue;
		used += !bit_is_set(taken, i);
		bit_set(taken, i);
	}
	return used;
}

/* An entry for a block with these ports. */
static struct port_block *add_block(struct dp_portpool *p, const struct dp_port_endpoint *e,
                                    unsigned n, const uint64_t taken[BITMAP_WORDS], unsigned used)
{
	struct port_key key = make_key(e, n);
	uint32_t *head = find_head(p, &key);
	uint32_t i = p->free;

	if (i != NONE)
		p->free = p->blocks[i].next;
	else
		i = p->top++;
	assert(i < p->capacity);
	p->blocks[i] = (struct port_block){ .key = key, .next = *head, .used = used };
	memcpy(p->blocks[i].taken, taken, sizeof(p->blocks[i].taken));
	*head = i;
	p->count++;
	return &p->blocks[i];
}

static void remove_block(struct dp_portpool *p, const struct port_key *key)
{
	uint32_t *link = find_link(p, key);
	uint32_t i = *link;

	*link = p->blocks[i].next;
	p->blocks[i].used = 0;
	p->blocks[i].next = p->free;
	p->free = i;
	p->count--;
}

/* One session less has a port of it. */
static void leave_block(struct dp_portpool *p, struct port_block *b)
{
	struct port_key key = b->key;

	if (--b->used < CROWDED)
		remove_block(p, &key);
}

/* A free one of a block that has one. */
static unsigned find_free(const uint64_t taken[BITMAP_WORDS], uint64_t draw)
{
	int bit = bit_find(taken, ~UINT64_C(0), bit_of(draw));

	assert(bit >= 0);
	return (unsigned)bit;
}

/* Takes a free port of a block that has one. */
static uint16_t take_port(struct port_block *b, uint64_t draw)
{
	unsigned bit = find_free(b->taken, draw);

	bit_set(b->taken, bit);
	b->used++;
	return port_at(b->key.block, bit);
}

/* One try: a port of the window at random. It may be in use. */
static bool try_port(struct dp_portpool *p, const struct dp_port_endpoint *e,
                     struct dp_port_window window, uint64_t draw, uint16_t *port_be)
{
	unsigned n = block_of(window, draw), bit = bit_of(draw);
	struct port_block *b = find_block(p, e, n);

	if (b && is_full(b->taken))
		return false;
	if (b) {
		*port_be = take_port(b, draw);
		return true;
	}
	*port_be = port_at(n, bit);
	return !bit_is_set(p->reserved[n], bit) && !is_in_use(p, e, *port_be);
}

/* A port of the block if any is free. Where it is crowded it has an entry from now on. */
static bool search_block(struct dp_portpool *p, const struct dp_port_endpoint *e, unsigned n,
                         uint64_t draw, uint16_t *port_be)
{
	struct port_block *b = find_block(p, e, n);
	uint64_t taken[BITMAP_WORDS];
	unsigned used;

	if (!b) {
		used = look_through(p, e, n, taken);
		if (used >= CROWDED_FROM)
			b = add_block(p, e, n, taken, used);
		else if (!is_full(taken))
			*port_be = port_at(n, find_free(taken, draw));
	}
	if (!b)
		return !is_full(taken);
	if (is_full(b->taken))
		return false;
	*port_be = take_port(b, draw);
	return true;
}

/* Whether a port of the block may be free, as far as that is known without a search. */
static bool is_open(struct dp_portpool *p, const struct dp_port_endpoint *e, unsigned n)
{
	const struct port_block *b = find_block(p, e, n);

	return !is_full(b ? b->taken : p->reserved[n]);
}

static struct port_summary *summary_place(struct dp_portpool *p, const struct port_key *key)
{
	return &p->summaries[hash_key(p, key) & (SUMMARIES - 1)];
}

static struct port_summary *find_summary(struct dp_portpool *p, const struct dp_port_endpoint *e)
{
	struct port_key key = make_key(e, 0);
	struct port_summary *s = summary_place(p, &key);

	return memcmp(&s->key, &key, sizeof(key)) == 0 ? s : NULL;
}

/* Looks at all blocks of the endpoint. */
static struct port_summary *make_summary(struct dp_portpool *p, const struct dp_port_endpoint *e)
{
	struct port_key key = make_key(e, 0);
	struct port_summary *s = summary_place(p, &key);

	*s = (struct port_summary){ .key = key };
	for (unsigned n = 0; n < BLOCKS_PER_ENDPOINT; n++)
		if (is_open(p, e, n))
			bit_set(s->open, n);
	return s;
}

/* The blocks of the window that may have a free port. */
static void open_blocks(const struct port_summary *s, struct dp_port_window window, uint64_t *open)
{
	memcpy(open, s->open, sizeof(s->open));
	if (window.count < BLOCKS_PER_ENDPOINT)
		mask_window(open, window);
}

static int take_by_summary(struct dp_portpool *p, struct port_summary *s,
                           const struct dp_port_endpoint *e, struct dp_port_window window,
                           uint64_t draw, uint16_t *port_be)
{
	unsigned start = block_of(window, draw), tries;
	uint64_t open[BITMAP_WORDS];

	open_blocks(s, window, open);
	tries = bit_count(open);
	while (tries-- > 0) {
		int n = bit_find(open, 0, start);

		assert(n >= 0);
		start = ((unsigned)n + 1) % BLOCKS_PER_ENDPOINT;
		if (search_block(p, e, (unsigned)n, draw, port_be)) {
			if (!is_open(p, e, (unsigned)n))
				bit_clear(s->open, (unsigned)n);
			return 0;
		}
		bit_clear(s->open, (unsigned)n);
	}
	return -EADDRINUSE;
}

int dp_portpool_create(struct dp_portpool **pool, struct dp_flow_table *flows, uint64_t seed,
                       int socket)
{
	uint32_t blocks = RTE_MAX(flows->capacity / CROWDED, 1u), heads = rte_align32pow2(blocks);
	struct dp_portpool *p =
		rte_zmalloc_socket("portpool", sizeof(*p), RTE_CACHE_LINE_SIZE, socket);

	if (!p)
		return -ENOMEM;
	p->flows = flows;
	p->blocks = rte_zmalloc_socket("port_blocks", (size_t)blocks * sizeof(*p->blocks),
	                               RTE_CACHE_LINE_SIZE, socket);
	p->heads = rte_malloc_socket("port_heads", (size_t)heads * sizeof(*p->heads),
	                             RTE_CACHE_LINE_SIZE, socket);
	if (!p->blocks || !p->heads) {
		dp_portpool_destroy(p);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < heads; i++)
		p->heads[i] = NONE;
	p->capacity = blocks;
	p->head_mask = heads - 1;
	p->free = NONE;
	p->random = seed;
	dp_hash_seed_init(&p->seed, dp_random(&p->random));
	dp_portpool_reserve(p, IKE_NATT_PORT);
	*pool = p;
	return 0;
}

void dp_portpool_destroy(struct dp_portpool *pool)
{
	if (!pool)
		return;
	rte_free(pool->heads);
	rte_free(pool->blocks);
	rte_free(pool);
}

void dp_portpool_reserve(struct dp_portpool *p, uint16_t port)
{
	unsigned n, bit;

	if (port < FIRST_PORT)
		return; /* never given anyway */
	n = (port - FIRST_PORT) / BLOCK_PORTS;
	bit = (port - FIRST_PORT) % BLOCK_PORTS;
	if (bit_is_set(p->reserved[n], bit))
		return;
	bit_set(p->reserved[n], bit);
	for (uint32_t i = 0; i < p->top; i++) {
		struct port_block *b = &p->blocks[i];

		if (b->used == 0 || b->key.block != n)
			continue;
		if (bit_is_set(b->taken, bit))
			leave_block(p, b);
		else
			bit_set(b->taken, bit);
	}
}

int dp_portpool_take(struct dp_portpool *p, const struct dp_port_endpoint *e,
                     struct dp_port_window window, uint64_t draw, uint16_t *port_be)
{
	struct port_summary *s = find_summary(p, e);

	if (s)
		return take_by_summary(p, s, e, window, draw, port_be);
	for (unsigned i = 0; i < RANDOM_TRIES; i++, draw = dp_random(&p->random))
		if (try_port(p, e, window, draw, port_be))
			return 0;
	return take_by_summary(p, make_summary(p, e), e, window, draw, port_be);
}

void dp_portpool_expect(struct dp_portpool *p, const struct dp_port_endpoint *e,
                        struct dp_port_window window, uint64_t draw)
{
	const struct port_summary *s = find_summary(p, e);
	int n = (int)block_of(window, draw), bit = (int)bit_of(draw);
	const struct port_block *b;
	uint64_t open[BITMAP_WORDS];
	struct dp_flow_key key;

	if (s) {
		open_blocks(s, window, open);
		n = bit_find(open, 0, (unsigned)n);
	}
	if (n < 0)
		return;
	b = find_block(p, e, (unsigned)n);
	if (b)
		bit = bit_find(b->taken, ~UINT64_C(0), (unsigned)bit);
	if (bit < 0)
		return;
	key = dp_port_reply_key(e, port_at((unsigned)n, (unsigned)bit));
	dp_flow_prefetch(p->flows, dp_flow_hash(p->flows, &key));
}

void dp_portpool_release(struct dp_portpool *p, const struct dp_port_endpoint *e, uint16_t port_be)
{
	unsigned offset = rte_be_to_cpu_16(port_be) - FIRST_PORT, n = offset / BLOCK_PORTS,
		 bit = offset % BLOCK_PORTS;
	struct port_block *b = find_block(p, e, n);
	struct port_summary *s = find_summary(p, e);

	if (s && !bit_is_set(p->reserved[n], bit))
		bit_set(s->open, n);
	if (!b || bit_is_set(p->reserved[n], bit))
		return;
	assert(bit_is_set(b->taken, bit));
	bit_clear(b->taken, bit);
	leave_block(p, b);
}

uint32_t dp_portpool_blocks(const struct dp_portpool *p)
{
	return p->count;
}

/* A session that was opened from outside has a port that is reserved. */
static bool is_of_pool(const struct dp_portpool *p, const struct dp_flow *in)
{
	unsigned offset = rte_be_to_cpu_16(in->key.destination_port_be) - FIRST_PORT;

	return offset < BLOCKS_PER_ENDPOINT * BLOCK_PORTS &&
	       !bit_is_set(p->reserved[offset / BLOCK_PORTS], offset % BLOCK_PORTS);
}

unsigned dp_portpool_list(const struct dp_portpool *p, uint16_t scope, uint32_t *cursor,
                          struct dp_port_use *uses, unsigned max)
{
	unsigned count = 0, looked = 0;
	uint32_t i = *cursor;

	for (; i < p->flows->top && count < max && looked < LIST_AT_ONCE; i++, looked++) {
		const struct dp_flow *in = dp_flow_at(p->flows, i, DP_FLOW_INWARD);

		if (in->state == DP_FLOW_FREE || in->key.environment != scope || !is_of_pool(p, in))
			continue;
		uses[count++] = (struct dp_port_use){
			.endpoint = { .inner_be = in->key.destination_be,
			              .remote_be = in->key.source_be,
			              .remote_port_be = in->key.source_port_be,
			              .scope = scope,
			              .protocol = in->key.protocol,
			              .direction = in->key.direction },
			.ports = 1,
		};
	}
	*cursor = i < p->flows->top ? i : 0;
	return count;
}

uint32_t dp_portpool_capacity(const struct dp_portpool *p)
{
	uint32_t reserved = 0;

	for (unsigned n = 0; n < BLOCKS_PER_ENDPOINT; n++)
		reserved += bit_count(p->reserved[n]);
	return BLOCKS_PER_ENDPOINT * BLOCK_PORTS - reserved;
}
