/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tunnel's state machine, with a virtual clock.
 */
#include "tests/unit/common/unit.h"

#include "controlplane/tunnel_state.h"

#define REMOTE 0x0a0b0c0d
#define INNER 0x01020304

struct world {
	struct cp_tunnel_state tunnel;
	uint64_t now_ms;
};

static unsigned step(struct world *world, struct cp_event event)
{
	return cp_tunnel_state_step(&world->tunnel, &event, world->now_ms);
}

static unsigned pass_to_deadline(struct world *world)
{
	assert_true(world->tunnel.deadline_ms > world->now_ms);
	world->now_ms = world->tunnel.deadline_ms - 1;
	assert_int_equal(step(world, (struct cp_event){ .type = CP_EVENT_TIME }), 0);
	world->now_ms++;
	return step(world, (struct cp_event){ .type = CP_EVENT_TIME });
}

static struct cp_event reason(uint32_t ike_id, enum cp_rank rank, const char *why)
{
	struct cp_event event = { .type = CP_EVENT_REASON, .ike_id = ike_id, .rank = rank };

	snprintf(event.why, sizeof(event.why), "%s", why);
	return event;
}

static struct cp_event child_up(uint32_t ike_id, uint32_t child_id)
{
	return (struct cp_event){ .type = CP_EVENT_CHILD_UP,
		                  .ike_id = ike_id,
		                  .child_id = child_id,
		                  .spi_be = child_id * 100,
		                  .inner_be = INNER,
		                  .remote_be = REMOTE,
		                  .is_udp = true,
		                  .suite = "AES_GCM_16_256" };
}

static struct world begin_world(void)
{
	static const struct cp_server server = { .retry_min_s = 1, .retry_max_s = 60 };
	struct world world = { .now_ms = 1000000 };

	cp_tunnel_state_init(&world.tunnel, &server, 42, world.now_ms);
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_IDLE);
	return world;
}

/* Up to where the server was asked, as IKE_SA ID. */
static void knock(struct world *world, uint32_t id)
{
	assert_int_equal(world->tunnel.phase, CP_TUNNEL_CONNECTING);
	assert_int_equal(
		step(world, (struct cp_event){ .type = CP_EVENT_RESOLVED, .remote_be = REMOTE }),
		0);
	assert_true(world->tunnel.is_queued);
	assert_int_equal(world->tunnel.deadline_ms, 0);
	assert_int_equal(step(world, (struct cp_event){ .type = CP_EVENT_ADMITTED }),
	                 CP_DO_PEER | CP_DO_CONNECT);
	assert_true(world->tunnel.is_negotiating && !world->tunnel.is_queued);
	assert_int_equal(step(world, (struct cp_event){ .type = CP_EVENT_IKE_BEGUN, .ike_id = id }),
	                 0);
}

/* A tunnel that is up with IKE_SA 1 and CHILD_SA 1. */
static struct world up_world(void)
{
	struct world world = begin_world();

	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_READY_NEW }),
	                 CP_DO_RESOLVE);
	knock(&world, 1);
	assert_int_equal(step(&world, child_up(1, 1)), CP_DO_UP | CP_SAY_UP);
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_UP);
	return world;
}

static void test_connects_when_the_dataplane_is_ready(void **state)
{
	struct world world = up_world();

	(void)state;
	assert_int_equal(world.tunnel.inner_be, INNER);
	assert_int_equal(world.tunnel.remote_be, REMOTE);
	assert_string_equal(world.tunnel.suite, "AES_GCM_16_256");
	assert_int_equal(world.tunnel.attempts, 0);
	assert_int_equal(world.tunnel.connects, 1);
	assert_string_equal(world.tunnel.why, "");
	assert_int_equal(world.tunnel.deadline_ms, 0);
}

