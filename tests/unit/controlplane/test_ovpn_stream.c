/* SPDX-License-Identifier: GPL-2.0-or-later */
/* OpenVPN over TCP, with a real connection over loopback; the test is the server. */
#include "tests/unit/common/unit.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include "common/log.h"
#include "controlplane/ovpn_stream.h"

#define PATIENCE_MS 10000
#define NUMBER 7u
#define TUNNEL_PORT htons(20000)
#define OWN_PORT 1234u
#define PACKETS_MAX 64u

/* What was called; guarded by lock. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned open;
	unsigned packets;
	size_t lengths[PACKETS_MAX];
	uint8_t first[PACKETS_MAX];
	unsigned broken;
	char why[CP_OVPN_STREAM_WHY];
} seen = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static struct cp_ovpn_streams *streams;
static int listener, server;
static struct sockaddr_in address;

static void on_open(void *context, uint32_t number)
{
	(void)context;
	pthread_mutex_lock(&seen.lock);
	assert_int_equal(number, NUMBER);
	seen.open++;
	pthread_cond_signal(&seen.changed);
	pthread_mutex_unlock(&seen.lock);
}

static void on_packet(void *context, uint32_t number, const struct ipc_punt *from,
                      const uint8_t *packet)
{
	(void)context;
	pthread_mutex_lock(&seen.lock);
	assert_int_equal(number, NUMBER);
	if (seen.packets < PACKETS_MAX) {
		seen.lengths[seen.packets] = from->length;
		seen.first[seen.packets] = packet[0];
	}
	seen.packets++;
	pthread_cond_signal(&seen.changed);
	pthread_mutex_unlock(&seen.lock);
}

static void on_broken(void *context, uint32_t number, const char *why)
{
	(void)context;
	pthread_mutex_lock(&seen.lock);
	assert_int_equal(number, NUMBER);
	snprintf(seen.why, sizeof(seen.why), "%s", why);
	seen.broken++;
	pthread_cond_signal(&seen.changed);
	pthread_mutex_unlock(&seen.lock);
}

#define WAIT_SEEN(condition)                                                             \
	do {                                                                             \
		struct timespec limit;                                                   \
		int rc_ = 0;                                                             \
		clock_gettime(CLOCK_REALTIME, &limit);                                   \
		limit.tv_sec += PATIENCE_MS / 1000;                                      \
		pthread_mutex_lock(&seen.lock);                                          \
		while (!(condition) && rc_ == 0)                                         \
			rc_ = pthread_cond_timedwait(&seen.changed, &seen.lock, &limit); \
		pthread_mutex_unlock(&seen.lock);                                        \
		assert_int_equal(rc_, 0);                                                \
	} while (0)

static int open_listener(void)
{
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	address = (struct sockaddr_in){ .sin_family = AF_INET,
		                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static int begin(void **state)
{
	struct ipc_punt from;
	int fd;

	(void)state;
	memset(&seen.open, 0, sizeof(seen) - offsetof(__typeof__(seen), open));
	listener = open_listener();
	from = (struct ipc_punt){ .source_be = address.sin_addr.s_addr,
		                  .source_port_be = address.sin_port,
		                  .destination_port_be = TUNNEL_PORT };
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (cp_ovpn_streams_connect(streams, NUMBER, fd, &from, htons(OWN_PORT)) != 0)
		return -1;
	server = accept(listener, NULL, NULL);
	WAIT_SEEN(seen.open == 1);
	return 0;
}

static int end(void **state)
{
	(void)state;
	cp_ovpn_streams_close(streams, NUMBER);
	if (server >= 0)
		close(server);
	if (listener >= 0)
		close(listener);
	return 0;
}

static void write_all(const void *bytes, size_t length)
{
	assert_int_equal(send(server, bytes, length, MSG_NOSIGNAL), length);
}

static void read_all(void *bytes, size_t length)
{
	assert_int_equal(recv(server, bytes, length, MSG_WAITALL), length);
}

/* ---- the framing by itself ---- */

