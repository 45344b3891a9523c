/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Command lines: what is taken from where, and what is refused.
 */
#include "cli/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WORDS_MAX 8

/* Parses LINE, words with single spaces between; what it said is in SAID. */
static enum cli_exit parse(struct cli_options *options, const char *line, char said[256])
{
	static char words[512]; /* the options borrow from it */
	char *argv[WORDS_MAX + 2] = { (char *)"sallyport" }, *rest = words, *word;
	FILE *errors = fmemopen(said, 256, "w");
	enum cli_exit exit;
	int argc = 1;

	assert_non_null(errors);
	snprintf(words, sizeof(words), "%s", line);
	while ((word = strsep(&rest, " ")) && argc <= WORDS_MAX)
		if (*word)
			argv[argc++] = word;
	exit = cli_options_parse(options, argc, argv, errors);
	fclose(errors);
	return exit;
}

static int clear_variables(void **state)
{
	(void)state;
	return unsetenv("SALLYPORT_INSTANCE") || unsetenv("SALLYPORT_RUN_DIR") ||
	       unsetenv("SALLYPORT_CONFIG_DIR");
}

static void test_defaults(void **state)
{
	struct cli_options options;
	char said[256] = "";

	(void)state;
	assert_int_equal(parse(&options, "status", said), CLI_OK);
	assert_string_equal(options.command, "status");
	assert_null(options.argument);
	assert_string_equal(options.instance, "default");
	assert_string_equal(options.config_dir, "/etc/sallyport/default");
	assert_string_equal(options.run_dir, "/run/sallyport/default");
	assert_false(options.is_json);
	assert_int_equal(options.given, 0);
	assert_int_equal(options.limit, 100);
	assert_null(options.environment);
}

static void test_options_anywhere(void **state)
{
	struct cli_options options;
	char said[256] = "";

	(void)state;
	assert_int_equal(parse(&options,
	                       "--json sessions --instance=edge --limit 5 --environment production",
	                       said),
	                 CLI_OK);
	assert_string_equal(options.command, "sessions");
	assert_string_equal(options.run_dir, "/run/sallyport/edge");
	assert_true(options.is_json);
	assert_int_equal(options.limit, 5);
	assert_string_equal(options.environment, "production");
	assert_int_equal(options.given, CLI_TAKES_LIMIT | CLI_TAKES_ENVIRONMENT);

	assert_int_equal(parse(&options, "counters --all --workers drop/", said), CLI_OK);
	assert_string_equal(options.argument, "drop/");
	assert_int_equal(options.given, CLI_TAKES_ALL | CLI_TAKES_WORKERS);
}

static void test_variables(void **state)
{
	struct cli_options options;
	char said[256] = "";

	(void)state;
	setenv("SALLYPORT_INSTANCE", "edge", 1);
	setenv("SALLYPORT_RUN_DIR", "/srv/run", 1);
	assert_int_equal(parse(&options, "status", said), CLI_OK);
	assert_string_equal(options.instance, "edge");
	assert_string_equal(options.config_dir, "/etc/sallyport/edge");
	assert_string_equal(options.run_dir, "/srv/run");

	/* the command line wins, an empty variable counts as none */
	setenv("SALLYPORT_CONFIG_DIR", "", 1);
	assert_int_equal(parse(&options, "--instance b --run-dir /tmp/r status", said), CLI_OK);
	assert_string_equal(options.instance, "b");
	assert_string_equal(options.config_dir, "/etc/sallyport/b");
	assert_string_equal(options.run_dir, "/tmp/r");
}

static void test_mistakes(void **state)
{
	static const struct {
		const char *line;
		const char *said;
	} rows[] = {
		{ "--what status", "there is no option --what" },
		{ "-x status", "there is no option -x" },
		{ "status --instance", "--instance lacks its value" },
		{ "--instance ../x status", "an instance's name" },
		{ "--instance A status", "an instance's name" },
		{ "--run-dir= status", "a directory's path" },
		{ "sessions --limit 0", "--limit must be" },
		{ "sessions --limit -1", "--limit must be" },
		{ "sessions --limit 1k", "--limit must be" },
		{ "sessions --limit 99999999999999999999", "--limit must be" },
		{ "sessions --environment a/b", "--environment must be" },
		{ "counters drop/ port/ esp/", "too many arguments" },
	};
	struct cli_options options;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char said[256] = "";

		assert_int_equal(parse(&options, rows[i].line, said), CLI_MISTAKE);
		if (!strstr(said, rows[i].said))
			fail_msg("'%s' said '%s', not '%s'", rows[i].line, said, rows[i].said);
	}
}

static void test_long_path(void **state)
{
	char line[CLI_PATH_LEN + 64], said[256] = "";
	struct cli_options options;

	(void)state;
	snprintf(line, sizeof(line), "status --run-dir /%0*d", (int)CLI_PATH_LEN - 2, 0);
	assert_int_equal(parse(&options, line, said), CLI_OK);
	assert_int_equal(strlen(options.run_dir), CLI_PATH_LEN - 1);
	strcat(line, "0");
	assert_int_equal(parse(&options, line, said), CLI_MISTAKE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_defaults, clear_variables),
		cmocka_unit_test_setup(test_options_anywhere, clear_variables),
		cmocka_unit_test_setup(test_variables, clear_variables),
		cmocka_unit_test_setup(test_mistakes, clear_variables),
		cmocka_unit_test_setup(test_long_path, clear_variables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