static void test_says_the_reason_that_explains_most(void **state)
{
	struct world world = begin_world();

	(void)state;
	step(&world, (struct cp_event){ .type = CP_EVENT_READY });
	knock(&world, 1);
	step(&world, reason(1, CP_RANK_AUTH, "who"));
	step(&world, reason(1, CP_RANK_EXACT, "what"));
	step(&world, reason(1, CP_RANK_EXACT, "what else"));
	step(&world, reason(1, CP_RANK_VAGUE, "nothing"));
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_IKE_GONE, .ike_id = 1 }),
	                 CP_SAY_FAILED);
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_WAITING);
	assert_string_equal(world.tunnel.why, "what");
	/* the next attempt does not inherit it, but the operator still reads it meanwhile */
	assert_int_equal(pass_to_deadline(&world), CP_DO_RESOLVE);
	assert_string_equal(world.tunnel.why, "what");
	knock(&world, 2);
	step(&world, (struct cp_event){ .type = CP_EVENT_IKE_GONE, .ike_id = 2 });
	/* silence explains less than what was said before */
	assert_string_equal(world.tunnel.why,
	                    "the negotiation ended without a reason given; before that: what");
	assert_int_equal(world.tunnel.attempts, 2);
	assert_false(world.tunnel.is_negotiating);
	pass_to_deadline(&world);
	knock(&world, 3);
	step(&world, child_up(3, 1));
	assert_string_equal(world.tunnel.why, "");
	assert_string_equal(world.tunnel.before, "");
}

static void test_admission_of_one_that_does_not_wait_does_nothing(void **state)
{
	struct world world = up_world();

	(void)state;
	assert_false(world.tunnel.is_negotiating);
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_ADMITTED }), 0);
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_LOST }), 0);
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_ADMITTED }), 0);
}

static void test_says_what_the_selectors_leave_out(void **state)
{
	struct world world = begin_world();
	struct cp_event up = child_up(1, 1), rekeyed = { .type = CP_EVENT_CHILD_REKEYED,
		                                         .old_child_id = 1,
		                                         .child_id = 2 };

	(void)state;
	step(&world, (struct cp_event){ .type = CP_EVENT_READY });
	knock(&world, 1);
	snprintf(up.limits, sizeof(up.limits), "not 33000");
	assert_int_equal(step(&world, up), CP_DO_UP | CP_SAY_UP | CP_SAY_LIMITS);
	assert_string_equal(world.tunnel.limits, "not 33000");
	snprintf(rekeyed.limits, sizeof(rekeyed.limits), "not 33000");
	assert_int_equal(step(&world, rekeyed), 0); /* said already */
	rekeyed = (struct cp_event){ .type = CP_EVENT_CHILD_REKEYED,
		                     .old_child_id = 2,
		                     .child_id = 3 };
	assert_int_equal(step(&world, rekeyed), 0);
	assert_string_equal(world.tunnel.limits, "");
}

static void test_waits_longer_each_time_and_starts_over_after_success(void **state)
{
	struct world world = begin_world();
	uint64_t last_ms = 0;

	(void)state;
	step(&world, (struct cp_event){ .type = CP_EVENT_READY });
	for (uint32_t id = 1; id < 6; id++) {
		knock(&world, id);
		assert_int_equal(
			step(&world, (struct cp_event){ .type = CP_EVENT_IKE_GONE, .ike_id = id }),
			CP_SAY_FAILED);
		assert_true(world.tunnel.deadline_ms - world.now_ms > last_ms);
		last_ms = world.tunnel.deadline_ms - world.now_ms;
		pass_to_deadline(&world);
	}
	knock(&world, 6);
	step(&world, child_up(6, 1));
	step(&world, (struct cp_event){ .type = CP_EVENT_CHILD_DOWN, .child_id = 1 });
	assert_in_range(world.tunnel.deadline_ms - world.now_ms, 750, 1250);
}

static void test_unresolved_name_fails_the_attempt(void **state)
{
	struct world world = begin_world();
	struct cp_event event = { .type = CP_EVENT_NOT_BEGUN, .why = "no such host" };

	(void)state;
	step(&world, (struct cp_event){ .type = CP_EVENT_READY });
	assert_int_equal(step(&world, event), CP_SAY_FAILED);
	assert_string_equal(world.tunnel.why, "no such host");
	/* an answer that comes late begins nothing */
	assert_int_equal(
		step(&world, (struct cp_event){ .type = CP_EVENT_RESOLVED, .remote_be = REMOTE }),
		0);
}

static void test_no_virtual_ip_is_a_failure(void **state)
{
	struct world world = begin_world();
	struct cp_event event = child_up(1, 1);

	(void)state;
	event.inner_be = 0;
	step(&world, (struct cp_event){ .type = CP_EVENT_READY });
	knock(&world, 1);
	assert_int_equal(step(&world, event), CP_DO_TERMINATE | CP_SAY_FAILED);
	assert_int_equal(world.tunnel.doomed_count, 1);
	assert_int_equal(world.tunnel.doomed[0], 1);
	assert_string_equal(world.tunnel.why, "the server assigned no virtual IP address");
}

