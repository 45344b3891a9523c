/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses as text and back.
 */
#include "common/netaddr.h"

#include <arpa/inet.h>
#include <errno.h>

#include "tests/unit/common/unit.h"

#define ADDRESS(a, b, c, d) htonl((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

static void test_address(void **state)
{
	static const char *const bad[] = { "",          "1",        "1.2.3",    "1.2.3.4.5",
		                           "256.1.1.1", "1.2.3.4 ", " 1.2.3.4", "01.2.3.4",
		                           "0x1.2.3.4", "::1",      "1.2.3.-4", "a.b.c.d",
		                           "1.2.3.4/8" };
	char text[SP_ADDRESS_TEXT];
	uint32_t address_be;

	(void)state;
	assert_int_equal(sp_address_parse("198.51.100.255", &address_be), 0);
	assert_int_equal(address_be, ADDRESS(198, 51, 100, 255));
	assert_string_equal(sp_address_format(text, address_be), "198.51.100.255");
	assert_string_equal(sp_address_format(text, 0), "0.0.0.0");
	assert_string_equal(sp_address_format(text, 0xffffffffu), "255.255.255.255");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		address_be = 7;
		assert_int_equal(sp_address_parse(bad[i], &address_be), -EINVAL);
		assert_int_equal(address_be, 7);
	}
}

static void test_prefix(void **state)
{
	static const char *const bad[] = { "10.0.0.0",
		                           "10.0.0.0/",
		                           "10.0.0.0/33",
		                           "10.0.0.0/-1",
		                           "10.0.0.0/08",
		                           "10.0.0.1/24",
		                           "10.0.0.0/8 ",
		                           "10.0.0.0/4294967304",
		                           "/8",
		                           "10.0.0/8",
		                           "0.0.0.1/0",
		                           "10.0.0.0//8",
		                           "100000000000000000000000/8" };
	char text[SP_PREFIX_TEXT];
	uint32_t address_be;
	uint8_t length;

	(void)state;
	assert_int_equal(sp_prefix_parse("10.0.0.0/8", &address_be, &length), 0);
	assert_int_equal(address_be, ADDRESS(10, 0, 0, 0));
	assert_int_equal(length, 8);
	assert_int_equal(sp_prefix_parse("0.0.0.0/0", &address_be, &length), 0);
	assert_int_equal(length, 0);
	assert_int_equal(sp_prefix_parse("255.255.255.255/32", &address_be, &length), 0);
	assert_string_equal(sp_prefix_format(text, address_be, length), "255.255.255.255/32");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(sp_prefix_parse(bad[i], &address_be, &length), -EINVAL);

	assert_int_equal(sp_interface_parse("192.0.2.10/24", &address_be, &length), 0);
	assert_int_equal(address_be, ADDRESS(192, 0, 2, 10));
	assert_int_equal(length, 24);
	assert_int_equal(sp_interface_parse("192.0.2.10", &address_be, &length), -EINVAL);
}

static void test_endpoint(void **state)
{
	static const char *const bad[] = { "192.0.2.1",       "192.0.2.1:",    "192.0.2.1:0",
		                           "192.0.2.1:65536", "192.0.2.1:80a", ":80",
		                           "host:80",         "192.0.2.1:080", "192.0.2.1:80:80" };
	char text[SP_ENDPOINT_TEXT];
	uint32_t address_be;
	uint16_t port_be;

	(void)state;
	assert_int_equal(sp_endpoint_parse("192.0.2.1:8080", &address_be, &port_be), 0);
	assert_int_equal(address_be, ADDRESS(192, 0, 2, 1));
	assert_int_equal(port_be, htons(8080));
	assert_string_equal(sp_endpoint_format(text, address_be, port_be), "192.0.2.1:8080");
	assert_string_equal(sp_endpoint_format(text, 0xffffffffu, 0xffff), "255.255.255.255:65535");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(sp_endpoint_parse(bad[i], &address_be, &port_be), -EINVAL);
}

static void test_sets(void **state)
{
	(void)state;
	assert_int_equal(sp_prefix_mask_be(0), 0);
	assert_int_equal(sp_prefix_mask_be(1), ADDRESS(128, 0, 0, 0));
	assert_int_equal(sp_prefix_mask_be(24), ADDRESS(255, 255, 255, 0));
	assert_int_equal(sp_prefix_mask_be(32), 0xffffffffu);
	assert_true(sp_prefix_contains(0, 0, ADDRESS(8, 8, 8, 8)));
	assert_true(sp_prefix_contains(ADDRESS(10, 1, 0, 0), 16, ADDRESS(10, 1, 255, 255)));
	assert_false(sp_prefix_contains(ADDRESS(10, 1, 0, 0), 16, ADDRESS(10, 2, 0, 0)));
	assert_false(sp_prefix_contains(ADDRESS(10, 1, 0, 0), 32, ADDRESS(10, 1, 0, 1)));

	assert_true(sp_address_is_martian(0));
	assert_true(sp_address_is_martian(ADDRESS(0, 1, 2, 3)));
	assert_true(sp_address_is_martian(ADDRESS(127, 0, 0, 1)));
	assert_true(sp_address_is_martian(ADDRESS(224, 0, 0, 1)));
	assert_true(sp_address_is_martian(ADDRESS(240, 0, 0, 1)));
	assert_true(sp_address_is_martian(0xffffffffu));
	assert_false(sp_address_is_martian(ADDRESS(1, 0, 0, 0)));
	assert_false(sp_address_is_martian(ADDRESS(128, 0, 0, 1)));
	assert_false(sp_address_is_martian(ADDRESS(223, 255, 255, 255)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_endpoint),
		cmocka_unit_test(test_sets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
