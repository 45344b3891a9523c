/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions to a host behind a tunnel, and how their answers are known: ICMP echo (RFC 792), and a
 * TCP SYN to a forward's target where echo is filtered (a SYN-ACK or a RST is an answer; a SYN-ACK
 * gets our RST).
 *
 * They come from the inner address. An echo says when and into which tunnel it was sent, under a
 * SipHash with the worker's secret; a SYN has a random sequence number: so a host that did not get
 * the question cannot answer it. Source ports are below those that translation gives, and echo is
 * never translated: no session's packet is mistaken for an answer, nor an answer for a session's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/batch.h"
#include "dataplane/generation.h"

#define DP_PROBE_PORT_FIRST 512u /* 512 ports, in turn: dataplane/portpool.h begins at 1024 */
#define DP_PROBE_PORT_LAST 1023u

/* Queues an echo request into TUNNEL (which is up) to w->answers_inside, which must have room.
 * False: no buffer. Worker only. */
bool dp_probe_send_echo(struct dp_worker *w, uint16_t tunnel, uint32_t target_be);

/* The same, of which only the sending matters: its answer is taken and says nothing. */
bool dp_probe_greet(struct dp_worker *w, uint16_t tunnel, uint32_t host_be);

/* The same with a SYN to the target of a TCP forward. */
bool dp_probe_send_syn(struct dp_worker *w, uint16_t tunnel, const struct dp_forward *forward);

/* Stage, of the ICMP packets out of tunnels: takes echo replies to our probes. Verdict: PROBE. */
void dp_probe_take_echoes(struct dp_worker *w, struct dp_batch *b);

/* Stage, behind dp_nat_forward_in(): takes TCP segments that answer our probes from among what is
 * no session's. Verdict: PROBE. */
void dp_probe_take_segments(struct dp_worker *w, struct dp_batch *b);
