/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Amounts with units, and text that tries to steer the terminal.
 */
#include "cli/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_bytes(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} rows[] = {
		{ 0, "0 B" },
		{ 999, "999 B" },
		{ 1000, "1.0 kB" },
		{ 1049, "1.0 kB" },
		{ 1234567, "1.2 MB" },
		{ 999949, "999.9 kB" },
		{ 999950, "1.0 MB" },
		{ 5400000000, "5.4 GB" },
		{ 1000000000000, "1.0 TB" },
		{ UINT64_MAX, "18.4 EB" },
	};
	char buffer[CLI_AMOUNT_LEN];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(cli_bytes_format(buffer, rows[i].bytes), rows[i].text);
}

static void test_durations(void **state)
{
	static const struct {
		uint64_t seconds;
		const char *text;
	} rows[] = {
		{ 0, "0 s" },
		{ 59, "59 s" },
		{ 60, "1 min" },
		{ 239, "3 min" },
		{ 3600, "1 h 0 min" },
		{ 7500, "2 h 5 min" },
		{ 86399, "23 h 59 min" },
		{ 86400, "1 d 0 h" },
		{ 349200, "4 d 1 h" },
		{ UINT64_MAX, "213503982334601 d 7 h" },
	};
	char buffer[CLI_AMOUNT_LEN];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(cli_duration_format(buffer, rows[i].seconds), rows[i].text);
}

static void test_clean(void **state)
{
	static const struct {
		const char *text;
		const char *clean;
	} rows[] = {
		{ "", "" },
		{ "plain text, 100 %", "plain text, 100 %" },
		{ "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x9a\xaa",
		  "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x9a\xaa" },
		{ "\x1b[2Jgone", "\\x1b[2Jgone" },
		{ "a\nb\tc\rd\x7f", "a\\x0ab\\x09c\\x0dd\\x7f" },
		{ "\xc2\x9b"
		  "31m",
		  "\\xc2\\x9b31m" }, /* C1: CSI in one character */
		{ "\x9b"
		  "31m",
		  "\\x9b31m" }, /* the same as a bare byte */
		{ "\xe2\x80\xae"
		  "evil",
		  "\\xe2\\x80\\xaeevil" },               /* right-to-left override */
		{ "\xe2\x81\xa6x", "\\xe2\\x81\\xa6x" }, /* isolate */
		{ "\xe2\x80\xa8x", "\\xe2\\x80\\xa8x" }, /* line separator */
		{ "\xc0\xaf", "\\xc0\\xaf" },            /* over-long */
		{ "\xe0\x80\x9b", "\\xe0\\x80\\x9b" },
		{ "\xed\xa0\x80", "\\xed\\xa0\\x80" },          /* surrogate */
		{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" }, /* above the last code point */
		{ "\xc3", "\\xc3" },                            /* cut off */
		{ "\xe2\x82", "\\xe2\\x82" },
	};
	char buffer[128];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(cli_text_clean(buffer, sizeof(buffer), rows[i].text),
		                 strlen(rows[i].clean));
		assert_string_equal(buffer, rows[i].clean);
		assert_int_equal(cli_text_clean(NULL, 0, rows[i].text), strlen(rows[i].clean));
	}
}

static void test_clean_cuts(void **state)
{
	char buffer[8] = "1234567";

	(void)state;
	assert_int_equal(cli_text_clean(buffer, 4, "abcdef"), 6);
	assert_string_equal(buffer, "abc");
	assert_int_equal(buffer[4], '5');
	assert_int_equal(cli_text_clean(buffer, 1, "abcdef"), 6);
	assert_string_equal(buffer, "");
}

static void test_width(void **state)
{
	(void)state;
	assert_int_equal(cli_text_width(""), 0);
	assert_int_equal(cli_text_width("abc"), 3);
	assert_int_equal(cli_text_width("gr\xc3\xbc\xc3\x9f"), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes), cmocka_unit_test(test_durations),
		cmocka_unit_test(test_clean), cmocka_unit_test(test_clean_cuts),
		cmocka_unit_test(test_width),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