static void test_attempt_without_end_is_ended(void **state)
{
	struct world world = begin_world();

	(void)state;
	step(&world, (struct cp_event){ .type = CP_EVENT_READY });
	knock(&world, 1);
	assert_int_equal(world.tunnel.deadline_ms - world.now_ms, CP_GUARD_MS);
	assert_int_equal(pass_to_deadline(&world), CP_DO_TERMINATE | CP_SAY_FAILED);
	assert_int_equal(world.tunnel.doomed[0], 1);
	/* what it still does is of no interest */
	pass_to_deadline(&world);
	knock(&world, 2);
	assert_int_equal(step(&world, reason(1, CP_RANK_EXACT, "old")), 0);
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_IKE_GONE, .ike_id = 1 }),
	                 0);
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_CONNECTING);
	assert_int_equal(step(&world, child_up(1, 9)), CP_DO_TERMINATE);
	assert_int_equal(world.tunnel.doomed[0], 1);
	step(&world, (struct cp_event){ .type = CP_EVENT_IKE_GONE, .ike_id = 2 });
	assert_string_not_equal(world.tunnel.why, "old");
}

/* What the server told goes with the newest login. */
static void test_what_was_told(void **state)
{
	struct world world = up_world();
	struct cp_event event = child_up(1, 2);

	(void)state;
	assert_int_equal(world.tunnel.told.dns_count, 0);
	event.type = CP_EVENT_CHILD_REKEYED;
	event.old_child_id = 1;
	event.told = (struct cp_told){ .dns_be = { REMOTE }, .dns_count = 1, .notice = "so" };
	step(&world, event);
	assert_int_equal(world.tunnel.told.dns_be[0], REMOTE);
	assert_string_equal(world.tunnel.told.notice, "so");
	step(&world, (struct cp_event){ .type = CP_EVENT_CHILD_DOWN, .child_id = 2 });
	assert_int_equal(pass_to_deadline(&world), CP_DO_RESOLVE);
	knock(&world, 3);
	step(&world, child_up(3, 4));
	assert_int_equal(world.tunnel.told.dns_count, 0);
	assert_string_equal(world.tunnel.told.notice, "");
}

static void test_rekeying_is_not_noticed(void **state)
{
	struct world world = up_world();

	(void)state;
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_CHILD_REKEYED,
	                                                 .old_child_id = 1,
	                                                 .child_id = 2,
	                                                 .spi_be = 7 }),
	                 0);
	assert_int_equal(world.tunnel.children[0].spi_be, 7);
	assert_int_equal(
		step(&world, (struct cp_event){ .type = CP_EVENT_CHILD_DOWN, .child_id = 1 }), 0);
	assert_int_equal(
		step(&world, (struct cp_event){ .type = CP_EVENT_IKE_REKEYED, .ike_id = 2 }), 0);
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_IKE_GONE, .ike_id = 1 }),
	                 0);
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_UP);
	assert_int_equal(world.tunnel.child_rekeys, 1);
	assert_int_equal(world.tunnel.ike_rekeys, 1);
}

/* Both sides began: the server's successor is told first, then ours, which stays. */
static void test_rekeying_collision_leaves_the_last_one(void **state)
{
	struct world world = up_world();
	struct cp_event rekeyed = {
		.type = CP_EVENT_CHILD_REKEYED, .old_child_id = 1, .child_id = 3, .spi_be = 8
	};

	(void)state;
	step(&world, rekeyed);
	rekeyed.child_id = 2;
	rekeyed.spi_be = 7;
	step(&world, rekeyed);
	assert_int_equal(world.tunnel.child_count, 1);
	assert_int_equal(world.tunnel.children[0].spi_be, 7);
	assert_int_equal(world.tunnel.child_rekeys, 1);
	rekeyed.old_child_id = 2;
	rekeyed.child_id = 4;
	step(&world, rekeyed);
	assert_int_equal(world.tunnel.child_rekeys, 2);
	assert_int_equal(
		step(&world, (struct cp_event){ .type = CP_EVENT_CHILD_DOWN, .child_id = 4 }) &
			CP_SAY_LOST,
		CP_SAY_LOST);
}

