/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prefixes become disjoint ranges, so that one binary search answers for all of them. */
#include "dataplane/egress.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_common.h>

#include "common/netaddr.h"
#include "dataplane/batch.h"
#include "dataplane/keyed_hash.h"

/* Destinations that mean something only here, or nothing at all: RFC 6890, RFC 1918, RFC 3927 (the
 * clouds' metadata service is among them), RFC 6598. Multicast and loopback do not pass the
 * parser. */
static const struct {
	uint32_t address;
	uint8_t length;
} never[] = {
	{ 0x0a000000, 8 },  { 0xac100000, 12 }, { 0xc0a80000, 16 },
	{ 0xa9fe0000, 16 }, { 0x64400000, 10 }, { 0xc0000000, 24 },
};

static __attribute__((format(printf, 3, 4))) int refuse(char why[256], int rc, const char *format,
                                                        ...)
{
	va_list a;

	va_start(a, format);
	vsnprintf(why, 256, format, a);
	va_end(a);
	return rc;
}

/* ---- ranges ---- */

/* A prefix and what it says; RANK decides between equal lengths, higher counts. */
struct claim {
	uint32_t address; /* host byte order */
	uint8_t length;
	uint8_t rank;
	uint16_t value;
};

struct claims {
	struct claim *list;
	uint32_t count, room;
};

static int claim(struct claims *c, const struct ipc_prefix *prefix, uint8_t rank, uint16_t value)
{
	if (c->count == c->room) {
		uint32_t room = c->room ? 2 * c->room : 64;
		struct claim *grown = realloc(c->list, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		c->list = grown;
		c->room = room;
	}
	c->list[c->count++] = (struct claim){ .address = rte_be_to_cpu_32(prefix->address_be),
		                              .length = prefix->length,
		                              .rank = rank,
		                              .value = value };
	return 0;
}

static bool does_hold(const struct claim *c, uint32_t address)
{
	return c->length == 0 || (c->address ^ address) >> (32 - c->length) == 0;
}

/* What the claims say of an address: the highest rank and the longest prefix. */
static const struct claim *best_claim(const struct claims *c, uint32_t address, bool by_length)
{
	const struct claim *best = NULL;

	for (uint32_t i = 0; i < c->count; i++) {
		const struct claim *at = &c->list[i];
		int wins;

		if (!does_hold(at, address))
			continue;
		wins = by_length ? at->length * 256 + at->rank : at->rank * 256 + at->length;
		if (!best || wins > (by_length ? best->length * 256 + best->rank
		                               : best->rank * 256 + best->length))
			best = at;
	}
	return best;
}

static int compare_addresses(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Where what is said of addresses may change: the first address of each prefix, and the first
 * behind it. */
static uint32_t find_borders(const struct claims *c, uint32_t *borders, uint32_t n)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < c->count; i++) {
		uint64_t end = (uint64_t)c->list[i].address + (1ull << (32 - c->list[i].length));

		borders[n++] = c->list[i].address;
		if (end <= UINT32_MAX)
			borders[n++] = (uint32_t)end;
	}
	qsort(borders, n, sizeof(*borders), compare_addresses);
	for (uint32_t i = 0; i < n; i++)
		if (kept == 0 || borders[kept - 1] != borders[i])
			borders[kept++] = borders[i];
	return kept;
}

/* The ranges between the borders of one or two (B NULL) sets of claims; the caller fills them in.
 */
static int make_ranges(const struct claims *a, const struct claims *b,
                       struct dp_egress_range **ranges, uint32_t *count)
{
	uint32_t room = 1 + 2 * (a->count + (b ? b->count : 0)), n = 1;
	uint32_t *borders = calloc(room, sizeof(*borders)); /* the first one is 0 */

	if (!borders)
		return -ENOMEM;
	n = find_borders(a, borders, n);
	if (b)
		n = find_borders(b, borders, n);
	*ranges = calloc(n, sizeof(**ranges));
	*count = n;
	for (uint32_t i = 0; *ranges && i < n; i++)
		(*ranges)[i] = (struct dp_egress_range){ .first = borders[i],
			                                 .pool = DP_NONE_SLOT,
			                                 .environment = DP_NONE_SLOT };
	free(borders);
	return *ranges ? 0 : -ENOMEM;
}

const struct dp_egress_range *dp_egress_find(const struct dp_egress_range *ranges, uint32_t count,
                                             uint32_t address_be)
{
	uint32_t address = rte_be_to_cpu_32(address_be);

	while (count > 1) {
		uint32_t half = count / 2;

		ranges = ranges[half].first <= address ? ranges + half : ranges;
		count -= half;
	}
	return ranges;
}

/* ---- sources ---- */

static int claim_rules(const struct dp_egress_parts *parts, struct claims *leaving)
{
	int rc = 0;

	for (uint32_t i = 0; i < parts->rule_count; i++) {
		const struct ipc_egress *rule = &parts->rules[i];

		for (uint32_t k = 0; rc == 0 && k < rule->source_count; k++)
			rc = claim(leaving, &rule->sources[k], rule->environment[0] != 0,
			           (uint16_t)i);
	}
	return rc;
}

