/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `sallyport status`: whether the gateway does its work, and if not, why.
 */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/presence.h"
#include "cli/table.h"
#include "cli/text.h"
#include "cli/tunnels.h"
#include "common/stats_layout.h"

#include <inttypes.h>
#include <stdio.h>

static const struct cli_column process_columns[] = {
	{ "PROCESS", CLI_LEFT },
	{ "STATE", CLI_LEFT },
	{ "DETAILS", CLI_LEFT },
};

static const struct cli_column environment_columns[] = {
	{ "ENVIRONMENT", CLI_LEFT }, { "ADDRESS", CLI_LEFT },   { "ACTIVE", CLI_LEFT },
	{ "TUNNELS UP", CLI_LEFT },  { "SESSIONS", CLI_RIGHT }, { "SENT", CLI_RIGHT },
	{ "RECEIVED", CLI_RIGHT },
};

static const char *const presence_words[] = {
	[CLI_ABSENT] = "not running",
	[CLI_PRESENT] = "running",
	[CLI_UNKNOWN] = "unknown",
};

/* ---- without a control plane ---- */

/* The epoch of the counters' segment, 0 if there is none. */
static uint64_t stats_epoch(const struct cli_options *options)
{
	char path[CLI_PATH_LEN + sizeof("/stats")];
	struct sp_stats *stats;
	uint64_t epoch;

	snprintf(path, sizeof(path), "%s/stats", options->run_dir);
	if (sp_stats_open(path, &stats))
		return 0;
	epoch = sp_stats_epoch(stats);
	sp_stats_close(stats);
	return epoch;
}

static json_t *presence_json(enum cli_presence presence)
{
	return presence == CLI_UNKNOWN ? json_null() : json_boolean(presence == CLI_PRESENT);
}

static enum cli_exit print_lone_json(const struct cli_options *options, enum cli_presence presence,
                                     uint64_t epoch, const char *error)
{
	return cli_print_json(json_pack(
		"{s:s, s:{s:b, s:s}, s:{s:b, s:o, s:o}, s:[]}", "instance", options->instance,
		"controlplane", "reachable", 0, "why", error, "dataplane", "connected", 0,
		"running", presence_json(presence), "epoch",
		epoch ? json_sprintf("%016" PRIx64, epoch) : json_null(), "environments"));
}

static enum cli_exit print_lone_table(enum cli_presence presence, uint64_t epoch, const char *error)
{
	struct cli_table *table = cli_table_create(process_columns, 3);
	int rc;

	if (!table)
		return cli_fail(CLI_DEGRADED, "out of memory");
	cli_table_cell(table, "control plane");
	cli_table_cell(table, "not reachable");
	cli_table_cell(table, "%s", error);
	cli_table_cell(table, "dataplane");
	cli_table_cell(table, "%s", presence_words[presence]);
	if (presence == CLI_PRESENT && epoch)
		cli_table_cell(table, "started, epoch %016" PRIx64, epoch);
	else if (presence == CLI_PRESENT)
		cli_table_cell(table, "waits for a control plane to start it");
	else
		cli_table_cell(table, "%s", presence == CLI_UNKNOWN ? "we may not ask it" : "");
	rc = cli_table_print(table, stdout);
	cli_table_destroy(table);
	return rc ? cli_fail(CLI_DEGRADED, "out of memory") : CLI_OK;
}

/* No control plane: say so, and what the dataplane alone shows. */
static enum cli_exit report_lone_dataplane(const struct cli_options *options, enum cli_exit exit,
                                           const char *error)
{
	enum cli_presence presence = cli_dataplane_presence(options);
	uint64_t epoch = stats_epoch(options);
	enum cli_exit printed;

	if (options->is_json) {
		printed = print_lone_json(options, presence, epoch, error);
	} else {
		cli_say("instance %s", options->instance);
		putchar('\n');
		printed = print_lone_table(presence, epoch, error);
	}
	return printed == CLI_OK ? exit : printed;
}