static void test_reauthentication_makes_before_it_breaks(void **state)
{
	struct world world = up_world();
	struct cp_event second = child_up(2, 2);

	(void)state;
	second.inner_be = INNER + 1;
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_IKE_BEGUN, .ike_id = 2 }),
	                 0);
	assert_int_equal(step(&world, second), CP_DO_UP);
	assert_int_equal(world.tunnel.inner_be, INNER + 1);
	assert_int_equal(
		step(&world, (struct cp_event){ .type = CP_EVENT_CHILD_DOWN, .child_id = 1 }), 0);
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_IKE_GONE, .ike_id = 1 }),
	                 0);
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_UP);
}

static void test_failed_reauthentication_leaves_it_up(void **state)
{
	struct world world = up_world();

	(void)state;
	step(&world, (struct cp_event){ .type = CP_EVENT_IKE_BEGUN, .ike_id = 2 });
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_IKE_GONE, .ike_id = 2 }),
	                 0);
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_UP);
}

static void test_loss_of_a_stable_tunnel_reconnects_at_once(void **state)
{
	struct world world = up_world();

	(void)state;
	world.now_ms += CP_STABLE_MS;
	step(&world, reason(1, CP_RANK_NOTIFY, "the server closed the connection"));
	assert_int_equal(
		step(&world, (struct cp_event){ .type = CP_EVENT_CHILD_DOWN, .child_id = 1 }),
		CP_DO_TERMINATE | CP_DO_DOWN | CP_SAY_LOST | CP_DO_RESOLVE);
	assert_string_equal(world.tunnel.why, "the server closed the connection");
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_CONNECTING);
	assert_int_equal(world.tunnel.attempts, 1);
}

static void test_loss_of_a_fresh_tunnel_waits(void **state)
{
	struct world world = up_world();

	(void)state;
	world.now_ms += CP_STABLE_MS - 1;
	assert_int_equal(
		step(&world, (struct cp_event){ .type = CP_EVENT_CHILD_DOWN, .child_id = 1 }),
		CP_DO_TERMINATE | CP_DO_DOWN | CP_SAY_LOST);
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_WAITING);
}

static void test_dataplane_of_another_epoch_gets_new_keys(void **state)
{
	struct world world = up_world();

	(void)state;
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_LOST }), 0);
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_IDLE);
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_READY_NEW }),
	                 CP_DO_PEER | CP_DO_REKEY | CP_SAY_RENEGOTIATE);
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_CONNECTING);
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_CHILD_REKEYED,
	                                                 .old_child_id = 1,
	                                                 .child_id = 2 }),
	                 CP_DO_UP | CP_SAY_UP);
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_UP);
	assert_int_equal(world.tunnel.deadline_ms, 0);
}

static void test_renegotiation_that_hangs_is_given_up(void **state)
{
	struct world world = up_world();

	(void)state;
	step(&world, (struct cp_event){ .type = CP_EVENT_LOST });
	step(&world, (struct cp_event){ .type = CP_EVENT_READY_NEW });
	assert_int_equal(world.tunnel.deadline_ms - world.now_ms, CP_RENEGOTIATE_MS);
	assert_int_equal(pass_to_deadline(&world), CP_DO_TERMINATE | CP_DO_RESOLVE);
	assert_int_equal(world.tunnel.doomed[0], 1);
	knock(&world, 2);
	assert_int_equal(step(&world, child_up(2, 2)), CP_DO_UP | CP_SAY_UP);
}

static void test_stale_keys_stay_stale_over_a_broken_connection(void **state)
{
	struct world world = up_world();

	(void)state;
	step(&world, (struct cp_event){ .type = CP_EVENT_LOST });
	step(&world, (struct cp_event){ .type = CP_EVENT_READY_NEW });
	step(&world, (struct cp_event){ .type = CP_EVENT_LOST });
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_READY }),
	                 CP_DO_PEER | CP_DO_REKEY | CP_SAY_RENEGOTIATE);
}

/* A successor that failed had this tunnel already: we connect beside its SAs, and ours end when the
 * new ones are there. */
static void test_overtaken_connects_beside(void **state)
{
	struct world world = up_world();

	(void)state;
	step(&world, (struct cp_event){ .type = CP_EVENT_LOST });
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_OVERTAKEN }),
	                 CP_DO_TERMINATE_LATE | CP_DO_RESOLVE);
	assert_int_equal(world.tunnel.doomed_count, 1);
	assert_int_equal(world.tunnel.doomed[0], 1);
	knock(&world, 2);
	assert_int_equal(step(&world, child_up(2, 2)), CP_DO_UP | CP_SAY_UP);
	/* the end of the old one is of no interest */
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_IKE_GONE, .ike_id = 1 }),
	                 0);
	assert_int_equal(
		step(&world, (struct cp_event){ .type = CP_EVENT_CHILD_DOWN, .child_id = 1 }), 0);
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_UP);
}

