/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ESP that came before its key: held for a moment, processed in order once the key is there.
 *
 * A server sends on a new SA as soon as it has processed our last IKE_AUTH, which is before its
 * answer lets the control plane bring the key. What is held are frames as they were received: they
 * take the whole way again, so nothing that was looked up is trusted. Worker only, but for create
 * and destroy.
 */
#pragma once

#include <stdint.h>

#include "dataplane/batch.h"

#define DP_LARVAL_MAX 1024u        /* of all SPIs of a worker */
#define DP_LARVAL_PER_SPI 256u     /* 25 ms of 10,000 packets/s */
#define DP_LARVAL_NS 1000000000ull /* longest wait */

struct dp_larval;

/* NULL: no memory. Control thread. */
struct dp_larval *dp_larval_create(void);
/* Frees what is held. The worker has stopped. */
void dp_larval_destroy(struct dp_larval *larval);

/* Takes the packet's frame, whose SPI is allocated and has no key: DP_TAKEN, or DP_ESP_NO_KEY with
 * no room. */
enum dp_verdict dp_larval_hold(struct dp_worker *w, struct dp_pkt *p, uint32_t spi_be);

/* The key of SPI is there: what is held of it may be taken. */
void dp_larval_release(struct dp_worker *w, uint32_t spi_be);

/* Fills M with at most MAX released frames, in the order they came; returns how many. Ask before
 * anything new is received, until it returns 0. Also drops what waited too long (DP_ESP_NO_KEY).
 * Cheap while nothing is held. */
unsigned dp_larval_take(struct dp_worker *w, struct rte_mbuf **m, unsigned max);
