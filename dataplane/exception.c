/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of flows that end here, and the way of their packets to the control thread. */
#include "dataplane/exception.h"

#include <errno.h>
#include <netinet/in.h>

#include <rte_malloc.h>

#include "dataplane/icmp_quote.h"
#include "dataplane/wire.h"
#include "dataplane/worker.h"

#define WAITING 1024u /* packets; the control thread comes by each millisecond */

int dp_exception_create(struct dp_exception **exception)
{
	struct dp_exception *e = rte_zmalloc("exception", sizeof(*e), RTE_CACHE_LINE_SIZE);

	if (!e)
		return -ENOMEM;
	e->in = rte_ring_create("exception", WAITING, SOCKET_ID_ANY, RING_F_SC_DEQ);
	if (!e->in) {
		rte_free(e);
		return -ENOMEM;
	}
	*exception = e;
	return 0;
}

void dp_exception_destroy(struct dp_exception *e)
{
	struct rte_mbuf *m;

	if (!e)
		return;
	while (rte_ring_dequeue(e->in, (void **)&m) == 0)
		rte_pktmbuf_free(m);
	rte_ring_free(e->in);
	rte_free(e);
}

void dp_exception_set(struct dp_exception *e, uint16_t local_port_be, uint64_t remote)
{
	const uint64_t bit = UINT64_C(1) << (local_port_be % 64);
	const uint64_t old = atomic_load(&e->remotes[local_port_be]);

	atomic_store(&e->remotes[local_port_be], remote);
	if (remote)
		atomic_fetch_or(&e->ports[local_port_be / 64], bit);
	else
		atomic_fetch_and(&e->ports[local_port_be / 64], ~bit);
	if (!old && remote)
		atomic_fetch_add(&e->count, 1);
	else if (old && !remote)
		atomic_fetch_sub(&e->count, 1);
}

bool dp_exception_is_quoted(const struct dp_exception *e, uint32_t own_be, const uint8_t *icmp,
                            unsigned room)
{
	const uint8_t *quote = icmp + DP_ICMP_HEADER, *tcp = quote + DP_IPV4_HEADER;

	return room >= DP_ICMP_HEADER + DP_ICMP_QUOTE_LEAST && quote[0] == 0x45 &&
	       quote[9] == IPPROTO_TCP && dp_load32(quote + 12) == own_be &&
	       dp_exception_has(e, dp_load32(quote + 16), dp_load16(tcp + 2), dp_load16(tcp));
}

enum dp_verdict dp_exception_punt(struct dp_worker *w, struct dp_pkt *p)
{
	if (!dp_bucket_take(&w->exception_limit, w->now_ns))
		return DP_RATE_LIMITED;
	rte_pktmbuf_adj(p->m, (uint16_t)(p->l3 - rte_pktmbuf_mtod(p->m, uint8_t *)));
	return rte_ring_enqueue(w->exception->in, p->m) == 0 ? DP_TAKEN : DP_EXCEPTION_QUEUE_FULL;
}
