/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The replay window against a model that remembers every number it saw. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/replay.h"
#include "tests/unit/dataplane/esp_peer.h"

#define SPAN 300000u

/* The rule in RFC 4303's words: not seen before, and not left of the window. */
struct model {
	uint64_t base; /* number of seen[0] */
	uint64_t top;
	uint32_t window;
	uint8_t seen[SPAN];
};

static int model_take(struct model *m, uint64_t sequence)
{
	uint64_t left = m->top >= m->window ? m->top - m->window + 1 : 1;

	if (sequence < left || sequence == 0 || m->seen[sequence - m->base])
		return 0;
	m->seen[sequence - m->base] = 1;
	if (sequence > m->top)
		m->top = sequence;
	return 1;
}

/* A walk upwards from BASE with jumps, steps back, repetitions. */
static void walk(uint32_t window, uint64_t base, uint64_t seed, int is_esn)
{
	struct model *m = calloc(1, sizeof(*m));
	struct dp_replay r;
	uint64_t next = base + 1;
	unsigned accepted = 0, refused = 0;

	assert_non_null(m);
	dp_replay_init(&r, window);
	assert_int_equal(r.window, window);
	m->window = window;
	m->base = base;
	if (base > 0) {
		assert_true(dp_replay_commit(&r, base));
		m->top = base;
		m->seen[0] = 1;
	}
	while (next < base + SPAN - 3 * window - 200) {
		uint64_t dice = peer_random(&seed), sequence = next, wire;
		unsigned back = (unsigned)(dice >> 8) % (2 * window + 2);
		int expected, checked;

		/* 3 of 8 look back, half of these around the window's edge; 1 of 64 jumps ahead */
		if (dice % 16 < 3)
			back = window - 2 + (unsigned)(dice >> 8) % 6;
		if (dice % 8 < 3)
			sequence = next > base + back + 1 ? next - back : base + 1;
		else if (dice % 64 == 63)
			sequence = next + (dice >> 40) % (2 * window + 100);
		if (sequence >= next)
			next = sequence + 1;
		wire = is_esn ? dp_replay_infer(&r, (uint32_t)sequence) : sequence;
		/* what the sender meant can be told only within the window */
		if (m->top < sequence + window)
			assert_true(wire == sequence);
		else if (wire != sequence)
			continue;
		checked = dp_replay_check(&r, wire);
		expected = model_take(m, wire);
		assert_int_equal(checked, expected);
		assert_int_equal(dp_replay_commit(&r, wire), expected);
		assert_true(r.top == m->top);
		accepted += (unsigned)expected;
		refused += !expected;
	}
	assert_true(accepted > 100 && refused > 20);
	free(m);
}

static void follows_the_model(void **state)
{
	static const uint32_t windows[] = { 64, 128, 192, 256, 960, 1024, 3008, 4096 };

	(void)state;
	for (unsigned i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
		for (uint64_t seed = 1; seed <= 5; seed++)
			walk(windows[i], 0, seed, 0);
	}
}

static void follows_the_model_over_the_wrap_of_32_bits(void **state)
{
	static const uint32_t windows[] = { 64, 192, 1024, 4096 };

	(void)state;
	for (unsigned i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
		for (uint64_t seed = 1; seed <= 5; seed++) {
			walk(windows[i], 0, seed, 1);
			walk(windows[i], 0xffffffffull - SPAN / 2, seed, 1);
			walk(windows[i], 0x7ffffffffull - SPAN / 2, seed, 1);
		}
	}
}

static void rounds_the_window(void **state)
{
	static const struct {
		uint32_t asked, given, words;
	} table[] = {
		{ 0, 64, 1 },       { 1, 64, 1 },       { 32, 64, 1 },
		{ 64, 64, 1 },      { 65, 128, 2 },     { 129, 192, 4 },
		{ 4095, 4096, 64 }, { 4096, 4096, 64 }, { UINT32_MAX, 4096, 64 },
	};
	struct dp_replay r;

	(void)state;
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		dp_replay_init(&r, table[i].asked);
		assert_int_equal(r.window, table[i].given);
		assert_int_equal(r.word_mask + 1, table[i].words);
	}
}

static void knows_the_edges(void **state)
{
	struct dp_replay r;

	(void)state;
	dp_replay_init(&r, 64);
	assert_false(dp_replay_check(&r, 0));
	assert_false(dp_replay_commit(&r, 0));
	assert_true(dp_replay_commit(&r, 1));
	assert_false(dp_replay_commit(&r, 1));
	assert_true(dp_replay_commit(&r, 65));
	assert_false(dp_replay_check(&r, 1));
	assert_true(dp_replay_check(&r, 2));
	assert_true(dp_replay_commit(&r, 64));
	/* a jump as far as it goes, and the end of all numbers */
	assert_true(dp_replay_commit(&r, UINT64_MAX));
	assert_false(dp_replay_commit(&r, UINT64_MAX));
	assert_true(dp_replay_commit(&r, UINT64_MAX - 63));
	assert_false(dp_replay_check(&r, UINT64_MAX - 64));
}

/* RFC 4303 appendix A2.2, both cases, with a window of 64. */
static void infers_the_high_bits(void **state)
{
	static const struct {
		uint64_t top;
		uint32_t wire;
		uint64_t expected;
	} table[] = {
		{ 0, 1, 1 },
		{ 0, 0x7fffffff, 0x7fffffff },
		{ 0, 0xffffffff, 0 }, /* before the beginning */
		{ 62, 0xffffffff, 0 },
		{ 63, 0xffffffff, 0xffffffff },
		{ 1000, 937, 937 },
		{ 1000, 936, 0x1000003a8 }, /* left of the window means the next subspace */
		{ 0xfffffff0, 5, 0x100000005 },
		{ 0xfffffff0, 0xffffffb1, 0xffffffb1 },
		{ 0x100000005, 0xfffffff0, 0xfffffff0 }, /* the window reaches back */
		{ 0x100000005, 0xffffffc6, 0xffffffc6 },
		{ 0x100000005, 0xffffffc5, 0x1ffffffc5 },
		{ 0x10000003e, 0xffffffff, 0xffffffff },
		{ 0x10000003f, 0xffffffff, 0x1ffffffff },
		{ 0x100000005, 6, 0x100000006 },
	};
	struct dp_replay r;

	(void)state;
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		dp_replay_init(&r, 64);
		r.top = table[i].top;
		assert_int_equal(dp_replay_infer(&r, table[i].wire), table[i].expected);
	}
	/* past the last subspace nothing is accepted */
	r.top = UINT64_MAX;
	assert_false(dp_replay_check(&r, dp_replay_infer(&r, 5)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows_the_model),
		cmocka_unit_test(follows_the_model_over_the_wrap_of_32_bits),
		cmocka_unit_test(rounds_the_window),
		cmocka_unit_test(knows_the_edges),
		cmocka_unit_test(infers_the_high_bits),
	};

	return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
