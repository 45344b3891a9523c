/* SPDX-License-Identifier: GPL-2.0-or-later */
/* RST, ICMP errors and echo replies, built in the packet's own buffer. */
#include "dataplane/answer.h"

#include <netinet/in.h>

#include <rte_ether.h>
#include <rte_icmp.h>
#include <rte_tcp.h>

#include "dataplane/ipv4.h"
#include "dataplane/port.h"
#include "dataplane/share.h"
#include "dataplane/wire.h"
#include "dataplane/worker.h"

#define ANSWER_TTL 64
#define RST_LENGTH 40u
#define ICMP_QUOTE_MAX 548 /* with its own headers at most 576 bytes: RFC 1812 section 4.3.2.3 */

enum { ICMP_ECHO_REPLY = 0, ICMP_UNREACHABLE = 3, ICMP_ECHO = 8, ICMP_TIME_EXCEEDED = 11 };
enum { CODE_NET = 0, CODE_PORT = 3, CODE_TOO_BIG = 4, CODE_PROHIBITED = 13 };
enum { CODE_TRANSIT = 0, CODE_REASSEMBLY = 1 };

void dp_answer_queue(struct dp_worker *w, struct rte_mbuf *m, enum dp_port_id port)
{
	struct dp_pkt *a = &w->answers->p[w->answers->n++];

	a->m = m;
	a->l3 = rte_pktmbuf_mtod(m, uint8_t *);
	a->l3_length = m->data_len;
	a->nexthop_be = dp_load32(a->l3 + 16);
	a->environment = DP_NONE_SLOT;
	a->port = port;
	a->flow = NULL;
	a->verdict = DP_OK;
}

void dp_answer_queue_inside(struct dp_worker *w, struct rte_mbuf *m, uint16_t tunnel)
{
	struct dp_pkt *a = &w->answers_inside->p[w->answers_inside->n++];

	a->m = m;
	a->l3 = rte_pktmbuf_mtod(m, uint8_t *);
	a->l3_length = m->data_len;
	a->l3_header = 20;
	a->protocol = a->l3[9];
	a->port = DP_PORT_UPLINK;
	a->tunnel = tunnel;
	a->flow = NULL;
	a->verdict = DP_OK;
}

static void place(struct rte_mbuf *m, const uint8_t *l3, uint16_t length)
{
	m->data_off = (uint16_t)(l3 - (uint8_t *)m->buf_addr);
	m->data_len = length;
	m->pkt_len = length;
}

/* Hands the finished IPv4 packet at L3 to the end of the burst. */
static bool emit(struct dp_worker *w, const struct dp_pkt *p, uint8_t *l3, uint16_t length)
{
	if (w->answers->n == DP_BURST)
		return false;
	place(p->m, l3, length);
	dp_answer_queue(w, p->m, p->port);
	w->answers->p[w->answers->n - 1].environment = p->environment;
	return true;
}

/* The same into the tunnel that the packet came out of. */
static bool emit_inside(struct dp_worker *w, const struct dp_pkt *p, uint8_t *l3, uint16_t length)
{
	if (w->answers_inside->n == DP_BURST)
		return false;
	place(p->m, l3, length);
	dp_answer_queue_inside(w, p->m, p->tunnel);
	w->answers_inside->p[w->answers_inside->n - 1].environment = p->environment;
	return true;
}

/* The RST that the segment's sender takes (RFC 9293 section 3.10.7.1), in its buffer. False: none
 * is due. */
static bool write_rst(const struct dp_pkt *p)
{
	uint8_t *l3 = p->l3, *tcp = l3 + p->l3_header;
	uint32_t source = dp_load32(l3 + 12), destination = dp_load32(l3 + 16);
	uint16_t ports[2] = { dp_load16(tcp), dp_load16(tcp + 2) };
	uint8_t flags = tcp[13], reply_flags;
	uint32_t seq_be, ack_be, length;

	if (flags & RTE_TCP_RST_FLAG)
		return false;
	if (flags & RTE_TCP_ACK_FLAG) {
		seq_be = dp_load32(tcp + 8);
		ack_be = 0;
		reply_flags = RTE_TCP_RST_FLAG;
	} else {
		length = p->l3_length - p->l3_header - (tcp[12] >> 4) * 4u;
		length += !!(flags & RTE_TCP_SYN_FLAG) + !!(flags & RTE_TCP_FIN_FLAG);
		seq_be = 0;
		ack_be = rte_cpu_to_be_32(rte_be_to_cpu_32(dp_load32(tcp + 4)) + length);
		reply_flags = RTE_TCP_RST_FLAG | RTE_TCP_ACK_FLAG;
	}
	tcp = l3 + 20;
	dp_store16(tcp, ports[1]);
	dp_store16(tcp + 2, ports[0]);
	dp_store32(tcp + 4, seq_be);
	dp_store32(tcp + 8, ack_be);
	dp_store32(tcp + 12, rte_cpu_to_be_32(0x50000000u | (uint32_t)reply_flags << 16));
	dp_store32(tcp + 16, 0);
	dp_ipv4_write(l3, RST_LENGTH, ANSWER_TTL, IPPROTO_TCP, destination, source);
	dp_store16(tcp + 16, dp_l4_checksum(l3, tcp, 20, IPPROTO_TCP));
	return true;
}

