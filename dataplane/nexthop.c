/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ARP table, its state machine on the control thread, and packets that wait for it. */
#include "dataplane/nexthop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_malloc.h>

#include "dataplane/crc.h"
#include "dataplane/egress.h"
#include "dataplane/nat_flow.h"
#include "dataplane/port.h"
#include "dataplane/wire.h"
#include "dataplane/worker.h"

#define PLACES 16384u /* power of two */
#define PROBES 16u    /* places an address may be at */
#define HOLD_MAX 256u
#define HOLD_PER_HOP 16u
#define HOLD_PER_ENVIRONMENT \
	64u /* who forges sources, or calls who is not there, needs many hops */
#define HOLD_NS 3000000000ull

#define REQUESTS_AT_ONCE 32u     /* per call of dp_nexthop_maintain() */
#define RETRY_NS 250000000ull    /* between the first requests while somebody waits */
#define RETRY_TRIES 4u           /* then once a second: RFC 1122 section 2.3.2.1 */
#define VERIFY_NS 30000000000ull /* a resolved entry is asked again after it */
#define VERIFY_RETRY_NS 1000000000ull
#define VERIFY_TRIES 5u  /* then the MAC is forgotten */
#define UNICAST_TRIES 2u /* the first ones of them ask whom we know */
#define FORGET_NS \
	10000000000ull /* an entry that never answered is removed: forged sources make many */

#define RESOLVED (1ull << 48)

/* What workers read: one line has four. */
struct entry {
	_Atomic uint64_t key; /* 1 << 40 | port << 32 | address; 0: empty */
	_Atomic uint64_t mac; /* RESOLVED | six bytes, the first one lowest; 0: unresolved */
};

/* Whose reply is solicited: a request is out. */
enum question { NOBODY = 0, THE_KNOWN, EVERYBODY };

/* The control thread's side of an entry. */
struct entry_state {
	uint64_t since_ns; /* first seen by the control thread; 0: not yet */
	uint64_t asked_ns;
	uint64_t due_ns;
	uint32_t tries;
	uint8_t asked;   /* enum question */
	bool is_doubted; /* somebody else claims the address since the last answer */
};

struct dp_nexthops {
	struct entry entries[PLACES];
	struct entry_state states[PLACES];
	uint32_t next; /* where dp_nexthop_maintain() goes on */
};

struct held {
	struct rte_mbuf *m;
	uint64_t deadline_ns;
	uint32_t nexthop_be;
	uint16_t owner; /* owner_of() */
	uint8_t port;
};

struct dp_hold {
	unsigned n;
	struct held packets[HOLD_MAX];
};

int dp_nexthops_create(struct dp_nexthops **nexthops)
{
	*nexthops = rte_zmalloc("nexthops", sizeof(**nexthops), RTE_CACHE_LINE_SIZE);
	return *nexthops ? 0 : -ENOMEM;
}

void dp_nexthops_destroy(struct dp_nexthops *nexthops)
{
	rte_free(nexthops);
}

struct dp_hold *dp_hold_create(void)
{
	return rte_zmalloc("hold", sizeof(struct dp_hold), RTE_CACHE_LINE_SIZE);
}

void dp_hold_destroy(struct dp_hold *hold)
{
	if (!hold)
		return;
	for (unsigned i = 0; i < hold->n; i++)
		rte_pktmbuf_free(hold->packets[i].m);
	rte_free(hold);
}

static inline uint64_t make_key(enum dp_port_id port, uint32_t address_be)
{
	return 1ull << 40 | (uint64_t)port << 32 | address_be;
}

/* The place of a key, or -1. */
static inline int find(const struct dp_nexthops *n, uint64_t key)
{
	uint32_t at = dp_crc8(key);

	for (unsigned i = 0; i < PROBES; i++, at++)
		if (atomic_load_explicit(&n->entries[at & (PLACES - 1)].key,
		                         memory_order_acquire) == key)
			return (int)(at & (PLACES - 1));
	return -1;
}

