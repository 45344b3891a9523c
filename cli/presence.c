/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Knocks with the wrong type of socket: a socket that is alive behind the file refuses the type
 * (EPROTOTYPE), a file that was left over refuses the connection, and in neither case does the
 * dataplane see anything of it.
 */
#include "cli/presence.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum cli_presence cli_dataplane_presence(const struct cli_options *options)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int length = snprintf(address.sun_path, sizeof(address.sun_path), "%s/dataplane.sock",
	                      options->run_dir);
	int fd, rc;

	if (length < 0 || (size_t)length >= sizeof(address.sun_path))
		return CLI_ABSENT; /* nobody can listen there */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	            0); /* the contract's is SOCK_SEQPACKET */
	if (fd < 0)
		return CLI_UNKNOWN;
	rc = connect(fd, (struct sockaddr *)&address, sizeof(address)) ? errno : 0;
	close(fd);
	if (rc == EPROTOTYPE)
		return CLI_PRESENT;
	return rc == ENOENT || rc == ECONNREFUSED ? CLI_ABSENT : CLI_UNKNOWN;
}