static void test_same_dataplane_again_is_told_again(void **state)
{
	struct world world = up_world();

	(void)state;
	step(&world, (struct cp_event){ .type = CP_EVENT_LOST });
	assert_string_equal(world.tunnel.why, "the dataplane is not there");
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_READY }),
	                 CP_DO_PEER | CP_DO_UP | CP_SAY_UP);
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_UP);
}

static void test_loss_while_the_dataplane_is_away_is_told_later(void **state)
{
	struct world world = up_world();

	(void)state;
	step(&world, (struct cp_event){ .type = CP_EVENT_LOST });
	assert_int_equal(
		step(&world, (struct cp_event){ .type = CP_EVENT_CHILD_DOWN, .child_id = 1 }), 0);
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_IKE_GONE, .ike_id = 1 }),
	                 0);
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_IDLE);
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_READY }),
	                 CP_DO_DOWN | CP_DO_RESOLVE);
}

/* ---- renewal: the tunnel is up with IKE_SA 1 and CHILD_SA 1 ---- */

/* Up to where the server was asked anew, as IKE_SA ID. */
static void knock_anew(struct world *world, uint32_t id)
{
	assert_int_equal(world->tunnel.phase, CP_TUNNEL_UP);
	step(world, (struct cp_event){ .type = CP_EVENT_RESOLVED, .remote_be = REMOTE + 1 });
	assert_int_equal(step(world, (struct cp_event){ .type = CP_EVENT_ADMITTED }),
	                 CP_DO_PEER | CP_DO_CONNECT);
	step(world, (struct cp_event){ .type = CP_EVENT_IKE_BEGUN, .ike_id = id });
}

static struct world renewing_world(void)
{
	struct world world = up_world();

	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_RENEW }),
	                 CP_SAY_RENEWING | CP_DO_RESOLVE);
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_UP);
	return world;
}

static void test_renewal_makes_before_it_breaks(void **state)
{
	struct world world = renewing_world();
	struct cp_event up = child_up(2, 2);

	(void)state;
	knock_anew(&world, 2);
	up.inner_be = INNER + 1;
	up.remote_be = REMOTE + 1;
	assert_int_equal(step(&world, up), CP_DO_UP | CP_SAY_UP);
	assert_int_equal(world.tunnel.inner_be, INNER + 1);
	assert_int_equal(world.tunnel.remote_be, REMOTE + 1);
	assert_false(world.tunnel.is_renewing);
	assert_int_equal(pass_to_deadline(&world), CP_DO_TERMINATE); /* of the old one alone */
	assert_int_equal(world.tunnel.doomed_count, 1);
	assert_int_equal(world.tunnel.doomed[0], 1);
	step(&world, (struct cp_event){ .type = CP_EVENT_CHILD_DOWN, .child_id = 1 });
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_UP);
	assert_int_equal(world.tunnel.child_count, 1);
	assert_int_equal(world.tunnel.deadline_ms, 0);
}

/* The old login goes on, where it was, and the new one is tried again. */
static void test_failed_renewal_leaves_it_up(void **state)
{
	struct world world = renewing_world();

	(void)state;
	knock_anew(&world, 2);
	step(&world, reason(2, CP_RANK_AUTH, "the server refused the password"));
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_IKE_GONE, .ike_id = 2 }),
	                 CP_SAY_RENEWAL_FAILED | CP_DO_PEER_BACK);
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_UP);
	assert_int_equal(world.tunnel.remote_be, REMOTE);
	assert_string_equal(world.tunnel.renewal, "the server refused the password");
	assert_int_equal(pass_to_deadline(&world), CP_DO_RESOLVE);
	knock_anew(&world, 3);
	assert_int_equal(step(&world, child_up(3, 3)), CP_DO_UP | CP_SAY_UP);
	assert_string_equal(world.tunnel.renewal, "");
}

static void test_renewal_that_hangs_is_given_up(void **state)
{
	struct world world = renewing_world();

	(void)state;
	knock_anew(&world, 2);
	assert_int_equal(pass_to_deadline(&world),
	                 CP_SAY_RENEWAL_FAILED | CP_DO_PEER_BACK | CP_DO_TERMINATE);
	assert_int_equal(world.tunnel.doomed[0], 2);
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_UP);
}

