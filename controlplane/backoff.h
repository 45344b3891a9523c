/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pause before the next attempt: doubles up to a cap, with jitter so that many tunnels do not
 * knock together. Pure.
 */
#pragma once

#include <stdint.h>

struct cp_backoff {
	uint32_t min_ms;
	uint32_t max_ms;
	uint32_t next_ms; /* without jitter */
	uint32_t random;  /* state of the jitter; any value but 0 */
};

void cp_backoff_init(struct cp_backoff *backoff, uint32_t min_ms, uint32_t max_ms, uint32_t seed);

/* After a success: the next pause is the shortest again. */
void cp_backoff_reset(struct cp_backoff *backoff);

/* The pause to make now: 3/4 to 5/4 of min, 2 min, 4 min ... max, and never above max. */
uint32_t cp_backoff_take_ms(struct cp_backoff *backoff);
