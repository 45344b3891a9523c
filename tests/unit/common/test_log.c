/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log lines as they come out of standard error.
 */
#include "common/log.h"

#include <errno.h>
#include <regex.h>

#include "tests/unit/common/unit.h"

/* Runs log_something() with standard error in a pipe and returns what it wrote, terminated. */
static char *capture(void (*log_something)(void))
{
	static char buffer[8192];
	int ends[2], saved = dup(STDERR_FILENO);
	ssize_t length;

	assert_int_equal(pipe(ends), 0);
	fflush(stderr);
	dup2(ends[1], STDERR_FILENO);
	log_something();
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(ends[1]);
	length = read(ends[0], buffer, sizeof(buffer) - 1);
	close(ends[0]);
	assert_true(length >= 0);
	buffer[length] = 0;
	return buffer;
}

static void assert_matches(const char *text, const char *pattern)
{
	regex_t regex;

	assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
	if (regexec(&regex, text, 0, NULL, 0) != 0)
		fail_msg("\"%s\" does not match %s", text, pattern);
	regfree(&regex);
}

#define STAMP "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z tester "

static void log_info(void)
{
	sp_log_init("tester", SP_LOG_INFO);
	sp_log(SP_LOG_INFO, "module: verb key=%d", 7);
}

static void log_below_level(void)
{
	sp_log_init("tester", SP_LOG_WARN);
	sp_log(SP_LOG_INFO, "hidden");
	sp_log(SP_LOG_DEBUG, "hidden");
}

static void log_control_characters(void)
{
	sp_log_init("tester", SP_LOG_DEBUG);
	sp_log(SP_LOG_ERR, "a\nb\x1b[31m%s", "\xc3\xa9\x7f");
}

static void log_long(void)
{
	char text[6000];

	memset(text, '\n', sizeof(text));
	text[sizeof(text) - 1] = 0;
	sp_log_init("tester", SP_LOG_DEBUG);
	sp_log(SP_LOG_WARN, "%s", text);
}

static void test_line(void **state)
{
	(void)state;
	assert_matches(capture(log_info), STAMP "INFO module: verb key=7\n$");
}

static void test_level(void **state)
{
	(void)state;
	assert_string_equal(capture(log_below_level), "");
}

static void test_escapes(void **state)
{
	(void)state;
	assert_matches(capture(log_control_characters),
	               STAMP "ERR a\\\\x0ab\\\\x1b\\[31m\\\\xc3\\\\xa9\\\\x7f\n$");
}

static void test_long_line_is_cut(void **state)
{
	char *text = capture(log_long), *newline = strchr(text, '\n');

	(void)state;
	assert_non_null(newline);
	assert_int_equal(newline[1], 0);
	assert_true(strlen(text) <= 2048);
}

static void log_keeps_errno(void)
{
	errno = ENOTTY;
	log_info();
	assert_int_equal(errno, ENOTTY);
}

static void test_errno(void **state)
{
	(void)state;
	capture(log_keeps_errno);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),    cmocka_unit_test(test_level),
		cmocka_unit_test(test_escapes), cmocka_unit_test(test_long_line_is_cut),
		cmocka_unit_test(test_errno),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