/* The place of a key, made if need be; -1: no room. Any thread. */
static int find_or_add(struct dp_nexthops *n, uint64_t key)
{
	uint32_t at = dp_crc8(key);
	int found = find(n, key);

	if (found >= 0)
		return found;
	for (unsigned i = 0; i < PROBES; i++, at++) {
		struct entry *e = &n->entries[at & (PLACES - 1)];
		uint64_t empty = 0;

		if (atomic_compare_exchange_strong(&e->key, &empty, key) || empty == key)
			return (int)(at & (PLACES - 1));
	}
	return -1;
}

static inline uint64_t read_mac(const struct dp_nexthops *n, int at)
{
	return atomic_load_explicit(&n->entries[at].mac, memory_order_acquire);
}

/* The Ethernet header that leads to a next hop: its bytes 0 to 7 and 6 to 13, in memory order. */
struct ethernet {
	uint64_t begin, end;
};

static struct ethernet make_ethernet(const struct dp_port *port, uint64_t mac)
{
	uint64_t own = 0;

	memcpy(&own, &port->mac, sizeof(port->mac));
	return (struct ethernet){ (mac & (RESOLVED - 1)) | own << 48,
		                  own | (uint64_t)rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4) << 48 };
}

/* In front of L3, where M's data begins; who wrote that left room for it. */
static inline void write_ethernet(struct rte_mbuf *m, uint8_t *l3, struct ethernet header)
{
	uint8_t *frame = l3 - RTE_ETHER_HDR_LEN;

	dp_mbuf_prepend(m, RTE_ETHER_HDR_LEN);
	memcpy(frame, &header.begin, sizeof(header.begin));
	memcpy(frame + 6, &header.end, sizeof(header.end));
}

/* Whose packet it is: what leaves for the Internet is its session's environment's, or one more's.
 */
static uint16_t owner_of(const struct dp_worker *w, const struct dp_pkt *p)
{
	uint16_t owner = p->environment;

	if (owner == DP_NONE_SLOT && p->flow)
		owner = w->flows->cold[dp_flow_session(w->flows, p->flow)].environment;
	return owner == DP_NONE_SLOT && p->flow ? DP_SCOPE_EGRESS : owner;
}

static __rte_noinline enum dp_verdict hold_packet(struct dp_worker *w, struct dp_pkt *p,
                                                  uint32_t nexthop_be)
{
	struct dp_hold *hold = w->hold;
	uint16_t owner = owner_of(w, p);
	unsigned same = 0, of_owner = 0;

	for (unsigned i = 0; i < hold->n; i++) {
		same += hold->packets[i].nexthop_be == nexthop_be &&
		        hold->packets[i].port == p->port;
		of_owner += hold->packets[i].owner == owner;
	}
	if (same >= HOLD_PER_HOP || (owner != DP_NONE_SLOT && of_owner >= HOLD_PER_ENVIRONMENT))
		return DP_NEXTHOP_QUEUE_FULL;
	/* no room to wait, no question: who forges sources must not fill the table */
	if (hold->n == HOLD_MAX || find_or_add(w->nexthops, make_key(p->port, nexthop_be)) < 0)
		return DP_NEXTHOP_QUEUE_FULL;
	hold->packets[hold->n++] = (struct held){ .m = p->m,
		                                  .deadline_ns = w->now_ns + HOLD_NS,
		                                  .nexthop_be = nexthop_be,
		                                  .owner = owner,
		                                  .port = p->port };
	return DP_TAKEN;
}

/* 0: it is not known. */
static inline uint64_t find_mac(const struct dp_nexthops *n, uint64_t key)
{
	int at = find(n, key);

	return likely(at >= 0) ? read_mac(n, at) : 0;
}

/* A way out, found once for packets in a row that take it: to the addresses under a mask, but for
 * those on the link. */
struct way {
	uint64_t key, mac;   /* of the next hop; 0: none looked up, not resolved */
	uint64_t like, mask; /* of dp_pkt.way: address and port */
	uint32_t link_be, link_mask_be;
	struct ethernet header;
};

/* Of dp_pkt.way, what takes a packet to an address under MASK_BE. */
static inline uint64_t ways_mask(uint32_t mask_be)
{
	const struct dp_pkt ways = { .nexthop_be = mask_be, .port = UINT8_MAX };

	return ways.way;
}

