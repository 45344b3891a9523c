/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Forwards against the selectors of a server.
 */
#include "controlplane/reach.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "tests/unit/common/unit.h"

#define ADDRESS(a, b, c, d) (((uint32_t)(a) << 24) | ((b) << 16) | ((c) << 8) | (d))

static struct cp_forward forward(uint16_t port, uint32_t to, uint16_t to_port, uint8_t protocol)
{
	return (struct cp_forward){ .protocol = protocol,
		                    .port_be = htons(port),
		                    .to_address_be = htonl(to),
		                    .to_port_be = htons(to_port) };
}

static void test_reach(void **state)
{
	struct cp_forward forwards[] = {
		forward(33000, ADDRESS(192, 168, 100, 30), 8080, IPPROTO_TCP),
		forward(33001, ADDRESS(192, 168, 101, 1), 80, IPPROTO_TCP),
		forward(53, ADDRESS(192, 168, 100, 53), 53, IPPROTO_UDP),
	};
	const struct cp_environment environment = { .forwards = forwards, .forward_count = 3 };
	const struct cp_range all = { 0, UINT32_MAX, 0, UINT16_MAX, 0 };
	const struct cp_range net = { ADDRESS(192, 168, 100, 0), ADDRESS(192, 168, 100, 255), 0,
		                      UINT16_MAX, 0 };
	const struct cp_range edge = { ADDRESS(192, 168, 101, 1), ADDRESS(192, 168, 101, 1), 80, 80,
		                       IPPROTO_TCP };
	struct cp_range both[] = { net, edge }, narrow[] = { net, net };
	char text[256];

	(void)state;
	assert_int_equal(cp_reach_check(&environment, &all, 1, text, sizeof(text)), 0);
	assert_string_equal(text, "");
	assert_int_equal(cp_reach_check(&environment, &net, 1, text, sizeof(text)), 1);
	assert_string_equal(
		text,
		"the server's selectors leave out 1 of 3 forwards: 33001 to 192.168.101.1:80");
	assert_int_equal(cp_reach_check(&environment, both, 2, text, sizeof(text)), 0);
	assert_int_equal(cp_reach_check(&environment, NULL, 0, text, sizeof(text)), 3);
	assert_non_null(strstr(text, "3 of 3"));
	assert_non_null(strstr(text, "53/udp to 192.168.100.53:53"));
	/* one port, one protocol */
	narrow[0].protocol = IPPROTO_TCP;
	narrow[1].first_port = 54;
	assert_int_equal(cp_reach_check(&environment, narrow, 2, text, sizeof(text)), 2);
	/* what has no room is left out whole */
	assert_int_equal(cp_reach_check(&environment, NULL, 0, text, 70), 3);
	assert_string_equal(text, "the server's selectors leave out 3 of 3 forwards:");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_reach) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
