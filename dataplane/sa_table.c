/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Open addressing, at most half full; whoever goes leaves no gap behind. */
#include "dataplane/sa_table.h"

#include "dataplane/sa.h"
#include "dataplane/slab.h"
#include "dataplane/worker.h"

#include <rte_malloc.h>

#include <errno.h>
#include <string.h>

#define CAPACITY_MAX (1u << 24)

static void release(struct dp_sa_table *t)
{
	dp_slab_destroy(t->memory_in);
	dp_slab_destroy(t->memory_out);
	rte_free(t->in);
	rte_free(t->out);
	rte_free(t->entries);
	rte_free(t);
}

int dp_sa_table_create(struct dp_sa_table **table, uint16_t worker, uint32_t capacity, int socket)
{
	struct dp_sa_table *t;
	uint32_t places = 2, shift = 31;

	if (worker >= DP_WORKERS_MAX || capacity == 0 || capacity > CAPACITY_MAX)
		return -EINVAL;
	while (places < 2 * capacity) {
		places *= 2;
		shift--;
	}
	t = rte_zmalloc_socket("sa table", sizeof(*t), RTE_CACHE_LINE_SIZE, socket);
	if (!t)
		return -ENOMEM;
	t->in = rte_zmalloc_socket("sa in", places * sizeof(*t->in), RTE_CACHE_LINE_SIZE, socket);
	t->out =
		rte_zmalloc_socket("sa out", places * sizeof(*t->out), RTE_CACHE_LINE_SIZE, socket);
	t->entries = rte_zmalloc_socket("sa entries", capacity * sizeof(*t->entries),
	                                RTE_CACHE_LINE_SIZE, socket);
	if (!t->in || !t->out || !t->entries ||
	    dp_slab_create(&t->memory_in, sizeof(struct dp_sa_in), socket) != 0 ||
	    dp_slab_create(&t->memory_out, sizeof(struct dp_sa_out), socket) != 0) {
		release(t);
		return -ENOMEM;
	}
	t->mask = places - 1;
	t->shift = shift;
	t->capacity = capacity;
	t->worker = worker;
	t->free = DP_SA_NO_ENTRY;
	for (uint32_t i = capacity; i > 0; i--)
		dp_sa_entry_give_back(t, &t->entries[i - 1]);
	*table = t;
	return 0;
}

void dp_sa_table_destroy(struct dp_sa_table *table)
{
	if (!table)
		return;
	for (uint32_t i = 0; i < table->capacity; i++)
		dp_sa_free(table->entries[i].memory);
	release(table);
}

void dp_sa_entry_set_deadline(struct dp_sa_table *t, struct dp_sa_entry *e, uint32_t now_s,
                              uint32_t seconds)
{
	e->deadline_s = 0;
	if (seconds == 0)
		return;
	e->deadline_s = seconds > UINT32_MAX - now_s ? UINT32_MAX : now_s + seconds;
	if (t->earliest_s == 0 || e->deadline_s < t->earliest_s)
		t->earliest_s = e->deadline_s;
}

struct dp_sa_entry *dp_sa_entry_take(struct dp_sa_table *t)
{
	struct dp_sa_entry *e;

	if (t->free == DP_SA_NO_ENTRY)
		return NULL;
	e = &t->entries[t->free];
	t->free = e->next_free;
	return e;
}

void dp_sa_entry_give_back(struct dp_sa_table *t, struct dp_sa_entry *e)
{
	memset(e, 0, sizeof(*e));
	e->next_free = t->free;
	t->free = (uint32_t)(e - t->entries);
}

void dp_sa_place_add(struct dp_sa_table *t, struct dp_sa_place *places,
                     const struct dp_sa_place *place)
{
	uint32_t i = dp_sa_home(t, place->spi_be);

	while (places[i].spi_be != 0)
		i = (i + 1) & t->mask;
	places[i] = *place;
}

/* Closes the gap, so that searches may stop at the first empty place. */
void dp_sa_place_remove(struct dp_sa_table *t, struct dp_sa_place *places,
                        struct dp_sa_place *place)
{
	uint32_t gap = (uint32_t)(place - places);

	for (uint32_t i = (gap + 1) & t->mask; places[i].spi_be != 0; i = (i + 1) & t->mask) {
		uint32_t home = dp_sa_home(t, places[i].spi_be);

		if (((i - home) & t->mask) >= ((i - gap) & t->mask)) {
			places[gap] = places[i];
			gap = i;
		}
	}
	memset(&places[gap], 0, sizeof(places[gap]));
}

static struct dp_sa_place *find_out(struct dp_sa_table *t, uint32_t spi_be, uint32_t destination_be)
{
	for (uint32_t i = dp_sa_home(t, spi_be); t->out[i].spi_be != 0; i = (i + 1) & t->mask) {
		if (t->out[i].spi_be == spi_be &&
		    t->entries[t->out[i].entry].out->lease.destination_be == destination_be)
			return &t->out[i];
	}
	return NULL;
}

struct dp_sa_place *dp_sa_find(struct dp_sa_table *t, const struct ipc_sa_id *id)
{
	struct dp_sa_place *place;

	if (id->direction == IPC_OUT)
		return find_out(t, id->spi_be, id->destination_be);
	if (id->direction != IPC_IN)
		return NULL;
	place = (struct dp_sa_place *)dp_sa_lookup(t, id->spi_be);
	if (place && place->sa && place->sa->lease.local_be != id->destination_be)
		return NULL;
	return place;
}

struct dp_sa_place *dp_sa_place_of(struct dp_sa_table *t, const struct dp_sa_entry *e)
{
	if (e->kind == DP_SA_OUT)
		return find_out(t, e->spi_be, e->out->lease.destination_be);
	return (struct dp_sa_place *)dp_sa_lookup(t, e->spi_be);
}

struct dp_sa_out *dp_sa_out_lookup(struct dp_sa_table *table, uint32_t spi_be,
                                   uint32_t destination_be)
{
	const struct dp_sa_place *place = find_out(table, spi_be, destination_be);

	return place ? table->entries[place->entry].out : NULL;
}
