/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `sallyport forwards`.
 */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/pages.h"
#include "cli/table.h"

#include <inttypes.h>

static const struct cli_column columns[] = {
	{ "ENVIRONMENT", CLI_LEFT }, { "PROTOCOL", CLI_LEFT },  { "LISTENS", CLI_LEFT },
	{ "TO", CLI_LEFT },          { "PREFERRED", CLI_LEFT }, { "ACTIVE", CLI_LEFT },
};

static void add_row(struct cli_table *table, const json_t *forward)
{
	cli_table_cell(table, "%s", cli_member_text(forward, "environment"));
	cli_table_cell(table, "%s", cli_member_text(forward, "protocol"));
	cli_table_cell(table, "%s:%" PRIu64, cli_member_text(forward, "pod_address"),
	               cli_member_number(forward, "port"));
	cli_table_cell(table, "%s:%" PRIu64, cli_member_text(forward, "to_address"),
	               cli_member_number(forward, "to_port"));
	cli_table_cell(table, "%s", cli_member_text(forward, "preferred"));
	cli_table_cell(table, "%s", cli_member_text(forward, "active"));
}

static enum cli_exit print_table(const json_t *forwards)
{
	struct cli_table *table;
	const json_t *forward;
	size_t i;
	int rc;

	if (!json_array_size(forwards)) {
		cli_say("no forwards");
		return CLI_OK;
	}
	table = cli_table_create(columns, sizeof(columns) / sizeof(columns[0]));
	if (!table)
		return cli_fail(CLI_DEGRADED, "out of memory");
	json_array_foreach(forwards, i, forward)
		add_row(table, forward);
	rc = cli_table_print(table, stdout);
	cli_table_destroy(table);
	return rc ? cli_fail(CLI_DEGRADED, "out of memory") : CLI_OK;
}

enum cli_exit cli_forwards(const struct cli_options *options)
{
	char error[CLI_ERROR_LEN];
	enum cli_exit exit;
	json_t *forwards;
	bool is_whole;

	exit = cli_pages(options, "forwards", SIZE_MAX, &forwards, &is_whole, error);
	if (exit != CLI_OK)
		return cli_fail_request(exit, error);
	if (options->is_json)
		return cli_print_json(json_pack("{s:o}", "forwards", forwards));
	exit = print_table(forwards);
	json_decref(forwards);
	return exit;
}
