/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of acknowledged SAs.
 */
#include "tests/unit/common/unit.h"

#include "controlplane/ike_sas.h"

static const struct ipc_sa_id first = { .spi_be = 1, .destination_be = 10, .direction = IPC_IN };
static const struct ipc_sa_id elsewhere = { .spi_be = 1,
	                                    .destination_be = 11,
	                                    .direction = IPC_OUT };
static const struct ipc_sa_id second = { .spi_be = 2, .destination_be = 10, .direction = IPC_IN };

static void test_is_known_by_spi_and_destination(void **state)
{
	struct cp_ike_sas sas;

	(void)state;
	cp_ike_sas_init(&sas);
	assert_false(cp_ike_sas_has(&sas, &first));
	assert_int_equal(cp_ike_sas_add(&sas, &first, 0, 100), 0);
	assert_true(cp_ike_sas_has(&sas, &first));
	assert_false(cp_ike_sas_has(&sas, &elsewhere));
	assert_false(cp_ike_sas_has(&sas, &second));
	cp_ike_sas_fini(&sas);
}

static void test_removal_leaves_the_others(void **state)
{
	struct cp_ike_sas sas;

	(void)state;
	cp_ike_sas_init(&sas);
	cp_ike_sas_add(&sas, &first, 0, 100);
	cp_ike_sas_add(&sas, &elsewhere, 0, 100);
	cp_ike_sas_add(&sas, &second, 0, 100);
	cp_ike_sas_del(&sas, &elsewhere);
	cp_ike_sas_del(&sas, &elsewhere);
	assert_true(cp_ike_sas_has(&sas, &first));
	assert_false(cp_ike_sas_has(&sas, &elsewhere));
	assert_true(cp_ike_sas_has(&sas, &second));
	cp_ike_sas_fini(&sas);
}

static void test_inbound_predecessor_has_a_grace(void **state)
{
	const struct ipc_sa_id old_out = { .spi_be = 7,
		                           .destination_be = 11,
		                           .direction = IPC_OUT };
	struct cp_ike_sas sas;

	(void)state;
	cp_ike_sas_init(&sas);
	cp_ike_sas_add(&sas, &first, 0, 100);
	cp_ike_sas_add(&sas, &old_out, 0, 100);
	assert_false(cp_ike_sas_is_just_succeeded(&sas, &first, 101, 5)); /* by nothing */
	cp_ike_sas_add(&sas, &second, 1, 200);
	assert_false(cp_ike_sas_is_just_succeeded(&sas, &first, 201, 5)); /* by another tunnel's */
	cp_ike_sas_add(&sas, &elsewhere, 0, 200);
	assert_false(cp_ike_sas_is_just_succeeded(&sas, &first, 201, 5)); /* by an outbound one */
	cp_ike_sas_del(&sas, &second);
	cp_ike_sas_add(&sas, &second, 0, 200);
	assert_true(cp_ike_sas_is_just_succeeded(&sas, &first, 204, 5));
	assert_false(cp_ike_sas_is_just_succeeded(&sas, &first, 205, 5));
	assert_false(cp_ike_sas_is_just_succeeded(&sas, &second, 204, 5)); /* the newest itself */
	assert_false(cp_ike_sas_is_just_succeeded(&sas, &old_out, 204, 5));
	cp_ike_sas_fini(&sas);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_is_known_by_spi_and_destination),
		cmocka_unit_test(test_removal_leaves_the_others),
		cmocka_unit_test(test_inbound_predecessor_has_a_grace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
