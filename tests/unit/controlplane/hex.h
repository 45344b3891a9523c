/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hexadecimal text in tests.
 */
#pragma once

#include "tests/unit/common/unit.h"

/* Fills BYTES, which has ROOM; returns how many. */
static inline size_t unhex(const char *text, uint8_t *bytes, size_t room)
{
	size_t count = strlen(text) / 2;

	assert_true(count <= room && strlen(text) % 2 == 0);
	for (size_t i = 0; i < count; i++) {
		char pair[3] = { text[2 * i], text[2 * i + 1], 0 };
		char *end;

		bytes[i] = (uint8_t)strtoul(pair, &end, 16);
		assert_true(*end == 0);
	}
	return count;
}

/* BYTES are what TEXT says. */
static inline void assert_hex(const uint8_t *bytes, size_t length, const char *text)
{
	uint8_t expected[4096];

	assert_int_equal(length, unhex(text, expected, sizeof(expected)));
	assert_memory_equal(bytes, expected, length);
}
