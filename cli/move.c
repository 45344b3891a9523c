/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `sallyport move`.
 */
#include "cli/client.h"
#include "cli/command.h"

#include "common/ipc_codec.h"

enum cli_exit cli_move(const struct cli_options *options)
{
	char error[CLI_ERROR_LEN];
	json_t *arguments, *result;
	enum cli_exit exit;

	if (!options->argument || ipc_name_check(options->argument))
		return cli_fail(CLI_MISTAKE, "move: which environment? See 'sallyport help move'");
	arguments = options->to ? json_pack("{s:s, s:s}", "environment", options->argument,
	                                    "server", options->to)
	                        : json_pack("{s:s}", "environment", options->argument);
	exit = cli_request(options, "move", arguments, &result, error);
	if (exit != CLI_OK)
		return cli_fail_request(exit, error);
	if (options->is_json)
		return cli_print_json(result);
	if (cli_member_is_true(result, "moved"))
		cli_say("%s moved from %s to %s", options->argument,
		        cli_member_text(result, "from"), cli_member_text(result, "to"));
	else
		cli_say("%s is on %s already", options->argument, cli_member_text(result, "to"));
	json_decref(result);
	return CLI_OK;
}