static int claim_environments(const struct dp_egress_parts *parts, struct claims *members)
{
	const struct dp_generation *g = parts->generation;
	int rc = 0;

	for (uint32_t i = 0; i < g->environment_count; i++) {
		const struct dp_environment *e = &g->environments[i];

		for (uint32_t k = 0; rc == 0 && k < e->source_count; k++)
			rc = claim(members, &e->sources[k], 0, e->slot);
	}
	return rc;
}

/* Whose quota counts: nobody's, where two environments claim the same. */
static uint16_t account_of(const struct claims *members, uint32_t address)
{
	const struct claim *best = best_claim(members, address, true);

	for (uint32_t i = 0; best && i < members->count; i++)
		if (members->list[i].length == best->length &&
		    members->list[i].value != best->value && does_hold(&members->list[i], address))
			return DP_NONE_SLOT;
	return best ? best->value : DP_NONE_SLOT;
}

static int build_sources(struct dp_egress *e, const struct dp_egress_parts *parts)
{
	struct claims leaving = { 0 }, members = { 0 };
	int rc = claim_rules(parts, &leaving);

	if (rc == 0)
		rc = claim_environments(parts, &members);
	if (rc == 0)
		rc = make_ranges(&leaving, &members, &e->sources, &e->source_count);
	for (uint32_t i = 0; rc == 0 && i < e->source_count; i++) {
		const struct claim *rule = best_claim(&leaving, e->sources[i].first, true);

		if (!rule)
			continue;
		e->sources[i].pool = rule->value;
		e->sources[i].environment = account_of(&members, e->sources[i].first);
	}
	free(leaving.list);
	free(members.list);
	return rc;
}

/* ---- destinations ---- */

enum { RANK_REFUSED = 1, RANK_ALLOWED, RANK_OWN };

static int claim_destinations(const struct dp_egress_parts *parts, struct claims *c)
{
	const struct dp_port *cluster = &parts->ports[DP_PORT_CLUSTER];
	struct ipc_prefix prefix = { .length = 32 };
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < RTE_DIM(never); i++) {
		prefix = (struct ipc_prefix){ .address_be = rte_cpu_to_be_32(never[i].address),
			                      .length = never[i].length };
		rc = claim(c, &prefix, RANK_REFUSED, true);
	}
	for (uint32_t i = 0; rc == 0 && i < cluster->route_count; i++)
		rc = claim(c, &cluster->routes[i], RANK_REFUSED, true);
	prefix = (struct ipc_prefix){
		.address_be = cluster->address_be & cluster->mask_be,
		.length = (uint8_t)__builtin_popcount(cluster->mask_be),
	};
	if (rc == 0)
		rc = claim(c, &prefix, RANK_REFUSED, true);
	for (uint32_t i = 0; i < parts->rule_count; i++)
		for (uint32_t k = 0; rc == 0 && k < parts->rules[i].allow_count; k++)
			rc = claim(c, &parts->rules[i].allow[k], RANK_ALLOWED, false);
	for (enum dp_port_id id = 0; rc == 0 && id < DP_PORT_COUNT; id++) {
		prefix = (struct ipc_prefix){ .address_be = parts->ports[id].address_be,
			                      .length = 32 };
		rc = claim(c, &prefix, RANK_OWN, true);
	}
	return rc;
}

static int build_destinations(struct dp_egress *e, const struct dp_egress_parts *parts)
{
	struct claims c = { 0 };
	int rc = claim_destinations(parts, &c);

	if (rc == 0)
		rc = make_ranges(&c, NULL, &e->destinations, &e->destination_count);
	for (uint32_t i = 0; rc == 0 && i < e->destination_count; i++) {
		const struct claim *best = best_claim(&c, e->destinations[i].first, false);

		e->destinations[i].is_refused = best && best->value;
	}
	free(c.list);
	return rc;
}

/* ---- addresses ---- */

static int check_address(const struct dp_egress_parts *parts, uint32_t address_be, char why[256])
{
	const struct dp_environment *e = dp_environment_lookup(parts->generation, address_be);
	char text[SP_ADDRESS_TEXT];

	sp_address_format(text, address_be);
	if (e)
		return refuse(why, -EADDRINUSE,
		              "egress address %s is the pod address of environment \"%s\"", text,
		              e->name);
	if (address_be == parts->ports[DP_PORT_CLUSTER].address_be)
		return refuse(why, -EADDRINUSE, "egress address %s is the cluster port's own",
		              text);
	return 0;
}

static void add_address(struct dp_egress *e, uint32_t address_be)
{
	uint32_t i = dp_crc4(address_be) & e->address_mask;

	while (e->addresses_be[i] && e->addresses_be[i] != address_be)
		i = (i + 1) & e->address_mask;
	e->addresses_be[i] = address_be;
}