/* A dead tunnel whose server is silent to IKE as well: a new login, once, beside the old one. */
static void test_unanswered_request_renews(void **state)
{
	struct world world = up_world();

	(void)state;
	assert_int_equal(
		step(&world, (struct cp_event){ .type = CP_EVENT_UNANSWERED, .ike_id = 7 }),
		0); /* of an attempt that was given up */
	assert_int_equal(
		step(&world, (struct cp_event){ .type = CP_EVENT_UNANSWERED, .ike_id = 1 }),
		CP_SAY_RENEWING | CP_DO_RESOLVE);
	assert_int_equal(
		step(&world, (struct cp_event){ .type = CP_EVENT_UNANSWERED, .ike_id = 1 }), 0);
	knock_anew(&world, 2);
	assert_int_equal(
		step(&world, (struct cp_event){ .type = CP_EVENT_UNANSWERED, .ike_id = 2 }), 0);
	assert_int_equal(step(&world, child_up(2, 2)), CP_DO_UP | CP_SAY_UP);
	assert_int_equal(pass_to_deadline(&world), CP_DO_TERMINATE);
	assert_int_equal(world.tunnel.doomed[0], 1);
}

/* An IKE_SA was rekeyed while a CHILD_SA was: a new login takes the place of both, once. */
static void test_unsure_of_children(void **state)
{
	struct world world = up_world();
	const struct cp_event unsure = { .type = CP_EVENT_UNSURE, .ike_id = 2 };

	(void)state;
	step(&world,
	     (struct cp_event){ .type = CP_EVENT_IKE_REKEYED, .ike_id = 2, .old_ike_id = 1 });
	assert_int_equal(step(&world, unsure), CP_SAY_RENEWING | CP_DO_RESOLVE);
	assert_int_equal(step(&world, unsure), 0); /* that is under way */
	knock_anew(&world, 3);
	assert_int_equal(step(&world, child_up(3, 2)), CP_DO_UP | CP_SAY_UP);
	assert_int_equal(step(&world, unsure), 0); /* that one ends anyway */
	assert_int_equal(pass_to_deadline(&world), CP_DO_TERMINATE);
	assert_int_equal(world.tunnel.ike_count, 1);
	assert_int_equal(world.tunnel.ikes[0], 3);
	assert_int_equal(world.tunnel.connects, 1);
}

/* Its keys go on, and it is said why there are no others: until there are, or a new login. */
static void test_unrenewed(void **state)
{
	struct world world = up_world();
	struct cp_event unrenewed = { .type = CP_EVENT_UNRENEWED, .ike_id = 2, .why = "no answer" };

	(void)state;
	assert_int_equal(step(&world, unrenewed), 0); /* somebody else's */
	assert_string_equal(world.tunnel.unrenewed, "");
	unrenewed.ike_id = 1;
	assert_int_equal(step(&world, unrenewed), 0);
	assert_string_equal(world.tunnel.unrenewed, "no answer");
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_UP);
	step(&world,
	     (struct cp_event){ .type = CP_EVENT_CHILD_REKEYED, .old_child_id = 1, .child_id = 2 });
	assert_string_equal(world.tunnel.unrenewed, "");

	step(&world, unrenewed);
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_UNSURE, .ike_id = 1 }),
	                 CP_SAY_RENEWING | CP_DO_RESOLVE);
	knock_anew(&world, 3);
	assert_int_equal(step(&world, child_up(3, 3)), CP_DO_UP | CP_SAY_UP);
	assert_string_equal(world.tunnel.unrenewed, "");
}

/* Told while the dataplane's connection is gone, and once: its keys may be there afterwards. */
static void test_unsure_of_children_while_down(void **state)
{
	const struct cp_event unsure = { .type = CP_EVENT_UNSURE, .ike_id = 1 };
	struct world world = up_world();

	(void)state;
	step(&world, (struct cp_event){ .type = CP_EVENT_LOST });
	assert_int_equal(step(&world, unsure), 0);
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_IDLE);
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_READY }),
	                 CP_DO_PEER | CP_DO_UP | CP_SAY_UP | CP_DO_RESOLVE);
	assert_true(world.tunnel.is_renewing);
	knock_anew(&world, 3);
	assert_int_equal(step(&world, child_up(3, 3)), CP_DO_UP | CP_SAY_UP);

	/* without any, what comes next has nothing of it */
	world = begin_world();
	assert_int_equal(step(&world, unsure), 0);
	assert_false(world.tunnel.is_renewing);
	step(&world, (struct cp_event){ .type = CP_EVENT_READY });
	assert_int_equal(step(&world, unsure), 0);
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_CONNECTING);
	assert_false(world.tunnel.is_renewing);
}

