/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `sallyport drain`, `sallyport undrain` and `sallyport health`: a node, or an environment of it,
 * that goes away.
 */
#include "cli/client.h"
#include "cli/command.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#define LOOK_PAUSE_NS 200000000L
#define SAY_PAUSE_S 10

static int64_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* COMMAND for ENVIRONMENT (NULL: all). *RESULT is the caller's. */
static enum cli_exit ask(const struct cli_options *options, const char *command,
                         const char *environment, json_t **result)
{
	json_t *arguments = environment ? json_pack("{s:s}", "environment", environment) : NULL;
	char error[CLI_ERROR_LEN];
	enum cli_exit exit = cli_request(options, command, arguments, result, error);

	return exit == CLI_OK ? exit : cli_fail_request(exit, error);
}

/* Those that are open: a closed TCP connection is remembered for a while. */
static uint64_t count_sessions(const json_t *health)
{
	const json_t *environment;
	uint64_t sessions = 0;
	size_t i;

	json_array_foreach(json_object_get(health, "environments"), i, environment)
		sessions += cli_member_number(environment, "sessions_open");
	return sessions;
}

/* Looks until no session is left or the deadline passed. *HEALTH is the caller's. */
static enum cli_exit wait_for_end(const struct cli_options *options, const char *environment,
                                  json_t **health)
{
	const int64_t begun_s = now_s();
	int64_t said_s = begun_s;

	for (;;) {
		enum cli_exit exit = ask(options, "health", environment, health);

		if (exit != CLI_OK)
			return exit;
		if (!cli_member_is_true(json_object_get(*health, "dataplane"), "connected")) {
			cli_fail_request(
				CLI_NO_DATAPLANE,
				cli_member_text(json_object_get(*health, "dataplane"), "why"));
			return CLI_NO_DATAPLANE;
		}
		if (!count_sessions(*health))
			return CLI_OK;
		if ((options->given & CLI_TAKES_DEADLINE) &&
		    now_s() - begun_s >= (int64_t)options->deadline_s)
			return CLI_DEGRADED;
		if (!options->is_json && now_s() - said_s >= SAY_PAUSE_S) {
			cli_say("%" PRIu64 " sessions are open", count_sessions(*health));
			said_s = now_s();
		}
		json_decref(*health);
		*health = NULL;
		nanosleep(&(struct timespec){ .tv_nsec = LOOK_PAUSE_NS }, NULL);
	}
}

enum cli_exit cli_drain(const struct cli_options *options)
{
	json_t *health = NULL, *result;
	const char *environment;
	enum cli_exit exit = cli_environment_of(options, &environment);

	if (exit == CLI_OK)
		exit = ask(options, "drain", environment, &result);
	if (exit != CLI_OK)
		return exit;
	json_decref(result);
	exit = wait_for_end(options, environment, &health);
	if (health && options->is_json) {
		enum cli_exit printed =
			cli_print_json(json_pack("{s:b, s:I}", "drained", exit == CLI_OK,
		                                 "sessions", (json_int_t)count_sessions(health)));

		json_decref(health);
		return printed == CLI_OK ? exit : printed;
	}
	if (health && exit == CLI_OK)
		cli_say("drained: no session is open");
	else if (health && exit == CLI_DEGRADED)
		cli_say("draining: new sessions are refused, %" PRIu64 " are open",
		        count_sessions(health));
	json_decref(health);
	return exit;
}

enum cli_exit cli_undrain(const struct cli_options *options)
{
	const char *environment;
	json_t *result;
	enum cli_exit exit = cli_environment_of(options, &environment);

	if (exit == CLI_OK)
		exit = ask(options, "undrain", environment, &result);
	if (exit != CLI_OK)
		return exit;
	if (options->is_json)
		return cli_print_json(result);
	json_decref(result);
	cli_say("new sessions are taken");
	return CLI_OK;
}

static void say_health(const json_t *health)
{
	const json_t *environment;
	size_t i;

	json_array_foreach(json_object_get(health, "environments"), i, environment) {
		if (json_is_integer(json_object_get(environment, "sessions_open")))
			cli_say("%s: %s, %" PRIu64 " open sessions",
			        cli_member_text(environment, "name"),
			        cli_member_text(environment, "state"),
			        cli_member_number(environment, "sessions_open"));
		else
			cli_say("%s: %s", cli_member_text(environment, "name"),
			        cli_member_text(environment, "state"));
	}
}

enum cli_exit cli_health(const struct cli_options *options)
{
	const char *environment;
	json_t *health;
	enum cli_exit exit = cli_environment_of(options, &environment);

	if (exit == CLI_OK)
		exit = ask(options, "health", environment, &health);
	if (exit != CLI_OK)
		return exit;
	exit = strcmp(cli_member_text(health, "state"), "ready") == 0 ? CLI_OK : CLI_DEGRADED;
	if (options->is_json)
		return cli_print_json(health) == CLI_OK ? exit : CLI_DEGRADED;
	if (!environment)
		cli_say("%s", cli_member_text(health, "state"));
	say_health(health);
	json_decref(health);
	return exit;
}
