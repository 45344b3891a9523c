/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where buffers lie: as net_af_xdp takes for granted. */
#include "dataplane/mbufs.h"

#include <unistd.h>

#include <rte_mbuf.h>

#include "tests/unit/dataplane/link_world.h"
#include "tests/unit/dataplane/nat_packet.h"

#define COUNT 3000u

/* Its arithmetic: from the page of the first chunk, buffers * bytes of one. */
static void lie_in_what_the_driver_registers(void **state)
{
	struct rte_mempool *pool = dp_mbufs_create(COUNT, dp_mbufs_page_room());
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct rte_mbuf *m[COUNT];
	uint32_t each;
	uintptr_t base;

	(void)state;
	assert_non_null(pool);
	each = rte_mempool_calc_obj_size(pool->elt_size, pool->flags, NULL);
	base = (uintptr_t)STAILQ_FIRST(&pool->mem_list)->addr;
	assert_int_equal(each, page);
	assert_int_equal(base % page, 0);
	assert_int_equal(pool->populated_size, COUNT);
	assert_int_equal(rte_pktmbuf_alloc_bulk(pool, m, COUNT), 0);
	for (unsigned i = 0; i < COUNT; i++) {
		uintptr_t from = (uintptr_t)m[i] - pool->header_size;

		assert_true(from >= base && from + each <= base + (uintptr_t)COUNT * each);
		assert_int_equal(from % page, 0);
		assert_int_equal(m[i]->buf_len, dp_mbufs_page_room());
		assert_true((uintptr_t)m[i]->buf_addr + m[i]->buf_len <= from + page);
	}
	rte_pktmbuf_free_bulk(m, COUNT);
	assert_int_equal(rte_mempool_avail_count(pool), COUNT);
}

static void needs_memory(void **state)
{
	(void)state;
	assert_null(dp_mbufs_create(1u << 20, dp_mbufs_page_room()));
	assert_null(dp_mbufs_create(1u << 20, RTE_MBUF_DEFAULT_BUF_SIZE));
}

static void are_as_large_as_asked(void **state)
{
	struct rte_mempool *pool;

	(void)state;
	rte_mempool_free(rte_mempool_lookup("mbufs"));
	pool = dp_mbufs_create(1000, 9000);
	assert_non_null(pool);
	assert_int_equal(rte_pktmbuf_data_room_size(pool), 9000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(needs_memory),
		cmocka_unit_test(lie_in_what_the_driver_registers),
		cmocka_unit_test(are_as_large_as_asked),
	};

	return cmocka_run_group_tests_name("mbufs", tests, link_eal, NULL);
}