static void test_renewal_whose_name_is_not_resolved(void **state)
{
	struct world world = renewing_world();

	(void)state;
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_NOT_BEGUN,
	                                                 .why = "no such name" }),
	                 CP_SAY_RENEWAL_FAILED);
	assert_string_equal(world.tunnel.renewal, "no such name");
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_UP);
}

/* The old login ends while the new one is tried: what comes next has the new settings anyway. */
static void test_loss_ends_a_renewal(void **state)
{
	struct world world = renewing_world();

	(void)state;
	knock_anew(&world, 2);
	world.now_ms += CP_STABLE_MS;
	assert_int_equal(
		step(&world, (struct cp_event){ .type = CP_EVENT_CHILD_DOWN, .child_id = 1 }),
		CP_DO_TERMINATE | CP_DO_DOWN | CP_SAY_LOST | CP_DO_RESOLVE);
	assert_false(world.tunnel.is_renewing);
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_CONNECTING);
}

static void test_renewal_waits_for_the_dataplane(void **state)
{
	struct world world = up_world();

	(void)state;
	step(&world, (struct cp_event){ .type = CP_EVENT_LOST });
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_RENEW }), 0);
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_READY }),
	                 CP_DO_PEER | CP_DO_UP | CP_SAY_UP | CP_DO_RESOLVE);
	assert_true(world.tunnel.is_renewing);
}

static void test_renewal_of_one_that_is_down_connects_at_once(void **state)
{
	struct world world = begin_world();

	(void)state;
	step(&world, (struct cp_event){ .type = CP_EVENT_READY });
	knock(&world, 1);
	step(&world, (struct cp_event){ .type = CP_EVENT_IKE_GONE, .ike_id = 1 });
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_WAITING);
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_RENEW }), CP_DO_RESOLVE);
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_CONNECTING);
}

/* The new login was rekeyed before the old one ended. */
static void test_renewed_and_rekeyed(void **state)
{
	struct world world = renewing_world();

	(void)state;
	knock_anew(&world, 2);
	step(&world, child_up(2, 2));
	step(&world,
	     (struct cp_event){ .type = CP_EVENT_IKE_REKEYED, .old_ike_id = 2, .ike_id = 5 });
	step(&world, (struct cp_event){ .type = CP_EVENT_IKE_GONE, .ike_id = 2 });
	assert_int_equal(pass_to_deadline(&world), CP_DO_TERMINATE);
	assert_int_equal(world.tunnel.doomed_count, 1);
	assert_int_equal(world.tunnel.doomed[0], 1);
}

/* An OpenVPN server that is elsewhere; what is being tried is tried where it was looked up. */
static void test_a_server_that_floats(void **state)
{
	struct cp_event floated = {
		.type = CP_EVENT_FLOATED, .ike_id = 1, .remote_be = REMOTE + 1, .remote_port_be = 7
	};
	struct world world = begin_world();
	uint32_t tried_be;

	(void)state;
	step(&world, (struct cp_event){ .type = CP_EVENT_READY });
	knock(&world, 1);
	assert_int_equal(step(&world, floated), CP_DO_FLOAT); /* a predecessor's session */
	assert_int_equal(world.tunnel.remote_be, REMOTE + 1);
	assert_int_equal(world.tunnel.up_port_be, 7);
	world = up_world();
	assert_int_equal(step(&world, floated), CP_DO_FLOAT);
	assert_int_equal(world.tunnel.remote_be, REMOTE + 1);
	assert_int_equal(world.tunnel.up_port_be, 7);
	floated.ike_id = 9;
	floated.remote_be = REMOTE + 2;
	assert_int_equal(step(&world, floated), 0); /* of a login of before */
	step(&world, (struct cp_event){ .type = CP_EVENT_RENEW });
	knock_anew(&world, 2);
	tried_be = world.tunnel.remote_be;
	assert_int_equal(step(&world, floated), 0);
	floated.ike_id = 1;
	assert_int_equal(step(&world, floated), CP_DO_FLOAT);
	assert_int_equal(world.tunnel.remote_be, tried_be);
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_IKE_GONE, .ike_id = 2 }),
	                 CP_SAY_RENEWAL_FAILED | CP_DO_PEER_BACK);
	assert_int_equal(world.tunnel.remote_be, REMOTE + 2);
	/* nor does one count whose successor is up, until it ends */
	world = up_world();
	step(&world, (struct cp_event){ .type = CP_EVENT_RENEW });
	knock_anew(&world, 2);
	step(&world, child_up(2, 2));
	tried_be = world.tunnel.up_remote_be;
	assert_int_equal(step(&world, floated), 0);
	assert_int_equal(world.tunnel.up_remote_be, tried_be);
	floated.ike_id = 2;
	assert_int_equal(step(&world, floated), CP_DO_FLOAT);
	assert_int_equal(world.tunnel.up_remote_be, REMOTE + 2);
}

