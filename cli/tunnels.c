/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `sallyport tunnels`.
 */
#include "cli/tunnels.h"

#include "cli/client.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const struct cli_column columns[] = {
	{ "ENVIRONMENT", CLI_LEFT }, { "SERVER", CLI_LEFT },    { "ZONE", CLI_LEFT },
	{ "ADDRESS", CLI_LEFT },     { "STATE", CLI_LEFT },     { "SINCE", CLI_RIGHT },
	{ "INNER", CLI_LEFT },       { "HEARD", CLI_RIGHT },    { "RTT", CLI_RIGHT },
	{ "SENT", CLI_RIGHT },       { "RECEIVED", CLI_RIGHT }, { "REKEYS", CLI_RIGHT },
	{ "DETAILS", CLI_LEFT },
};

#define COLUMN_COUNT (sizeof(columns) / sizeof(columns[0]))

static uint64_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec;
}

void cli_tunnel_explain(const json_t *tunnel, char *buffer, size_t size)
{
	uint64_t retry_at = cli_member_number(tunnel, "retry_at"), now = now_s();
	uint64_t attempts = cli_member_number(tunnel, "attempts");
	const char *why = cli_member_text(tunnel, "why");
	char retry[CLI_AMOUNT_LEN + 32] = "", tried[48] = "", pause[CLI_AMOUNT_LEN];

	if (retry_at)
		snprintf(retry, sizeof(retry), "; next attempt in %s",
		         cli_duration_format(pause, retry_at > now ? retry_at - now : 0));
	if (attempts)
		snprintf(tried, sizeof(tried), " (%" PRIu64 " so far)", attempts);
	snprintf(buffer, size, "%s%s%s%s%s", cli_member_text(tunnel, "phase"), *why ? ": " : "",
	         why, retry, tried);
}

bool cli_tunnel_is_dead(const json_t *tunnel)
{
	return cli_member_is_true(tunnel, "up") &&
	       !strcmp(cli_member_text(tunnel, "liveness"), "dead");
}

/* "up, active", "up, standby", "up, dead", "down". */
static void add_state(struct cli_table *table, const json_t *tunnel)
{
	const char *liveness = cli_member_text(tunnel, "liveness");
	const bool is_worth_it = !strcmp(liveness, "dead") || !strcmp(liveness, "suspect");

	if (!cli_member_is_true(tunnel, "up"))
		cli_table_cell(table, "down");
	else if (!json_is_boolean(json_object_get(tunnel, "active")))
		cli_table_cell(table, "up");
	else
		cli_table_cell(table, "up, %s%s%s",
		               cli_member_is_true(tunnel, "active") ? "active" : "standby",
		               is_worth_it ? ", " : "", is_worth_it ? liveness : "");
}

/* The round trip of probes. */
static void add_rtt(struct cli_table *table, const json_t *tunnel)
{
	if (json_is_real(json_object_get(tunnel, "rtt_ms")))
		cli_table_cell(table, "%.1f ms", cli_member_real(tunnel, "rtt_ms"));
	else
		cli_table_cell(table, "-");
}

static void add_ago(struct cli_table *table, uint64_t seconds)
{
	char text[CLI_AMOUNT_LEN];

	cli_table_cell(table, "%s", cli_duration_format(text, seconds));
}

static void add_bytes(struct cli_table *table, const json_t *traffic, const char *key)
{
	char text[CLI_AMOUNT_LEN];

	if (json_is_object(traffic))
		cli_table_cell(table, "%s",
		               cli_bytes_format(text, cli_member_number(traffic, key)));
	else
		cli_table_cell(table, "-");
}

