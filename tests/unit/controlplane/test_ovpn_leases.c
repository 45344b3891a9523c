/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Data keys as leases: what is added when, whose key makes room, and what is never given twice.
 */
#include "tests/unit/controlplane/ovpn_dataplane.h"

#include <arpa/inet.h>
#include <errno.h>

#include "controlplane/ovpn_leases.h"

#define LOCAL htonl(0xcb00710au)
#define REMOTE htonl(0xc6336465u)

static struct cp_ike_sas known;

static struct cp_ovpn_leases begin(void)
{
	return (struct cp_ovpn_leases){
		.known = &known,
		.path = { .tunnel = { .environment = "production", .server = "a" },
		          .local_be = LOCAL,
		          .remote_be = REMOTE,
		          .local_port_be = htons(20000),
		          .remote_port_be = htons(1194),
		          .replay_window = 64,
		          .hard_seconds = 100,
		          .ping_s = 10 },
	};
}

static struct cp_ovpn_key key_of(uint8_t id)
{
	struct cp_ovpn_key key = { .key_id = id,
		                   .algorithm = IPC_AES256_GCM16,
		                   .peer_id = 7,
		                   .flags = IPC_OPENVPN_FLOAT,
		                   .length = 40,
		                   .cipher = "AES-256-GCM" };

	memset(key.send, 0x55, sizeof(key.send));
	memset(key.receive, 0x52, sizeof(key.receive));
	return key;
}

static struct cp_ovpn_lease *add(struct cp_ovpn_leases *leases, uint8_t id)
{
	const struct cp_ovpn_key key = key_of(id);
	struct cp_ovpn_lease *lease = NULL;
	char why[CP_WHY_LEN];

	assert_int_equal(cp_ovpn_leases_add(leases, &key, 100u + id, &lease, why), 0);
	assert_non_null(lease);
	return lease;
}

static int set_up(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	cp_ike_sas_init(&known);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	cp_ike_sas_fini(&known);
	return 0;
}

/* Received with at once, sent with when it is time. */
static void test_both_directions(void **state)
{
	struct cp_ovpn_leases leases = begin();
	struct cp_ovpn_lease *lease = add(&leases, 0);
	const struct ipc_sa_add *in = &fake.adds[0], *out = &fake.adds[1];

	(void)state;
	assert_int_equal(fake.count, 1);
	assert_int_equal(in->id.direction, IPC_IN);
	assert_int_equal(in->id.destination_be, LOCAL);
	assert_int_equal(in->key[0], 0x52);
	assert_int_equal(in->openvpn.flags, IPC_OPENVPN_FLOAT);
	assert_int_equal(in->openvpn.ping_s, 0);
	assert_int_equal(in->replay_window, 64);
	assert_non_null(lease->outbound);
	assert_true(cp_ike_sas_has(&known, &in->id));
	assert_int_equal(cp_ovpn_leases_use(&leases, lease), 0);
	assert_int_equal(fake.count, 2);
	assert_int_equal(out->id.spi_be, in->id.spi_be);
	assert_int_equal(out->id.destination_be, REMOTE);
	assert_int_equal(out->key[0], 0x55);
	assert_int_equal(out->openvpn.ping_s, 10);
	assert_int_equal(out->openvpn.flags, 0);
	assert_int_equal(out->hard_seconds, 100);
	assert_null(lease->outbound); /* it is the dataplane's alone now */
	assert_true(lease->is_sending);
	assert_int_equal(cp_ovpn_leases_use(&leases, lease), 0);
	assert_int_equal(fake.count, 2);
	assert_ptr_equal(cp_ovpn_leases_find(&leases, 0), lease);
	assert_null(cp_ovpn_leases_find(&leases, 1));
	cp_ovpn_leases_remove_all(&leases);
	assert_int_equal(fake.count, 0);
	assert_null(cp_ovpn_leases_find(&leases, 0));
}

/* A stream's: what is sealed goes to the connection from that port. */
static void test_streams(void **state)
{
	struct cp_ovpn_leases leases = begin();
	struct cp_ovpn_lease *lease;

	(void)state;
	leases.path.stream_port_be = htons(30001);
	lease = add(&leases, 0);
	assert_int_equal(cp_ovpn_leases_use(&leases, lease), 0);
	assert_int_equal(fake.adds[0].local_port_be, htons(20000));
	assert_int_equal(fake.adds[1].local_port_be, htons(30001));
	assert_int_equal(fake.adds[1].flags, IPC_SA_OPENVPN | IPC_SA_STREAM);
	cp_ovpn_leases_remove_all(&leases);
}

/* Another session's inbound keys go where they are in the way, the oldest first; its outbound ones
 * are sent with until ours are there, and go with their owner. */
