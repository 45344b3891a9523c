/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `sallyport sessions`.
 */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/pages.h"
#include "cli/table.h"
#include "cli/text.h"

#include <inttypes.h>

static const struct cli_column columns[] = {
	{ "ENVIRONMENT", CLI_LEFT }, { "SERVER", CLI_LEFT }, { "PROTOCOL", CLI_LEFT },
	{ "CLIENT", CLI_LEFT },      { "PORT", CLI_RIGHT },  { "INNER", CLI_LEFT },
	{ "TARGET", CLI_LEFT },      { "STATE", CLI_LEFT },  { "AGE", CLI_RIGHT },
	{ "IDLE", CLI_RIGHT },       { "SENT", CLI_RIGHT },  { "RECEIVED", CLI_RIGHT },
};

static void add_endpoint(struct cli_table *table, const json_t *session, const char *address,
                         const char *port)
{
	cli_table_cell(table, "%s:%" PRIu64, cli_member_text(session, address),
	               cli_member_number(session, port));
}

static void add_row(struct cli_table *table, const json_t *session)
{
	char age[CLI_AMOUNT_LEN], idle[CLI_AMOUNT_LEN], sent[CLI_AMOUNT_LEN],
		received[CLI_AMOUNT_LEN];

	cli_table_cell(table, "%s", cli_member_text(session, "environment"));
	cli_table_cell(table, "%s", cli_member_text(session, "server"));
	cli_table_cell(table, "%s", cli_member_text(session, "protocol"));
	add_endpoint(table, session, "client_address", "client_port");
	cli_table_cell(table, "%" PRIu64, cli_member_number(session, "forward_port"));
	add_endpoint(table, session, "inner_address", "inner_port");
	add_endpoint(table, session, "target_address", "target_port");
	cli_table_cell(table, "%s", cli_member_text(session, "state"));
	cli_table_cell(table, "%s",
	               cli_duration_format(age, cli_member_number(session, "age_seconds")));
	cli_table_cell(table, "%s",
	               cli_duration_format(idle, cli_member_number(session, "idle_seconds")));
	cli_table_cell(table, "%s",
	               cli_bytes_format(sent, cli_member_number(session, "bytes_out")));
	cli_table_cell(table, "%s",
	               cli_bytes_format(received, cli_member_number(session, "bytes_in")));
}

static enum cli_exit print_table(const json_t *sessions)
{
	struct cli_table *table;
	const json_t *session;
	size_t i;
	int rc;

	if (!json_array_size(sessions)) {
		cli_say("no sessions");
		return CLI_OK;
	}
	table = cli_table_create(columns, sizeof(columns) / sizeof(columns[0]));
	if (!table)
		return cli_fail(CLI_DEGRADED, "out of memory");
	json_array_foreach(sessions, i, session)
		add_row(table, session);
	rc = cli_table_print(table, stdout);
	cli_table_destroy(table);
	return rc ? cli_fail(CLI_DEGRADED, "out of memory") : CLI_OK;
}

enum cli_exit cli_sessions(const struct cli_options *options)
{
	char error[CLI_ERROR_LEN];
	enum cli_exit exit;
	json_t *sessions;
	bool is_whole;

	exit = cli_pages(options, "sessions", options->limit, &sessions, &is_whole, error);
	if (exit != CLI_OK)
		return cli_fail_request(exit, error);
	if (options->is_json)
		return cli_print_json(
			json_pack("{s:o, s:b}", "sessions", sessions, "complete", is_whole));
	exit = print_table(sessions);
	json_decref(sessions);
	if (exit == CLI_OK && !is_whole)
		cli_say("... there are more; --limit N shows up to N");
	return exit;
}