static bool answer_rst(struct dp_worker *w, struct dp_pkt *p)
{
	if (w->answers->n == DP_BURST || !write_rst(p) || !emit(w, p, p->l3, RST_LENGTH))
		return false;
	w->count->answers_rst++;
	return true;
}

/* A customer's host goes on with a connection that is over here: after a failure or a restart it
 * would else hang until it gives up. Nobody is told who tries to open one. */
static bool reset_inside(struct dp_worker *w, struct dp_pkt *p)
{
	uint32_t inner_be = w->tunnels[p->tunnel].inner_be;

	if (p->protocol != IPPROTO_TCP || dp_load32(p->l3 + 16) != inner_be ||
	    !(p->l3[p->l3_header + 13] & RTE_TCP_ACK_FLAG) || w->answers_inside->n == DP_BURST ||
	    !write_rst(p) || !emit_inside(w, p, p->l3, RST_LENGTH))
		return false;
	w->tunnels[p->tunnel].liveness.probe_packets++; /* nobody answers it */
	w->count->answers_rst++;
	return true;
}

/* The error about the packet, in its buffer; its length is *LENGTH. NULL: none is due. */
static uint8_t *write_error(struct dp_pkt *p, uint8_t type, uint8_t code, uint16_t mtu,
                            uint32_t from_be, uint16_t *length)
{
	uint8_t *quoted = p->l3, *l3, *icmp;
	uint32_t to_be = dp_load32(quoted + 12);
	uint16_t quote = RTE_MIN(p->l3_length, (uint16_t)ICMP_QUOTE_MAX);

	/* never about an ICMP error: RFC 1812 section 4.3.2.7 */
	if (p->protocol == IPPROTO_ICMP && quoted[p->l3_header] != ICMP_ECHO)
		return NULL;
	l3 = quoted - 28;
	if (l3 < (uint8_t *)p->m->buf_addr +
	                 sizeof(struct rte_ether_hdr)) /* dp_nexthop() puts it in front */
		return NULL;
	icmp = l3 + 20;
	icmp[0] = type;
	icmp[1] = code;
	dp_store16(icmp + 2, 0);
	dp_store16(icmp + 4, 0);
	dp_store16(icmp + 6, rte_cpu_to_be_16(mtu));
	dp_store16(icmp + 2, dp_l4_checksum(NULL, icmp, 8u + quote, 0));
	*length = (uint16_t)(28 + quote);
	dp_ipv4_write(l3, *length, ANSWER_TTL, IPPROTO_ICMP, from_be, to_be);
	return l3;
}

static bool answer_icmp(struct dp_worker *w, struct dp_pkt *p, uint8_t type, uint8_t code,
                        uint16_t mtu, uint32_t from_be)
{
	uint16_t length;
	uint8_t *l3 = write_error(p, type, code, mtu, from_be, &length);

	if (!l3 || !emit(w, p, l3, length))
		return false;
	w->count->answers_icmp++;
	return true;
}

/* A customer's host sent a packet that is larger than the cluster's MTU and may not be cut, not all
 * of its fragments, or a segment of no session. */
static bool answer_inside(struct dp_worker *w, struct dp_pkt *p, enum dp_answer answer)
{
	uint32_t inner_be = w->tunnels[p->tunnel].inner_be;
	uint16_t length;
	uint8_t *l3;

	if (answer == DP_ANSWER_REFUSE)
		return reset_inside(w, p);
	if (answer == DP_ANSWER_TOO_BIG)
		l3 = write_error(p, ICMP_UNREACHABLE, CODE_TOO_BIG, p->limit, inner_be, &length);
	else if (dp_load32(p->l3 + 16) == inner_be)
		l3 = write_error(p, ICMP_TIME_EXCEEDED, CODE_REASSEMBLY, 0, inner_be, &length);
	else
		l3 = NULL;

	if (!l3 || !emit_inside(w, p, l3, length))
		return false;
	w->count->answers_icmp++;
	return true;
}

