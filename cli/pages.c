/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request per page; "next" of one is "cursor" of the following.
 */
#include "cli/pages.h"

#include <stdio.h>

#define PAGE_MAX 1000u /* the control plane's */

static json_t *page_arguments(const struct cli_options *options, const char *cursor, size_t left)
{
	json_t *arguments =
		json_pack("{s:I}", "limit", (json_int_t)(left < PAGE_MAX ? left : PAGE_MAX));

	if ((options->environment &&
	     json_object_set_new(arguments, "environment", json_string(options->environment))) ||
	    (cursor && json_object_set_new(arguments, "cursor", json_string(cursor)))) {
		json_decref(arguments);
		return NULL;
	}
	return arguments;
}

/* Adds a page to *LIST, which becomes the first page's array. */
static int join(json_t **list, const json_t *page, const char *command)
{
	json_t *part = json_object_get(page, command);

	if (!json_is_array(part))
		return -1;
	if (*list)
		return json_array_extend(*list, part);
	*list = json_incref(part);
	return 0;
}

enum cli_exit cli_pages(const struct cli_options *options, const char *command, size_t limit,
                        json_t **list, bool *is_whole, char error[CLI_ERROR_LEN])
{
	json_t *page = NULL, *arguments;
	const char *cursor = NULL; /* within PAGE */
	enum cli_exit exit;

	*list = NULL;
	do {
		arguments = page_arguments(options, cursor, limit - json_array_size(*list));
		json_decref(page);
		page = NULL;
		if (!arguments) {
			snprintf(error, CLI_ERROR_LEN, "out of memory");
			exit = CLI_DEGRADED;
			break;
		}
		exit = cli_request(options, command, arguments, &page, error);
		if (exit == CLI_OK && join(list, page, command)) {
			snprintf(error, CLI_ERROR_LEN, "the reply cannot be understood");
			exit = CLI_DEGRADED;
		}
		cursor = json_string_value(json_object_get(page, "next"));
	} while (exit == CLI_OK && cursor && json_array_size(*list) < limit);
	*is_whole = !cursor;
	json_decref(page);
	if (exit != CLI_OK) {
		json_decref(*list);
		*list = NULL;
	}
	return exit;
}
