/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a session knows of its TCP connection: state, sequence numbers and windows of both sides,
 * timeouts.
 *
 * Pure functions of a session's two flows and a segment. A segment is refused only where taking it
 * would let a stranger end or confuse the session; the rest is the receiver's business. Worker
 * only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/nat_flow.h"

#define DP_TCP_FIN 0x01u
#define DP_TCP_SYN 0x02u
#define DP_TCP_RST 0x04u
#define DP_TCP_ACK 0x10u
#define DP_TCP_HEADER_MIN 20u /* bytes */

/* struct dp_flow flags: what this side has sent. */
#define DP_TCP_FLOW_FIN 0x01u    /* a FIN within the window; sequence_end is behind it and stays */
#define DP_TCP_FLOW_SCALE 0x02u  /* its SYN carried a window scale */
#define DP_TCP_FLOW_LAST 0x08u   /* its FIN acknowledged the other one: it keeps no TIME-WAIT */
#define DP_TCP_FLOW_OPENER 0x10u /* the session was opened from this side */
#define DP_TCP_FLOW_CHALLENGE \
	0x04u /* it answered a SYN with a mere ACK, whose number is in acknowledged */

/*
 * Seconds without a packet after which a session ends. Partly open and partly closed connections
 * get the transitory timeout (RFC 5382 REQ-5: at least 4 minutes); TIME_WAIT lasts a little over
 * the 60 s of common stacks, and with the sequence numbers checked (RFC 6191) ports return sooner
 * than with the 4 minutes of RFC 793; sooner still where a target's ports run out
 * (dataplane/nat_reclaim.h). RFC 7857 section 2.2 would keep a session 4 minutes behind a RST,
 * because a lost RST leaves the receiver with a stale connection; here what that receiver sends on
 * keeps the session, so the silence may be short.
 */
#define DP_TIMEOUT_TRANSITORY_S 240u
#define DP_TIMEOUT_ESTABLISHED_S 7440u /* RFC 5382 REQ-5: 2 hours 4 minutes */
#define DP_TIMEOUT_TIME_WAIT_S 120u
#define DP_TIMEOUT_CLOSED_S 10u
#define DP_TIMEOUT_UDP_S 300u /* RFC 4787 REQ-5 */
#define DP_TIMEOUT_ECHO_S 60u /* RFC 5508 REQ-2 */

_Static_assert(DP_TIMEOUT_ESTABLISHED_S < DP_FLOW_WHEEL - DP_FLOW_STEP,
               "the wheel is longer than the longest timeout");

static inline uint32_t dp_flow_timeout_s(enum dp_flow_state state)
{
	switch (state) {
	case DP_FLOW_ESTABLISHED:
		return DP_TIMEOUT_ESTABLISHED_S;
	case DP_FLOW_TIME_WAIT:
		return DP_TIMEOUT_TIME_WAIT_S;
	case DP_FLOW_CLOSED:
		return DP_TIMEOUT_CLOSED_S;
	case DP_FLOW_UDP:
		return DP_TIMEOUT_UDP_S;
	case DP_FLOW_ECHO:
		return DP_TIMEOUT_ECHO_S;
	default:
		return DP_TIMEOUT_TRANSITORY_S;
	}
}

struct dp_tcp_segment {
	uint32_t sequence;
	uint32_t acknowledgement;
	uint32_t payload; /* bytes */
	uint16_t window;  /* as it stands there */
	uint8_t flags;
	uint8_t scale; /* of a SYN */
	bool has_scale;
};

enum dp_tcp_verdict {
	DP_TCP_PASS,
	DP_TCP_REFUSE, /* DP_TCP_STATE */
	DP_TCP_REOPEN, /* a SYN for a new connection on a session that is over */
};

/* Reads the TCP header at TCP, of which LENGTH bytes (header and payload, at least 20) are there;
 * the window scale only from a SYN. False: the header is longer than that or shorter than 20 bytes.
 */
bool dp_tcp_read(const uint8_t *tcp, unsigned length, struct dp_tcp_segment *segment);

/* Can this segment open a session? */
static inline bool dp_tcp_is_opening(const struct dp_tcp_segment *s)
{
	return (s->flags & (DP_TCP_SYN | DP_TCP_ACK | DP_TCP_RST | DP_TCP_FIN)) == DP_TCP_SYN;
}

/* First SYN of a session whose flows are otherwise filled in; OPENER is the flow it came on. */
void dp_tcp_open(struct dp_flow *opener, struct dp_flow *answerer,
                 const struct dp_tcp_segment *segment);

/* A segment in the direction of FROM. Sets both flows' state. */
enum dp_tcp_verdict dp_tcp_track(struct dp_flow *from, struct dp_flow *to,
                                 const struct dp_tcp_segment *segment);

/* Offset of the first option other than padding at or behind offset AT of a TCP header of HEADER
 * bytes, or 0. The option is whole: its length byte is valid and it ends within the header. Ends at
 * the first broken one. */
static inline unsigned dp_tcp_option(const uint8_t *tcp, unsigned header, unsigned at)
{
	while (at < header && tcp[at] == 1)
		at++;
	if (at + 2 > header || tcp[at] == 0 || tcp[at + 1] < 2 || at + tcp[at + 1] > header)
		return 0;
	return at;
}

/* An ordinary segment (ACK, neither SYN, FIN nor RST) on an established session, in the direction
 * of F: its flow alone. */
static inline void dp_tcp_track_established(struct dp_flow *f, uint32_t sequence_end,
                                            uint32_t acknowledgement, uint16_t window)
{
	bool is_newer = (int32_t)(acknowledgement - f->acknowledged) >= 0;
	uint32_t scaled = (uint32_t)window << f->scale;

	f->sequence_end =
		(int32_t)(sequence_end - f->sequence_end) > 0 ? sequence_end : f->sequence_end;
	f->acknowledged = is_newer ? acknowledgement : f->acknowledged;
	f->window = is_newer ? scaled : f->window;
}
