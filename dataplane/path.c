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
#include "dataplane/nat_echo.h"
#include "dataplane/nat_egress.h"
#include "dataplane/nat_forward.h"
#include "dataplane/nat_icmp.h"
#include "dataplane/nat_inbound.h"
#include "dataplane/nexthop.h"
#include "dataplane/ovpn_in.h"
#include "dataplane/ovpn_out.h"
#include "dataplane/ovpn_stream.h"
#include "dataplane/parse.h"
#include "dataplane/port.h"
#include "dataplane/probe.h"
#include "dataplane/rate.h"
#include "dataplane/reassembly.h"
#include "dataplane/sa_table.h"
#include "dataplane/worker.h"

typedef void (*stage_fn)(struct dp_worker *w, struct dp_batch *b);

static inline void run(struct dp_worker *w, struct dp_batch *b, stage_fn stage)
{
	if (b->n == 0)
		return;
	stage(w, b);
	dp_batch_compact(w, b);
}

/* Whether an environment has a limit; where none has, its stages have nothing to do. */
static inline bool has_rates(const struct dp_worker *w)
{
	return w->generation && w->generation->has_rates;
}

/* The end of every way out. */
static void leave(struct dp_worker *w, struct dp_batch *b)
{
	run(w, b, dp_nexthop);
	dp_port_transmit(w, b);
}

/* The same for what may have to be cut for its port. */
static void leave_in_pieces(struct dp_worker *w, struct dp_batch *b)
{
	struct dp_oversized oversized;
	struct dp_batch pieces;

	dp_fragment_for_port(w, b, &oversized);
	dp_batch_compact(w, b);
	leave(w, b);
	while (dp_fragment_next(w, &oversized, &pieces))
		leave(w, &pieces);
}

static void into_openvpn(struct dp_worker *w, struct dp_batch *b)
{
	/* the tunnel's key: outer headers, number, framing */
	run(w, b, dp_ovpn_out_encapsulate);
	run(w, b, dp_ovpn_out_seal); /* whole burst */
	if (unlikely(w->sas->stream_out))
		run(w, b, dp_ovpn_stream_take); /* over TCP: not by the uplink */
	leave(w, b);
}

static void into_ipsec(struct dp_worker *w, struct dp_batch *b)
{
	/* the tunnel's SA: outer headers, sequence number, padding */
	run(w, b, dp_esp_out_encapsulate);
	run(w, b, dp_esp_out_encrypt); /* whole burst */
	leave(w, b);
}

/* Of both protocols, or of OpenVPN. */
static void into_either(struct dp_worker *w, struct dp_batch *b)
{
	struct dp_batch openvpn;
	unsigned count = dp_ovpn_out_count(w, b);

	if (count == b->n) {
		into_openvpn(w, b);
		return;
	}
	dp_ovpn_out_split(w, b, &openvpn);
	into_ipsec(w, b);
	into_openvpn(w, &openvpn);
}

/* The rest of the way of what fits its tunnel. */
static inline void into_tunnel(struct dp_worker *w, struct dp_batch *b)
{
	if (w->sas->openvpn_out)
		into_either(w, b);
	else
		into_ipsec(w, b);
}

/* The same for what may have to be cut for its tunnel. */
static void into_tunnel_in_pieces(struct dp_worker *w, struct dp_batch *b)
{
	struct dp_oversized oversized;
	struct dp_batch pieces;

	dp_fragment_for_tunnel(w, b, &oversized);
	dp_batch_compact(w, b);
	into_tunnel(w, b);
	while (dp_fragment_next(w, &oversized, &pieces))
		into_tunnel(w, &pieces);
}

/* The end of the way of what was translated. */
static inline void leave_translated(struct dp_worker *w, struct dp_batch *b)
{
	if (unlikely(b->has_oversized))
		leave_in_pieces(w, b);
	else
		leave(w, b);
}

