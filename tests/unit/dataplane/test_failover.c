/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which tunnel carries an environment's traffic: preference, loss, return, and moves by
 * compare-and-set. */
#include "dataplane/failover.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SLOT 3u
#define TUNNELS 3u

struct world {
	struct dp_worker w;
	struct dp_tunnel tunnels[8];
	struct dp_environment_state environments[8];
	struct dp_environment environment;
	struct dp_generation generation;
};

/* The environment prefers tunnels 5, 2, 7 in this order. */
static struct world *create(void)
{
	struct world *x =
		aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(sizeof(*x), RTE_CACHE_LINE_SIZE));

	assert_non_null(x);
	memset(x, 0, sizeof(*x));
	x->environment = (struct dp_environment){ .slot = SLOT,
		                                  .tunnel_count = TUNNELS,
		                                  .tunnels = { 5, 2, 7 } };
	x->generation.by_slot[SLOT] = &x->environment;
	x->w.generation = &x->generation;
	x->w.tunnels = x->tunnels;
	x->w.environments = x->environments;
	x->environments[SLOT].active = DP_NONE_SLOT;
	return x;
}

static void set(struct world *x, uint16_t tunnel, int is_up)
{
	x->tunnels[tunnel].is_wanted = (uint8_t)is_up;
	x->tunnels[tunnel].inner_be = is_up ? 1 : 0;
	x->tunnels[tunnel].out = is_up ? (struct dp_sa_out *)x : NULL;
}

static void follows_preference_and_stays(void **state)
{
	static const struct {
		const char *what;
		uint16_t tunnel;
		int is_up, moved;
		uint16_t active;
	} steps[] = {
		{ "nothing is up", 7, 0, 0, DP_NONE_SLOT },
		{ "the last one comes", 7, 1, 1, 7 },
		{ "a better one comes: moving back is policy, not automatic", 5, 1, 0, 7 },
		{ "and another", 2, 1, 0, 7 },
		{ "a standby goes", 2, 0, 0, 7 },
		{ "the active one goes: to the most preferred", 7, 0, 1, 5 },
		{ "a standby comes", 2, 1, 0, 5 },
		{ "the active one goes", 5, 0, 1, 2 },
		{ "and the last one", 2, 0, 1, DP_NONE_SLOT },
		{ "again", 2, 0, 0, DP_NONE_SLOT },
		{ "one returns", 5, 1, 1, 5 },
	};
	struct world *x = create();
	uint64_t moves = 0;

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(steps); i++) {
		set(x, steps[i].tunnel, steps[i].is_up);
		if (dp_failover_refresh(&x->w, SLOT) != steps[i].moved ||
		    x->environments[SLOT].active != steps[i].active)
			fail_msg("%s: active %u", steps[i].what, x->environments[SLOT].active);
		moves += (uint64_t)steps[i].moved;
		assert_int_equal(x->environments[SLOT].move_counter, moves);
		assert_int_equal(x->tunnels[steps[i].tunnel].is_up, steps[i].is_up);
		assert_int_equal(dp_failover_refresh(&x->w, SLOT), 0);
	}
	free(x);
}

static void is_up_with_all_three(void **state)
{
	struct world *x = create();

	(void)state;
	for (unsigned have = 0; have < 8; have++) {
		x->tunnels[5].is_wanted = have & 1;
		x->tunnels[5].inner_be = have & 2;
		x->tunnels[5].out = have & 4 ? (struct dp_sa_out *)x : NULL;
		dp_failover_refresh(&x->w, SLOT);
		assert_int_equal(x->tunnels[5].is_up, have == 7);
	}
	free(x);
}

/* A standby behind the active one must be known to be up, or no move to it would be possible. */
static void knows_every_standby(void **state)
{
	struct world *x = create();

	(void)state;
	set(x, 5, 1);
	dp_failover_refresh(&x->w, SLOT);
	set(x, 2, 1);
	set(x, 7, 1);
	assert_int_equal(dp_failover_refresh(&x->w, SLOT), 0);
	assert_true(x->tunnels[2].is_up && x->tunnels[7].is_up);
	set(x, 7, 0);
	dp_failover_refresh(&x->w, SLOT);
	assert_false(x->tunnels[7].is_up);
	assert_int_equal(dp_failover_move(&x->w, SLOT, 7, 1), -ENETDOWN);
	assert_int_equal(dp_failover_move(&x->w, SLOT, 2, 1), 0);
	free(x);
}

static void moves_by_compare_and_set(void **state)
{
	struct world *x = create();
	struct dp_environment_state *s = &x->environments[SLOT];

	(void)state;
	set(x, 5, 1);
	set(x, 2, 1);
	dp_failover_refresh(&x->w, SLOT);
	assert_int_equal(s->move_counter, 1);
	assert_int_equal(dp_failover_move(&x->w, SLOT, 2, 0), -ESTALE);
	assert_int_equal(dp_failover_move(&x->w, SLOT, 2, 2), -ESTALE);
	assert_int_equal(dp_failover_move(&x->w, SLOT, 7, 1), -ENETDOWN);
	assert_int_equal(s->active, 5);
	assert_int_equal(s->move_counter, 1);
	assert_int_equal(dp_failover_move(&x->w, SLOT, 2, 1), 0);
	assert_int_equal(s->active, 2);
	assert_int_equal(s->move_counter, 2);
	assert_int_equal(dp_failover_move(&x->w, SLOT, 2, 1),
	                 -ESTALE);                                /* the same request once more */
	assert_int_equal(dp_failover_move(&x->w, SLOT, 2, 2), 0); /* where it is already */
	assert_int_equal(s->move_counter, 3);
	/* a resync does not revert it */
	assert_int_equal(dp_failover_refresh(&x->w, SLOT), 0);
	assert_int_equal(s->active, 2);
	free(x);
}

/* What a new generation changes: an order, a tunnel that is gone, an environment that is gone. */
static void follows_the_generation(void **state)
{
	struct world *x = create();
	struct dp_environment_state *s = &x->environments[SLOT];

	(void)state;
	set(x, 5, 1);
	set(x, 2, 1);
	dp_failover_refresh(&x->w, SLOT);
	memcpy(x->environment.tunnels, (uint16_t[]){ 2, 7, 5 }, 3 * sizeof(uint16_t));
	assert_int_equal(dp_failover_refresh(&x->w, SLOT), 0);
	assert_int_equal(s->active, 5);
	x->environment.tunnel_count = 2;
	assert_int_equal(dp_failover_refresh(&x->w, SLOT), 1);
	assert_int_equal(s->active, 2);
	x->generation.by_slot[SLOT] = NULL;
	assert_int_equal(dp_failover_refresh(&x->w, SLOT), 1);
	assert_int_equal(s->active, DP_NONE_SLOT);
	/* other environments are other environments */
	for (unsigned i = 0; i < RTE_DIM(x->environments); i++)
		if (i != SLOT)
			assert_int_equal(x->environments[i].move_counter, 0);
	free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows_preference_and_stays),
		cmocka_unit_test(is_up_with_all_three),
		cmocka_unit_test(knows_every_standby),
		cmocka_unit_test(moves_by_compare_and_set),
		cmocka_unit_test(follows_the_generation),
	};

	return cmocka_run_group_tests_name("failover", tests, NULL, NULL);
}
