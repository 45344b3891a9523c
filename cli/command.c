/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The list of commands, help, and the way from a command line to a command.
 */
#include "cli/command.h"

#include "cli/text.h"
#include "common/ipc_codec.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static enum cli_exit help(const struct cli_options *options);

static const struct cli_command commands[] = {
	{ "check", "", "read the configuration and print every mistake",
	  "Reads CONFIG_DIR/gateway.conf and CONFIG_DIR/environments.d/*.conf as the control plane would and prints\n"
	  "each mistake with file, line and key. Nothing needs to run, nothing is changed. The files that hold\n"
	  "secrets must be readable, so run it as root: then it also tells what the control plane's user cannot read.\n",
	  0, 0, cli_check },
	{ "status", "", "both processes, environments, tunnels that are down",
	  "Ends with 1 when a tunnel is down or a part of the configuration is not in force, 3 when the control\n"
	  "plane and 4 when the dataplane is not there.\n",
	  0, 0, cli_status },
	{ "tunnels", "[--environment E]", "every tunnel, and why it is down",
	  "HEARD is how long ago the server last sent an authentic packet. Ends with 1 when a tunnel is down.\n",
	  CLI_TAKES_ENVIRONMENT, 0, cli_tunnels },
	{ "forwards", "[--environment E]", "the port forwards",
	  "PREFERRED is the server that a forward asks for, ACTIVE the one its environment uses now.\n",
	  CLI_TAKES_ENVIRONMENT, 0, cli_forwards },
	{ "sessions", "[--environment E] [--limit N]", "the connections that pass through",
	  "Prints at most N sessions, 100 unless told. SENT goes to the customer, RECEIVED comes from there.\n",
	  CLI_TAKES_ENVIRONMENT | CLI_TAKES_LIMIT, 0, cli_sessions },
	{ "egress", "", "how much of the static addresses is in use",
	  "A line for each static address, with the ports in use towards its busiest destination, and one for each of\n"
	  "the busiest destinations of all. PORTS is of one destination, SESSIONS of all; both are some seconds old.\n",
	  0, 0, cli_egress },
	{ "move", "ENVIRONMENT [--to SERVER]",
	  "send an environment's traffic through another server",
	  "Without --to it goes to the most preferred server that is up, answers and is not the active one. New\n"
	  "connections use it at once, established ones end where they are or, with keep_sessions, go along; nothing is\n"
	  "lost. It stays there until the server fails or it is moved again. A server that is not up or does not answer\n"
	  "is refused, with exit status 1.\n",
	  CLI_TAKES_TO, 1, cli_move },
	{ "counters", "[--all] [--workers] [PREFIX]", "the dataplane's counters, drops by reason",
	  "Reads RUN_DIR/stats, without the control plane. Counters at zero are left out unless --all is given.\n"
	  "PREFIX selects by the beginning of the name, as in 'counters drop/'. --workers adds a column for each\n"
	  "worker.\n",
	  CLI_TAKES_ALL | CLI_TAKES_WORKERS, 1, cli_counters },
	{ "health", "[ENVIRONMENT]",
	  "ready, draining or down, for load balancers and controllers of routes",
	  "Ends with 0 when it is ready, 1 when it is draining or down. Without an environment it is ready when one of\n"
	  "them is.\n",
	  CLI_TAKES_ENVIRONMENT, 1, cli_health },
	{ "diff", "", "what a reload would change",
	  "Compares the files with the configuration in force. Ends with 0 when there is no mistake in them.\n",
	  0, 0, cli_diff },
	{ "reload", "", "put the configuration files in force, as a difference",
	  "The files are checked whole; a mistake changes nothing. Tunnels whose settings changed are negotiated anew\n"
	  "beside the old ones; everything that did not change does not notice. What needs a restart is told.\n",
	  0, 0, cli_reload },
	{ "rollback", "", "return to the configuration of before the last reload",
	  "The files are left alone: mend them before the next reload or restart. A second rollback undoes the first.\n",
	  0, 0, cli_rollback },
	{ "reconnect", "ENVIRONMENT [SERVER]", "log in anew, make before break",
	  "Reads passwords, keys and certificates again. Where the new login fails, the old one goes on, and 'tunnels'\n"
	  "tells why.\n",
	  CLI_TAKES_ENVIRONMENT, 2, cli_reconnect },
	{ "drain", "[ENVIRONMENT] [--deadline SECONDS]",
	  "refuse new sessions, wait for the end of the old ones",
	  "Without an environment: all of them. Ends with 0 when no session is open, 1 when the deadline passed before;\n"
	  "--deadline 0 does not wait, without --deadline it waits for ever. It goes on until 'undrain'.\n",
	  CLI_TAKES_ENVIRONMENT | CLI_TAKES_DEADLINE, 1, cli_drain },
	{ "undrain", "[ENVIRONMENT]", "take new sessions again", "", CLI_TAKES_ENVIRONMENT, 1,
	  cli_undrain },
	{ "upgrade", "", "replace the control plane by the one that is installed now",
	  "Starts the program that is installed now, with the configuration as it is now, beside the running control\n"
	  "plane, which ends when the new one has every tunnel up again; no packet is lost. If the new one does not get\n"
	  "that far, the old one goes on and this ends with 1.\n",
	  0, 0, cli_upgrade },
	{ "version", "", "the version of this program and of the running control plane",
	  "Ends with 0 whether the control plane runs or not.\n", 0, 0, cli_version },
	{ "help", "[COMMAND]", "this text, or that of a command", "", 0, 1, help },
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static const struct cli_command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static void print_help(FILE *to)
{
	fprintf(to, "usage: sallyport [OPTIONS] COMMAND\n\n");
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].summary);
	fprintf(to,
	        "\noptions\n"
	        "  --instance NAME   which gateway of this node (SALLYPORT_INSTANCE; \"default\")\n"
	        "  --config-dir DIR  (SALLYPORT_CONFIG_DIR; /etc/sallyport/INSTANCE)\n"
	        "  --run-dir DIR     (SALLYPORT_RUN_DIR; /run/sallyport/INSTANCE)\n"
	        "  --json            for programs: raw numbers, stable keys\n"
	        "\nexit status\n"
	        "  0 all is well   1 something is down   2 a mistake in usage or configuration\n"
	        "  3 the control plane cannot be reached   4 the dataplane is not there\n");
}

