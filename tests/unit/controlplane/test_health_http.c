/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The health listener over real sockets: who asks rightly, who does not, and who only takes up
 * room. What it is asked with byte by byte is the fuzz target's (tests/fuzz/fuzz_health.c).
 */
#include "controlplane/health_http.h"

#include "tests/unit/controlplane/api_world.h"

#include <jansson.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PORT 18080
#define HOGS 32 /* as many as the listener serves at a time */
#define REPLY_MAX 65536

static struct world world;
static struct cp_health *health;
static uint32_t address_be; /* of this process alone */
static char reply[REPLY_MAX];

static int start(void **state)
{
	(void)state;
	world_init(&world);
	address_be = htonl(0x7f000000u | ((uint32_t)getpid() & 0xffffffu));
	return cp_health_start(&world.context, address_be, htons(PORT), &health);
}

static int stop(void **state)
{
	(void)state;
	cp_health_stop(health);
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A connection from SOURCE, with TEXT sent. */
static int begin(const char *source, const char *text)
{
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = inet_addr(source) };
	struct sockaddr_in to = { .sin_family = AF_INET,
		                  .sin_port = htons(PORT),
		                  .sin_addr.s_addr = address_be };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	/* one that is over the limit is closed at once */
	assert_true(send(fd, text, strlen(text), MSG_NOSIGNAL) >= 0 || errno == EPIPE ||
	            errno == ECONNRESET);
	return fd;
}

/* Reads until the other side closes; false: not within TIMEOUT_MS. */
static bool finish(int fd, int timeout_ms)
{
	const int64_t deadline_ms = now_ms() + timeout_ms;
	size_t length = 0;
	ssize_t n = 1;

	while (n > 0 && length < sizeof(reply) - 1) {
		struct pollfd readable = { .fd = fd, .events = POLLIN };
		int64_t left_ms = deadline_ms - now_ms();

		if (left_ms <= 0 || poll(&readable, 1, (int)left_ms) <= 0)
			break;
		n = recv(fd, reply + length, sizeof(reply) - 1 - length, 0);
		length += n > 0 ? (size_t)n : 0;
	}
	reply[length] = 0;
	close(fd);
	return n <= 0;
}

static bool is_open(int fd)
{
	struct pollfd ended = { .fd = fd, .events = POLLIN };

	return poll(&ended, 1, 0) == 0;
}

static unsigned ask(const char *method, const char *path)
{
	char text[512];
	unsigned status = 0;

	snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
	         method, path);
	assert_true(finish(begin("127.0.0.1", text), 20000));
	assert_int_equal(sscanf(reply, "HTTP/1.1 %u ", &status), 1);
	return status;
}

static const char *body(void)
{
	const char *end = strstr(reply, "\r\n\r\n");

	assert_non_null(end);
	return end + 4;
}

static void expect_state(const char *state)
{
	json_t *said = json_loads(body(), 0, NULL);

	assert_non_null(said);
	assert_string_equal(json_string_value(json_object_get(said, "state")), state);
	json_decref(said);
}

static void test_states(void **state)
{
	(void)state;
	assert_int_equal(ask("GET", "/health"), 200);
	expect_state("ready");
	assert_non_null(strstr(reply, "Content-Type: application/json\r\n"));
	assert_non_null(strstr(reply, "Cache-Control: no-store\r\n"));
	assert_int_equal(ask("GET", "/health/production"), 200);
	world.environments[0].is_draining = true;
	assert_int_equal(ask("GET", "/health/production"), 503);
	expect_state("draining");
	assert_int_equal(ask("GET", "/health/"), 200); /* staging is ready */
	world_disconnect(&world, "away");
	assert_int_equal(ask("GET", "/health"), 503);
	expect_state("down");
	assert_int_equal(ask("HEAD", "/health"), 503);
	assert_string_equal(body(), "");
}

static void test_wrong_requests(void **state)
{
	static const struct {
		const char *method, *path;
		unsigned status;
	} cases[] = {
		{ "GET", "/", 404 },
		{ "GET", "/healthy", 404 },
		{ "GET", "/health/nowhere", 404 },
		{ "GET", "/health/production/a", 404 },
		{ "GET", "/health/%22,%22x%22:%22", 404 },
		{ "GET", "/../health", 404 },
		{ "POST", "/health", 405 },
		{ "DELETE", "/health/production", 405 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned status = ask(cases[i].method, cases[i].path);

		if (status != cases[i].status)
			fail_msg("%s %s: %u", cases[i].method, cases[i].path, status);
	}
	assert_non_null(strstr(reply, "Allow: GET, HEAD\r\n"));
}

/* One that asks only by halves, as often as it likes, keeps nobody else out, and is not waited for.
 */
static void test_hogs(void **state)
{
	unsigned waiting = 0;
	int hogs[HOGS];

	(void)state;
	for (unsigned i = 0; i < HOGS; i++)
		hogs[i] = begin("127.0.0.2", i % 2 ? "GET /hea" : "");
	assert_int_equal(ask("GET", "/health"), 200);
	for (unsigned i = 0; i < HOGS; i++)
		waiting += is_open(hogs[i]);
	assert_true(waiting > 0); /* it was answered before they were given up */
	for (unsigned i = 0; i < HOGS; i++)
		assert_true(finish(hogs[i], 30000));
	reply[0] = 0;
	/* libmicrohttpd closes a connection before it gives the place back */
	for (unsigned tries = 0; tries < 1000 && !reply[0]; tries++) {
		assert_true(finish(begin("127.0.0.2", "GET /health HTTP/1.0\r\n\r\n"), 20000));
		if (!reply[0])
			poll(NULL, 0, 10);
	}
	expect_state("ready");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_states, start, stop),
		cmocka_unit_test_setup_teardown(test_wrong_requests, start, stop),
		cmocka_unit_test_setup_teardown(test_hogs, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