static void add_details(struct cli_table *table, const json_t *tunnel)
{
	char text[1024];

	if (cli_member_is_true(tunnel, "up")) {
		const char *unreachable = cli_member_text(tunnel, "unreachable");
		const char *renewal = cli_member_text(tunnel, "renewal");
		const char *notice = cli_member_text(tunnel, "notice");

		cli_table_cell(
			table, "%s%s%s%s%s%s%s%s%s",
			strcmp(cli_member_text(tunnel, "protocol"), "openvpn") ? "" : "OpenVPN, ",
			cli_member_text(tunnel, "suite"),
			cli_member_is_true(tunnel, "udp_encapsulation") ? ", in UDP" : "",
			*unreachable ? "; " : "", unreachable, *renewal ? "; not renewed: " : "",
			renewal, *notice ? "; " : "", notice);
		return;
	}
	cli_tunnel_explain(tunnel, text, sizeof(text));
	cli_table_cell(table, "%s", text);
}

static void add_row(struct cli_table *table, const json_t *tunnel)
{
	const json_t *traffic = json_object_get(tunnel, "traffic");
	const json_t *heard = json_object_get(tunnel, "heard_seconds");
	uint64_t since = cli_member_number(tunnel, "since"), now = now_s();

	cli_table_cell(table, "%s", cli_member_text(tunnel, "environment"));
	cli_table_cell(table, "%s", cli_member_text(tunnel, "server"));
	cli_table_cell(table, "%s", cli_member_text(tunnel, "zone"));
	cli_table_cell(table, "%s", cli_member_text(tunnel, "address"));
	add_state(table, tunnel);
	if (since)
		add_ago(table, now > since ? now - since : 0);
	else
		cli_table_cell(table, "-");
	cli_table_cell(table, "%s", cli_member_text(tunnel, "inner_address"));
	if (json_is_real(heard))
		add_ago(table, (uint64_t)json_real_value(heard));
	else
		cli_table_cell(table, "-");
	add_rtt(table, tunnel);
	add_bytes(table, traffic, "bytes_out");
	add_bytes(table, traffic, "bytes_in");
	cli_table_cell(table, "%" PRIu64,
	               cli_member_number(tunnel, "ike_rekeys") +
	                       cli_member_number(tunnel, "child_rekeys"));
	add_details(table, tunnel);
}

static enum cli_exit print_table(const json_t *tunnels)
{
	struct cli_table *table;
	const json_t *tunnel;
	size_t i;
	int rc;

	if (!json_array_size(tunnels)) {
		cli_say("no tunnels");
		return CLI_OK;
	}
	table = cli_table_create(columns, COLUMN_COUNT);
	if (!table)
		return cli_fail(CLI_DEGRADED, "out of memory");
	json_array_foreach(tunnels, i, tunnel)
		add_row(table, tunnel);
	rc = cli_table_print(table, stdout);
	cli_table_destroy(table);
	return rc ? cli_fail(CLI_DEGRADED, "out of memory") : CLI_OK;
}

static enum cli_exit judge(const json_t *result)
{
	const json_t *tunnel;
	size_t i;

	if (!cli_member_is_true(json_object_get(result, "dataplane"), "connected"))
		return CLI_NO_DATAPLANE;
	json_array_foreach(json_object_get(result, "tunnels"), i, tunnel)
		if (!cli_member_is_true(tunnel, "up") || cli_tunnel_is_dead(tunnel))
			return CLI_DEGRADED;
	return CLI_OK;
}

enum cli_exit cli_tunnels(const struct cli_options *options)
{
	json_t *arguments = options->environment
	                            ? json_pack("{s:s}", "environment", options->environment)
	                            : NULL;
	char error[CLI_ERROR_LEN];
	enum cli_exit exit, printed;
	const json_t *dataplane;
	json_t *result;

	exit = cli_request(options, "tunnels", arguments, &result, error);
	if (exit != CLI_OK)
		return cli_fail_request(exit, error);
	exit = judge(result);
	if (options->is_json) {
		printed = cli_print_json(result);
		return printed == CLI_OK ? exit : printed;
	}
	printed = print_table(json_object_get(result, "tunnels"));
	dataplane = json_object_get(result, "dataplane");
	if (exit == CLI_NO_DATAPLANE)
		cli_fail_request(exit, cli_member_text(dataplane, "why"));
	json_decref(result);
	return printed == CLI_OK ? exit : printed;
}