static inline bool is_way_of(const struct way *way, const struct dp_pkt *p)
{
	uint64_t own = p->way;

	return ((own ^ way->like) & way->mask) == 0 &&
	       (((uint32_t)own ^ way->link_be) & way->link_mask_be) != 0;
}

static inline enum dp_verdict find_way(struct dp_worker *w, struct dp_pkt *p, struct way *way)
{
	const struct dp_port *port = &w->ports[p->port];
	uint32_t mask_be, nexthop_be = dp_port_find_route(port, p->nexthop_be, &mask_be);
	uint64_t key = make_key(p->port, nexthop_be);

	if (unlikely(nexthop_be == 0))
		return DP_NO_ROUTE;
	if (key != way->key) {
		way->key = key;
		way->mac = find_mac(w->nexthops, key);
		way->header = make_ethernet(port, way->mac);
		way->mask = 0; /* not known before it is resolved */
		way->link_mask_be = 0;
	}
	if (unlikely(!way->mac))
		return hold_packet(w, p, nexthop_be);
	way->like = p->way;
	way->mask = ways_mask(mask_be);
	/* none is on the link of a port that has no other address there; nor are those that are
	 * under no wider mask */
	way->link_be = mask_be == UINT32_MAX ? ~p->nexthop_be : port->address_be;
	way->link_mask_be = port->mask_be;
	return DP_OK;
}

void dp_nexthop(struct dp_worker *w, struct dp_batch *b)
{
	struct way way = { .key = 0 }; /* nobody's: all are on the link of such a mask */
	uint8_t port = b->p[0].port;

	b->has_one_port = true;
	for (struct dp_pkt *p = b->p, *end = p + b->n; p < end; p++) {
		if (unlikely(!is_way_of(&way, p))) {
			p->verdict = (uint8_t)find_way(w, p, &way);
			if (unlikely(p->verdict != DP_OK))
				continue;
			b->has_one_port &= p->port == port;
		}
		write_ethernet(p->m, p->l3, way.header);
	}
}

void dp_nexthop_poll(struct dp_worker *w)
{
	struct dp_hold *hold = w->hold;
	unsigned kept = 0;

	for (unsigned i = 0; i < hold->n; i++) {
		struct held *h = &hold->packets[i];
		int at = find(w->nexthops, make_key(h->port, h->nexthop_be));
		uint64_t mac = at >= 0 ? read_mac(w->nexthops, at) : 0;

		if (mac) {
			write_ethernet(h->m, rte_pktmbuf_mtod(h->m, uint8_t *),
			               make_ethernet(&w->ports[h->port], mac));
			dp_port_send(w, h->port, h->m);
		} else if (w->now_ns > h->deadline_ns) {
			w->count->drop[DP_NEXTHOP_UNRESOLVED]++;
			rte_pktmbuf_free(h->m);
		} else {
			hold->packets[kept++] = *h;
		}
	}
	hold->n = kept;
}

/* ---- control thread ---- */

void dp_nexthop_want(struct dp_nexthops *n, enum dp_port_id port, uint32_t address_be)
{
	if (address_be)
		find_or_add(n, make_key(port, address_be));
}

/*
 * Somebody else claims the address: believe nothing, but ask the neighbour we know whether it is
 * still there, and everybody else only if it does not answer soon. At most once a second, so that a
 * flood of claims neither floods the link nor uses up the tries.
 */
static void doubt(struct entry_state *s, uint64_t now_ns)
{
	uint64_t soonest_ns = RTE_MAX(now_ns, s->asked_ns + VERIFY_RETRY_NS);

	s->is_doubted = true;
	if (s->asked == EVERYBODY)
		return;
	if (s->asked == THE_KNOWN)
		soonest_ns = s->asked_ns + RETRY_NS;
	else
		s->tries = 0;
	s->due_ns = RTE_MIN(s->due_ns, soonest_ns);
}

/* A reply to nobody but us. */
static bool is_reply_to(const uint8_t *arp, const struct dp_port *own)
{
	return dp_load16(arp + 6) == rte_cpu_to_be_16(2) &&
	       memcmp(arp + 18, &own->mac, sizeof(own->mac)) == 0 &&
	       dp_load32(arp + 24) == own->address_be;
}

