/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Orphaned SAs: which ones are, and when they go. The connection to the dataplane is played here.
 */
#include "tests/unit/common/unit.h"

#include <errno.h>

#include "common/log.h"
#include "controlplane/ike_tunnels.h"
#include "controlplane/orphans.h"

#define OUR_EPOCH 7u
#define LOCAL 0x0a000001u
#define OUR_SPI 99u

static struct {
	struct ipc_sa_info sas[8];
	size_t count;
	uint64_t our_packets; /* through OUR_SPI */
	int delete_status;
} dataplane;

int cp_dp_list(struct cp_dp *client, uint16_t type, size_t entry_size,
               void (*each)(void *context, const void *entry), void *context)
{
	(void)client;
	assert_int_equal(type, IPC_SA_LIST);
	assert_int_equal(entry_size, sizeof(struct ipc_sa_info));
	for (size_t i = 0; i < dataplane.count; i++)
		each(context, &dataplane.sas[i]);
	return 0;
}

int cp_dp_call(struct cp_dp *client, uint16_t type, const void *body, size_t body_length,
               void *reply, size_t reply_size)
{
	const struct ipc_sa_id *id = body;

	(void)client;
	assert_int_equal(body_length, sizeof(*id));
	if (type == IPC_SA_QUERY) {
		struct ipc_sa_info *info = reply;

		assert_int_equal(reply_size, sizeof(*info));
		assert_int_equal(id->spi_be, OUR_SPI);
		assert_int_equal(id->destination_be, LOCAL);
		assert_int_equal(id->direction, IPC_IN);
		info->packets = dataplane.our_packets;
		return 0;
	}
	assert_int_equal(type, IPC_SA_DEL);
	for (size_t i = 0; i < dataplane.count; i++) {
		if (memcmp(&dataplane.sas[i].id, id, sizeof(*id)) == 0) {
			dataplane.sas[i] = dataplane.sas[--dataplane.count];
			break;
		}
	}
	return dataplane.delete_status;
}

static struct ipc_tunnel tunnel(const char *server)
{
	struct ipc_tunnel id = { .environment = "production" };

	strcpy(id.server, server);
	return id;
}

static void add(const char *server, uint32_t spi_be, uint64_t epoch)
{
	dataplane.sas[dataplane.count++] = (struct ipc_sa_info){
		.tunnel = tunnel(server),
		.id = { .spi_be = spi_be, .destination_be = LOCAL, .direction = IPC_IN },
		.control_epoch = epoch,
	};
}

/* Two orphans of a, one of b, and an SA of our own. */
static struct cp_orphans begin(void)
{
	struct cp_orphans orphans;

	memset(&dataplane, 0, sizeof(dataplane));
	add("a", 1, OUR_EPOCH - 1);
	add("a", 2, OUR_EPOCH - 2);
	add("b", 3, OUR_EPOCH - 1);
	add("a", OUR_SPI, OUR_EPOCH);
	cp_orphans_init(&orphans, NULL, OUR_EPOCH);
	assert_int_equal(cp_orphans_read(&orphans), 0);
	return orphans;
}

static void end(struct cp_orphans *orphans)
{
	dataplane.count = 0;
	cp_orphans_read(orphans);
}

static void test_only_other_epochs_are_orphans(void **state)
{
	struct cp_orphans orphans = begin();
	const struct ipc_tunnel a = tunnel("a"), b = tunnel("b"), c = tunnel("c");

	(void)state;
	assert_int_equal(cp_orphans_count(&orphans, &a), 2);
	assert_int_equal(cp_orphans_count(&orphans, &b), 1);
	assert_int_equal(cp_orphans_count(&orphans, &c), 0);
	/* reading again does not count them twice */
	assert_int_equal(cp_orphans_read(&orphans), 0);
	assert_int_equal(cp_orphans_count(&orphans, &a), 2);
	end(&orphans);
}

static void test_stay_until_our_own_carry_traffic(void **state)
{
	struct cp_orphans orphans = begin();
	const struct ipc_tunnel a = tunnel("a"), b = tunnel("b");
	uint64_t switched = 0;

	(void)state;
	assert_int_equal(cp_orphans_retire(&orphans, &a, OUR_SPI, LOCAL, 1000, &switched, 1500), 2);
	assert_int_equal(dataplane.count, 4);
	dataplane.our_packets = 1;
	assert_int_equal(cp_orphans_retire(&orphans, &a, OUR_SPI, LOCAL, 1000, &switched, 1700), 2);
	assert_int_equal(switched, 1700);
	dataplane.our_packets = 0; /* once is enough */
	assert_int_equal(cp_orphans_retire(&orphans, &a, OUR_SPI, LOCAL, 1000, &switched,
	                                   1699 + CP_ORPHANS_GRACE_MS),
	                 2);
	assert_int_equal(dataplane.count, 4);
	assert_int_equal(cp_orphans_retire(&orphans, &a, OUR_SPI, LOCAL, 1000, &switched,
	                                   1700 + CP_ORPHANS_GRACE_MS),
	                 0);
	assert_int_equal(dataplane.count, 2);
	assert_int_equal(cp_orphans_count(&orphans, &b), 1);
	end(&orphans);
}

