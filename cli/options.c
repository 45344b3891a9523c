/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * getopt_long() and the defaults.
 */
#include "cli/options.h"

#include "common/ipc_codec.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum {
	OPTION_INSTANCE = 256,
	OPTION_CONFIG_DIR,
	OPTION_RUN_DIR,
	OPTION_JSON,
	OPTION_ENVIRONMENT,
	OPTION_LIMIT,
	OPTION_ALL,
	OPTION_WORKERS,
	OPTION_TO,
	OPTION_DEADLINE,
	OPTION_VERSION,
};

static const struct option long_options[] = {
	{ "instance", required_argument, NULL, OPTION_INSTANCE },
	{ "config-dir", required_argument, NULL, OPTION_CONFIG_DIR },
	{ "run-dir", required_argument, NULL, OPTION_RUN_DIR },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "environment", required_argument, NULL, OPTION_ENVIRONMENT },
	{ "limit", required_argument, NULL, OPTION_LIMIT },
	{ "all", no_argument, NULL, OPTION_ALL },
	{ "workers", no_argument, NULL, OPTION_WORKERS },
	{ "to", required_argument, NULL, OPTION_TO },
	{ "deadline", required_argument, NULL, OPTION_DEADLINE },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* As given on the command line or in the environment; NULL: not. */
struct wishes {
	const char *instance;
	const char *config_dir;
	const char *run_dir;
};

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

static enum cli_exit read_limit(struct cli_options *options, const char *text, FILE *errors)
{
	char *end;
	unsigned long limit;

	errno = 0;
	limit = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || !limit || limit > CLI_LIMIT_MAX) {
		fprintf(errors, "sallyport: --limit must be a whole number from 1 to %u\n",
		        CLI_LIMIT_MAX);
		return CLI_MISTAKE;
	}
	options->limit = (uint32_t)limit;
	return CLI_OK;
}

static enum cli_exit read_deadline(struct cli_options *options, const char *text, FILE *errors)
{
	char *end;
	unsigned long deadline;

	errno = 0;
	deadline = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || deadline > CLI_DEADLINE_MAX) {
		fprintf(errors, "sallyport: --deadline must be 0 to %u seconds\n",
		        CLI_DEADLINE_MAX);
		return CLI_MISTAKE;
	}
	options->deadline_s = (uint32_t)deadline;
	return CLI_OK;
}

static enum cli_exit read_environment(struct cli_options *options, const char *name, FILE *errors)
{
	if (ipc_name_check(name)) {
		fprintf(errors, "sallyport: --environment must be the name of an environment\n");
		return CLI_MISTAKE;
	}
	options->environment = name;
	return CLI_OK;
}

static enum cli_exit read_to(struct cli_options *options, const char *name, FILE *errors)
{
	if (ipc_name_check(name)) {
		fprintf(errors, "sallyport: --to must be the name of a server\n");
		return CLI_MISTAKE;
	}
	options->to = name;
	return CLI_OK;
}

/* TEXT is the option as it was written. */
static enum cli_exit read_option(struct cli_options *options, struct wishes *wishes, int option,
                                 const char *text, FILE *errors)
{
	switch (option) {
	case OPTION_INSTANCE:
		wishes->instance = optarg;
		return CLI_OK;
	case OPTION_CONFIG_DIR:
		wishes->config_dir = optarg;
		return CLI_OK;
	case OPTION_RUN_DIR:
		wishes->run_dir = optarg;
		return CLI_OK;
	case OPTION_JSON:
		options->is_json = true;
		return CLI_OK;
	case OPTION_ENVIRONMENT:
		options->given |= CLI_TAKES_ENVIRONMENT;
		return read_environment(options, optarg, errors);
	case OPTION_LIMIT:
		options->given |= CLI_TAKES_LIMIT;
		return read_limit(options, optarg, errors);
	case OPTION_ALL:
		options->given |= CLI_TAKES_ALL;
		return CLI_OK;
	case OPTION_WORKERS:
		options->given |= CLI_TAKES_WORKERS;
		return CLI_OK;
	case OPTION_TO:
		options->given |= CLI_TAKES_TO;
		return read_to(options, optarg, errors);
	case OPTION_DEADLINE:
		options->given |= CLI_TAKES_DEADLINE;
		return read_deadline(options, optarg, errors);
	case OPTION_VERSION:
		options->is_version = true;
		return CLI_OK;
	case 'h':
		options->is_help = true;
		return CLI_OK;
	case ':':
		fprintf(errors, "sallyport: %s lacks its value; see 'sallyport help'\n", text);
		return CLI_MISTAKE;
	default:
		fprintf(errors, "sallyport: there is no option %s; see 'sallyport help'\n", text);
		return CLI_MISTAKE;
	}
}

/* DIRECTORY as wished, or PARENT/INSTANCE. */
static enum cli_exit set_path(char path[CLI_PATH_LEN], const char *wish, const char *parent,
                              const char *instance, FILE *errors)
{
	int length = wish ? snprintf(path, CLI_PATH_LEN, "%s", wish)
	                  : snprintf(path, CLI_PATH_LEN, "%s/%s", parent, instance);

	if (length > 0 && length < (int)CLI_PATH_LEN)
		return CLI_OK;
	fprintf(errors, "sallyport: a directory's path must have 1 to %u bytes\n",
	        CLI_PATH_LEN - 1);
	return CLI_MISTAKE;
}

static enum cli_exit set_places(struct cli_options *options, const struct wishes *wishes,
                                FILE *errors)
{
	const char *instance = wishes->instance ? wishes->instance : "default";
	enum cli_exit exit;

	if (ipc_name_check(instance)) {
		fprintf(errors,
		        "sallyport: an instance's name has 1 to %u of a-z, 0-9, '-', '_', '.', "
		        "the first one a letter or digit\n",
		        IPC_NAME_LEN - 1);
		return CLI_MISTAKE;
	}
	snprintf(options->instance, sizeof(options->instance), "%s", instance);
	exit = set_path(options->config_dir, wishes->config_dir, "/etc/sallyport", instance,
	                errors);
	if (exit != CLI_OK)
		return exit;
	return set_path(options->run_dir, wishes->run_dir, "/run/sallyport", instance, errors);
}

enum cli_exit cli_options_parse(struct cli_options *options, int argc, char **argv, FILE *errors)
{
	struct wishes wishes = {
		.instance = variable("SALLYPORT_INSTANCE"),
		.config_dir = variable("SALLYPORT_CONFIG_DIR"),
		.run_dir = variable("SALLYPORT_RUN_DIR"),
	};
	enum cli_exit exit;
	int option;

	memset(options, 0, sizeof(*options));
	options->limit = CLI_LIMIT_DEFAULT;
	optind = 0; /* start over: GNU */
	while ((option = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
		exit = read_option(options, &wishes, option, argv[optind - 1], errors);
		if (exit != CLI_OK)
			return exit;
	}
	if (optind < argc)
		options->command = argv[optind++];
	if (optind < argc)
		options->argument = argv[optind++];
	if (optind < argc)
		options->second = argv[optind++];
	if (optind < argc) {
		fprintf(errors, "sallyport: too many arguments; see 'sallyport help'\n");
		return CLI_MISTAKE;
	}
	return set_places(options, &wishes, errors);
}