void dp_nexthop_learn(struct dp_nexthops *n, enum dp_port_id port, const struct dp_port *own,
                      const uint8_t *arp, uint64_t now_ns)
{
	uint32_t sender_be = dp_load32(arp + 14);
	int at = find(n, make_key(port, sender_be));
	struct entry_state *state;
	uint64_t known, mac = 0;

	if (at < 0)
		return;
	state = &n->states[at];
	known = read_mac(n, at);
	memcpy(&mac, arp + 8, 6);
	if ((mac & 1) || mac == 0) /* group bit: no host's address */
		return;
	mac |= RESOLVED;
	if (!is_reply_to(arp, own) || state->asked == NOBODY ||
	    (state->asked == THE_KNOWN && mac != known)) {
		if (known && mac != known)
			doubt(state, now_ns);
		return;
	}
	state->asked = NOBODY;
	state->is_doubted = false;
	state->tries = 0;
	state->due_ns = now_ns + VERIFY_NS;
	atomic_store_explicit(&n->entries[at].mac, mac, memory_order_release);
}

static void forget(struct dp_nexthops *n, uint32_t at)
{
	atomic_store(&n->entries[at].mac, 0);
	memset(&n->states[at], 0, sizeof(n->states[at]));
	atomic_store_explicit(&n->entries[at].key, 0, memory_order_release);
}

/* Whether somebody waits for the answer: packets, or a claim. */
static bool is_urgent(const struct entry_state *s, uint64_t mac)
{
	return mac ? s->is_doubted && s->asked == THE_KNOWN : s->tries <= RETRY_TRIES;
}

/* One entry that is due. */
static void request_one(struct dp_nexthops *n, uint32_t at, uint64_t key, uint64_t now_ns,
                        dp_arp_request_fn request, void *context)
{
	struct entry_state *s = &n->states[at];
	uint64_t mac = atomic_load(&n->entries[at].mac);
	uint8_t to[6];

	if (mac && s->tries >= VERIFY_TRIES) {
		atomic_store(&n->entries[at].mac, 0);
		mac = 0;
		s->since_ns = now_ns;
		s->tries = 0;
	}
	memcpy(to, &mac, sizeof(to));
	s->asked = mac && s->tries < (s->is_doubted ? 1 : UNICAST_TRIES) ? THE_KNOWN : EVERYBODY;
	request(context, (enum dp_port_id)(key >> 32 & 0xff), (uint32_t)key,
	        s->asked == THE_KNOWN ? to : NULL);
	s->asked_ns = now_ns;
	s->tries++;
	s->due_ns = now_ns + (is_urgent(s, mac) ? RETRY_NS : VERIFY_RETRY_NS);
}

void dp_nexthop_maintain(struct dp_nexthops *n, uint64_t now_ns, dp_arp_request_fn request,
                         void *context)
{
	unsigned left = REQUESTS_AT_ONCE;

	/* goes on where the last call ran out of requests, so that a flood of new neighbours
	 * starves nobody */
	for (uint32_t i = 0; i < PLACES && left; i++, n->next = (n->next + 1) & (PLACES - 1)) {
		uint64_t key = atomic_load_explicit(&n->entries[n->next].key, memory_order_acquire);
		struct entry_state *s = &n->states[n->next];

		if (!key)
			continue;
		if (!s->since_ns)
			s->since_ns = s->due_ns = now_ns;
		if (now_ns < s->due_ns)
			continue;
		if (!atomic_load(&n->entries[n->next].mac) && now_ns - s->since_ns > FORGET_NS) {
			forget(n, n->next);
			continue;
		}
		request_one(n, n->next, key, now_ns, request, context);
		left--;
	}
}

bool dp_nexthop_lookup(const struct dp_nexthops *n, enum dp_port_id port, uint32_t address_be,
                       uint8_t mac[6])
{
	int at = find(n, make_key(port, address_be));
	uint64_t value = at >= 0 ? read_mac(n, at) : 0;

	memcpy(mac, &value, 6);
	return value != 0;
}