/* ---- with one ---- */

static void add_controlplane(struct cli_table *table, const json_t *status)
{
	const json_t *controlplane = json_object_get(status, "controlplane");

	cli_table_cell(table, "control plane");
	cli_table_cell(table, "running");
	cli_table_cell(table, "pid %" PRIu64 ", epoch %s, version %s",
	               cli_member_number(controlplane, "pid"),
	               cli_member_text(controlplane, "epoch"),
	               cli_member_text(controlplane, "version"));
}

static void add_dataplane(struct cli_table *table, const json_t *status, enum cli_presence presence)
{
	const json_t *dataplane = json_object_get(status, "dataplane");
	const char *warning = cli_member_text(dataplane, "warning");

	cli_table_cell(table, "dataplane");
	if (!cli_member_is_true(dataplane, "connected")) {
		cli_table_cell(table, "%s",
		               presence == CLI_PRESENT ? "not connected"
		                                       : presence_words[presence]);
		cli_table_cell(table, "%s", cli_member_text(dataplane, "why"));
		return;
	}
	cli_table_cell(table, "%s", *warning ? "degraded" : "running");
	cli_table_cell(table, "pid %" PRIu64 ", epoch %s, generation %" PRIu64 "%s%s",
	               cli_member_number(dataplane, "pid"), cli_member_text(dataplane, "epoch"),
	               cli_member_number(dataplane, "generation"), *warning ? "; " : "", warning);
}

static int print_processes(const json_t *status, enum cli_presence presence)
{
	struct cli_table *table = cli_table_create(process_columns, 3);
	int rc;

	if (!table)
		return -1;
	add_controlplane(table, status);
	add_dataplane(table, status, presence);
	rc = cli_table_print(table, stdout);
	cli_table_destroy(table);
	return rc;
}

/* The active server and the zone it is in. */
static void add_active(struct cli_table *table, const json_t *environment)
{
	const char *active = cli_member_text(environment, "active"), *zone = "";
	const json_t *tunnel;
	size_t i;

	json_array_foreach(json_object_get(environment, "tunnels"), i, tunnel)
		if (cli_member_is_true(tunnel, "active"))
			zone = cli_member_text(tunnel, "zone");
	cli_table_cell(table, "%s%s%s%s", active, *zone ? " (" : "", zone, *zone ? ")" : "");
}

static void add_environment(struct cli_table *table, const json_t *environment)
{
	const json_t *traffic = json_object_get(environment, "traffic");
	char sent[CLI_AMOUNT_LEN], received[CLI_AMOUNT_LEN];

	cli_table_cell(table, "%s", cli_member_text(environment, "name"));
	cli_table_cell(table, "%s", cli_member_text(environment, "pod_address"));
	add_active(table, environment);
	cli_table_cell(table, "%" PRIu64 " of %" PRIu64,
	               cli_member_number(environment, "tunnels_up"),
	               cli_member_number(environment, "tunnels_total"));
	if (!json_is_object(traffic)) { /* the dataplane cannot be asked */
		for (int i = 0; i < 3; i++)
			cli_table_cell(table, "-");
		return;
	}
	cli_table_cell(table, "%" PRIu64, cli_member_number(environment, "sessions"));
	cli_table_cell(table, "%s",
	               cli_bytes_format(sent, cli_member_number(traffic, "bytes_out")));
	cli_table_cell(table, "%s",
	               cli_bytes_format(received, cli_member_number(traffic, "bytes_in")));
}

static int print_environments(const json_t *environments)
{
	struct cli_table *table = cli_table_create(environment_columns, 7);
	const json_t *environment;
	size_t i;
	int rc;

	if (!table)
		return -1;
	json_array_foreach(environments, i, environment)
		add_environment(table, environment);
	rc = cli_table_print(table, stdout);
	cli_table_destroy(table);
	return rc;
}

