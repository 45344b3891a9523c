/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Somebody listens on the contract's socket, or nobody does.
 */
#include "cli/presence.h"

#include "common/ipc_sock.h"

#include <errno.h>
#include <unistd.h>

enum cli_presence cli_dataplane_presence(const struct cli_options *options)
{
	char path[CLI_PATH_LEN + sizeof("/dataplane.sock")];
	int fd;

	snprintf(path, sizeof(path), "%s/dataplane.sock", options->run_dir);
	fd = ipc_connect(path);
	if (fd >= 0)
		close(fd);
	if (fd >= 0 || fd == -EPERM) /* -EPERM: another user listens there */
		return CLI_PRESENT;
	return fd == -ENOENT || fd == -ECONNREFUSED ? CLI_ABSENT : CLI_UNKNOWN;
}
