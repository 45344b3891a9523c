/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tells a sender in the cluster why its packet was refused: TCP RST (RFC 9293 section 3.10.7) or
 * ICMP error (RFC 792, RFC 1812 section 4.3), so that nobody hangs.
 */
#pragma once

#include <stdbool.h>

#include "dataplane/batch.h"

/*
 * Turns the packet, still as the sender sent it, into the answer its verdict asks for (verdict.h)
 * and appends it to w->answers; about one out of a tunnel only "fragmentation needed", "fragment
 * reassembly time exceeded", and a RST to a TCP segment with ACK that is no session's, into the
 * tunnel (w->answers_inside). True: the mbuf is taken. False: no answer is due (the packet came
 * from the uplink otherwise or was rewritten already, is itself a RST or ICMP error, or answers are
 * over their rate limit) and the caller keeps the mbuf. Worker only.
 */
bool dp_answer(struct dp_worker *w, struct dp_pkt *p);

/* Answers an ICMP echo request in place: DP_TAKEN, DP_RATE_LIMITED, or DP_NOT_FOR_US for every
 * other ICMP. RFC 1812 section 4.3.3.6. */
enum dp_verdict dp_answer_echo(struct dp_worker *w, struct dp_pkt *p);

/* Queues a finished IPv4 packet (data starts at its header) to its destination through PORT, at the
 * end of the burst; cut to pieces there if it is larger than the port's MTU and has DF clear. There
 * must be room: w->answers->n < DP_BURST. Worker only. */
void dp_answer_queue(struct dp_worker *w, struct rte_mbuf *m, enum dp_port_id port);

/* The same into a tunnel: room in w->answers_inside. */
void dp_answer_queue_inside(struct dp_worker *w, struct rte_mbuf *m, uint16_t tunnel);
