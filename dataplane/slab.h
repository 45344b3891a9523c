/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory for many objects of one size, beside each other: few pages, and so few entries of the
 * translation buffer, hold what packets of many SAs need.
 *
 * Objects begin at pairs of cache lines and are in chunks, which come from the heap when they are
 * needed and go back when nothing is in them any more. One thread, that of control.
 */
#pragma once

#include <stddef.h>

struct dp_slab;

/* For objects of up to BYTES on NUMA node SOCKET; takes no memory for them yet. 0, -EINVAL (too
 * large) or -ENOMEM. */
int dp_slab_create(struct dp_slab **slab, size_t bytes, int socket);
/* What is taken still is wiped and freed too. NULL is allowed. */
void dp_slab_destroy(struct dp_slab *slab);

/* Zeroed; NULL: no memory. */
void *dp_slab_take(struct dp_slab *slab);
/* Wipes it first. */
void dp_slab_give_back(void *object);

/* Overwrites an object with zeros. */
void dp_slab_wipe(void *object);

/* What an object of BYTES takes, its part of the chunk included. */
size_t dp_slab_bytes(size_t bytes);