static void test_removed_ends_and_stays_ended(void **state)
{
	struct world world = up_world();

	(void)state;
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_REMOVED }),
	                 CP_DO_TERMINATE);
	assert_int_equal(world.tunnel.doomed[0], 1);
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_READY }), 0);
	assert_int_equal(
		step(&world, (struct cp_event){ .type = CP_EVENT_RESOLVED, .remote_be = REMOTE }),
		0);
	/* a login that was on its way */
	assert_int_equal(step(&world, (struct cp_event){ .type = CP_EVENT_IKE_BEGUN, .ike_id = 2 }),
	                 CP_DO_TERMINATE);
	assert_int_equal(world.tunnel.doomed[0], 2);
	assert_int_equal(step(&world, child_up(3, 3)), CP_DO_TERMINATE);
	assert_int_equal(world.tunnel.phase, CP_TUNNEL_IDLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connects_when_the_dataplane_is_ready),
		cmocka_unit_test(test_says_the_reason_that_explains_most),
		cmocka_unit_test(test_admission_of_one_that_does_not_wait_does_nothing),
		cmocka_unit_test(test_says_what_the_selectors_leave_out),
		cmocka_unit_test(test_waits_longer_each_time_and_starts_over_after_success),
		cmocka_unit_test(test_unresolved_name_fails_the_attempt),
		cmocka_unit_test(test_no_virtual_ip_is_a_failure),
		cmocka_unit_test(test_attempt_without_end_is_ended),
		cmocka_unit_test(test_what_was_told),
		cmocka_unit_test(test_rekeying_is_not_noticed),
		cmocka_unit_test(test_rekeying_collision_leaves_the_last_one),
		cmocka_unit_test(test_reauthentication_makes_before_it_breaks),
		cmocka_unit_test(test_failed_reauthentication_leaves_it_up),
		cmocka_unit_test(test_loss_of_a_stable_tunnel_reconnects_at_once),
		cmocka_unit_test(test_loss_of_a_fresh_tunnel_waits),
		cmocka_unit_test(test_dataplane_of_another_epoch_gets_new_keys),
		cmocka_unit_test(test_renegotiation_that_hangs_is_given_up),
		cmocka_unit_test(test_stale_keys_stay_stale_over_a_broken_connection),
		cmocka_unit_test(test_overtaken_connects_beside),
		cmocka_unit_test(test_same_dataplane_again_is_told_again),
		cmocka_unit_test(test_loss_while_the_dataplane_is_away_is_told_later),
		cmocka_unit_test(test_renewal_makes_before_it_breaks),
		cmocka_unit_test(test_failed_renewal_leaves_it_up),
		cmocka_unit_test(test_renewal_that_hangs_is_given_up),
		cmocka_unit_test(test_unanswered_request_renews),
		cmocka_unit_test(test_unsure_of_children),
		cmocka_unit_test(test_unrenewed),
		cmocka_unit_test(test_unsure_of_children_while_down),
		cmocka_unit_test(test_renewal_whose_name_is_not_resolved),
		cmocka_unit_test(test_loss_ends_a_renewal),
		cmocka_unit_test(test_renewal_waits_for_the_dataplane),
		cmocka_unit_test(test_renewal_of_one_that_is_down_connects_at_once),
		cmocka_unit_test(test_renewed_and_rekeyed),
		cmocka_unit_test(test_a_server_that_floats),
		cmocka_unit_test(test_removed_ends_and_stays_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
