/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The contract's socket on real sockets: who may connect, whole messages, full queues, old socket
 * files.
 */
#include "common/ipc_sock.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/ipc_proto.h"
#include "tests/unit/common/unit.h"

#define SOME_UID 54321
#define OTHER_UID 54322

static void test_round_trip(void **state)
{
	static union {
		struct ipc_header header;
		uint8_t bytes[IPC_MSG_MAX];
	} buffer;
	int listener = ipc_listen("sock", (gid_t)-1), client, server;
	struct stat st;

	(void)state;
	assert_true(listener >= 0);
	assert_int_equal(stat("sock", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_int_equal(ipc_accept(listener, (uid_t)-1), -EAGAIN);
	client = ipc_connect("sock");
	assert_true(client >= 0);
	server = ipc_accept(listener, (uid_t)-1);
	assert_true(server >= 0);
	assert_true(fcntl(server, F_GETFL) & O_NONBLOCK);
	assert_false(fcntl(client, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(server, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(ipc_receive(server, &buffer, sizeof(buffer)), -EAGAIN);

	/* Two messages stay two messages, whatever their parts. */
	assert_int_equal(ipc_send(client, IPC_MOVE, 0, 9, 0, "abc", 3, "defg", 4), 0);
	assert_int_equal(ipc_send(client, IPC_STATE, IPC_REPLY, 10, -ESTALE, NULL, 0, NULL, 0), 0);
	assert_int_equal(ipc_receive(server, &buffer, sizeof(buffer)), sizeof(buffer.header) + 7);
	assert_int_equal(buffer.header.type, IPC_MOVE);
	assert_int_equal(buffer.header.seq, 9);
	assert_int_equal(buffer.header.length, sizeof(buffer.header) + 7);
	assert_memory_equal(buffer.bytes + sizeof(buffer.header), "abcdefg", 7);
	assert_int_equal(ipc_receive(server, &buffer, sizeof(buffer)), sizeof(buffer.header));
	assert_int_equal(buffer.header.flags, IPC_REPLY);
	assert_int_equal(buffer.header.status, -ESTALE);

	/* The end, and nobody there. */
	close(client);
	assert_int_equal(ipc_receive(server, &buffer, sizeof(buffer)), 0);
	assert_int_equal(ipc_send(server, IPC_EVENT, 0, 0, 0, NULL, 0, NULL, 0), -EPIPE);
	close(server);
	close(listener);
	unlink("sock");
}

static void test_sizes(void **state)
{
	static uint8_t body[IPC_MSG_MAX], buffer[IPC_MSG_MAX] __attribute__((aligned(8)));
	const size_t room = IPC_MSG_MAX - sizeof(struct ipc_header);
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	assert_int_equal(ipc_send(ends[0], IPC_NODE, 0, 1, 0, body, room, NULL, 0), 0);
	assert_int_equal(ipc_receive(ends[1], buffer, sizeof(buffer)), IPC_MSG_MAX);
	assert_int_equal(ipc_send(ends[0], IPC_NODE, 0, 1, 0, body, room, body, 1), -EMSGSIZE);
	assert_int_equal(ipc_send(ends[0], IPC_NODE, 0, 1, 0, body, room + 1, NULL, 0), -EMSGSIZE);
	assert_int_equal(ipc_send(ends[0], IPC_NODE, 0, 1, 0, body, 1, body, SIZE_MAX), -EMSGSIZE);

	/* A longer one than the buffer is not taken for its first part. */
	assert_int_equal(ipc_send(ends[0], IPC_NODE, 0, 1, 0, body, 100, NULL, 0), 0);
	assert_int_equal(ipc_receive(ends[1], buffer, 100), -EMSGSIZE);
	close(ends[0]);
	close(ends[1]);
}

static void test_full_queue(void **state)
{
	static uint8_t body[8192], buffer[IPC_MSG_MAX] __attribute__((aligned(8)));
	int ends[2], rc = 0;
	unsigned sent = 0, received = 0;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
	while ((rc = ipc_send(ends[0], IPC_NODE, 0, 1, 0, body, sizeof(body), NULL, 0)) == 0)
		sent++;
	assert_int_equal(rc, -EAGAIN);
	assert_true(sent > 0);
	while (ipc_receive(ends[1], buffer, sizeof(buffer)) ==
	       (ssize_t)(sizeof(body) + sizeof(struct ipc_header)))
		received++;
	assert_int_equal(received, sent);
	close(ends[0]);
	close(ends[1]);
}

/* A descriptor goes beside its message, to who asks for it; others lose it. */
static void test_descriptor(void **state)
{
	static union {
		struct ipc_header header;
		uint8_t bytes[IPC_MSG_MAX];
	} buffer;
	int pair[2], pipes[2], got, before;
	char byte = 0;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(
		ipc_send_descriptor(pair[0], IPC_FLOW_SET, IPC_REPLY, 7, "flow", 4, pipes[1]), 0);
	assert_int_equal(ipc_send(pair[0], IPC_STATE, IPC_REPLY, 8, 0, NULL, 0, NULL, 0), 0);
	assert_int_equal(ipc_receive_descriptor(pair[1], &buffer, sizeof(buffer), &got),
	                 sizeof(buffer.header) + 4);
	assert_int_equal(buffer.header.seq, 7);
	assert_int_equal(buffer.header.length, sizeof(buffer.header) + 4);
	assert_memory_equal(buffer.bytes + sizeof(buffer.header), "flow", 4);
	assert_true(got >= 0 && got != pipes[1]);
	assert_true(fcntl(got, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(got, "x", 1), 1);
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	assert_int_equal(byte, 'x');
	close(got);
	before = dup(pipes[0]); /* the lowest free one */
	close(before);
	assert_int_equal(ipc_receive_descriptor(pair[1], &buffer, sizeof(buffer), &got),
	                 sizeof(buffer.header));
	assert_int_equal(got, -1);

	/* too long, or not asked for: it is closed */
	for (size_t size = 8; size <= sizeof(buffer); size += sizeof(buffer) - 8) {
		assert_int_equal(ipc_send_descriptor(pair[0], IPC_FLOW_SET, IPC_REPLY, 9, "flow", 4,
		                                     pipes[1]),
		                 0);
		if (size == 8)
			assert_int_equal(ipc_receive_descriptor(pair[1], &buffer, size, &got),
			                 -EMSGSIZE);
		else
			assert_int_equal(ipc_receive(pair[1], &buffer, size),
			                 sizeof(buffer.header) + 4);
		assert_int_equal(got, -1);
		got = dup(pipes[0]);
		assert_int_equal(got, before);
		close(got);
		got = -1;
	}
	for (unsigned i = 0; i < 2; i++) {
		close(pair[i]);
		close(pipes[i]);
	}
}

static void test_socket_file(void **state)
{
	char path[200];
	int listener, second, fd;

	(void)state;
	listener = ipc_listen("sock", (gid_t)-1);
	assert_true(listener >= 0);
	assert_int_equal(ipc_listen("sock", (gid_t)-1), -EADDRINUSE);
	close(listener);
	/* Its process is gone: the file is replaced. */
	second = ipc_listen("sock", (gid_t)-1);
	assert_true(second >= 0);
	close(second);
	assert_int_equal(ipc_connect("sock"), -ECONNREFUSED);
	unlink("sock");
	assert_int_equal(ipc_connect("sock"), -ENOENT);

	/* Never removes what is not a socket. */
	fd = open("file", O_CREAT | O_WRONLY, 0600);
	close(fd);
	assert_int_equal(ipc_listen("file", (gid_t)-1), -EADDRINUSE);
	assert_int_equal(access("file", F_OK), 0);
	unlink("file");

	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = 0;
	assert_int_equal(ipc_listen(path, (gid_t)-1), -ENAMETOOLONG);
	assert_int_equal(ipc_connect(path), -ENAMETOOLONG);
	assert_int_equal(ipc_listen("", (gid_t)-1), -EINVAL);
	assert_int_equal(ipc_listen("missing/sock", (gid_t)-1), -ENOENT);
}

/* Another backlog than ours: a full one is somebody, too. */
static void test_busy_listener(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "sock" };
	int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	int fds[16], count = 0;

	(void)state;
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 0), 0);
	for (int rc = 0; rc == 0 && count < 16; count++) {
		fds[count] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
		rc = connect(fds[count], (struct sockaddr *)&address, sizeof(address));
	}
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(ipc_listen("sock", (gid_t)-1), -EADDRINUSE);
	while (count > 0)
		close(fds[--count]);
	close(listener);
	unlink("sock");
}

static pid_t connect_as(uid_t uid, const char *path)
{
	pid_t child = fork();
	char byte;
	int fd;

	assert_true(child >= 0);
	if (child > 0)
		return child;
	if (setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0 ||
	    setresuid(uid, uid, uid) != 0)
		_exit(2);
	fd = ipc_connect(path);
	if (fd < 0)
		_exit(3);
	/* Lives until the other side has looked at it. */
	_exit(read(fd, &byte, 1) == 0 ? 0 : 4);
}

static int accept_as(int listener, uid_t uid, uid_t allowed, const char *path)
{
	struct pollfd waiting = { .fd = listener, .events = POLLIN };
	pid_t child = connect_as(uid, path);
	int rc, status;

	assert_int_equal(poll(&waiting, 1, 10000), 1);
	rc = ipc_accept(listener, allowed);
	if (rc >= 0)
		close(rc);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	return rc;
}

/* Other users can only be played by root. */
static void test_peer_uid(void **state)
{
	int listener;

	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(*state, 0755), 0);
	listener = ipc_listen("sock", SOME_UID);
	assert_true(listener >= 0);
	assert_int_equal(chmod("sock", 0666), 0);
	assert_int_equal(accept_as(listener, SOME_UID, (uid_t)-1, "sock"), -EPERM);
	assert_int_equal(accept_as(listener, OTHER_UID, SOME_UID, "sock"), -EPERM);
	assert_true(accept_as(listener, SOME_UID, SOME_UID, "sock") >= 0);
	assert_true(accept_as(listener, 0, (uid_t)-1, "sock") >= 0);
	close(listener);
	unlink("sock");
}

static void test_group(void **state)
{
	struct stat st;
	int listener;

	(void)state;
	if (geteuid() != 0)
		skip();
	listener = ipc_listen("sock", SOME_UID);
	assert_true(listener >= 0);
	assert_int_equal(stat("sock", &st), 0);
	assert_int_equal(st.st_gid, SOME_UID);
	assert_int_equal(st.st_mode & 0777, 0660);
	close(listener);
	unlink("sock");
}

/* Whoever listens must be root or us, too. */
static void test_listener_uid(void **state)
{
	int ready[2], hold[2], status;
	pid_t child;
	char byte = 0;

	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(*state, 0777), 0);
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(hold), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(hold[1]);
		if (setresuid(SOME_UID, SOME_UID, SOME_UID) != 0 ||
		    ipc_listen("sock", (gid_t)-1) < 0)
			_exit(1);
		if (write(ready[1], &byte, 1) != 1 || read(hold[0], &byte, 1) != 0)
			_exit(2);
		_exit(0);
	}
	close(hold[0]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(ipc_connect("sock"), -EPERM);
	close(hold[1]);
	close(ready[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	unlink("sock");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_full_queue),    cmocka_unit_test(test_socket_file),
		cmocka_unit_test(test_busy_listener), cmocka_unit_test(test_peer_uid),
		cmocka_unit_test(test_descriptor),    cmocka_unit_test(test_group),
		cmocka_unit_test(test_listener_uid),
	};

	return cmocka_run_group_tests(tests, unit_enter_directory, unit_leave_directory);
}
