/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line: options, their environment variables and defaults.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/ipc_proto.h"

#define CLI_PATH_LEN 256u
#define CLI_LIMIT_DEFAULT 100u
#define CLI_LIMIT_MAX 10000000u

/* What the program ends with; scripts rely on it (docs/cli.md). */
enum cli_exit {
	CLI_OK = 0,
	CLI_DEGRADED = 1,        /* something is down, or the command itself failed */
	CLI_MISTAKE = 2,         /* of usage or configuration */
	CLI_NO_CONTROLPLANE = 3, /* it cannot be reached */
	CLI_NO_DATAPLANE = 4,
};

/* Options that only some commands take. */
#define CLI_TAKES_ENVIRONMENT 0x1u
#define CLI_TAKES_LIMIT 0x2u
#define CLI_TAKES_ALL 0x4u
#define CLI_TAKES_WORKERS 0x8u
#define CLI_TAKES_TO 0x10u
#define CLI_TAKES_DEADLINE 0x20u
#define CLI_DEADLINE_MAX 86400u

struct cli_options {
	char instance[IPC_NAME_LEN];
	char config_dir[CLI_PATH_LEN];
	char run_dir[CLI_PATH_LEN];
	bool is_json;
	bool is_help;
	bool is_version;
	uint32_t given;          /* CLI_TAKES_*: which of these were on the command line */
	const char *environment; /* NULL: all */
	const char *to;          /* server; NULL: not given */
	uint32_t limit;
	uint32_t deadline_s;  /* with CLI_TAKES_DEADLINE */
	const char *command;  /* NULL: none */
	const char *argument; /* of the command; NULL: none */
	const char *second;   /* argument; NULL: none */
};

/*
 * Reads ARGV. Options may stand before and after the command. What is not given comes from
 * SALLYPORT_INSTANCE, SALLYPORT_CONFIG_DIR and SALLYPORT_RUN_DIR, then from the defaults. Strings
 * are borrowed from ARGV. On a mistake, says it to ERRORS and returns CLI_MISTAKE, else CLI_OK.
 */
enum cli_exit cli_options_parse(struct cli_options *options, int argc, char **argv, FILE *errors);
