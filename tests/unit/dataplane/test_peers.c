/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The set of servers against a list of them: after each change, what is in it is found and what is
 * not, is not. */
#include "dataplane/peers.c"

#include <arpa/inet.h>
#include <stdlib.h>

#include "dataplane/keyed_hash.h"
#include "tests/unit/dataplane/link_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SERVERS 2000u
#define FIRST 0x64400000u

static struct ipc_peer server(unsigned i, uint16_t natt)
{
	return (struct ipc_peer){ .remote_be = htonl(FIRST + i),
		                  .ike_port_be = htons(500),
		                  .natt_port_be = htons(natt) };
}

static struct dp_peers *create(void)
{
	struct dp_peers *p;

	assert_int_equal(dp_peers_create(&p), 0);
	return p;
}

static void begins_empty(void **state)
{
	struct dp_peers *p = create();

	(void)state;
	assert_int_equal(p->count, 0);
	assert_false(dp_peers_has(p, htonl(FIRST)));
	assert_false(dp_peers_has(p, REMOVED - 1));
	assert_false(dp_peers_has(p, 0));
	assert_int_equal(dp_peers_port(p, htons(500)), DP_PEER_PORT_NONE);
	dp_peers_destroy(p);
	dp_peers_destroy(NULL);
}

/* One address of several tunnels, one port of several servers: the last one takes it away. */
static void counts_who_has_what(void **state)
{
	struct ipc_peer a = server(1, 4500), b = server(1, 4600), c = server(2, 4500);
	struct dp_peers *p = create();

	(void)state;
	dp_peers_add(p, &a, 0);
	dp_peers_add(p, &b, 0);
	dp_peers_add(p, &c, 0);
	assert_int_equal(p->count, 2);
	dp_peers_del(p, &a);
	assert_true(dp_peers_has(p, a.remote_be));
	assert_int_equal(dp_peers_port(p, htons(4500)), DP_PEER_PORT_NATT);
	dp_peers_del(p, &c);
	assert_false(dp_peers_has(p, c.remote_be));
	assert_int_equal(dp_peers_port(p, htons(4500)), DP_PEER_PORT_NONE);
	assert_int_equal(dp_peers_port(p, htons(4600)), DP_PEER_PORT_NATT);
	assert_int_equal(dp_peers_port(p, htons(500)), DP_PEER_PORT_IKE);
	dp_peers_del(p, &b);
	assert_int_equal(p->count, 0);
	assert_int_equal(dp_peers_port(p, htons(500)), DP_PEER_PORT_NONE);
	dp_peers_destroy(p);
}

static void knows_every_port(void **state)
{
	struct dp_peers *p = create();
	struct ipc_peer peer;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		peer = server(i / 2, (uint16_t)(4500 + i));
		dp_peers_add(p, &peer, 0);
	}
	assert_int_equal(p->count, 500);
	for (unsigned port = 0; port < 65536; port++)
		assert_int_equal(dp_peers_port(p, htons((uint16_t)port)),
		                 port == 500                   ? DP_PEER_PORT_IKE
		                 : port >= 4500 && port < 5500 ? DP_PEER_PORT_NATT
		                                               : DP_PEER_PORT_NONE);
	dp_peers_destroy(p);
}

static void agrees_with_a_list(void **state)
{
	unsigned users[SERVERS] = { 0 }, places = 0;
	struct dp_peers *p = create();
	uint64_t random = 7;

	(void)state;
	for (unsigned step = 0; step < 200000; step++) {
		unsigned i = (unsigned)(dp_random(&random) % SERVERS);
		struct ipc_peer peer = server(i, 4500);

		if (users[i] && dp_random(&random) % 2) {
			dp_peers_del(p, &peer);
			users[i]--;
		} else {
			dp_peers_add(p, &peer, 0);
			users[i]++;
		}
		assert_int_equal(dp_peers_has(p, peer.remote_be), users[i] > 0);
		if (step % 1000)
			continue;
		for (unsigned k = 0; k < SERVERS; k++)
			if (dp_peers_has(p, htonl(FIRST + k)) != (users[k] > 0))
				fail_msg("step %u: server %u", step, k);
	}
	for (unsigned i = 0; i < SERVERS; i++)
		for (struct ipc_peer peer = server(i, 4500); users[i]; users[i]--)
			dp_peers_del(p, &peer);
	assert_int_equal(p->count, 0);
	for (unsigned at = 0; at < DP_PEERS_PLACES; at++)
		places += read_place(p, at) != 0;
	assert_int_equal(places, 0); /* and no marks are left */
	dp_peers_destroy(p);
}

/* As many as there can be tunnels. */
static void holds_them_all(void **state)
{
	struct dp_peers *p = create();

	(void)state;
	for (unsigned i = 0; i < DP_PEERS_MAX; i++) {
		struct ipc_peer peer = server(i, 4500);

		dp_peers_add(p, &peer, 0);
	}
	for (unsigned i = 0; i < 2 * DP_PEERS_MAX; i++)
		assert_int_equal(dp_peers_has(p, htonl(FIRST + i)), i < DP_PEERS_MAX);
	dp_peers_destroy(p);
}

/* An address whose place is AT, while that is free. */
static uint32_t address_at(uint32_t at)
{
	for (uint32_t address_be = 1;; address_be++)
		if ((dp_crc4(address_be) & MASK) == at)
			return address_be;
}

/* Who chooses addresses (by DNS) can have every removal leave its mark. */
static void is_worn_by_removals(void **state)
{
	struct ipc_peer stays = server(1, 4500), comes = server(2, 4500);
	struct dp_peers *p = create();
	uint32_t first, changes = 0;

	(void)state;
	dp_peers_add(p, &stays, 0);
	first = find(p, stays.remote_be);
	assert_false(dp_peers_are_worn(p));
	while (!dp_peers_are_worn(p)) {
		comes.remote_be = address_at((first - ++changes) & MASK);
		dp_peers_add(p, &comes, 0);
		dp_peers_del(p, &comes);
		assert_int_equal(p->removed, changes);
	}
	assert_true(dp_peers_has(p, stays.remote_be));
	assert_false(dp_peers_has(p, REMOVED));
	comes.remote_be = address_at(first - 1); /* a mark's place is taken again */
	dp_peers_add(p, &comes, 0);
	assert_int_equal(p->removed, changes - 1);
	dp_peers_del(p, &comes);
	dp_peers_del(p, &stays); /* the end of the run: all marks go */
	assert_int_equal(p->removed, 0);
	dp_peers_destroy(p);
}

/* Nobody waits for ever, even if there was no memory for a fresh set. */
static void searches_end(void **state)
{
	struct dp_peers *p = create();

	(void)state;
	for (uint32_t i = 0; i < DP_PEERS_PLACES; i++)
		write_place(p, i, REMOVED);
	assert_false(dp_peers_has(p, htonl(FIRST)));
	dp_peers_destroy(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(begins_empty),     cmocka_unit_test(counts_who_has_what),
		cmocka_unit_test(knows_every_port), cmocka_unit_test(agrees_with_a_list),
		cmocka_unit_test(holds_them_all),   cmocka_unit_test(is_worn_by_removals),
		cmocka_unit_test(searches_end),
	};

	return cmocka_run_group_tests_name("peers", tests, link_eal, NULL);
}