static void test_makes_room(void **state)
{
	struct cp_ovpn_leases before = begin(), leases = begin();
	struct cp_ovpn_lease *lease;

	(void)state;
	assert_int_equal(cp_ovpn_leases_use(&before, add(&before, 0)), 0);
	assert_int_equal(cp_ovpn_leases_use(&before, add(&before, 1)), 0);
	lease = add(&leases, 1); /* the id is taken */
	assert_null(fake_find(before.keys[1].spi_be, IPC_IN));
	assert_non_null(fake_find(before.keys[0].spi_be, IPC_IN));
	assert_int_equal(fake_count(IPC_OUT), 2);
	add(&leases, 2); /* there are two */
	assert_null(fake_find(before.keys[0].spi_be, IPC_IN));
	assert_non_null(fake_find(lease->spi_be, IPC_IN)); /* never our own */
	assert_int_equal(fake_count(IPC_OUT), 2);
	cp_ovpn_leases_remove_all(&before);
	assert_int_equal(fake_count(IPC_OUT), 0);
	assert_int_equal(fake_count(IPC_IN), 2);
	cp_ovpn_leases_remove_all(&leases);
	assert_int_equal(fake.count, 0);
}

/* What was not acknowledged is taken back, in case it arrived, and never sent again. */
static void test_a_key_is_burned(void **state)
{
	struct cp_ovpn_leases leases = begin();
	const struct cp_ovpn_key key = key_of(3);
	struct cp_ovpn_lease *lease;
	char why[CP_WHY_LEN];

	(void)state;
	fake.add_status = -ECONNRESET;
	assert_int_equal(cp_ovpn_leases_add(&leases, &key, 1, &lease, why), -ECONNRESET);
	assert_non_null(strstr(why, "did not take a data key"));
	assert_int_equal(fake.deletes, 1);
	assert_null(cp_ovpn_leases_find(&leases, 3));
	lease = add(&leases, 3);
	fake.add_status = -ETIMEDOUT;
	assert_int_equal(cp_ovpn_leases_use(&leases, lease), -ETIMEDOUT);
	assert_int_equal(fake.deletes, 2);
	assert_null(lease->outbound);
	assert_int_equal(cp_ovpn_leases_use(&leases, lease), -ENOKEY);
	cp_ovpn_leases_remove_all(&leases);
}

static void test_looks(void **state)
{
	struct cp_ovpn_leases leases = begin();
	struct cp_ovpn_lease *lease = add(&leases, 0);
	const uint32_t spi_be = lease->spi_be;

	(void)state;
	assert_false(cp_ovpn_leases_look(&leases, lease));
	assert_false(lease->is_heard || lease->is_exited);
	fake_hear(spi_be, REMOTE, htons(1194));
	assert_true(cp_ovpn_leases_look(&leases, lease));
	assert_true(lease->is_heard);
	assert_false(cp_ovpn_leases_look(&leases, lease)); /* nothing since */
	fake_find(spi_be, IPC_IN)->flags |= IPC_SA_EXITED;
	assert_false(cp_ovpn_leases_look(&leases, lease));
	assert_true(lease->is_exited);
	fake.count = 0; /* another dataplane */
	assert_false(cp_ovpn_leases_look(&leases, lease));
	assert_int_equal(lease->spi_be, 0);
}

/* The server is elsewhere: keys that are there keep their names, the next one goes there. */
static void test_floats(void **state)
{
	const uint32_t elsewhere_be = htonl(0xc633646fu);
	struct cp_ovpn_leases leases = begin();
	struct cp_ovpn_lease *first = add(&leases, 0), *second;

	(void)state;
	assert_int_equal(cp_ovpn_leases_use(&leases, first), 0);
	second = add(&leases, 1);
	fake_hear(first->spi_be, elsewhere_be, htons(7));
	assert_true(cp_ovpn_leases_look(&leases, first));
	assert_int_equal(leases.path.remote_be, elsewhere_be);
	assert_int_equal(leases.path.remote_port_be, htons(7));
	/* a key of which nothing was heard may have come with the old address */
	fake_find(second->spi_be, IPC_IN)->remote_be = REMOTE;
	assert_false(cp_ovpn_leases_look(&leases, second));
	assert_int_equal(leases.path.remote_be, elsewhere_be);
	assert_int_equal(cp_ovpn_leases_use(&leases, second), 0);
	assert_int_equal(fake.adds[3].id.destination_be, elsewhere_be);
	assert_int_equal(fake.adds[3].remote_be, elsewhere_be);
	assert_int_equal(fake.adds[3].remote_port_be, htons(7));
	cp_ovpn_leases_remove_all(&leases);
	assert_int_equal(fake.count, 0); /* by the names that they came with */
}

/* A control plane that ends leaves them where they are. */
static void test_forgets(void **state)
{
	struct cp_ovpn_leases leases = begin();

	(void)state;
	assert_int_equal(cp_ovpn_leases_use(&leases, add(&leases, 0)), 0);
	add(&leases, 1);
	cp_ovpn_leases_forget(&leases);
	assert_int_equal(fake.count, 3);
	assert_int_equal(fake.deletes, 0);
	assert_null(cp_ovpn_leases_find(&leases, 0));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_both_directions), TEST(test_streams), TEST(test_makes_room),
		TEST(test_a_key_is_burned), TEST(test_looks),   TEST(test_floats),
		TEST(test_forgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