static void test_go_after_a_while_without_traffic(void **state)
{
	struct cp_orphans orphans = begin();
	const struct ipc_tunnel a = tunnel("a");
	uint64_t switched = 0;

	(void)state;
	assert_int_equal(cp_orphans_retire(&orphans, &a, OUR_SPI, LOCAL, 1000, &switched,
	                                   1000 + CP_ORPHANS_KEEP_MS - 1),
	                 2);
	assert_int_equal(cp_orphans_retire(&orphans, &a, OUR_SPI, LOCAL, 1000, &switched,
	                                   1000 + CP_ORPHANS_KEEP_MS),
	                 0);
	end(&orphans);
}

static void test_those_gone_already_are_forgotten(void **state)
{
	struct cp_orphans orphans = begin();
	const struct ipc_tunnel a = tunnel("a");
	uint64_t switched = 5000;

	(void)state;
	dataplane.our_packets = 1;
	dataplane.delete_status = -ENOENT;
	assert_int_equal(cp_orphans_retire(&orphans, &a, OUR_SPI, LOCAL, 1000, &switched, 9000), 0);
	end(&orphans);
}

static bool is_a(void *context, const struct ipc_tunnel *id)
{
	return memcmp(context, id, sizeof(*id)) == 0;
}

static void test_strangers_go_at_once(void **state)
{
	struct cp_orphans orphans = begin();
	struct ipc_tunnel a = tunnel("a"), b = tunnel("b");

	(void)state;
	cp_orphans_drop_strangers(&orphans, is_a, &a);
	assert_int_equal(cp_orphans_count(&orphans, &a), 2);
	assert_int_equal(cp_orphans_count(&orphans, &b), 0);
	assert_int_equal(dataplane.count, 3);
	end(&orphans);
}

static void test_knows_the_newest_suite(void **state)
{
	struct cp_orphans orphans;
	const struct ipc_tunnel a = tunnel("a"), b = tunnel("b");

	(void)state;
	memset(&dataplane, 0, sizeof(dataplane));
	add("a", 1, OUR_EPOCH - 1);
	add("a", 2, OUR_EPOCH - 1);
	add("a", OUR_SPI, OUR_EPOCH);
	dataplane.sas[0].algorithm = IPC_AES256_GCM16;
	dataplane.sas[0].flags = IPC_SA_ESN | IPC_SA_UDP | IPC_SA_EXPIRING;
	dataplane.sas[0].added_ns = 70;
	dataplane.sas[1].algorithm = IPC_AES128_GCM16;
	dataplane.sas[1].added_ns = 60;
	dataplane.sas[2].algorithm = IPC_AES192_GCM16;
	dataplane.sas[2].added_ns = 80;
	cp_orphans_init(&orphans, NULL, OUR_EPOCH);
	assert_int_equal(cp_orphans_read(&orphans), 0);
	assert_int_equal(CP_IKE_SUITE_ALGORITHM(cp_orphans_suite(&orphans, &a)), IPC_AES256_GCM16);
	assert_int_equal(CP_IKE_SUITE_FLAGS(cp_orphans_suite(&orphans, &a)), IPC_SA_ESN);
	assert_int_equal(cp_orphans_suite(&orphans, &b), 0);
	end(&orphans);
}

/* An early SA shows that a negotiation was begun: its end shows by a packet, or by the other SA. */
static void test_tells_a_beginning_from_an_end(void **state)
{
	struct cp_orphans orphans;
	const struct ipc_tunnel a = tunnel("a");

	(void)state;
	memset(&dataplane, 0, sizeof(dataplane));
	cp_orphans_init(&orphans, NULL, OUR_EPOCH);
	add("a", OUR_SPI, OUR_EPOCH);
	add("b", 2, OUR_EPOCH - 1);
	assert_int_equal(cp_orphans_read(&orphans), 0);
	assert_false(cp_orphans_were_up(&orphans, &a));
	add("a", 1, OUR_EPOCH - 1);
	dataplane.sas[2].flags = IPC_SA_UDP | IPC_SA_EARLY;
	assert_int_equal(cp_orphans_read(&orphans), 0);
	assert_int_equal(cp_orphans_count(&orphans, &a), 1);
	assert_false(cp_orphans_were_up(&orphans, &a));
	dataplane.sas[2].packets = 1;
	assert_int_equal(cp_orphans_read(&orphans), 0);
	assert_true(cp_orphans_were_up(&orphans, &a));
	dataplane.sas[2].packets = 0;
	add("a", 3, OUR_EPOCH - 1);
	dataplane.sas[3].id.direction = IPC_OUT;
	assert_int_equal(cp_orphans_read(&orphans), 0);
	assert_true(cp_orphans_were_up(&orphans, &a));
	end(&orphans);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_other_epochs_are_orphans),
		cmocka_unit_test(test_stay_until_our_own_carry_traffic),
		cmocka_unit_test(test_go_after_a_while_without_traffic),
		cmocka_unit_test(test_those_gone_already_are_forgotten),
		cmocka_unit_test(test_strangers_go_at_once),
		cmocka_unit_test(test_knows_the_newest_suite),
		cmocka_unit_test(test_tells_a_beginning_from_an_end),
	};

	sp_log_init("test", SP_LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
