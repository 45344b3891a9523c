/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each stage of the path takes, and the rest of the worker's loop. The program that measures
 * it has a clock around every call to one (the linker's --wrap), which costs some cycles a packet
 * itself; the other one has none.
 */
#pragma once

#include <stdint.h>

/* Whether this program measures stages. */
#ifdef BENCH_STAGES
#define STAGES_MEASURED 1
#else
#define STAGES_MEASURED 0
#endif

#define STAGES_MAX 48u

/* Cycles of one chunk by stage; the order is that of stages_print_names(). */
struct stages_sample {
	uint32_t cycles[STAGES_MAX];
};

/* Forgets the order of stages: another path is next. */
void stages_begin(void);

/* Takes what was measured since the last call. */
void stages_take(struct stages_sample *sample);

/* Prints a JSON list of the stages in the order in which they were first called, by number: where
 * in a sample a stage is. */
void stages_print_names(void);
