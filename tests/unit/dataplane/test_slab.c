/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Objects beside each other, and what becomes of chunks. */
#include "dataplane/slab.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <rte_malloc.h>

#include "tests/unit/dataplane/link_world.h"
#include "tests/unit/dataplane/nat_packet.h"

#define BYTES 1300u
#define EACH 1408u /* up to the next pair of lines */
#define COUNT 200u /* of several chunks */

static size_t heap_bytes(void)
{
	struct rte_malloc_socket_stats stats;
	size_t sum = 0;

	for (int i = 0; i < RTE_MAX_NUMA_NODES; i++)
		if (rte_malloc_get_socket_stats(i, &stats) == 0)
			sum += stats.heap_allocsz_bytes;
	return sum;
}

static bool is_zero(const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (bytes[i])
			return false;
	return true;
}

static void take_all(struct dp_slab *slab, uint8_t **objects)
{
	for (unsigned i = 0; i < COUNT; i++) {
		objects[i] = dp_slab_take(slab);
		assert_non_null(objects[i]);
		assert_int_equal((uintptr_t)objects[i] % 128, 0);
		assert_true(is_zero(objects[i], EACH));
		memset(objects[i], (int)i + 1, EACH);
	}
}

static void are_dense_and_apart(void **state)
{
	uint8_t *objects[COUNT];
	struct dp_slab *slab;
	size_t before;

	(void)state;
	assert_int_equal(dp_slab_create(&slab, BYTES, SOCKET_ID_ANY), 0);
	before = heap_bytes();
	take_all(slab, objects);
	assert_true(heap_bytes() - before <= (COUNT + 46) * dp_slab_bytes(BYTES));
	assert_true(dp_slab_bytes(BYTES) >= EACH && dp_slab_bytes(BYTES) < EACH + EACH / 32);
	assert_ptr_equal(objects[1], objects[0] + EACH);
	for (unsigned i = 0; i < COUNT; i++)
		for (unsigned k = 0; k < EACH; k++)
			assert_int_equal(objects[i][k], (uint8_t)(i + 1));
	dp_slab_destroy(slab);
	assert_true(heap_bytes() < before);
}

/* In another order than they were taken, twice over; the second time what was given back comes
 * again, wiped. */
static void come_again_wiped(void **state)
{
	uint8_t *objects[COUNT];
	struct dp_slab *slab;
	size_t before, full;

	(void)state;
	assert_int_equal(dp_slab_create(&slab, BYTES, SOCKET_ID_ANY), 0);
	before = heap_bytes();
	take_all(slab, objects);
	full = heap_bytes();
	for (unsigned i = 0; i < COUNT; i += 2)
		dp_slab_give_back(objects[i]);
	assert_int_equal(heap_bytes(), full);
	for (unsigned i = 0; i < COUNT; i += 2) {
		objects[i] = dp_slab_take(slab);
		assert_true(is_zero(objects[i], EACH));
	}
	assert_int_equal(heap_bytes(), full);
	for (unsigned i = 0; i < COUNT; i++) /* 7 has no divisor in common with COUNT */
		dp_slab_give_back(objects[i * 7 % COUNT]);
	assert_int_equal(heap_bytes(), before); /* no chunk is kept */
	take_all(slab, objects);
	dp_slab_wipe(objects[3]);
	assert_true(is_zero(objects[3], EACH));
	assert_int_equal(objects[4][0], 5);
	dp_slab_destroy(slab);
}

static void knows_its_limits(void **state)
{
	struct dp_slab *slab = NULL;

	(void)state;
	assert_int_equal(dp_slab_create(&slab, 0, SOCKET_ID_ANY), -EINVAL);
	assert_int_equal(dp_slab_create(&slab, 65536, SOCKET_ID_ANY), -EINVAL);
	assert_int_equal(dp_slab_create(&slab, 60000, SOCKET_ID_ANY), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_non_null(dp_slab_take(slab));
	dp_slab_destroy(slab);
	dp_slab_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(are_dense_and_apart),
		cmocka_unit_test(come_again_wiped),
		cmocka_unit_test(knows_its_limits),
	};

	return cmocka_run_group_tests_name("slab", tests, link_eal, NULL);
}