/* Tunnels that are not up, or through which nobody answers. */
static uint64_t count_down(const json_t *environments)
{
	const json_t *environment, *tunnel;
	uint64_t down = 0;
	size_t i, k;

	json_array_foreach(environments, i, environment)
		json_array_foreach(json_object_get(environment, "tunnels"), k, tunnel)
			down += !cli_member_is_true(tunnel, "up") || cli_tunnel_is_dead(tunnel);
	return down;
}

/* The last move of each environment that has had one between two servers. */
static void say_moves(const json_t *environments)
{
	char ago[CLI_AMOUNT_LEN];
	const json_t *environment;
	bool is_first = true;
	size_t i;

	json_array_foreach(environments, i, environment) {
		const json_t *move = json_object_get(environment, "last_move");

		if (!*cli_member_text(move, "from"))
			continue;
		if (is_first)
			putchar('\n');
		is_first = false;
		cli_duration_format(ago, (uint64_t)cli_member_real(move, "seconds_ago"));
		cli_say("%s moved from %s to %s %s ago (%s): detected in %.0f ms, switched in %.1f ms, "
		        "%" PRIu64 " sessions kept, %" PRIu64 " reset",
		        cli_member_text(environment, "name"), cli_member_text(move, "from"),
		        cli_member_text(move, "to"), ago, cli_member_text(move, "reason"),
		        cli_member_real(move, "detection_ms"), cli_member_real(move, "switch_ms"),
		        cli_member_number(move, "sessions_kept"),
		        cli_member_number(move, "sessions_reset"));
	}
}

/* What the limits of each environment cost it, and who called it in vain. */
static void say_refused(const json_t *environments)
{
	const json_t *environment;
	bool is_first = true;
	size_t i;

	json_array_foreach(environments, i, environment) {
		const json_t *refused = json_object_get(environment, "refused");
		const char *name = cli_member_text(environment, "name");
		uint64_t sessions = cli_member_number(refused, "sessions"),
			 ports = cli_member_number(refused, "ports"),
			 packets = cli_member_number(refused, "rate_packets_out") +
		                   cli_member_number(refused, "rate_packets_in");
		const char *warning = cli_member_text(environment, "sources_warning");

		if (is_first && (sessions || ports || packets || *warning)) {
			putchar('\n');
			is_first = false;
		}
		if (sessions || ports || packets)
			cli_say("%s was refused %" PRIu64
			        " sessions by its quota or for want of room, %" PRIu64
			        " for want of a port, and lost %" PRIu64 " packets to its rate",
			        name, sessions, ports, packets);
		if (*warning)
			cli_say("%s: %s", name, warning);
	}
}

/* A line for each tunnel that is up, but has no new keys, or no new login, yet. */
static void say_renewals(const json_t *environments)
{
	const json_t *environment, *tunnel;
	bool is_first = true;
	size_t i, k;

	json_array_foreach(environments, i, environment) {
		json_array_foreach(json_object_get(environment, "tunnels"), k, tunnel) {
			const char *why = cli_member_text(tunnel, "renewal");

			if (!*why || !cli_member_is_true(tunnel, "up"))
				continue;
			if (is_first)
				putchar('\n');
			is_first = false;
			cli_say("tunnel %s/%s is up, but not renewed: %s",
			        cli_member_text(tunnel, "environment"),
			        cli_member_text(tunnel, "server"), why);
		}
	}
}