/* Never about a fragment, whose transport header was not looked at (RFC 1812 section 4.3.2.7), but
 * for the first of those that nothing became of. */
static bool may_be_told(const struct dp_pkt *p, enum dp_answer answer)
{
	if (p->flow || dp_ipv4_is_fragment(p->l3) != (answer == DP_ANSWER_REASSEMBLY))
		return false;
	return p->port == DP_PORT_CLUSTER ||
	       (p->tunnel != DP_NONE_SLOT &&
	        (answer == DP_ANSWER_TOO_BIG || answer == DP_ANSWER_REASSEMBLY ||
	         p->verdict == DP_INNER_NO_SESSION));
}

bool dp_answer(struct dp_worker *w, struct dp_pkt *p)
{
	enum dp_answer answer = dp_verdict_answer(p->verdict);
	uint32_t own_be = w->ports[p->port].address_be, called_be = dp_load32(p->l3 + 16);
	struct dp_share *share;
	struct dp_bucket *limit;

	if (!may_be_told(p, answer))
		return false;
	share = dp_share_in(w->shares, p->environment);
	limit = p->port == DP_PORT_CLUSTER ? &share->answers : &share->answers_inside;
	if (!dp_bucket_take(limit, w->now_ns)) {
		w->count->answers_limited++;
		return false;
	}
	if (p->port != DP_PORT_CLUSTER)
		return answer_inside(w, p, answer);
	switch (answer) {
	case DP_ANSWER_REFUSE:
	case DP_ANSWER_UNREACHABLE:
	case DP_ANSWER_PROHIBITED:
		if (p->protocol == IPPROTO_TCP)
			return answer_rst(w, p);
		if (answer == DP_ANSWER_REFUSE)
			return answer_icmp(w, p, ICMP_UNREACHABLE, CODE_PORT, 0, called_be);
		return answer_icmp(w, p, ICMP_UNREACHABLE,
		                   answer == DP_ANSWER_PROHIBITED ? CODE_PROHIBITED : CODE_NET, 0,
		                   own_be);
	case DP_ANSWER_TOO_BIG:
		return answer_icmp(w, p, ICMP_UNREACHABLE, CODE_TOO_BIG, p->limit, own_be);
	case DP_ANSWER_TTL:
		return answer_icmp(w, p, ICMP_TIME_EXCEEDED, CODE_TRANSIT, 0, own_be);
	case DP_ANSWER_REASSEMBLY:
		return answer_icmp(w, p, ICMP_TIME_EXCEEDED, CODE_REASSEMBLY, 0, called_be);
	case DP_ANSWER_NONE:
		break;
	}
	return false;
}

enum dp_verdict dp_answer_echo(struct dp_worker *w, struct dp_pkt *p)
{
	uint8_t *l3 = p->l3, *icmp = l3 + p->l3_header;
	uint16_t length = p->l3_length - p->l3_header;
	uint32_t source = dp_load32(l3 + 12), destination = dp_load32(l3 + 16);

	if (icmp[0] != ICMP_ECHO || icmp[1] != 0 ||
	    dp_checksum_fold(dp_checksum_add(icmp, length, 0)) != 0xffff)
		return DP_NOT_FOR_US;
	if (!dp_bucket_take(&w->echo_limit[p->port], w->now_ns)) {
		w->count->answers_limited++;
		return DP_RATE_LIMITED;
	}
	icmp[0] = ICMP_ECHO_REPLY;
	dp_store16(icmp + 2, 0);
	dp_store16(icmp + 2, dp_l4_checksum(NULL, icmp, length, 0));
	dp_ipv4_write(l3, p->l3_length, ANSWER_TTL, IPPROTO_ICMP, destination, source);
	if (p->l3_length > w->ports[p->port].mtu) /* the request came in fragments, too */
		dp_ipv4_clear_df(l3);
	if (!emit(w, p, l3, p->l3_length))
		return DP_RATE_LIMITED;
	w->count->echo_replies++;
	return DP_TAKEN;
}
