/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looking up names; /etc/hosts is all that is asked.
 */
#include "tests/unit/common/unit.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <time.h>

#include "controlplane/resolver.h"

struct answer {
	pthread_mutex_t lock;
	pthread_cond_t arrived;
	unsigned count;
	size_t tag;
	uint32_t address_be;
	bool is_error;
	pthread_t thread;
};

static void take(void *context, size_t tag, uint32_t address_be, const char *error)
{
	struct answer *answer = context;

	pthread_mutex_lock(&answer->lock);
	answer->count++;
	answer->tag = tag;
	answer->address_be = address_be;
	answer->is_error = error;
	answer->thread = pthread_self();
	pthread_cond_signal(&answer->arrived);
	pthread_mutex_unlock(&answer->lock);
}

static void resolve(struct answer *answer, const char *name, size_t tag)
{
	struct timespec limit;
	int rc = 0;

	*answer = (struct answer){ .lock = PTHREAD_MUTEX_INITIALIZER,
		                   .arrived = PTHREAD_COND_INITIALIZER };
	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += 60;
	cp_resolve(name, 0, tag, take, answer);
	pthread_mutex_lock(&answer->lock);
	while (answer->count == 0 && rc == 0)
		rc = pthread_cond_timedwait(&answer->arrived, &answer->lock, &limit);
	pthread_mutex_unlock(&answer->lock);
	assert_int_equal(answer->count, 1);
	assert_int_equal(answer->tag, tag);
}

static void test_address_is_its_own_answer(void **state)
{
	struct answer answer;

	(void)state;
	resolve(&answer, "198.51.100.101", 3);
	assert_false(answer.is_error);
	assert_int_equal(answer.address_be, inet_addr("198.51.100.101"));
	assert_true(pthread_equal(answer.thread, pthread_self()));
}

static void test_name_is_looked_up_elsewhere(void **state)
{
	struct answer answer;

	(void)state;
	resolve(&answer, "localhost", 4);
	assert_false(answer.is_error);
	assert_int_equal(answer.address_be, htonl(INADDR_LOOPBACK));
	assert_false(pthread_equal(answer.thread, pthread_self()));
}

static void test_name_that_cannot_be_is_an_error(void **state)
{
	struct answer answer;

	(void)state;
	resolve(&answer, "not..a..name", 5);
	assert_true(answer.is_error);
	assert_int_equal(answer.address_be, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address_is_its_own_answer),
		cmocka_unit_test(test_name_is_looked_up_elsewhere),
		cmocka_unit_test(test_name_that_cannot_be_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
