/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `sallyport reconnect`.
 */
#include "cli/client.h"
#include "cli/command.h"

#include "common/ipc_codec.h"

#include <inttypes.h>

/* The server is the word behind the environment's name, wherever that stands. */
static enum cli_exit read_words(const struct cli_options *options, const char **environment,
                                const char **server)
{
	*environment = options->environment ? options->environment : options->argument;
	*server = options->environment ? options->argument : options->second;
	if (!*environment || (options->environment && options->second))
		return cli_fail(CLI_MISTAKE,
		                "'reconnect' needs the name of an environment and takes "
		                "that of a server");
	if (ipc_name_check(*environment) || (*server && ipc_name_check(*server)))
		return cli_fail(CLI_MISTAKE, "'%s' is not a name",
		                ipc_name_check(*environment) ? *environment : *server);
	return CLI_OK;
}

enum cli_exit cli_reconnect(const struct cli_options *options)
{
	const char *environment, *server;
	char error[CLI_ERROR_LEN];
	json_t *arguments, *result;
	uint64_t count;
	enum cli_exit exit = read_words(options, &environment, &server);

	if (exit != CLI_OK)
		return exit;
	arguments = json_pack("{s:s, s:s*}", "environment", environment, "server", server);
	exit = cli_request(options, "reconnect", arguments, &result, error);
	if (exit != CLI_OK)
		return cli_fail_request(exit, error);
	if (options->is_json)
		return cli_print_json(result);
	count = cli_member_number(result, "tunnels");
	cli_say("%" PRIu64 " tunnel%s logging in anew; 'tunnels' tells how it goes", count,
	        count == 1 ? " is" : "s are");
	json_decref(result);
	return CLI_OK;
}
