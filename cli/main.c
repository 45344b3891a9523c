/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The `sallyport` command: what an operator sees of a gateway.
 */
#include "cli/command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	enum cli_exit exit = cli_run(argc, argv);

	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "sallyport: cannot write the output: %s\n", strerror(errno));
		return exit == CLI_OK ? CLI_DEGRADED : exit;
	}
	return exit;
}
