/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TCP tracking: the segments that change a session's state.
 */
#include "dataplane/tcp_track.h"

#include <rte_byteorder.h>

#define OPTION_WINDOW_SCALE 3u
#define WINDOW_SCALE_MAX 14u /* RFC 7323 section 2.3 */

static uint16_t load16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, 2);
	return rte_be_to_cpu_16(v);
}

static uint32_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return rte_be_to_cpu_32(v);
}

/* Is A before B? RFC 9293 section 3.4. */
static bool is_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static bool is_opener(const struct dp_flow *f)
{
	return f->flags & DP_TCP_FLOW_OPENER;
}

static void set_state(struct dp_flow *from, struct dp_flow *to, enum dp_flow_state state)
{
	from->state = to->state = (uint8_t)state;
}

static bool is_between(uint32_t first, uint32_t x, uint32_t last)
{
	return !is_before(x, first) && !is_before(last, x);
}

/* Does ACK acknowledge the SYN of a session that is not answered? Its initial number + 1 is in
 * acknowledged meanwhile. */
static bool answers_syn(const struct dp_flow *outward, uint32_t ack)
{
	return is_between(outward->acknowledged, ack, outward->sequence_end);
}

/* What TO's side would take next, as far as was seen: never behind what FROM's side has sent, or a
 * forged acknowledgement could move it away. */
static uint32_t expected(const struct dp_flow *from, const struct dp_flow *to)
{
	return is_before(from->sequence_end, to->acknowledged) ? from->sequence_end
	                                                       : to->acknowledged;
}

static bool is_in_window(const struct dp_flow *from, const struct dp_flow *to, uint32_t sequence)
{
	uint32_t next = expected(from, to);

	return sequence - next <= to->acknowledged + to->window - next;
}

bool dp_tcp_read(const uint8_t *tcp, unsigned length, struct dp_tcp_segment *s)
{
	unsigned header = (tcp[12] >> 4) * 4u;

	if (header < DP_TCP_HEADER_MIN || header > length)
		return false;
	s->sequence = load32(tcp + 4);
	s->acknowledgement = load32(tcp + 8);
	s->flags = tcp[13];
	s->window = load16(tcp + 14);
	s->payload = length - header;
	s->scale = 0;
	s->has_scale = false;
	if (!(s->flags & DP_TCP_SYN))
		return true;
	for (unsigned at = dp_tcp_option(tcp, header, DP_TCP_HEADER_MIN); at;
	     at = dp_tcp_option(tcp, header, at + tcp[at + 1])) {
		if (tcp[at] != OPTION_WINDOW_SCALE || tcp[at + 1] != 3)
			continue;
		s->has_scale = true;
		s->scale = tcp[at + 2] > WINDOW_SCALE_MAX ? WINDOW_SCALE_MAX : tcp[at + 2];
	}
	return true;
}

void dp_tcp_open(struct dp_flow *opener, struct dp_flow *answerer, const struct dp_tcp_segment *s)
{
	opener->sequence_end = s->sequence + 1 + s->payload;
	opener->acknowledged = s->sequence + 1; /* for answers_syn(), until the SYN-ACK */
	opener->window = s->window;
	opener->scale = s->scale;
	opener->flags = DP_TCP_FLOW_OPENER | (s->has_scale ? DP_TCP_FLOW_SCALE : 0);
	answerer->sequence_end = 0;
	answerer->acknowledged = 0;
	answerer->window = 0;
	answerer->scale = 0;
	answerer->flags = 0;
	set_state(opener, answerer, DP_FLOW_OPENING);
}

static enum dp_tcp_verdict track_syn(struct dp_flow *from, struct dp_flow *to,
                                     const struct dp_tcp_segment *s)
{
	if (!is_opener(from))
		return DP_TCP_REFUSE; /* nobody opens a session from its other end */
	switch (from->state) {
	case DP_FLOW_OPENING:
		dp_tcp_open(from, to, s);
		return DP_TCP_PASS;
	case DP_FLOW_TIME_WAIT: /* RFC 6191 section 2, without timestamps */
		return is_before(from->sequence_end, s->sequence) ? DP_TCP_REOPEN : DP_TCP_REFUSE;
	case DP_FLOW_CLOSED:
		return DP_TCP_REOPEN;
	default: /* a retransmission, or the target challenges it: RFC 5961 section 4 */
		return DP_TCP_PASS;
	}
}

static enum dp_tcp_verdict track_syn_ack(struct dp_flow *from, struct dp_flow *to,
                                         const struct dp_tcp_segment *s)
{
	if (is_opener(from))
		return DP_TCP_REFUSE;
	if (from->state != DP_FLOW_OPENING)
		return DP_TCP_PASS; /* a retransmission */
	from->acknowledged = s->acknowledgement;
	if (!answers_syn(to, s->acknowledgement)) {
		from->flags |= DP_TCP_FLOW_CHALLENGE;
		return DP_TCP_PASS; /* the client will answer with a RST */
	}
	from->sequence_end = s->sequence + 1 + s->payload;
	from->window = s->window; /* never scaled in a SYN: RFC 7323 section 2.2 */
	from->flags = 0;
	if (s->has_scale && (to->flags & DP_TCP_FLOW_SCALE)) {
		from->flags = DP_TCP_FLOW_SCALE;
		from->scale = s->scale;
	} else { /* both or none: RFC 7323 section 2.2 */
		to->scale = 0;
	}
	to->acknowledged = s->sequence + 1; /* what the client will take next */
	set_state(from, to, DP_FLOW_ANSWERED);
	return DP_TCP_PASS;
}

