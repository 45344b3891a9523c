/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keepalives that keep a NAT's mapping open for tunnels in UDP: RFC 3948 sections 2.3 and 4.
 *
 * The home worker looks at its outbound SAs in turn, some of them each millisecond, whatever the
 * load is; what packets write anyway (used_ns) says which are silent. It needs no control plane.
 */
#pragma once

#include <stdint.h>

#define DP_KEEPALIVE_NS 20000000000ull /* of silence; RFC 3948 section 4 */
#define DP_KEEPALIVE_STEP_NS 1000000u
#define DP_KEEPALIVE_ENTRIES 32u /* of the SA table per step: a full table takes a second */

struct dp_worker;

struct dp_keepalive {
	uint64_t due_ns;
	uint32_t next; /* entry of the SA table */
};

/* Queues keepalives (to w->answers) for the next SAs that were silent for DP_KEEPALIVE_NS; once per
 * loop. Worker only. */
void dp_keepalive(struct dp_worker *w);
