/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The queue to the supervisor's thread.
 */
#include "tests/unit/common/unit.h"

#include <time.h>

#include "controlplane/event_queue.h"

#define WRITERS 4u
#define EVENTS 1000u

static uint64_t from_now_ms(uint64_t ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000 + ms;
}

static void test_deadline_ends_the_wait(void **state)
{
	struct cp_event_queue queue;
	bool is_rung = true;

	(void)state;
	cp_event_queue_init(&queue);
	assert_null(cp_event_queue_take(&queue, from_now_ms(5), &is_rung));
	assert_false(is_rung);
	assert_null(cp_event_queue_take(&queue, 0, &is_rung));
}

static void test_rings_are_heard_once(void **state)
{
	struct cp_event_queue queue;
	bool is_rung;

	(void)state;
	cp_event_queue_init(&queue);
	cp_event_queue_ring(&queue);
	cp_event_queue_ring(&queue);
	assert_null(cp_event_queue_take(&queue, from_now_ms(60000), &is_rung));
	assert_true(is_rung);
	assert_null(cp_event_queue_take(&queue, from_now_ms(1), &is_rung));
	assert_false(is_rung);
}

/* In order, without waiting; who waits for a ring hears it all the same. */
static void test_what_is_there_is_taken_in_a_row(void **state)
{
	struct cp_event_queue queue;
	bool is_rung;

	(void)state;
	cp_event_queue_init(&queue);
	assert_null(cp_event_queue_next(&queue));
	for (uint32_t i = 0; i < 3; i++) {
		const struct cp_event event = { .type = CP_EVENT_IKE_BEGUN, .ike_id = i };

		cp_event_queue_put(&queue, i, &event);
	}
	cp_event_queue_ring(&queue);
	for (uint32_t i = 0; i < 3; i++) {
		struct cp_queued *queued = cp_event_queue_next(&queue);

		assert_non_null(queued);
		assert_int_equal(queued->event.ike_id, i);
		free(queued);
	}
	assert_null(cp_event_queue_next(&queue));
	assert_null(cp_event_queue_take(&queue, from_now_ms(60000), &is_rung));
	assert_true(is_rung);
}

static void *write_events(void *argument)
{
	struct cp_event_queue *queue = argument;

	for (uint32_t i = 0; i < EVENTS; i++) {
		const struct cp_event event = { .type = CP_EVENT_IKE_BEGUN, .ike_id = i };

		cp_event_queue_put(queue, (size_t)pthread_self(), &event);
	}
	return NULL;
}

/* Every event of every thread arrives, each thread's in its order. */
static void test_nothing_is_lost_between_threads(void **state)
{
	pthread_t threads[WRITERS];
	uint32_t expected[WRITERS] = { 0 };
	struct cp_event_queue queue;

	(void)state;
	cp_event_queue_init(&queue);
	for (size_t i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_events, &queue), 0);
	for (size_t n = 0; n < WRITERS * EVENTS; n++) {
		bool is_rung;
		struct cp_queued *queued =
			cp_event_queue_take(&queue, from_now_ms(10000), &is_rung);
		size_t writer = 0;

		assert_non_null(queued);
		while (writer < WRITERS && (size_t)threads[writer] != queued->tunnel)
			writer++;
		assert_true(writer < WRITERS);
		assert_int_equal(queued->event.ike_id, expected[writer]++);
		free(queued);
	}
	for (size_t i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deadline_ends_the_wait),
		cmocka_unit_test(test_rings_are_heard_once),
		cmocka_unit_test(test_what_is_there_is_taken_in_a_row),
		cmocka_unit_test(test_nothing_is_lost_between_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
