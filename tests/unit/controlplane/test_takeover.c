/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The old control plane's part in an upgrade, with successors that do what they should not. This
 * program is the successor, too: its first argument says which one. The supervisor and the API are
 * played here.
 */
#include "tests/unit/common/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "controlplane/api.h"
#include "controlplane/notify.h"
#include "controlplane/successor.h"
#include "controlplane/takeover.h"

#define PATIENCE_MS 10000
#define SUCCESSOR "successor"

static struct {
	int listener;
	_Atomic int aside, back, muted, left, notified;
	bool is_first; /* of a container's processes */
} played;

pid_t getpid(void)
{
	return played.is_first ? 1 : (pid_t)syscall(SYS_getpid);
}

void cp_supervisor_step_aside(struct cp_supervisor *supervisor)
{
	(void)supervisor;
	played.aside++;
}

void cp_supervisor_take_back(struct cp_supervisor *supervisor)
{
	(void)supervisor;
	played.back++;
}

void cp_supervisor_mute(struct cp_supervisor *supervisor)
{
	(void)supervisor;
	played.muted++;
}

bool cp_supervisor_progress(struct cp_supervisor *supervisor, struct cp_progress *progress)
{
	(void)supervisor;
	*progress = (struct cp_progress){ .wanted = 1, .up = 1 };
	return true;
}

int cp_api_listener(const struct cp_api *api)
{
	(void)api;
	return played.listener;
}

void cp_api_leave(struct cp_api *api)
{
	(void)api;
	played.left++;
}

void cp_notify_successor(pid_t successor)
{
	(void)successor;
	played.notified++;
}

/* ---- the successors ---- */

static void say(enum cp_successor_kind kind, const char *why)
{
	struct cp_successor_message message = { .kind = kind };

	snprintf(message.why, sizeof(message.why), "%s", why);
	send(CP_SUCCESSOR_CHANNEL, &message, sizeof(message), MSG_NOSIGNAL);
}

/* For ever, unless the other end goes away. */
static int stay(int status)
{
	struct pollfd end = { .fd = CP_SUCCESSOR_CHANNEL };

	poll(&end, 1, -1);
	return status;
}

static void wait_for_go(void)
{
	struct cp_successor_message message;

	recv(CP_SUCCESSOR_CHANNEL, &message, sizeof(message), 0);
}

static int be_successor(const char *what)
{
	const bool gets_that_far = strchr(what, '-') != NULL;

	if (cp_successor_check() != 0)
		return 99;
	if (gets_that_far) {
		say(CP_SUCCESSOR_READY, "");
		wait_for_go();
	}
	if (strstr(what, "ends"))
		return 7;
	if (strstr(what, "dies"))
		raise(SIGUSR1);
	if (strstr(what, "mumbles"))
		send(CP_SUCCESSOR_CHANNEL, "ready", 5, MSG_NOSIGNAL);
	if (strstr(what, "fails"))
		say(CP_SUCCESSOR_FAILED, "as it happens");
	if (strstr(what, "serves"))
		return cp_successor_take_over(NULL) == 0 ? 0 : 1;
	return stay(0);
}

/* ---- the old one ---- */

static struct cp_takeover *begin(const char *what)
{
	static char self[200];
	static char *arguments[4];
	struct cp_takeover_options options = { .program = self, .arguments = arguments };
	struct cp_takeover *takeover;
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	pid_t pid;

	assert_true(length > 0);
	self[length] = 0;
	arguments[0] = self;
	arguments[1] = (char *)SUCCESSOR;
	arguments[2] = (char *)what;
	played.aside = played.back = played.muted = played.left = played.notified = 0;
	assert_int_equal(cp_takeover_create(&options, &takeover), 0);
	assert_int_equal(cp_takeover_begin(takeover, &pid), -EAGAIN);
	cp_takeover_set_api(takeover, (struct cp_api *)takeover);
	assert_int_equal(cp_takeover_begin(takeover, &pid), 0);
	return takeover;
}

