/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `sallyport version`.
 */
#include "cli/client.h"
#include "cli/command.h"

enum cli_exit cli_version(const struct cli_options *options)
{
	char error[CLI_ERROR_LEN];
	json_t *running;
	enum cli_exit exit = cli_request(options, "version", NULL, &running, error);
	const char *version = cli_member_text(running, "version");

	if (options->is_json) {
		exit = cli_print_json(json_pack("{s:s, s:s*}", "version", SALLYPORT_VERSION,
		                                "controlplane", running ? version : NULL));
	} else {
		cli_say("sallyport %s", SALLYPORT_VERSION);
		if (running)
			cli_say("control plane %s (contract %s)", version,
			        cli_member_text(running, "contract"));
		else
			cli_say("control plane: %s", error);
		exit = CLI_OK;
	}
	json_decref(running);
	return exit;
}