/* Cluster to customer: a service called a forward of its environment. */
static void forward_out(struct dp_worker *w, struct dp_batch *b)
{
	struct dp_batch errors;

	errors.n = 0;
	if (unlikely(b->has_special)) {
		run(w, b, dp_reassemble_cluster); /* fragments wait; whole datagrams go on */
		dp_nat_icmp_split(w, b, &errors);
		dp_batch_compact(w, b);
		run(w, &errors, dp_local_echo); /* requests that came in fragments */
	}
	/* session; DNAT to the target, SNAT to the tunnel's inner address */
	run(w, b, dp_nat_forward_out);
	if (unlikely(has_rates(w)))
		run(w, b, dp_rate_out);
	if (unlikely(b->has_oversized))
		into_tunnel_in_pieces(w, b);
	else
		into_tunnel(w, b);
	if (likely(errors.n == 0))
		return;
	run(w, &errors, dp_nat_icmp_out); /* about a reply: quoted as its sender knows it */
	into_tunnel(w, &errors);
}

/* Customer to cluster: a reply out of a tunnel. */
static void forward_in(struct dp_worker *w, struct dp_batch *b)
{
	struct dp_batch errors;

	errors.n = 0;
	if (unlikely(b->n == 0))
		return;
	if (unlikely(b->has_special)) {
		run(w, b, dp_reassemble_inner); /* fragments wait; whole datagrams go on */
		dp_nat_icmp_split(w, b, &errors);
		dp_batch_compact(w, b);
	}
	/* a session of this tunnel's environment; back to the client */
	dp_nat_forward_in(w, b);
	if (unlikely(dp_batch_has_ended(b))) {
		dp_probe_take_segments(w, b); /* no session's, but asked for by us */
		dp_batch_compact_gaps(w, b);
	}
	if (unlikely(has_rates(w)))
		run(w, b, dp_rate_in);
	leave_translated(w, b);
	if (likely(errors.n == 0))
		return;
	run(w, &errors, dp_probe_take_echoes);
	run(w, &errors, dp_nat_icmp_in); /* about a request: quoted as the client knows it */
	leave(w, &errors);
}

static void out_of_ipsec(struct dp_worker *w, struct dp_batch *b)
{
	run(w, b, dp_esp_in_lookup);  /* SPI to SA; peer; replay window */
	run(w, b, dp_esp_in_decrypt); /* whole burst; ICV, replay commit, the inner header */
	forward_in(w, b);
}

static void out_of_openvpn(struct dp_worker *w, struct dp_batch *b)
{
	run(w, b, dp_ovpn_in_lookup); /* tunnel and key id to key; peer; replay window */
	run(w, b, dp_ovpn_in_open); /* whole burst; tag, replay commit, framing, the inner header */
	forward_in(w, b);
}

static void local(struct dp_worker *w, struct dp_batch *b)
{
	run(w, b, dp_local); /* ARP, echo, IKE and the like; everything else has its verdict */
}

/* Cluster to Internet, with a static address. */
static void egress_out(struct dp_worker *w, struct dp_batch *b)
{
	struct dp_batch icmp;

	icmp.n = 0;
	if (unlikely(b->has_special)) {
		run(w, b, dp_reassemble_egress_out);
		dp_nat_icmp_split(w, b, &icmp);
		dp_batch_compact(w, b);
	}
	run(w, b, dp_nat_egress_out); /* policy and session; SNAT to the static address */
	if (unlikely(has_rates(w)))
		run(w, b, dp_rate_egress_out);
	leave_translated(w, b);
	if (likely(icmp.n == 0))
		return;
	run(w, &icmp, dp_nat_icmp_egress_out); /* errors: quoted as their receiver knows it */
	run(w, &icmp, dp_nat_echo_out);
	run(w, &icmp, dp_rate_egress_out);
	leave_in_pieces(w, &icmp);
}

/* Internet to cluster: a reply, or a connection to a mapped port. */
static void egress_in(struct dp_worker *w, struct dp_batch *b)
{
	struct dp_batch icmp;

	icmp.n = 0;
	if (unlikely(b->has_special)) {
		run(w, b, dp_reassemble_egress_in);
		dp_nat_icmp_split(w, b, &icmp);
		dp_batch_compact(w, b);
	}
	run(w, b, dp_nat_egress_in);
	if (unlikely(has_rates(w)))
		run(w, b, dp_rate_egress_in);
	leave_translated(w, b);
	if (likely(icmp.n == 0))
		return;
	run(w, &icmp, dp_nat_icmp_egress_in);
	run(w, &icmp, dp_nat_echo_in);
	run(w, &icmp, dp_rate_egress_in);
	leave_in_pieces(w, &icmp);
}

