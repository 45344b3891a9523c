/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The request parser: a table of lines and what they mean.
 */
#include "controlplane/api_request.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct row {
	const char *line;
	const char *error; /* a part of it; NULL: accepted */
	enum cp_api_command command;
	const char *environment;
	uint32_t limit;
	uint64_t cursor;
};

#define ALL CP_API_PAGE_MAX

static const struct row rows[] = {
	{ "{\"command\": \"status\"}", NULL, CP_API_STATUS, "", ALL, 0 },
	{ " {\"command\":\"status\",\"arguments\":{}}\r", NULL, CP_API_STATUS, "", ALL, 0 },
	{ "{\"command\": \"version\"}", NULL, CP_API_VERSION, "", ALL, 0 },
	{ "{\"command\": \"upgrade\"}", NULL, CP_API_UPGRADE, "", ALL, 0 },
	{ "{\"arguments\":{\"environment\":\"a\"},\"command\":\"tunnels\"}", NULL, CP_API_TUNNELS,
	  "a", ALL, 0 },
	{ "{\"command\":\"forwards\",\"arguments\":{\"limit\":1000}}", NULL, CP_API_FORWARDS, "",
	  1000, 0 },
	{ "{\"command\":\"sessions\",\"arguments\":{\"environment\":\"production\",\"limit\":1,"
	  "\"cursor\":\"18446744073709551615\"}}",
	  NULL, CP_API_SESSIONS, "production", 1, UINT64_MAX },

	{ "", "not JSON", 0, 0, 0, 0 },
	{ "status", "not JSON", 0, 0, 0, 0 },
	{ "[]", "is an object", 0, 0, 0, 0 },
	{ "{}", "command: must be", 0, 0, 0, 0 },
	{ "{\"command\": 1}", "command: must be", 0, 0, 0, 0 },
	{ "{\"command\": \"reboot\"}", "no command \"reboot\"", 0, 0, 0, 0 },
	{ "{\"command\": \"re\\u001b[31mboot\"}", "no command \"re?[31mboot\"", 0, 0, 0, 0 },
	{ "{\"command\": \"\xc3\xa4\"}", "no command \"??\"", 0, 0, 0, 0 },
	{ "{\"command\": \"\xff\"}", "not JSON", 0, 0, 0, 0 },
	{ "{\"command\": \"stat\\u0000us\"}", "not JSON", 0, 0, 0, 0 },
	{ "{\"command\": \"status\"} x", "not JSON", 0, 0, 0, 0 },
	{ "{\"command\": \"status\", \"command\": \"tunnels\"}", "not JSON", 0, 0, 0, 0 },
	{ "{\"command\": \"status\", \"id\": 1}", "no key \"id\"", 0, 0, 0, 0 },
	{ "{\"command\": \"status\", \"arguments\": []}", "arguments: must be", 0, 0, 0, 0 },
	{ "{\"command\": \"status\", \"arguments\": null}", "arguments: must be", 0, 0, 0, 0 },
	{ "{\"command\": \"status\", \"arguments\": {\"limit\": 1}}", "no argument \"limit\"", 0, 0,
	  0, 0 },
	{ "{\"command\": \"tunnels\", \"arguments\": {\"limit\": 1}}", "no argument \"limit\"", 0,
	  0, 0, 0 },
	{ "{\"command\": \"sessions\", \"arguments\": {\"x\": 1}}", "no argument \"x\"", 0, 0, 0,
	  0 },
	{ "{\"command\": \"sessions\", \"arguments\": {\"limit\": 0}}", "limit:", 0, 0, 0, 0 },
	{ "{\"command\": \"sessions\", \"arguments\": {\"limit\": 1001}}", "limit:", 0, 0, 0, 0 },
	{ "{\"command\": \"sessions\", \"arguments\": {\"limit\": 4294967297}}", "limit:", 0, 0, 0,
	  0 },
	{ "{\"command\": \"sessions\", \"arguments\": {\"limit\": -1}}", "limit:", 0, 0, 0, 0 },
	{ "{\"command\": \"sessions\", \"arguments\": {\"limit\": 1.0}}", "limit:", 0, 0, 0, 0 },
	{ "{\"command\": \"sessions\", \"arguments\": {\"limit\": \"1\"}}", "limit:", 0, 0, 0, 0 },
	{ "{\"command\": \"sessions\", \"arguments\": {\"cursor\": 1}}", "cursor:", 0, 0, 0, 0 },
	{ "{\"command\": \"sessions\", \"arguments\": {\"cursor\": \"\"}}", "cursor:", 0, 0, 0, 0 },
	{ "{\"command\": \"sessions\", \"arguments\": {\"cursor\": \"-1\"}}", "cursor:", 0, 0, 0,
	  0 },
	{ "{\"command\": \"sessions\", \"arguments\": {\"cursor\": \" 1\"}}", "cursor:", 0, 0, 0,
	  0 },
	{ "{\"command\": \"sessions\", \"arguments\": {\"cursor\": \"1x\"}}", "cursor:", 0, 0, 0,
	  0 },
	{ "{\"command\": \"sessions\", \"arguments\": {\"cursor\": \"18446744073709551616\"}}",
	  "cursor:", 0, 0, 0, 0 },
	{ "{\"command\": \"sessions\", \"arguments\": {\"environment\": \"\"}}", "environment:", 0,
	  0, 0, 0 },
	{ "{\"command\": \"sessions\", \"arguments\": {\"environment\": \"../x\"}}",
	  "environment:", 0, 0, 0, 0 },
	{ "{\"command\": \"sessions\", \"arguments\": {\"environment\": \"a234567890123456789012345678901x\"}}",
	  "environment:", 0, 0, 0, 0 },
};

static void test_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		char error[CP_API_ERROR_LEN] = "not set";
		struct cp_api_request request;
		int rc = cp_api_request_parse(row->line, strlen(row->line), &request, error);

		if (rc != (row->error ? -EINVAL : 0))
			fail_msg("%s: %d %s", row->line, rc, error);
		if (row->error && !strstr(error, row->error))
			fail_msg("%s: said \"%s\", not \"%s\"", row->line, error, row->error);
		if (row->error)
			continue;
		assert_int_equal(request.command, row->command);
		assert_string_equal(request.environment, row->environment);
		assert_int_equal(request.limit, row->limit);
		assert_int_equal(request.cursor, row->cursor);
	}
}

static void test_length(void **state)
{
	const char request_text[] = "{\"command\": \"status\"}";
	char line[CP_API_REQUEST_MAX + 1], error[CP_API_ERROR_LEN];
	struct cp_api_request request;

	(void)state;
	memset(line, ' ', sizeof(line));
	memcpy(line, request_text, sizeof(request_text) - 1);
	assert_int_equal(cp_api_request_parse(line, CP_API_REQUEST_MAX, &request, error), 0);
	assert_int_equal(cp_api_request_parse(line, CP_API_REQUEST_MAX + 1, &request, error),
	                 -EINVAL);
	assert_non_null(strstr(error, "4096 bytes"));
}

/* Nesting is as deep as a line allows. */
static void test_depth(void **state)
{
	char line[CP_API_REQUEST_MAX], error[CP_API_ERROR_LEN];
	struct cp_api_request request;

	(void)state;
	memset(line, '[', sizeof(line));
	assert_int_equal(cp_api_request_parse(line, sizeof(line), &request, error), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_depth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