/* RFC 9293 section 3.10.7.3: in SYN-SENT a RST counts if it acknowledges the SYN. */
static enum dp_tcp_verdict track_rst_opening(struct dp_flow *from, struct dp_flow *to,
                                             const struct dp_tcp_segment *s)
{
	if (!is_opener(from)) {
		if (!(s->flags & DP_TCP_ACK) || !answers_syn(to, s->acknowledgement))
			return DP_TCP_REFUSE;
		set_state(from, to, DP_FLOW_CLOSED);
		return DP_TCP_PASS;
	}
	/* RFC 9293 section 3.5.1: the client's answer to the ACK of a connection that the target
	 * still remembers */
	if ((to->flags & DP_TCP_FLOW_CHALLENGE) && s->sequence == to->acknowledged)
		return DP_TCP_PASS;
	if (!answers_syn(from, s->sequence))
		return DP_TCP_REFUSE;
	set_state(from, to, DP_FLOW_CLOSED);
	return DP_TCP_PASS;
}

/* RFC 5961 section 3.2: outside the window it is dropped; the receiver takes the exact number and
 * challenges others. */
static enum dp_tcp_verdict track_rst(struct dp_flow *from, struct dp_flow *to,
                                     const struct dp_tcp_segment *s)
{
	if (from->state == DP_FLOW_OPENING)
		return track_rst_opening(from, to, s);
	if (!is_in_window(from, to, s->sequence))
		return DP_TCP_REFUSE;
	if (s->sequence == to->acknowledged || s->sequence == from->sequence_end)
		set_state(from, to, DP_FLOW_CLOSED);
	return DP_TCP_PASS;
}

static bool is_fin_acknowledged(const struct dp_flow *from, const struct dp_flow *to)
{
	return (from->flags & DP_TCP_FLOW_FIN) && !is_before(to->acknowledged, from->sequence_end);
}

static void note_fin(struct dp_flow *from, struct dp_flow *to, const struct dp_tcp_segment *s)
{
	uint32_t fin = s->sequence + s->payload;

	if ((from->flags & DP_TCP_FLOW_FIN) || !is_in_window(from, to, fin))
		return;
	from->flags |= DP_TCP_FLOW_FIN;
	if (is_fin_acknowledged(to, from))
		from->flags |= DP_TCP_FLOW_LAST;
	from->sequence_end = fin + 1;
	set_state(from, to, DP_FLOW_CLOSING);
}

static void advance(struct dp_flow *from, struct dp_flow *to, const struct dp_tcp_segment *s)
{
	uint32_t end = s->sequence + s->payload;

	if (from->flags & DP_TCP_FLOW_FIN)
		end = from->sequence_end;
	dp_tcp_track_established(from, end, s->acknowledgement, s->window);
	if (s->flags & DP_TCP_FIN)
		note_fin(from, to, s);
	if (is_fin_acknowledged(from, to) && is_fin_acknowledged(to, from))
		set_state(from, to, DP_FLOW_TIME_WAIT);
}

static enum dp_tcp_verdict track_ack(struct dp_flow *from, struct dp_flow *to,
                                     const struct dp_tcp_segment *s)
{
	bool is_from_opener = is_opener(from);

	switch (from->state) {
	case DP_FLOW_OPENING:
		if (is_from_opener)
			return DP_TCP_REFUSE;
		from->acknowledged = s->acknowledgement;
		from->flags |= DP_TCP_FLOW_CHALLENGE;
		return DP_TCP_PASS;
	case DP_FLOW_ANSWERED:
		if (is_from_opener) { /* acknowledged holds the target's initial number + 1 until
			               * here
			               */
			if (!is_between(from->acknowledged, s->acknowledgement, to->sequence_end))
				return DP_TCP_PASS;
			set_state(from, to, DP_FLOW_ESTABLISHED);
		}
		advance(from, to, s);
		return DP_TCP_PASS;
	case DP_FLOW_ESTABLISHED:
	case DP_FLOW_CLOSING:
		advance(from, to, s);
		return DP_TCP_PASS;
	default:
		return DP_TCP_PASS; /* over: the last acknowledgements and retransmissions */
	}
}

enum dp_tcp_verdict dp_tcp_track(struct dp_flow *from, struct dp_flow *to,
                                 const struct dp_tcp_segment *s)
{
	switch (s->flags & (DP_TCP_SYN | DP_TCP_ACK | DP_TCP_RST | DP_TCP_FIN)) {
	case DP_TCP_SYN:
		return track_syn(from, to, s);
	case DP_TCP_SYN | DP_TCP_ACK:
		return track_syn_ack(from, to, s);
	case DP_TCP_RST:
	case DP_TCP_RST | DP_TCP_ACK:
		return track_rst(from, to, s);
	case DP_TCP_ACK:
	case DP_TCP_ACK | DP_TCP_FIN:
		return track_ack(from, to, s);
	default: /* no connection has these */
		return DP_TCP_REFUSE;
	}
}
