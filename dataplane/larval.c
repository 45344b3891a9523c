/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One short list in the order of arrival: it is empty but for moments. */
#include "dataplane/larval.h"

#include <rte_malloc.h>

#include "dataplane/worker.h"

struct held {
	struct rte_mbuf *m;
	uint64_t since_ns;
	uint32_t spi_be;
	uint32_t is_released;
};

struct dp_larval {
	uint32_t n;
	uint32_t released;
	struct held list[DP_LARVAL_MAX];
};

struct dp_larval *dp_larval_create(void)
{
	return rte_zmalloc("larval", sizeof(struct dp_larval), RTE_CACHE_LINE_SIZE);
}

void dp_larval_destroy(struct dp_larval *larval)
{
	if (!larval)
		return;
	for (uint32_t i = 0; i < larval->n; i++)
		rte_pktmbuf_free(larval->list[i].m);
	rte_free(larval);
}

enum dp_verdict dp_larval_hold(struct dp_worker *w, struct dp_pkt *p, uint32_t spi_be)
{
	struct dp_larval *l = w->larval;
	uint32_t same = 0;

	if (l->n == DP_LARVAL_MAX)
		return DP_ESP_NO_KEY;
	for (uint32_t i = 0; i < l->n; i++)
		same += l->list[i].spi_be == spi_be;
	if (same >= DP_LARVAL_PER_SPI)
		return DP_ESP_NO_KEY;
	l->list[l->n++] = (struct held){ .m = p->m, .since_ns = w->now_ns, .spi_be = spi_be };
	w->count->esp_held++;
	return DP_TAKEN;
}

void dp_larval_release(struct dp_worker *w, uint32_t spi_be)
{
	struct dp_larval *l = w->larval;

	for (uint32_t i = 0; i < l->n; i++) {
		if (l->list[i].spi_be != spi_be || l->list[i].is_released)
			continue;
		l->list[i].is_released = 1;
		l->released++;
	}
}

static void drop_old(struct dp_worker *w)
{
	struct dp_larval *l = w->larval;
	uint32_t old = 0;

	while (old < l->n && !l->list[old].is_released &&
	       w->now_ns - l->list[old].since_ns > DP_LARVAL_NS) {
		rte_pktmbuf_free(l->list[old].m);
		w->count->drop[DP_ESP_NO_KEY]++;
		old++;
	}
	if (!old)
		return;
	l->n -= old;
	memmove(l->list, l->list + old, l->n * sizeof(l->list[0]));
}

unsigned dp_larval_take(struct dp_worker *w, struct rte_mbuf **m, unsigned max)
{
	struct dp_larval *l = w->larval;
	uint32_t kept = 0;
	unsigned taken = 0;

	if (likely(l->n == 0))
		return 0;
	if (l->released == 0) {
		drop_old(w);
		return 0;
	}
	for (uint32_t i = 0; i < l->n; i++) {
		if (l->list[i].is_released && taken < max)
			m[taken++] = l->list[i].m;
		else
			l->list[kept++] = l->list[i];
	}
	l->n = kept;
	l->released -= taken;
	return taken;
}
