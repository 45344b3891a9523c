/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SAs that have carried their share.
 */
#include "controlplane/rekey_limits.h"

#include "tests/unit/common/unit.h"

static void test_limits(void **state)
{
	static struct cp_rekey_limits limits;
	const struct cp_server none = { 0 }, bytes = { .child_rekey_bytes = 1000 },
			       packets = { .child_rekey_packets = 10 };
	struct ipc_sa_info info = { .id = { .spi_be = 7 }, .bytes = 999, .packets = 9 };

	(void)state;
	assert_false(cp_rekey_limits_reached(&limits, &bytes, &info));
	assert_false(cp_rekey_limits_reached(&limits, &packets, &info));
	info.bytes = 1000;
	info.packets = 10;
	assert_false(cp_rekey_limits_reached(&limits, &none, &info));
	assert_true(cp_rekey_limits_reached(&limits, &bytes, &info));
	assert_false(cp_rekey_limits_reached(&limits, &bytes, &info)); /* told already */
	info.id.spi_be = 8;
	assert_true(cp_rekey_limits_reached(&limits, &packets, &info));
	for (uint32_t i = 0; i < CP_LIMITS_TOLD_MAX + 5; i++) { /* the ring goes round */
		info.id.spi_be = 100 + i;
		assert_true(cp_rekey_limits_reached(&limits, &packets, &info));
		assert_false(cp_rekey_limits_reached(&limits, &packets, &info));
	}
}

static void test_any(void **state)
{
	struct cp_environment environments[2] = { { .server_count = 1 }, { .server_count = 2 } };
	const struct cp_config config = { .environments = environments, .environment_count = 2 };

	(void)state;
	assert_false(cp_rekey_limits_any(&config));
	environments[1].servers[1].child_rekey_packets = 1;
	assert_true(cp_rekey_limits_any(&config));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_any),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