/* A line for each tunnel that is not up, or through which nobody answers. */
static void say_down(const json_t *environments)
{
	const json_t *environment, *tunnel;
	char text[1024];
	size_t i, k;

	if (count_down(environments))
		putchar('\n');
	json_array_foreach(environments, i, environment) {
		json_array_foreach(json_object_get(environment, "tunnels"), k, tunnel) {
			if (cli_tunnel_is_dead(tunnel))
				cli_say("tunnel %s/%s is up, but nobody answers through it",
				        cli_member_text(tunnel, "environment"),
				        cli_member_text(tunnel, "server"));
			if (cli_member_is_true(tunnel, "up"))
				continue;
			cli_tunnel_explain(tunnel, text, sizeof(text));
			cli_say("tunnel %s/%s is down, %s", cli_member_text(tunnel, "environment"),
			        cli_member_text(tunnel, "server"), text);
		}
	}
}

/* What is amiss with tunnels that are up: forwards that lead nowhere, packets that are lost. */
static void say_notices(const json_t *environments)
{
	static const char *const keys[] = { "unreachable", "notice" };
	const json_t *environment, *tunnel;
	bool is_first = true;
	size_t i, k;

	json_array_foreach(environments, i, environment) {
		json_array_foreach(json_object_get(environment, "tunnels"), k, tunnel) {
			for (size_t n = 0; n < sizeof(keys) / sizeof(keys[0]); n++) {
				const char *text = cli_member_text(tunnel, keys[n]);

				if (!*text)
					continue;
				if (is_first)
					putchar('\n');
				is_first = false;
				cli_say("tunnel %s/%s: %s", cli_member_text(tunnel, "environment"),
				        cli_member_text(tunnel, "server"), text);
			}
		}
	}
}

static enum cli_exit print_status(const json_t *status, enum cli_presence presence)
{
	const json_t *environments = json_object_get(status, "environments");
	const char *zone = cli_member_text(status, "zone");

	cli_say("gateway %s%s%s, instance %s", cli_member_text(status, "gateway"),
	        *zone ? ", zone " : "", zone, cli_member_text(status, "instance"));
	putchar('\n');
	if (print_processes(status, presence))
		return cli_fail(CLI_DEGRADED, "out of memory");
	putchar('\n');
	if (!json_array_size(environments))
		cli_say("no environments are configured");
	else if (print_environments(environments))
		return cli_fail(CLI_DEGRADED, "out of memory");
	say_moves(environments);
	say_refused(environments);
	say_notices(environments);
	say_renewals(environments);
	say_down(environments);
	return CLI_OK;
}

static enum cli_exit judge(const json_t *status)
{
	const json_t *dataplane = json_object_get(status, "dataplane");

	if (!cli_member_is_true(dataplane, "connected"))
		return CLI_NO_DATAPLANE;
	if (*cli_member_text(dataplane, "warning"))
		return CLI_DEGRADED;
	return count_down(json_object_get(status, "environments")) ? CLI_DEGRADED : CLI_OK;
}

/* What only this side can say, so that the keys are the same with and without a control plane. */
static int add_own_view(json_t *status, enum cli_presence presence)
{
	if (json_object_set_new(json_object_get(status, "controlplane"), "reachable",
	                        json_true()) ||
	    json_object_set_new(json_object_get(status, "dataplane"), "running",
	                        presence_json(presence)))
		return -1;
	return 0;
}

enum cli_exit cli_status(const struct cli_options *options)
{
	enum cli_presence presence = CLI_PRESENT;
	enum cli_exit exit, printed;
	char error[CLI_ERROR_LEN];
	json_t *status;

	exit = cli_request(options, "status", NULL, &status, error);
	if (exit == CLI_NO_CONTROLPLANE)
		return report_lone_dataplane(options, exit, error);
	if (exit != CLI_OK)
		return cli_fail_request(exit, error);
	exit = judge(status);
	if (exit == CLI_NO_DATAPLANE)
		presence = cli_dataplane_presence(options);
	if (!options->is_json)
		printed = print_status(status, presence);
	else if (add_own_view(status, presence))
		printed = cli_fail(CLI_DEGRADED, "the control plane's reply cannot be understood");
	else
		printed = cli_print_json(json_incref(status));
	json_decref(status);
	return printed == CLI_OK ? exit : printed;
}