static void deframes(void **state)
{
	static const struct {
		uint8_t bytes[4];
		size_t length;
		int result;
	} table[] = {
		{ { 0 }, 0, 0 },
		{ { 0 }, 1, 0 },
		{ { 0, 1 }, 2, 0 },
		{ { 0, 1, 9 }, 3, 1 },
		{ { 0, 1, 9, 9 }, 4, 1 },
		{ { 0, 2, 9 }, 3, 0 },
		{ { 0, 0 }, 2, -EPROTO },
		{ { 0x28, 0x00 }, 2, 0 },
		{ { 0x28, 0x01 }, 2, -EPROTO },
		{ { 'H', 'T', 'T', 'P' }, 4, -EPROTO },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(cp_ovpn_deframe(table[i].bytes, table[i].length), table[i].result);
}

/* ---- over a connection ---- */

static void packets_come_whole(void **state)
{
	static uint8_t large[2 + CP_OVPN_STREAM_PACKET_MAX] = { 0x28, 0x00, 5 };
	const uint8_t pieces[] = { 0, 3, 1, 1, 1, 0, 1, 2, 0, 2, 3, 3 };

	(void)state;
	write_all(pieces, sizeof(pieces)); /* three at once */
	for (size_t i = 0; i < sizeof(pieces); i++)
		write_all(pieces + i, 1);
	write_all(large, sizeof(large));
	WAIT_SEEN(seen.packets == 7);
	for (unsigned i = 0; i < 6; i++) {
		static const size_t lengths[] = { 3, 1, 2 };

		assert_int_equal(seen.lengths[i], lengths[i % 3]);
		assert_int_equal(seen.first[i], i % 3 + 1);
	}
	assert_int_equal(seen.lengths[6], CP_OVPN_STREAM_PACKET_MAX);
	assert_int_equal(seen.first[6], 5);
	assert_int_equal(seen.broken, 0);
}

/* A data packet for the connection from that port, to the server. */
static int send_data(uint16_t port, const void *packet, size_t length)
{
	const struct ipc_punt to = { .source_port_be = htons(port),
		                     .destination_be = address.sin_addr.s_addr,
		                     .destination_port_be = address.sin_port,
		                     .length = (uint32_t)length };

	return cp_ovpn_streams_send_data(streams, &to, packet);
}

static void packets_go_with_their_length(void **state)
{
	uint8_t got[9];

	(void)state;
	assert_int_equal(cp_ovpn_streams_send(streams, NUMBER, (const uint8_t *)"abc", 3), 0);
	assert_int_equal(send_data(OWN_PORT, "de", 2), 0);
	read_all(got, sizeof(got));
	assert_memory_equal(got, "\0\3abc\0\2de", sizeof(got));
	assert_int_equal(cp_ovpn_streams_send(streams, NUMBER + 1, got, 3), -ENOTCONN);
	assert_int_equal(send_data(OWN_PORT + 1, got, 3), -ENOTCONN);
	address.sin_port++; /* the same port of ours, towards another server */
	assert_int_equal(send_data(OWN_PORT, got, 3), -ENOTCONN);
	address.sin_port--;
	assert_int_equal(cp_ovpn_streams_send(streams, NUMBER, got, 0), -EMSGSIZE);
	assert_int_equal(cp_ovpn_streams_send(streams, NUMBER, got, CP_OVPN_STREAM_PACKET_MAX + 1),
	                 -EMSGSIZE);
}

/* A server that does not read: data is dropped and counted, what was begun comes whole, and control
 * packets have their own room. */
static void what_does_not_fit_is_dropped(void **state)
{
	static uint8_t packet[1400], got[2 + sizeof(packet)];
	const uint64_t before = cp_ovpn_streams_dropped(streams, TUNNEL_PORT);
	unsigned sent = 0, control = 0;
	int rc = 0;

	(void)state;
	memset(packet, 'd', sizeof(packet));
	while (rc == 0) {
		rc = send_data(OWN_PORT, packet, sizeof(packet));
		sent += rc == 0;
		assert_true(sent < 100000);
	}
	assert_int_equal(rc, -EAGAIN);
	assert_int_equal(cp_ovpn_streams_dropped(streams, TUNNEL_PORT), before + 1);
	memset(packet, 'c', sizeof(packet));
	while (cp_ovpn_streams_send(streams, NUMBER, packet, sizeof(packet)) == 0)
		control++;
	assert_in_range(control, 10, 30);
	for (unsigned i = 0; i < sent + control; i++) {
		read_all(got, sizeof(got));
		assert_int_equal(cp_ovpn_deframe(got, sizeof(got)), sizeof(packet));
		assert_int_equal(got[2], i < sent ? 'd' : 'c');
		assert_int_equal(got[sizeof(got) - 1], got[2]);
	}
	do {
		rc = send_data(OWN_PORT, packet, sizeof(packet));
	} while (rc == -EAGAIN); /* its thread has found out that there is room by then */
	assert_int_equal(rc, 0);
	read_all(got, sizeof(got));
	assert_int_equal(cp_ovpn_deframe(got, sizeof(got)), sizeof(packet));
}

/* What a tunnel lost is still known when its connections are closed, and is not another one's. */
static void drops_are_remembered(void **state)
{
	static uint8_t packet[1400];
	const uint64_t before = cp_ovpn_streams_dropped(streams, TUNNEL_PORT);

	for (uint64_t round = 1; round <= 2; round++) {
		while (send_data(OWN_PORT, packet, sizeof(packet)) == 0)
			;
		assert_int_equal(cp_ovpn_streams_dropped(streams, TUNNEL_PORT), before + round);
		end(state);
		assert_int_equal(cp_ovpn_streams_dropped(streams, TUNNEL_PORT), before + round);
		assert_int_equal(cp_ovpn_streams_dropped(streams, htons(1)), 0);
		assert_int_equal(begin(state), 0);
	}
}

/* The port has become another tunnel's: neither what was dropped nor what an old connection still
 * drops is its own; what its new ones drop is. */
static void drops_are_forgotten(void **state)
{
	static uint8_t packet[1400];

	for (unsigned round = 0; round < 2;
	     round++) { /* a closed connection's, and an open one's */
		while (send_data(OWN_PORT, packet, sizeof(packet)) == 0)
			;
		if (round == 0) {
			end(state);
			assert_int_equal(begin(state), 0);
		}
	}
	assert_in_range(cp_ovpn_streams_dropped(streams, TUNNEL_PORT), 2, UINT32_MAX);
	cp_ovpn_streams_forget(streams, htons(1));
	assert_in_range(cp_ovpn_streams_dropped(streams, TUNNEL_PORT), 2, UINT32_MAX);
	cp_ovpn_streams_forget(streams, TUNNEL_PORT);
	assert_int_equal(cp_ovpn_streams_dropped(streams, TUNNEL_PORT), 0);
	while (send_data(OWN_PORT, packet, sizeof(packet)) == 0)
		;
	assert_int_equal(cp_ovpn_streams_dropped(streams, TUNNEL_PORT), 0);
	end(state);
	assert_int_equal(cp_ovpn_streams_dropped(streams, TUNNEL_PORT), 0);
	assert_int_equal(begin(state), 0);
	while (send_data(OWN_PORT, packet, sizeof(packet)) == 0)
		;
	assert_int_equal(cp_ovpn_streams_dropped(streams, TUNNEL_PORT), 1);
}

/* A dataplane that restarted gives a port again: it means the connection that it was given for. */
static void the_newest_counts(void **state)
{
	const struct ipc_punt from = { .source_be = address.sin_addr.s_addr,
		                       .source_port_be = address.sin_port,
		                       .destination_port_be = TUNNEL_PORT };
	int older = server;
	char got;

	(void)state;
	assert_int_equal(cp_ovpn_streams_connect(
				 streams, NUMBER,
				 socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
				 &from, htons(OWN_PORT)),
	                 0);
	server = accept(listener, NULL, NULL);
	WAIT_SEEN(seen.open == 2);
	assert_int_equal(send_data(OWN_PORT, "x", 1), 0);
	read_all(&got, 1);
	assert_int_equal(recv(older, &got, 1, MSG_DONTWAIT), -1);
	cp_ovpn_streams_close(streams, NUMBER);
	close(older);
}

static void end_of_the_server(void **state)
{
	(void)state;
	write_all("\0\1x", 3); /* what it said before counts */
	close(server);
	server = -1;
	WAIT_SEEN(seen.broken == 1);
	assert_int_equal(seen.packets, 1);
	assert_non_null(strstr(seen.why, "closed"));
	assert_int_equal(cp_ovpn_streams_send(streams, NUMBER, (const uint8_t *)"a", 1), -ENOTCONN);
}

static void reset_by_the_server(void **state)
{
	const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

	(void)state;
	setsockopt(server, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(server);
	server = -1;
	WAIT_SEEN(seen.broken == 1);
	assert_non_null(strstr(seen.why, "was lost: Connection reset"));
}

static void another_protocol(void **state)
{
	(void)state;
	write_all("HTTP/1.1 400 Bad Request\r\n", 26);
	WAIT_SEEN(seen.broken == 1);
	assert_non_null(strstr(seen.why, "does not speak OpenVPN"));
	assert_int_equal(seen.packets, 0);
}

static void nobody_listens(void **state)
{
	struct ipc_punt from;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	(void)state;
	memset(&seen.open, 0, sizeof(seen) - offsetof(__typeof__(seen), open));
	close(open_listener()); /* a port that was free */
	from = (struct ipc_punt){ .source_be = address.sin_addr.s_addr,
		                  .source_port_be = address.sin_port,
		                  .destination_port_be = TUNNEL_PORT };
	server = listener = -1;
	if (cp_ovpn_streams_connect(streams, NUMBER, fd, &from, htons(OWN_PORT)) == 0) {
		WAIT_SEEN(seen.broken == 1);
		assert_non_null(strstr(seen.why, "could not be made: Connection refused"));
	}
	assert_int_equal(seen.open, 0);
}

/* Closed while packets come: nothing of it is told afterwards, and others work. */
static void closed_in_between(void **state)
{
	unsigned told;

	(void)state;
	for (unsigned round = 0; round < 50; round++) {
		assert_int_equal(begin(NULL), 0);
		for (unsigned i = 0; i < 20; i++)
			write_all("\0\1x", 3);
		cp_ovpn_streams_close(streams, NUMBER);
		pthread_mutex_lock(&seen.lock);
		told = seen.packets;
		pthread_mutex_unlock(&seen.lock);
		assert_int_equal(end(NULL), 0);
		pthread_mutex_lock(&seen.lock);
		assert_int_equal(seen.packets, told);
		assert_int_equal(seen.broken, 0);
		pthread_mutex_unlock(&seen.lock);
	}
}

int main(void)
{
	const struct cp_ovpn_stream_calls calls = { .open = on_open,
		                                    .packet = on_packet,
		                                    .broken = on_broken };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deframes),
		cmocka_unit_test_setup_teardown(packets_come_whole, begin, end),
		cmocka_unit_test_setup_teardown(packets_go_with_their_length, begin, end),
		cmocka_unit_test_setup_teardown(what_does_not_fit_is_dropped, begin, end),
		cmocka_unit_test_setup_teardown(drops_are_remembered, begin, end),
		cmocka_unit_test_setup_teardown(drops_are_forgotten, begin, end),
		cmocka_unit_test_setup_teardown(the_newest_counts, begin, end),
		cmocka_unit_test_setup_teardown(end_of_the_server, begin, end),
		cmocka_unit_test_setup_teardown(reset_by_the_server, begin, end),
		cmocka_unit_test_setup_teardown(another_protocol, begin, end),
		cmocka_unit_test_teardown(nobody_listens, end),
		cmocka_unit_test(closed_in_between),
	};

	sp_log_init("test", SP_LOG_ERR);
	if (cp_ovpn_streams_start(&calls, NULL, &streams) != 0)
		return 1;
	return cmocka_run_group_tests_name("ovpn_stream", tests, NULL, NULL);
}
