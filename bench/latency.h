/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long packets were on their way: a histogram of TSC cycles in steps of 256.
 */
#pragma once

#include <stdint.h>
#include <string.h>

#define LATENCY_STEP_SHIFT 8u
#define LATENCY_STEPS (1u << 18) /* 26 ms at 2.6 GHz; what takes longer counts as that */

struct latency {
	uint64_t count;
	uint64_t max;
	uint32_t steps[LATENCY_STEPS];
};

static inline void latency_clear(struct latency *latency)
{
	memset(latency, 0, sizeof(*latency));
}

static inline void latency_add(struct latency *latency, uint64_t cycles)
{
	uint64_t step = cycles >> LATENCY_STEP_SHIFT;

	latency->steps[step < LATENCY_STEPS ? step : LATENCY_STEPS - 1]++;
	latency->count++;
	if (cycles > latency->max)
		latency->max = cycles;
}

/* The end of the step that PART of all (0 to 1) have reached, cycles. */
static inline uint64_t latency_part(const struct latency *latency, double part)
{
	uint64_t wanted = (uint64_t)((double)latency->count * part), seen = 0;

	for (uint64_t i = 0; i < LATENCY_STEPS; i++) {
		seen += latency->steps[i];
		if (seen && seen >= wanted)
			return (i + 1) << LATENCY_STEP_SHIFT;
	}
	return latency->max;
}