/* Cluster to cluster through a mapped port. */
static void hairpin(struct dp_worker *w, struct dp_batch *b)
{
	run(w, b, dp_nat_hairpin);
	leave_in_pieces(w, b);
}

/* The stages that bring packets to the worker whose business they are. */
struct to_home {
	stage_fn forward, esp, openvpn, egress_out, egress_in;
};

static const struct to_home first = { dp_handoff_forward, dp_handoff_esp, dp_handoff_openvpn,
	                              dp_handoff_egress_out, dp_handoff_egress_in };
/* of packets that took a hand-off: never another one */
static const struct to_home final = { dp_handoff_forward_final, dp_handoff_esp_final,
	                              dp_handoff_openvpn_final, dp_handoff_egress_out_final,
	                              dp_handoff_egress_in_final };

static inline void bring_home(struct dp_worker *w, struct dp_batch *b, stage_fn stage)
{
	if (w->worker_count > 1)
		run(w, b, stage);
}

static inline void from_cluster(struct dp_worker *w, struct rte_mbuf **m, unsigned n,
                                const struct to_home *to_home)
{
	struct dp_from_cluster sorted;

	dp_parse_cluster(w, m, n, &sorted);
	bring_home(w, &sorted.forward, to_home->forward);
	forward_out(w, &sorted.forward);
	bring_home(w, &sorted.egress, to_home->egress_out);
	egress_out(w, &sorted.egress);
	local(w, &sorted.local);
	if (likely(sorted.hairpin.n == 0))
		return;
	bring_home(w, &sorted.hairpin, to_home->egress_out);
	hairpin(w, &sorted.hairpin);
}

static void process_uplink(struct dp_worker *w, struct dp_from_uplink *sorted,
                           const struct to_home *to_home)
{
	bring_home(w, &sorted->esp, to_home->esp);
	out_of_ipsec(w, &sorted->esp);
	bring_home(w, &sorted->openvpn, to_home->openvpn);
	out_of_openvpn(w, &sorted->openvpn);
	bring_home(w, &sorted->egress, to_home->egress_in);
	egress_in(w, &sorted->egress);
	local(w, &sorted->local);
}

/* Fragments of servers' packets: what is whole begins again as a frame; its home may be another
 * worker. */
static void gather(struct dp_worker *w, struct dp_batch *b)
{
	struct dp_from_uplink sorted;
	struct rte_mbuf *whole[DP_BURST];
	unsigned n = 0;

	run(w, b, dp_handoff_fragment); /* one worker per server */
	run(w, b, dp_reassemble_outer);
	while (n < b->n) {
		whole[n] = b->p[n].m;
		n++;
	}
	dp_parse_uplink(w, whole, n, &sorted);
	process_uplink(w, &sorted, &first);
}

static inline void from_uplink(struct dp_worker *w, struct rte_mbuf **m, unsigned n,
                               const struct to_home *to_home)
{
	struct dp_from_uplink sorted;

	dp_parse_uplink(w, m, n, &sorted);
	process_uplink(w, &sorted, to_home);
	if (unlikely(sorted.fragments.n))
		gather(w, &sorted.fragments);
}

/* After each burst, so that there is room for an answer to each packet of the next one. */
static inline void answer(struct dp_worker *w)
{
	if (unlikely(w->answers->n || w->answers_inside->n))
		dp_path_answers(w);
}

void dp_path_received(struct dp_worker *w, enum dp_port_id port, struct rte_mbuf **m, unsigned n)
{
	if (port == DP_PORT_CLUSTER)
		from_cluster(w, m, n, &first);
	else
		from_uplink(w, m, n, &first);
	answer(w);
}

void dp_path_handed(struct dp_worker *w, enum dp_port_id port, struct rte_mbuf **m, unsigned n)
{
	if (port == DP_PORT_CLUSTER)
		from_cluster(w, m, n, &final);
	else
		from_uplink(w, m, n, &final);
	answer(w);
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
