/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The packet's way, top to bottom (docs/packet-path.md draws it).
 *
 * A stage sets verdicts; dp_batch_compact() behind it ends the way of those that do not go on:
 * counted by reason, answered where the sender in the cluster should know, freed. A new step is a
 * new line here and a stage in a module of its own.
 */
#include "dataplane/path.h"

#include "dataplane/esp_in.h"
#include "dataplane/esp_out.h"
#include "dataplane/fragment.h"
#include "dataplane/handoff.h"
#include "dataplane/local.h"
#include "dataplane/nat_forward.h"
#include "dataplane/nat_icmp.h"
#include "dataplane/nexthop.h"
#include "dataplane/parse.h"
#include "dataplane/port.h"
#include "dataplane/reassembly.h"
#include "dataplane/worker.h"

typedef void (*stage_fn)(struct dp_worker *w, struct dp_batch *b);

static inline void run(struct dp_worker *w, struct dp_batch *b, stage_fn stage)
{
	stage(w, b);
	dp_batch_compact(w, b);
}

/* The end of every way out. */
static void leave(struct dp_worker *w, struct dp_batch *b)
{
	run(w, b, dp_nexthop);
	dp_port_transmit(w, b);
}

/* The rest of the way of what fits its tunnel. */
static void into_tunnel(struct dp_worker *w, struct dp_batch *b)
{
	/* the tunnel's SA: outer headers, sequence number, padding */
	run(w, b, dp_esp_out_encapsulate);
	run(w, b, dp_esp_out_encrypt); /* whole burst */
	leave(w, b);
}

/* Cluster to customer: a service called a forward of its environment. */
static void forward_out(struct dp_worker *w, struct dp_batch *b)
{
	struct dp_batch errors, pieces;
	struct dp_oversized oversized;

	run(w, b, dp_reassemble_cluster); /* fragments wait; whole datagrams go on */
	dp_nat_icmp_split(w, b, &errors);
	dp_batch_compact(w, b);
	run(w, &errors, dp_local_echo); /* requests that came in fragments */
	/* session; DNAT to the target, SNAT to the tunnel's inner address */
	run(w, b, dp_nat_forward_out);
	dp_fragment_for_tunnel(w, b, &oversized);
	dp_batch_compact(w, b);
	into_tunnel(w, b);
	while (dp_fragment_next(w, &oversized, &pieces))
		into_tunnel(w, &pieces);
	run(w, &errors, dp_nat_icmp_out); /* about a reply: quoted as its sender knows it */
	into_tunnel(w, &errors);
}

/* Customer to cluster: a reply out of a tunnel. */
static void forward_in(struct dp_worker *w, struct dp_batch *b)
{
	struct dp_batch errors, pieces;
	struct dp_oversized oversized;

	run(w, b, dp_esp_in_lookup);    /* SPI to SA; peer; replay window */
	run(w, b, dp_esp_in_decrypt);   /* whole burst; ICV, replay commit, the inner header */
	run(w, b, dp_reassemble_inner); /* fragments wait; whole datagrams go on */
	dp_nat_icmp_split(w, b, &errors);
	dp_batch_compact(w, b);
	/* a session of this tunnel's environment; back to the client */
	run(w, b, dp_nat_forward_in);
	dp_fragment_for_port(w, b, &oversized);
	dp_batch_compact(w, b);
	leave(w, b);
	while (dp_fragment_next(w, &oversized, &pieces))
		leave(w, &pieces);
	run(w, &errors, dp_nat_icmp_in); /* about a request: quoted as the client knows it */
	leave(w, &errors);
}

static void local(struct dp_worker *w, struct dp_batch *b)
{
	run(w, b, dp_local); /* ARP, echo, IKE; everything else has its verdict */
}

/* Fragments of servers' packets: what is whole begins again as a frame; its home may be another
 * worker. */
static void gather(struct dp_worker *w, struct dp_batch *b)
{
	struct dp_batch esp, fragments, rest;
	struct rte_mbuf *whole[DP_BURST];
	unsigned n = 0;

	run(w, b, dp_handoff_fragment); /* one worker per server */
	run(w, b, dp_reassemble_outer);
	while (n < b->n) {
		whole[n] = b->p[n].m;
		n++;
	}
	esp.n = fragments.n = rest.n = 0;
	dp_parse_uplink(w, whole, n, &esp, &fragments, &rest);
	run(w, &esp, dp_handoff_esp);
	forward_in(w, &esp);
	local(w, &rest);
}

static inline void from_cluster(struct dp_worker *w, struct rte_mbuf **m, unsigned n,
                                stage_fn to_home)
{
	struct dp_batch forward, rest;

	forward.n = rest.n = 0;
	dp_parse_cluster(w, m, n, &forward, &rest);
	run(w, &forward, to_home);
	forward_out(w, &forward);
	local(w, &rest);
}

static inline void from_uplink(struct dp_worker *w, struct rte_mbuf **m, unsigned n,
                               stage_fn to_home)
{
	struct dp_batch esp, fragments, rest;

	esp.n = fragments.n = rest.n = 0;
	dp_parse_uplink(w, m, n, &esp, &fragments, &rest);
	run(w, &esp, to_home);
	forward_in(w, &esp);
	local(w, &rest);
	if (unlikely(fragments.n))
		gather(w, &fragments);
}

void dp_path_received(struct dp_worker *w, enum dp_port_id port, struct rte_mbuf **m, unsigned n)
{
	if (port == DP_PORT_CLUSTER)
		from_cluster(w, m, n, dp_handoff_forward);
	else
		from_uplink(w, m, n, dp_handoff_esp);
}

void dp_path_handed(struct dp_worker *w, enum dp_port_id port, struct rte_mbuf **m, unsigned n)
{
	if (port == DP_PORT_CLUSTER)
		from_cluster(w, m, n, dp_handoff_forward_final);
	else
		from_uplink(w, m, n, dp_handoff_esp_final);
}

void dp_path_answers(struct dp_worker *w)
{
	struct dp_oversized oversized;
	struct dp_batch pieces;

	dp_fragment_for_port(w, w->answers, &oversized);
	dp_batch_compact(w, w->answers);
	leave(w, w->answers);
	while (dp_fragment_next(w, &oversized, &pieces))
		leave(w, &pieces);
	into_tunnel(w, w->answers_inside);
}
