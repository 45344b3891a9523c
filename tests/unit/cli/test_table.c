/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tables: alignment, empty cells, foreign text.
 */
#include "cli/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct cli_column columns[] = {
	{ "NAME", CLI_LEFT },
	{ "VALUE", CLI_RIGHT },
	{ "NOTE", CLI_LEFT },
};

static void check_print(const struct cli_table *table, const char *expected)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);

	assert_non_null(to);
	assert_int_equal(cli_table_print(table, to), 0);
	fclose(to);
	assert_string_equal(text, expected);
	free(text);
}

static void test_alignment(void **state)
{
	struct cli_table *table = cli_table_create(columns, 3);

	(void)state;
	cli_table_cell(table, "production");
	cli_table_cell(table, "%d", 7);
	cli_table_cell(table, "%s", "");
	cli_table_cell(table, "gr\xc3\xbcn");
	cli_table_cell(table, "%d", 1234567);
	cli_table_cell(table, "two words");
	check_print(table, "NAME          VALUE  NOTE\n"
	                   "production        7  -\n"
	                   "gr\xc3\xbcn        1234567  two words\n");
	cli_table_destroy(table);
}

static void test_no_rows(void **state)
{
	struct cli_table *table = cli_table_create(columns, 3);

	(void)state;
	check_print(table, "NAME  VALUE  NOTE\n");
	cli_table_destroy(table);
}

/* A row that was not finished is not shown. */
static void test_half_row(void **state)
{
	struct cli_table *table = cli_table_create(columns, 3);

	(void)state;
	cli_table_cell(table, "half");
	check_print(table, "NAME  VALUE  NOTE\n");
	cli_table_destroy(table);
}

static void test_foreign_text(void **state)
{
	struct cli_table *table = cli_table_create(columns, 3);

	(void)state;
	cli_table_cell(table, "%s", "\x1b]0;title\x07");
	cli_table_cell(table, "%s", "1\n2");
	cli_table_cell(table, "%s", "\xff");
	check_print(table, "NAME               VALUE  NOTE\n"
	                   "\\x1b]0;title\\x07  1\\x0a2  \\xff\n");
	cli_table_destroy(table);
}

static void test_many_rows(void **state)
{
	struct cli_table *table = cli_table_create(columns, 3);
	char *text = NULL;
	size_t size = 0, lines = 0;
	FILE *to = open_memstream(&text, &size);

	(void)state;
	for (int i = 0; i < 3 * 1000; i++)
		cli_table_cell(table, "%d", i);
	assert_int_equal(cli_table_print(table, to), 0);
	fclose(to);
	for (const char *c = text; *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, 1001);
	free(text);
	cli_table_destroy(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alignment), cmocka_unit_test(test_no_rows),
		cmocka_unit_test(test_half_row),  cmocka_unit_test(test_foreign_text),
		cmocka_unit_test(test_many_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
