/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `sallyport diff`, `sallyport reload` and `sallyport rollback`: what is different, in words.
 */
#include "cli/client.h"
#include "cli/command.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* "forward tcp/33000", "server a", "environment" */
static void name_thing(const json_t *change, char *buffer, size_t size)
{
	const json_t *forward = json_object_get(change, "forward");
	const char *what = cli_member_text(change, "what");
	const char *server = cli_member_text(change, "server");

	if (json_is_object(forward))
		snprintf(buffer, size, "forward %s/%" PRIu64, cli_member_text(forward, "protocol"),
		         cli_member_number(forward, "port"));
	else if (strcmp(what, "key") != 0)
		snprintf(buffer, size, "%s%s%s", what, *server ? " " : "", server);
	else
		snprintf(buffer, size, "%s%s%s%s", *server ? "server " : "", server,
		         *server ? ": " : "", cli_member_text(change, "key"));
}

static const char *explain_effect(const char *effect)
{
	if (!strcmp(effect, "renegotiates"))
		return " (its tunnel is negotiated anew)";
	if (!strcmp(effect, "needs-controlplane-restart"))
		return " (needs a restart of the control plane)";
	if (!strcmp(effect, "needs-restart"))
		return " (needs a restart of both processes)";
	return "";
}

static void say_change(const json_t *change)
{
	const char *environment = cli_member_text(change, "environment");
	const char *from = cli_member_text(change, "from"), *to = cli_member_text(change, "to");
	const char *verb = cli_member_text(change, "change");
	char thing[256], values[512] = "";

	name_thing(change, thing, sizeof(thing));
	if (!strcmp(verb, "changed"))
		snprintf(values, sizeof(values), ": %s -> %s", *from ? from : "(none)",
		         *to ? to : "(none)");
	else if (*from || *to)
		snprintf(values, sizeof(values), ": %s", *from ? from : to);
	cli_say("%s: %s %s%s%s", *environment ? environment : "gateway", thing, verb, values,
	        explain_effect(cli_member_text(change, "effect")));
}

static void say_changes(const json_t *result)
{
	const json_t *list = json_object_get(result, "changes"), *change;
	uint64_t total = cli_member_number(result, "total");
	size_t i;

	json_array_foreach(list, i, change)
		say_change(change);
	if (total > json_array_size(list))
		cli_say("... and %" PRIu64 " more changes", total - json_array_size(list));
}

static void say_mistakes(const json_t *mistakes)
{
	const json_t *mistake;
	size_t i;

	json_array_foreach(mistakes, i, mistake) {
		const char *key = cli_member_text(mistake, "key");
		uint64_t line = cli_member_number(mistake, "line");

		if (line)
			cli_say("%s:%" PRIu64 ": %s%s%s", cli_member_text(mistake, "file"), line,
			        key, *key ? ": " : "", cli_member_text(mistake, "text"));
		else
			cli_say("%s: %s%s%s", cli_member_text(mistake, "file"), key,
			        *key ? ": " : "", cli_member_text(mistake, "text"));
	}
}

static enum cli_exit run(const struct cli_options *options, const char *command, const char *done)
{
	char error[CLI_ERROR_LEN];
	const json_t *mistakes;
	json_t *result;
	enum cli_exit exit = cli_request(options, command, NULL, &result, error);

	if (exit != CLI_OK)
		return cli_fail_request(exit, error);
	mistakes = json_object_get(result, "mistakes");
	exit = json_array_size(mistakes) ? CLI_MISTAKE : CLI_OK;
	if (options->is_json)
		return cli_print_json(result) == CLI_OK ? exit : CLI_DEGRADED;
	say_changes(result);
	say_mistakes(mistakes);
	if (exit == CLI_MISTAKE)
		cli_fail(exit, "%zu mistake%s: nothing %s", json_array_size(mistakes),
		         json_array_size(mistakes) == 1 ? "" : "s",
		         *done ? "has changed" : "would change");
	else if (!cli_member_number(result, "total"))
		cli_say("nothing is different");
	else if (*done)
		cli_say("%s", done);
	json_decref(result);
	return exit;
}

enum cli_exit cli_diff(const struct cli_options *options)
{
	return run(options, "diff", "");
}

enum cli_exit cli_reload(const struct cli_options *options)
{
	return run(options, "reload", "in force");
}

enum cli_exit cli_rollback(const struct cli_options *options)
{
	return run(
		options, "rollback",
		"in force again; the files are as they were, and the next reload or restart takes them");
}
