/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `sallyport upgrade`: a new control plane takes over from the running one.
 */
#include "cli/client.h"
#include "cli/command.h"

#include <time.h>

#define PATIENCE_S 120 /* longer than the control plane's own */
#define PAUSE_NS 100000000L

enum outcome { PENDING, DONE, FAILED };

/* What became of it, by the word of whoever serves now. */
static enum outcome look(const struct cli_options *options, uint64_t successor,
                         char error[CLI_ERROR_LEN])
{
	enum outcome outcome = PENDING;
	const json_t *controlplane;
	json_t *status;

	/* between two that serve a request may be lost */
	if (cli_request(options, "status", NULL, &status, error) != CLI_OK)
		return PENDING;
	controlplane = json_object_get(status, "controlplane");
	if (cli_member_number(controlplane, "pid") == successor) {
		outcome = DONE;
	} else if (!cli_member_is_true(json_object_get(controlplane, "upgrade"), "running")) {
		outcome = FAILED;
		snprintf(error, CLI_ERROR_LEN, "%s",
		         cli_member_text(json_object_get(controlplane, "upgrade"), "why"));
	}
	json_decref(status);
	return outcome;
}

enum cli_exit cli_upgrade(const struct cli_options *options)
{
	const time_t deadline = time(NULL) + PATIENCE_S;
	enum outcome outcome = PENDING;
	char error[CLI_ERROR_LEN];
	uint64_t successor;
	json_t *begun;
	enum cli_exit exit = cli_request(options, "upgrade", NULL, &begun, error);

	if (exit != CLI_OK)
		return cli_fail_request(exit, error);
	successor = cli_member_number(begun, "pid");
	json_decref(begun);
	while (outcome == PENDING && time(NULL) < deadline) {
		nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NS }, NULL);
		outcome = look(options, successor, error);
	}
	if (outcome == PENDING)
		return cli_fail(CLI_DEGRADED, "nobody tells what became of the upgrade: %s", error);
	if (outcome == FAILED)
		return cli_fail(CLI_DEGRADED, "the old control plane goes on: %s", error);
	if (options->is_json)
		return cli_print_json(json_pack("{s:I}", "pid", (json_int_t)successor));
	cli_say("process %llu is the control plane now", (unsigned long long)successor);
	return CLI_OK;
}
