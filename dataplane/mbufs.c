/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages: as rte_pktmbuf_pool_create(), which takes neither flags nor memory. */
#include "dataplane/mbufs.h"

#include <stdbool.h>
#include <unistd.h>

#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_memzone.h>

#define NAME "mbufs"
#define CACHE 256u                    /* buffers that a core keeps for itself */
#define PAGES RTE_MEMPOOL_F_NO_SPREAD /* nothing between the buffers */

static size_t page_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

uint16_t dp_mbufs_page_room(void)
{
	uint32_t around = rte_mempool_calc_obj_size(sizeof(struct rte_mbuf), PAGES, NULL);

	return (uint16_t)RTE_MIN(page_bytes() - around, (size_t)UINT16_MAX);
}

static bool populate(struct rte_mempool *pool, uint32_t count)
{
	size_t page = page_bytes(), bytes = count * page;
	const struct rte_memzone *zone =
		rte_memzone_reserve_aligned(NAME "_pages", bytes, SOCKET_ID_ANY, 0, (unsigned)page);

	return zone &&
	       rte_mempool_populate_virt(pool, zone->addr, bytes, page, NULL, NULL) == (int)count;
}

static struct rte_mempool *create_pages(uint32_t count)
{
	struct rte_pktmbuf_pool_private private = { .mbuf_data_room_size = dp_mbufs_page_room() };
	unsigned bytes = (unsigned)sizeof(struct rte_mbuf) + private.mbuf_data_room_size;
	struct rte_mempool *pool = rte_mempool_create_empty(NAME, count, bytes, CACHE,
	                                                    sizeof(private), SOCKET_ID_ANY, PAGES);

	if (!pool)
		return NULL;
	rte_pktmbuf_pool_init(pool, &private);
	if (rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), NULL) != 0 ||
	    !populate(pool, count)) {
		rte_mempool_free(pool);
		return NULL;
	}
	rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
	return pool;
}

struct rte_mempool *dp_mbufs_create(uint32_t count, uint16_t room)
{
	if (room == dp_mbufs_page_room())
		return create_pages(count);
	return rte_pktmbuf_pool_create(NAME, count, CACHE, 0, room, SOCKET_ID_ANY);
}
