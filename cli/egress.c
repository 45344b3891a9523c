/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `sallyport egress`.
 */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/pages.h"
#include "cli/table.h"

#include <inttypes.h>

static const struct cli_column columns[] = {
	{ "ADDRESS", CLI_LEFT },   { "DESTINATION", CLI_LEFT }, { "PROTOCOL", CLI_LEFT },
	{ "PORTS", CLI_RIGHT },    { "OF", CLI_RIGHT },         { "USED", CLI_RIGHT },
	{ "SESSIONS", CLI_RIGHT },
};

static void add_row(struct cli_table *table, const json_t *use)
{
	uint64_t ports = cli_member_number(use, "ports"), of = cli_member_number(use, "capacity");
	const char *remote = cli_member_text(use, "remote_address");

	cli_table_cell(table, "%s", cli_member_text(use, "address"));
	if (*remote)
		cli_table_cell(table, "%s:%" PRIu64, remote, cli_member_number(use, "remote_port"));
	else
		cli_table_cell(table, "all");
	cli_table_cell(table, "%s", cli_member_text(use, "protocol"));
	cli_table_cell(table, "%" PRIu64, ports);
	cli_table_cell(table, "%" PRIu64, of);
	cli_table_cell(table, "%" PRIu64 "%%", of ? ports * 100 / of : 0);
	cli_table_cell(table, "%" PRIu64, cli_member_number(use, "sessions"));
}

static enum cli_exit print_table(const json_t *uses)
{
	struct cli_table *table;
	const json_t *use;
	size_t i;
	int rc;

	if (!json_array_size(uses)) {
		cli_say("no egress");
		return CLI_OK;
	}
	table = cli_table_create(columns, sizeof(columns) / sizeof(columns[0]));
	if (!table)
		return cli_fail(CLI_DEGRADED, "out of memory");
	json_array_foreach(uses, i, use)
		add_row(table, use);
	rc = cli_table_print(table, stdout);
	cli_table_destroy(table);
	return rc ? cli_fail(CLI_DEGRADED, "out of memory") : CLI_OK;
}

enum cli_exit cli_egress(const struct cli_options *options)
{
	char error[CLI_ERROR_LEN];
	enum cli_exit exit;
	json_t *uses;
	bool is_whole;

	exit = cli_pages(options, "egress", SIZE_MAX, &uses, &is_whole, error);
	if (exit != CLI_OK)
		return cli_fail_request(exit, error);
	if (options->is_json)
		return cli_print_json(json_pack("{s:o}", "egress", uses));
	exit = print_table(uses);
	json_decref(uses);
	return exit;
}