/* Its thread ends it; until then its words are read. */
static void wait_for_failure(struct cp_takeover *takeover, char why[CP_TAKEOVER_WHY_LEN])
{
	for (int left = PATIENCE_MS; cp_takeover_phase(takeover, why) == CP_TAKEOVER_RUNNING;
	     left--) {
		assert_true(left > 0);
		poll(NULL, 0, 1);
	}
	assert_int_equal(cp_takeover_phase(takeover, why), CP_TAKEOVER_FAILED);
	/* no successor is left, not as a zombie either */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	assert_int_equal(played.muted + played.left + played.notified, 0);
}

static void check(const char *what, bool is_aside, const char *expected)
{
	char why[CP_TAKEOVER_WHY_LEN];
	struct cp_takeover *takeover = begin(what);

	wait_for_failure(takeover, why);
	if (!strstr(why, expected))
		fail_msg("%s: \"%s\" is not in \"%s\"", what, expected, why);
	assert_int_equal(played.aside, is_aside);
	assert_int_equal(played.back, is_aside);
	free(takeover);
}

static void test_goes_on_if_it_does_not_start(void **state)
{
	(void)state;
	check("ends", false, "status 7");
	check("dies", false, "signal 10");
	check("mumbles", false, "do not understand");
	check("fails", false, "as it happens");
	check("serves", false, "do not understand"); /* too early */
}

static void test_takes_back_if_it_does_not_get_there(void **state)
{
	(void)state;
	check("later-ends", true, "status 7");
	check("later-dies", true, "signal 10");
	check("later-mumbles", true, "do not understand");
	check("later-fails", true, "as it happens");
}

/* In a child, as success ends the process. */
static void test_ends_when_it_serves(void **state)
{
	int status;
	pid_t old = fork();

	(void)state;
	assert_true(old >= 0);
	if (old == 0) {
		begin("later-serves");
		poll(NULL, 0, PATIENCE_MS);
		_exit(1);
	}
	assert_int_equal(waitpid(old, &status, 0), old);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_begins_one_at_a_time(void **state)
{
	char why[CP_TAKEOVER_WHY_LEN];
	struct cp_takeover *takeover = begin("stays");
	pid_t pid;

	(void)state;
	assert_int_equal(cp_takeover_begin(takeover, &pid), -EALREADY);
	assert_int_equal(cp_takeover_phase(takeover, why), CP_TAKEOVER_RUNNING);
	/* its thread waits for it still: both stay until this process ends */
}

static void test_is_refused_where_the_container_would_end(void **state)
{
	struct cp_takeover_options options = { 0 };
	char why[CP_TAKEOVER_WHY_LEN];
	struct cp_takeover *takeover;
	pid_t pid;

	(void)state;
	assert_int_equal(cp_takeover_create(&options, &takeover), 0);
	cp_takeover_set_api(takeover, (struct cp_api *)takeover);
	played.is_first = true;
	assert_int_equal(cp_takeover_begin(takeover, &pid), -ENOTSUP);
	played.is_first = false;
	assert_int_equal(cp_takeover_phase(takeover, why), CP_TAKEOVER_NONE);
	free(takeover);
}

static int open_listener(void **state)
{
	struct sockaddr_un nowhere = { .sun_family = AF_UNIX };

	(void)state;
	played.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return bind(played.listener, (struct sockaddr *)&nowhere, sizeof(sa_family_t)) ||
	       listen(played.listener, 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends_when_it_serves), /* forks: before there are threads */
		cmocka_unit_test(test_goes_on_if_it_does_not_start),
		cmocka_unit_test(test_takes_back_if_it_does_not_get_there),
		cmocka_unit_test(test_is_refused_where_the_container_would_end),
		cmocka_unit_test(test_begins_one_at_a_time),
	};

	sp_log_init("test", SP_LOG_DEBUG);
	if (argc == 3 && strcmp(argv[1], SUCCESSOR) == 0)
		return be_successor(argv[2]);
	return cmocka_run_group_tests(tests, open_listener, NULL);
}
