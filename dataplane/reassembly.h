/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fragments become datagrams again (RFC 791 section 3.2), each kind by itself: those of pods for an
 * environment, those that came out of a tunnel, and those of the servers' own packets (ESP, IKE).
 *
 * A datagram's fragments all come to one worker and wait there in their own buffers, at most
 * DP_REASSEMBLY_SECONDS. That is less than the 60 s that RFC 1122 section 3.3.2 wants of hosts:
 * what is late by seconds was given up by its sender, and a short time keeps a reused
 * identification from meeting an old fragment (RFC 4963). Any overlap refuses the datagram (RFC
 * 5722 says so of IPv6, RFC 1858 and 3128 why), and so does a first fragment without its whole
 * transport header; what still comes of a refused one is refused too. The whole datagram is linear,
 * with DF clear: it may be fragmented again.
 */
#pragma once

#include <stdint.h>

#include "dataplane/batch.h"

#define DP_REASSEMBLY_SECONDS 15u
#define DP_REASSEMBLY_DATAGRAMS 256u /* of a worker */
#define DP_REASSEMBLY_BUFFERS 1024u
#define DP_REASSEMBLY_SCOPE_DATAGRAMS \
	64u /* of an environment, or of the servers in one of 64 classes */
#define DP_REASSEMBLY_SCOPE_BUFFERS 256u
#define DP_DATAGRAM_BUFFERS                                                  \
	64u /* whole datagrams that no ordinary buffer holds, of all workers \
	     */

struct dp_reassembly;

/* For one worker. Returns 0 or -ENOMEM. Control thread. */
int dp_reassembly_create(struct dp_reassembly **reassembly, uint64_t seed, int socket);
/* Frees what waits, too. */
void dp_reassembly_destroy(struct dp_reassembly *r);

/*
 * The stages: what is no fragment is left alone; a fragment is kept (DP_TAKEN) or refused; with a
 * datagram's last missing one the packet becomes the whole datagram, its transport header checked
 * as the parser does.
 */

/* Packets from the cluster to environments that are at home here. */
void dp_reassemble_cluster(struct dp_worker *w, struct dp_batch *b);
/* Packets out of tunnels: environment and tunnel are part of the key. */
void dp_reassemble_inner(struct dp_worker *w, struct dp_batch *b);
/* Fragments of servers, gathered here; a whole one is a frame to be parsed, its Ethernet header
 * that of the first to come. */
void dp_reassemble_outer(struct dp_worker *w, struct dp_batch *b);

/* Egress, whose remote address this worker owns: a pod's fragments count for its environment;
 * strangers' have the limits of one. Their oldest make way for what is new, and where all places
 * are taken for anybody's. */
void dp_reassemble_egress_out(struct dp_worker *w, struct dp_batch *b);
void dp_reassemble_egress_in(struct dp_worker *w, struct dp_batch *b);

/* Gives up datagrams that have waited too long, at most BUDGET of them; once per loop. Their
 * senders are told, in the cluster and inside tunnels, if the first fragment has come. */
void dp_reassembly_expire(struct dp_worker *w, unsigned budget);

/* Gives up what came for the environment from the cluster (TUNNEL: DP_NONE_SLOT) or out of its
 * tunnel, before their slots become somebody else's. Worker only. */
void dp_reassembly_forget(struct dp_worker *w, uint16_t environment, uint16_t tunnel);
