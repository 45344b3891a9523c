/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A chunk is aligned to its size, so that an object knows which one it is in. */
#include "dataplane/slab.h"

#include "common/secret.h"

#include <rte_common.h>
#include <rte_malloc.h>

#include <errno.h>
#include <stdint.h>
#include <sys/queue.h>

#define CHUNK 65536u /* bytes, with the heap's header */
#define HEAP_HEADER 128u
#define ALIGNMENT (2u * RTE_CACHE_LINE_SIZE)

/* An object that nobody has. */
struct unused {
	struct unused *next;
};

struct chunk {
	TAILQ_ENTRY(chunk) link;
	struct dp_slab *slab;
	struct unused *unused;
	uint32_t taken;
} __rte_aligned(2 * RTE_CACHE_LINE_SIZE);
_Static_assert(sizeof(struct chunk) == ALIGNMENT, "objects behind it are aligned");

#define ROOM (CHUNK - HEAP_HEADER - sizeof(struct chunk))

struct dp_slab {
	size_t bytes; /* of an object */
	int socket;
	TAILQ_HEAD(, chunk) chunks; /* those with room first */
};

int dp_slab_create(struct dp_slab **slab, size_t bytes, int socket)
{
	struct dp_slab *s;

	if (bytes == 0 || bytes > ROOM)
		return -EINVAL;
	s = rte_zmalloc_socket("slab", sizeof(*s), 0, socket);
	if (!s)
		return -ENOMEM;
	s->bytes = RTE_ALIGN_CEIL(bytes, (size_t)ALIGNMENT);
	s->socket = socket;
	TAILQ_INIT(&s->chunks);
	*slab = s;
	return 0;
}

static void drop(struct dp_slab *s, struct chunk *c)
{
	TAILQ_REMOVE(&s->chunks, c, link);
	rte_free(c);
}

void dp_slab_destroy(struct dp_slab *s)
{
	struct chunk *c;

	if (!s)
		return;
	while ((c = TAILQ_FIRST(&s->chunks)) != NULL) {
		sp_wipe(c + 1, ROOM);
		drop(s, c);
	}
	rte_free(s);
}

static struct chunk *chunk_of(const void *object)
{
	return (struct chunk *)((uintptr_t)object & ~((uintptr_t)CHUNK - 1));
}

static void put(struct chunk *c, void *object)
{
	struct unused *u = object;

	u->next = c->unused;
	c->unused = u;
}

static struct chunk *add_chunk(struct dp_slab *s)
{
	struct chunk *c = rte_zmalloc_socket("slab", CHUNK - HEAP_HEADER, CHUNK, s->socket);

	if (!c)
		return NULL;
	c->slab = s;
	for (size_t i = ROOM / s->bytes; i > 0; i--)
		put(c, (uint8_t *)(c + 1) + (i - 1) * s->bytes);
	TAILQ_INSERT_HEAD(&s->chunks, c, link);
	return c;
}

void *dp_slab_take(struct dp_slab *s)
{
	struct chunk *c = TAILQ_FIRST(&s->chunks);
	struct unused *u;

	if (!c || !c->unused)
		c = add_chunk(s);
	if (!c)
		return NULL;
	u = c->unused;
	c->unused = u->next;
	u->next = NULL;
	c->taken++;
	if (!c->unused) {
		TAILQ_REMOVE(&s->chunks, c, link);
		TAILQ_INSERT_TAIL(&s->chunks, c, link);
	}
	return u;
}

void dp_slab_wipe(void *object)
{
	sp_wipe(object, chunk_of(object)->slab->bytes);
}

void dp_slab_give_back(void *object)
{
	struct chunk *c = chunk_of(object);
	struct dp_slab *s = c->slab;

	dp_slab_wipe(object);
	put(c, object);
	c->taken--;
	if (c->taken == 0) {
		drop(s, c);
		return;
	}
	TAILQ_REMOVE(&s->chunks, c, link);
	TAILQ_INSERT_HEAD(&s->chunks, c, link);
}

size_t dp_slab_bytes(size_t bytes)
{
	size_t each = RTE_ALIGN_CEIL(bytes, (size_t)ALIGNMENT);

	return CHUNK / (ROOM / each);
}