static enum cli_exit print_command_help(const char *name)
{
	const struct cli_command *command = find_command(name);

	if (!command)
		return cli_fail(CLI_MISTAKE, "there is no command '%s'; see 'sallyport help'",
		                name);
	printf("usage: sallyport [OPTIONS] %s%s%s\n\n%s: %s.\n%s", command->name,
	       *command->synopsis ? " " : "", command->synopsis, command->name, command->summary,
	       command->details);
	return CLI_OK;
}

static enum cli_exit help(const struct cli_options *options)
{
	if (options->argument)
		return print_command_help(options->argument);
	print_help(stdout);
	return CLI_OK;
}

static enum cli_exit run_command(const struct cli_options *options)
{
	const struct cli_command *command = find_command(options->command);

	if (!command || options->is_help)
		return print_command_help(options->command);
	if (options->given & ~command->takes)
		return cli_fail(CLI_MISTAKE,
		                "an option does not go with '%s'; see 'sallyport help %s'",
		                command->name, command->name);
	if ((options->argument && !command->arguments) ||
	    (options->second && command->arguments < 2))
		return cli_fail(CLI_MISTAKE, "'%s' takes %s argument; see 'sallyport help %s'",
		                command->name, command->arguments ? "one" : "no", command->name);
	return command->run(options);
}

enum cli_exit cli_run(int argc, char **argv)
{
	struct cli_options options;
	enum cli_exit exit = cli_options_parse(&options, argc, argv, stderr);

	if (exit != CLI_OK)
		return exit;
	if (options.is_version)
		return cli_version(&options);
	if (options.command)
		return run_command(&options);
	print_help(options.is_help ? stdout : stderr);
	return options.is_help ? CLI_OK : CLI_MISTAKE;
}

enum cli_exit cli_environment_of(const struct cli_options *options, const char **name)
{
	*name = options->environment ? options->environment : options->argument;
	if (options->environment && options->argument && !options->second &&
	    strcmp(options->environment, options->argument) != 0)
		return cli_fail(CLI_MISTAKE, "the environment is named twice");
	if (*name && ipc_name_check(*name))
		return cli_fail(CLI_MISTAKE, "'%s' is not the name of an environment", *name);
	return CLI_OK;
}

enum cli_exit cli_print_json(json_t *value)
{
	char *text = value ? json_dumps(value, JSON_INDENT(2) | JSON_ENSURE_ASCII) : NULL;

	json_decref(value);
	if (!text)
		return cli_fail(CLI_DEGRADED, "out of memory");
	puts(text);
	free(text);
	return CLI_OK;
}

#define LINE_LEN 2048

static void print_clean(FILE *to, const char *before, const char *format, va_list arguments)
{
	char text[LINE_LEN], clean[LINE_LEN * 4];

	vsnprintf(text, sizeof(text), format, arguments);
	cli_text_clean(clean, sizeof(clean), text);
	fprintf(to, "%s%s\n", before, clean);
}

void cli_say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_clean(stdout, "", format, arguments);
	va_end(arguments);
}

enum cli_exit cli_fail(enum cli_exit exit, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_clean(stderr, "sallyport: ", format, arguments);
	va_end(arguments);
	return exit;
}

enum cli_exit cli_fail_request(enum cli_exit exit, const char *error)
{
	if (exit == CLI_NO_CONTROLPLANE)
		return cli_fail(exit, "control plane: %s", error);
	if (exit == CLI_NO_DATAPLANE)
		return cli_fail(exit, "dataplane: %s", error);
	return cli_fail(exit, "%s", error);
}
