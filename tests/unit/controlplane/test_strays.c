/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SAs that nobody knows, and those that only look so. The connection to the dataplane is played
 * here.
 */
#include "tests/unit/common/unit.h"

#include <errno.h>

#include "common/log.h"
#include "controlplane/strays.h"

#define OUR_EPOCH 7u
#define CONNECTED_NS (1000 * 1000000000ull)
#define BEFORE_NS (CONNECTED_NS - 1)

static struct {
	struct ipc_sa_info sas[8];
	size_t count;
	int list_status;
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
	return dataplane.list_status;
}

int cp_dp_call(struct cp_dp *client, uint16_t type, const void *body, size_t body_length,
               void *reply, size_t reply_size)
{
	(void)client;
	(void)reply;
	(void)reply_size;
	assert_int_equal(type, IPC_SA_DEL);
	assert_int_equal(body_length, sizeof(struct ipc_sa_id));
	for (size_t i = 0; i < dataplane.count; i++) {
		if (memcmp(&dataplane.sas[i].id, body, body_length) == 0) {
			dataplane.sas[i] = dataplane.sas[--dataplane.count];
			return dataplane.delete_status;
		}
	}
	return -ENOENT;
}

/* libcharon has the SAs with even SPIs. */
static bool is_known(void *context, const struct ipc_sa_id *id)
{
	(void)context;
	return id->spi_be % 2 == 0;
}

static void add(uint32_t spi_be, uint64_t epoch, uint64_t added_ns, uint32_t flags)
{
	dataplane.sas[dataplane.count++] = (struct ipc_sa_info){
		.id = { .spi_be = spi_be, .destination_be = 1, .direction = IPC_IN },
		.control_epoch = epoch,
		.added_ns = added_ns,
		.flags = flags,
	};
}

static int remove_strays(void)
{
	return cp_strays_remove(NULL, OUR_EPOCH, CONNECTED_NS, is_known, NULL);
}

static int set_up(void **state)
{
	(void)state;
	memset(&dataplane, 0, sizeof(dataplane));
	return 0;
}

static void test_unknown_ones_go(void **state)
{
	(void)state;
	add(1, OUR_EPOCH, BEFORE_NS, 0);
	add(2, OUR_EPOCH, BEFORE_NS, 0);
	add(3, OUR_EPOCH, BEFORE_NS, IPC_SA_UDP | IPC_SA_ACTIVE);
	assert_int_equal(remove_strays(), 2);
	assert_int_equal(dataplane.count, 1);
	assert_int_equal(dataplane.sas[0].id.spi_be, 2);
	assert_int_equal(remove_strays(), 0);
}

static void test_orphans_stay(void **state)
{
	(void)state;
	add(1, OUR_EPOCH + 1, BEFORE_NS, 0);
	assert_int_equal(remove_strays(), 0);
	assert_int_equal(dataplane.count, 1);
}

static void test_what_is_being_added_stays(void **state)
{
	(void)state;
	add(1, OUR_EPOCH, CONNECTED_NS, 0);
	add(3, OUR_EPOCH, CONNECTED_NS + 1, 0);
	assert_int_equal(remove_strays(), 0);
	assert_int_equal(dataplane.count, 2);
}

static void test_early_ones_stay_as_long_as_a_negotiation(void **state)
{
	(void)state;
	add(1, OUR_EPOCH, BEFORE_NS, IPC_SA_EARLY);
	add(3, OUR_EPOCH, CONNECTED_NS - CP_STRAYS_EARLY_NS - 1, IPC_SA_EARLY);
	assert_int_equal(remove_strays(), 1);
	assert_int_equal(dataplane.count, 1);
	assert_int_equal(dataplane.sas[0].id.spi_be, 1);
}

static void test_errors_are_told(void **state)
{
	(void)state;
	add(1, OUR_EPOCH, BEFORE_NS, 0);
	dataplane.delete_status = -ECONNRESET;
	assert_int_equal(remove_strays(), -ECONNRESET);
	dataplane.list_status = -ETIMEDOUT;
	assert_int_equal(remove_strays(), -ETIMEDOUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_unknown_ones_go, set_up),
		cmocka_unit_test_setup(test_orphans_stay, set_up),
		cmocka_unit_test_setup(test_what_is_being_added_stays, set_up),
		cmocka_unit_test_setup(test_early_ones_stay_as_long_as_a_negotiation, set_up),
		cmocka_unit_test_setup(test_errors_are_told, set_up),
	};

	sp_log_init("test", SP_LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
