/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the SAs of a worker are: entries that keep their index, and two hashes by SPI that find
 * them. What is in an SA is dataplane/sa.h's business.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_byteorder.h>

#include "common/ipc_proto.h"

#define DP_SA_NO_ENTRY UINT32_MAX

struct dp_sa_in;
struct dp_sa_out;
struct dp_slab;

/* A place of the hash by SPI; spi_be 0: empty. Four in a line. */
struct dp_sa_place {
	uint32_t spi_be;
	uint32_t entry;
	struct dp_sa_in *sa; /* inbound; NULL: larval, or outbound */
};
_Static_assert(sizeof(struct dp_sa_place) == 16, "dp_sa_place: four in a line");

enum dp_sa_kind { DP_SA_FREE = 0, DP_SA_LARVAL, DP_SA_IN, DP_SA_OUT };

/* An entry keeps its index for the SA's life: cursors stay true while others come and go. */
struct dp_sa_entry {
	union {
		struct dp_sa_in *in;
		struct dp_sa_out *out;
		void *memory;
	};
	uint32_t spi_be;
	uint32_t deadline_s; /* of dp_worker.now_s; 0: none */
	uint32_t next_free;
	uint16_t tunnel; /* slot; larval: whom it was allocated for */
	uint8_t kind;    /* enum dp_sa_kind */
	uint8_t pad[9];
};
_Static_assert(sizeof(struct dp_sa_entry) == 32, "dp_sa_entry: two in a line");

struct dp_sa_table {
	struct dp_sa_place *in; /* [mask + 1], open addressing, at most half full */
	struct dp_sa_place *out;
	uint32_t mask;
	uint32_t shift;              /* 32 - log2(places) */
	struct dp_sa_entry *entries; /* [capacity] */
	uint32_t capacity;
	uint32_t free;        /* head of the list of free entries, or DP_SA_NO_ENTRY */
	uint32_t earliest_s;  /* no deadline before it; 0: none at all */
	uint32_t openvpn_out; /* outbound OpenVPN keys */
	uint32_t stream_out;  /* those of them whose packets go into a byte stream */
	uint16_t worker;
	bool is_changed;           /* dp_sa_take_changed() */
	struct dp_slab *memory_in; /* of SAs; the control thread's */
	struct dp_slab *memory_out;
};

/* Table for CAPACITY SAs of both directions, larval ones included. 0, -EINVAL or -ENOMEM. Control
 * thread. */
int dp_sa_table_create(struct dp_sa_table **table, uint16_t worker, uint32_t capacity, int socket);
/* Wipes and frees the SAs too. The worker has stopped. */
void dp_sa_table_destroy(struct dp_sa_table *table);

/* The outbound SA with this SPI to this address, or NULL. */
struct dp_sa_out *dp_sa_out_lookup(struct dp_sa_table *table, uint32_t spi_be,
                                   uint32_t destination_be);

/* Where the search for an SPI begins (Fibonacci hashing). */
static inline uint32_t dp_sa_home(const struct dp_sa_table *t, uint32_t spi_be)
{
	return (rte_be_to_cpu_32(spi_be) * 0x9e3779b1u) >> t->shift;
}

/* The place of an inbound SPI, or NULL. */
static inline const struct dp_sa_place *dp_sa_lookup(const struct dp_sa_table *t, uint32_t spi_be)
{
	for (uint32_t i = dp_sa_home(t, spi_be); t->in[i].spi_be != 0; i = (i + 1) & t->mask) {
		if (t->in[i].spi_be == spi_be)
			return &t->in[i];
	}
	return NULL;
}

/* ---- for dataplane/sa.c; worker only ---- */

/* An entry out of the free list, or NULL: none is left. */
struct dp_sa_entry *dp_sa_entry_take(struct dp_sa_table *table);
/* Forgets what was in it, but not the memory that it named. */
void dp_sa_entry_give_back(struct dp_sa_table *table, struct dp_sa_entry *entry);
/* It ends SECONDS after NOW_S; 0: never. */
void dp_sa_entry_set_deadline(struct dp_sa_table *table, struct dp_sa_entry *entry, uint32_t now_s,
                              uint32_t seconds);

/* PLACES: the table's `in` or `out`; each has room for all entries. */
void dp_sa_place_add(struct dp_sa_table *table, struct dp_sa_place *places,
                     const struct dp_sa_place *place);
void dp_sa_place_remove(struct dp_sa_table *table, struct dp_sa_place *places,
                        struct dp_sa_place *place);

/* The place of an SA or, inbound, of a larval SPI: that has no destination yet. NULL: none. */
struct dp_sa_place *dp_sa_find(struct dp_sa_table *table, const struct ipc_sa_id *id);
/* The place of an entry that is in use. */
struct dp_sa_place *dp_sa_place_of(struct dp_sa_table *table, const struct dp_sa_entry *entry);