static int build_addresses(struct dp_egress *e, const struct dp_egress_parts *parts, char why[256])
{
	uint32_t count = 0, places;

	for (uint32_t i = 0; i < parts->rule_count; i++)
		count += parts->rules[i].address_count;
	/* sparse: all destinations of egress are looked up here, in vain */
	places = rte_align32pow2(4 * count + 1024);
	e->address_mask = places - 1;
	e->addresses_be = calloc(places, sizeof(*e->addresses_be));
	e->pools = calloc(parts->rule_count, sizeof(*e->pools));
	e->pool_count = parts->rule_count;
	if (!e->addresses_be || !e->pools)
		return -ENOMEM;
	for (uint32_t i = 0; i < parts->rule_count; i++) {
		const struct ipc_egress *rule = &parts->rules[i];

		e->pools[i].count = rule->address_count;
		memcpy(e->pools[i].addresses_be, rule->addresses_be, sizeof(rule->addresses_be));
		for (uint32_t k = 0; k < rule->address_count; k++) {
			int rc = check_address(parts, rule->addresses_be[k], why);

			if (rc)
				return rc;
			add_address(e, rule->addresses_be[k]);
		}
	}
	return 0;
}

/* Rendezvous hashing: another address in the list takes over its share and moves nobody else. */
uint32_t dp_egress_address(const struct dp_egress_pool *pool, uint32_t source_be)
{
	uint64_t highest = 0;
	uint32_t best_be = 0;

	for (uint32_t i = 0; i < pool->count; i++) {
		uint64_t state = (uint64_t)source_be << 32 | pool->addresses_be[i];
		uint64_t weight = dp_random(&state);

		if (!best_be || weight > highest) {
			highest = weight;
			best_be = pool->addresses_be[i];
		}
	}
	return best_be;
}

/* ---- mappings ---- */

static int add_mapping(struct dp_egress *e, uint32_t address_be, const struct ipc_inbound *from,
                       char why[256])
{
	uint64_t key = dp_forward_key(address_be, from->protocol, from->port_be);
	uint32_t i = dp_crc8(key) & e->mapping_mask;

	for (; e->mappings[i].key; i = (i + 1) & e->mapping_mask)
		if (e->mappings[i].key == key)
			return refuse(why, -EEXIST, "inbound port %u is there twice",
			              rte_be_to_cpu_16(from->port_be));
	e->mappings[i] = (struct dp_egress_mapping){ .key = key,
		                                     .to_address_be = from->to_address_be,
		                                     .to_port_be = from->to_port_be };
	return 0;
}

/* The gateway's own rule, or NULL. */
static const struct ipc_egress *gateway_rule(const struct dp_egress_parts *parts)
{
	for (uint32_t i = 0; i < parts->rule_count; i++)
		if (!parts->rules[i].environment[0])
			return &parts->rules[i];
	return NULL;
}

static int build_mappings(struct dp_egress *e, const struct dp_egress_parts *parts, char why[256])
{
	const struct ipc_egress *all = gateway_rule(parts);
	uint32_t each = all ? all->address_count : 1, places;
	int rc = 0;

	places = rte_align32pow2(2 * parts->inbound_count * each + 2);
	e->mapping_mask = places - 1;
	e->mappings = calloc(places, sizeof(*e->mappings));
	if (!e->mappings)
		return -ENOMEM;
	for (uint32_t i = 0; rc == 0 && i < parts->inbound_count; i++) {
		const struct ipc_inbound *from = &parts->inbound[i];

		if (from->address_be && !dp_egress_owns(e, from->address_be))
			return refuse(why, -EADDRNOTAVAIL,
			              "inbound port %u: no egress has its address",
			              rte_be_to_cpu_16(from->port_be));
		if (from->address_be)
			rc = add_mapping(e, from->address_be, from, why);
		for (uint32_t k = 0; !from->address_be && all && rc == 0 && k < all->address_count;
		     k++)
			rc = add_mapping(e, all->addresses_be[k], from, why);
	}
	return rc;
}

/* ---- the whole ---- */

static int check_rules(const struct dp_egress_parts *parts, char why[256])
{
	for (uint32_t i = 0; i < parts->rule_count; i++)
		for (uint32_t k = 0; k < i; k++)
			if (strcmp(parts->rules[i].environment, parts->rules[k].environment) == 0)
				return refuse(why, -EEXIST, "egress of \"%s\" is there twice",
				              parts->rules[i].environment);
	return 0;
}

int dp_egress_build(const struct dp_egress_parts *parts, struct dp_egress **egress, char why[256])
{
	struct dp_egress *e = calloc(1, sizeof(*e));
	int rc = e ? check_rules(parts, why) : -ENOMEM;

	if (rc == 0)
		rc = build_addresses(e, parts, why);
	if (rc == 0)
		rc = build_sources(e, parts);
	if (rc == 0)
		rc = build_destinations(e, parts);
	if (rc == 0)
		rc = build_mappings(e, parts, why);
	if (rc == 0) {
		*egress = e;
		return 0;
	}
	dp_egress_destroy(e);
	return rc == -ENOMEM ? refuse(why, rc, "out of memory") : rc;
}

void dp_egress_destroy(struct dp_egress *e)
{
	if (!e)
		return;
	free(e->pools);
	free(e->destinations);
	free(e->sources);
	free(e->mappings);
	free(e->addresses_be);
	free(e);
}
