/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection per request: connect, send a line, read a line, check it.
 */
#include "cli/client.h"

#include "cli/text.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define REPLY_MAX (8u << 20) /* bytes */
#define TIMEOUT_MS \
	15000 /* for a whole request: the control plane may be waiting for the dataplane */

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Returns a non-blocking descriptor or -errno. */
static int open_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, rc;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

static int wait_for(int fd, short events, int64_t deadline_ms)
{
	struct pollfd poll_fd = { .fd = fd, .events = events };
	int64_t left = deadline_ms - now_ms();
	int ready = left > 0 ? poll(&poll_fd, 1, (int)left) : 0;

	if (ready > 0)
		return 0;
	return ready == 0 ? -ETIMEDOUT : errno == EINTR ? 0 : -errno;
}

static int send_all(int fd, const char *bytes, size_t length, int64_t deadline_ms)
{
	while (length) {
		ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
		int rc;

		if (sent >= 0) {
			bytes += sent;
			length -= (size_t)sent;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		rc = wait_for(fd, POLLOUT, deadline_ms);
		if (rc)
			return rc;
	}
	return 0;
}

/* Reads up to the newline, which becomes a NUL. *LINE is the caller's. */
static int receive_line(int fd, char **line, int64_t deadline_ms)
{
	size_t size = 0, length = 0;
	char *buffer = NULL;
	int rc = 0;

	while (!rc) {
		ssize_t got;

		if (length == size) {
			char *larger = size < REPLY_MAX ? realloc(buffer, size + 65536) : NULL;

			if (!larger) {
				rc = size < REPLY_MAX ? -ENOMEM : -EMSGSIZE;
				break;
			}
			buffer = larger;
			size += 65536;
		}
		got = recv(fd, buffer + length, size - length, 0);
		if (got > 0) {
			char *end = memchr(buffer + length, '\n', (size_t)got);

			if (end) {
				*end = '\0';
				*line = buffer;
				return 0;
			}
			length += (size_t)got;
		} else if (got == 0) {
			rc = -ECONNRESET;
		} else if (errno == EAGAIN || errno == EINTR) {
			rc = wait_for(fd, POLLIN, deadline_ms);
		} else {
			rc = -errno;
		}
	}
	free(buffer);
	return rc;
}

static int exchange(int fd, const char *request, char **reply)
{
	int64_t deadline_ms = now_ms() + TIMEOUT_MS;
	int rc = send_all(fd, request, strlen(request), deadline_ms);

	if (!rc)
		rc = send_all(fd, "\n", 1, deadline_ms);
	return rc ? rc : receive_line(fd, reply, deadline_ms);
}

/* The request as text; NULL: no memory. The caller frees it. */
static char *write_request(const char *command, json_t *arguments)
{
	json_t *request =
		arguments ? json_pack("{s:s, s:o}", "command", command, "arguments", arguments)
			  : json_pack("{s:s}", "command", command);
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;

	json_decref(request);
	return text;
}

static enum cli_exit exit_of_code(const char *code)
{
	if (!strcmp(code, "bad-request") || !strcmp(code, "not-found"))
		return CLI_MISTAKE;
	if (!strcmp(code, "no-dataplane"))
		return CLI_NO_DATAPLANE;
	return CLI_DEGRADED;
}

static enum cli_exit read_reply(const char *text, json_t **result, char error[CLI_ERROR_LEN])
{
	json_t *reply = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	enum cli_exit exit = CLI_DEGRADED;

	if (cli_member_is_true(reply, "ok")) {
		*result = json_incref(json_object_get(reply, "result"));
		exit = *result ? CLI_OK : CLI_DEGRADED;
	} else if (reply) {
		cli_text_clean(error, CLI_ERROR_LEN, cli_member_text(reply, "error"));
		exit = exit_of_code(cli_member_text(reply, "code"));
	}
	if (exit != CLI_OK && !error[0])
		snprintf(error, CLI_ERROR_LEN, "the control plane's reply cannot be understood");
	json_decref(reply);
	return exit;
}

static void explain_unreachable(const struct cli_options *options, const char *path, int rc,
                                char error[CLI_ERROR_LEN])
{
	if (rc == -ENOENT || rc == -ECONNREFUSED)
		snprintf(error, CLI_ERROR_LEN,
		         "nothing answers at %s; if it does not run, start it: "
		         "'systemctl start sallyport-controlplane@%s'",
		         path, options->instance);
	else if (rc == -EACCES || rc == -ECONNRESET || rc == -EPIPE)
		snprintf(error, CLI_ERROR_LEN,
		         "refuses us at %s: be root or a member of the socket's group", path);
	else if (rc == -ETIMEDOUT || rc == -EAGAIN)
		snprintf(error, CLI_ERROR_LEN, "does not answer at %s", path);
	else
		snprintf(error, CLI_ERROR_LEN, "cannot be reached at %s: %s", path, strerror(-rc));
}

enum cli_exit cli_request(const struct cli_options *options, const char *command, json_t *arguments,
                          json_t **result, char error[CLI_ERROR_LEN])
{
	char path[CLI_PATH_LEN + sizeof("/control.sock")];
	char *request = write_request(command, arguments), *reply = NULL;
	enum cli_exit exit = CLI_NO_CONTROLPLANE;
	int fd, rc;

	*result = NULL;
	error[0] = '\0';
	if (!request) {
		snprintf(error, CLI_ERROR_LEN, "out of memory");
		return CLI_DEGRADED;
	}
	snprintf(path, sizeof(path), "%s/control.sock", options->run_dir);
	fd = open_socket(path);
	rc = fd < 0 ? fd : exchange(fd, request, &reply);
	if (rc)
		explain_unreachable(options, path, rc, error);
	else
		exit = read_reply(reply, result, error);
	free(reply);
	free(request);
	if (fd >= 0)
		close(fd);
	return exit;
}

const char *cli_member_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

uint64_t cli_member_number(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

double cli_member_real(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

bool cli_member_is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}
