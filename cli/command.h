/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands and what they share.
 */
#pragma once

#include <jansson.h>

#include "cli/options.h"

struct cli_command {
	const char *name;
	const char *synopsis; /* after the name; empty: nothing */
	const char *summary;  /* one line */
	const char *details;  /* whole sentences for `help COMMAND` */
	unsigned takes;       /* CLI_TAKES_* */
	unsigned arguments;   /* words that may follow, 0 to 2 */
	enum cli_exit (*run)(const struct cli_options *options);
};

/* Runs what the command line asks for. */
enum cli_exit cli_run(int argc, char **argv);

enum cli_exit cli_check(const struct cli_options *options);
enum cli_exit cli_status(const struct cli_options *options);
enum cli_exit cli_tunnels(const struct cli_options *options);
enum cli_exit cli_egress(const struct cli_options *options);
enum cli_exit cli_forwards(const struct cli_options *options);
enum cli_exit cli_sessions(const struct cli_options *options);
enum cli_exit cli_move(const struct cli_options *options);
enum cli_exit cli_counters(const struct cli_options *options);
enum cli_exit cli_upgrade(const struct cli_options *options);
enum cli_exit cli_diff(const struct cli_options *options);
enum cli_exit cli_reload(const struct cli_options *options);
enum cli_exit cli_rollback(const struct cli_options *options);
enum cli_exit cli_reconnect(const struct cli_options *options);
enum cli_exit cli_drain(const struct cli_options *options);
enum cli_exit cli_undrain(const struct cli_options *options);
enum cli_exit cli_health(const struct cli_options *options);
enum cli_exit cli_version(const struct cli_options *options);

/* Prints VALUE (taken) to standard output. Everything beyond ASCII is escaped, so no text in it can
 * steer a terminal. Returns CLI_OK, or CLI_DEGRADED when there was no memory. */
enum cli_exit cli_print_json(json_t *value);

/* The environment that a command line names by --environment or by its first word, in *NAME; NULL:
 * none. Says what is wrong with it. */
enum cli_exit cli_environment_of(const struct cli_options *options, const char **name);

/* Prints a line to standard output, cleaned (cli/text.h). */
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says a line to standard error, cleaned; returns EXIT. */
enum cli_exit cli_fail(enum cli_exit exit, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The same for what cli_request() gave: names the process that ERROR is about. */
enum cli_exit cli_fail_request(enum cli_exit exit, const char *error);
