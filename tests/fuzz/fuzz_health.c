/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes from a client of the health listener, through libmicrohttpd as the control plane uses
 * it: what comes back is one answer after the other, each with a status of ours or of the library's
 * and a body that is JSON or empty; no URL reaches the API but as a request for health.
 *
 * White box: the daemon runs in this thread, on a pair of sockets.
 */
#include "controlplane/health_http.c"

#include "tests/unit/controlplane/api_world.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUNDS_MAX 10000u
#define REPLY_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct world world;
static struct cp_health health;
static char reply[REPLY_MAX];

static void require(int is_true)
{
	if (!is_true)
		abort();
}

static void start(void)
{
	world_init(&world);
	health.context = world.context;
	health.daemon = MHD_start_daemon(MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, on_request,
	                                 &health, MHD_OPTION_CONNECTION_LIMIT, CLIENTS_MAX,
	                                 MHD_OPTION_CONNECTION_TIMEOUT, PATIENCE_S, MHD_OPTION_END);
	require(health.daemon != NULL);
}

/* Sends all of DATA and its end, and reads until the other side is done; the reply's length. */
static size_t converse(const uint8_t *data, size_t size)
{
	const struct sockaddr_in from = { .sin_family = AF_INET };
	size_t sent = 0, length = 0;
	int ends[2];

	require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
	require(MHD_add_connection(health.daemon, ends[0], (const struct sockaddr *)&from,
	                           sizeof(from)) == MHD_YES);
	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		ssize_t n = sent < size ? send(ends[1], data + sent, size - sent, MSG_NOSIGNAL) : 0;

		sent += n > 0 ? (size_t)n : 0;
		if (sent == size || (n < 0 && errno == EPIPE)) {
			shutdown(ends[1], SHUT_WR);
			sent = size;
		}
		MHD_run(health.daemon);
		n = read(ends[1], reply + length, sizeof(reply) - 1 - length);
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			break;
		length += n > 0 ? (size_t)n : 0;
		require(length < sizeof(reply) - 1);
	}
	close(ends[1]);
	MHD_run(health.daemon); /* it notices, and frees its side */
	reply[length] = 0;
	return length;
}

static void check(const char *text)
{
	static const char *const statuses[] = { "100", "200", "400", "404", "405",
		                                "408", "411", "413", "414", "417",
		                                "431", "500", "501", "503", "505" };
	int is_known = 0;

	require(strncmp(text, "HTTP/1.", 7) == 0 && strlen(text) > 12);
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		is_known |= strncmp(text + 9, statuses[i], 3) == 0;
	require(is_known);
	require(!strstr(text,
	                "\"code\":\"bad-request\"")); /* the API understood what it was asked */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!health.daemon)
		start();
	if (converse(data, size))
		check(reply);
	return 0;
}
