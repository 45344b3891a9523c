/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sums by destination, also where somebody chose the destinations. */
#include "dataplane/egress_use.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <rte_hash_crc.h>

#define CHOSEN 1000u

static void sums_up_by_destination(void **state)
{
	struct dp_egress_count *c = dp_egress_count_create();
	struct dp_port_use use = { .endpoint = { .inner_be = 1, .remote_be = 2 }, .ports = 3 };
	unsigned found = 0;

	(void)state;
	assert_non_null(c);
	add(c, &use);
	add(c, &use);
	use.endpoint.remote_be = 3;
	add(c, &use);
	assert_int_equal(c->used, 2);
	for (unsigned i = 0; i < PLACES; i++) {
		if (!c->places[i].ports)
			continue;
		assert_int_equal(c->places[i].ports, c->places[i].remote_be == 2 ? 6 : 3);
		found++;
	}
	assert_int_equal(found, 2);
	dp_egress_count_destroy(c);
}

/* The longest row of places that are in use: what a search may have to look at. */
static unsigned longest_row(const struct dp_egress_count *c)
{
	unsigned longest = 0, row = 0;

	for (unsigned i = 0; i < PLACES; i++) {
		row = c->places[i].ports ? row + 1 : 0;
		longest = RTE_MAX(longest, row);
	}
	return longest;
}

/* Remote addresses that have one place by their CRC, which everybody can compute. */
static void is_not_slowed_down_by_choice(void **state)
{
	struct dp_egress_count *c = dp_egress_count_create();
	struct dp_port_use use = { .endpoint = { .inner_be = 1, .protocol = 17 }, .ports = 1 };

	(void)state;
	assert_non_null(c);
	for (uint64_t remote = 1; c->used < CHOSEN; remote++) {
		if (rte_hash_crc_8byte(remote << 32 | 1, 17) & (PLACES - 1))
			continue;
		use.endpoint.remote_be = (uint32_t)remote;
		add(c, &use);
	}
	assert_in_range(longest_row(c), 1, 50);
	dp_egress_count_destroy(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums_up_by_destination),
		cmocka_unit_test(is_not_slowed_down_by_choice),
	};

	return cmocka_run_group_tests_name("egress_use", tests, NULL, NULL);
}
