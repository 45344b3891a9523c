/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which tunnel carries an environment's traffic, under a clock of the test's and in a network of
 * its own: servers that answer, answer late, lose packets or are cut off.
 */
#include "dataplane/failover.c"

#include "dataplane/asking.h"
#include "dataplane/keyed_hash.h"
#include "dataplane/liveness.h"
#include "dataplane/probe.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define SLOT 3u
#define TUNNELS 3u
#define MS 1000000ull
#define SECOND 1000000000ull
#define FLIGHTS 4096u
#define HOST_A 0x0a0000c0u
#define HOST_B 0x0b0000c0u

/* A tunnel's server and what is behind it. */
struct server {
	uint64_t rtt_ns;
	uint64_t jitter_ns; /* both ways around it */
	unsigned loss;      /* of 1000, of a round trip */
	bool is_cut;
	bool is_echo_filtered;
	bool is_silent_to[2]; /* HOST_A, HOST_B */
};

/* Something on its way back. */
struct flight {
	uint64_t due_ns;
	uint64_t sent_at;
	uint16_t tunnel;
	uint8_t kind; /* enum dp_probe_kind; 2: traffic */
};

struct world {
	struct dp_worker w;
	struct dp_tunnel tunnels[8];
	struct dp_environment_state environments[8];
	struct dp_environment environment;
	struct dp_generation generation;
	struct dp_forward forwards[16];
	uint16_t list[TUNNELS];
	struct dp_counters count;
	struct dp_batch inside;
	struct server servers[8];
	struct flight flights[FLIGHTS];
	unsigned flight_count;
	unsigned sweeps;
	uint16_t cut; /* large_step() */
	unsigned echoes, syns;
	unsigned greeted[8];
	uint64_t random;
};

static struct world *the_world;

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
	x->generation.environments = &x->environment;
	x->generation.environment_count = 1;
	memcpy(x->list, x->environment.tunnels, sizeof(x->list));
	x->generation.tunnels = x->list;
	for (unsigned i = 1; i <= DP_WORKERS_MAX; i++)
		x->generation.homes[i] = TUNNELS;
	x->generation.forwards = x->forwards;
	x->generation.forward_mask = RTE_DIM(x->forwards) - 1;
	x->w.generation = &x->generation;
	x->w.count = &x->count;
	x->w.answers_inside = &x->inside;
	x->w.now_ns = 1000 * SECOND;
	x->random = 1;
	the_world = x;
	x->w.tunnels = x->tunnels;
	x->w.environments = x->environments;
	x->environments[SLOT].active = DP_NONE_SLOT;
	for (unsigned i = 0; i < TUNNELS; i++)
		x->tunnels[x->list[i]].environment = SLOT;
	dp_failover_tick(&x->w);
	return x;
}

/* ---- the network ---- */

static void fly(uint16_t tunnel, uint8_t kind, uint32_t host_be)
{
	struct world *x = the_world;
	const struct server *s;
	uint64_t jitter;

	if (x->w.tunnels != x->tunnels) { /* large_step() */
		x->w.tunnels[tunnel].packets_out++;
		if (tunnel == x->cut)
			return;
		x->w.tunnels[tunnel].heard_ns = x->w.now_ns;
		dp_liveness_answered(&x->w, tunnel, kind, x->w.failover.now_at);
		return;
	}
	s = &x->servers[tunnel];
	jitter = s->jitter_ns ? dp_random(&x->random) % (2 * s->jitter_ns) : 0;
	x->tunnels[tunnel].packets_out++;
	if (s->is_cut || dp_random(&x->random) % 1000 < s->loss ||
	    (kind == DP_PROBE_ECHO && s->is_echo_filtered) ||
	    (host_be && s->is_silent_to[host_be == HOST_B]))
		return;
	assert_true(x->flight_count < FLIGHTS);
	x->flights[x->flight_count++] =
		(struct flight){ .due_ns = x->w.now_ns + s->rtt_ns - s->jitter_ns + jitter,
		                 .sent_at = x->w.failover.now_at,
		                 .tunnel = tunnel,
		                 .kind = kind };
}

bool dp_probe_send_echo(struct dp_worker *w, uint16_t tunnel, uint32_t target_be)
{
	(void)w;
	assert_true(target_be == HOST_A || target_be == HOST_B);
	the_world->echoes++;
	fly(tunnel, DP_PROBE_ECHO, target_be);
	return true;
}

bool dp_probe_send_syn(struct dp_worker *w, uint16_t tunnel, const struct dp_forward *forward)
{
	(void)w;
	assert_int_equal(dp_forward_protocol(forward), IPPROTO_TCP);
	the_world->syns++;
	fly(tunnel, DP_PROBE_SYN, forward->to_address_be);
	return true;
}

bool dp_probe_greet(struct dp_worker *w, uint16_t tunnel, uint32_t host_be)
{
	(void)w;
	(void)host_be;
	the_world->greeted[tunnel]++;
	fly(tunnel, 2, 0);
	return true;
}

void dp_nat_failover_begin(struct dp_worker *w)
{
	(void)w;
	the_world->sweeps++;
}

unsigned dp_nat_failover_sweep(struct dp_worker *w)
{
	(void)w;
	return 0;
}

/* What has arrived meanwhile; answers are authentic packets too. */
static void arrive(struct world *x)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < x->flight_count; i++) {
		struct flight f = x->flights[i];

		if (f.due_ns > x->w.now_ns) {
			x->flights[kept++] = f;
			continue;
		}
		if (x->servers[f.tunnel].is_cut)
			continue;
		x->tunnels[f.tunnel].heard_ns = x->w.now_ns;
		if (f.kind <= DP_PROBE_SYN)
			dp_liveness_answered(&x->w, f.tunnel, f.kind, f.sent_at);
	}
	x->flight_count = kept;
}

static void loop(struct world *x, uint64_t passed_ns)
{
	x->w.now_ns += passed_ns;
	dp_failover_tick(&x->w);
	arrive(x);
	dp_failover_poll(&x->w);
}

/* Loops of a millisecond; TRAFFIC: a packet each on the active tunnel that is answered. */
enum traffic { IDLE, STREAM, ONE_WAY };

static void step(struct world *x, enum traffic traffic)
{
	uint16_t active = x->environments[SLOT].active;

	if (traffic == STREAM && active != DP_NONE_SLOT)
		fly(active, 2, 0);
	if (traffic == ONE_WAY && active != DP_NONE_SLOT)
		x->tunnels[active].packets_out++;
	loop(x, MS);
}

static void pass(struct world *x, uint64_t ns, enum traffic traffic)
{
	for (uint64_t end_ns = x->w.now_ns + ns; x->w.now_ns < end_ns;)
		step(x, traffic);
}

/* Milliseconds until the environment has moved; LIMIT if it does not. */
static unsigned until_moved(struct world *x, enum traffic traffic, unsigned limit)
{
	uint64_t counter = x->environments[SLOT].move_counter;

	for (unsigned i = 1; i <= limit; i++) {
		step(x, traffic);
		if (x->environments[SLOT].move_counter != counter)
			return i;
	}
	return limit;
}

static void set(struct world *x, uint16_t tunnel, int is_up)
{
	x->tunnels[tunnel].is_wanted = (uint8_t)is_up;
	x->tunnels[tunnel].inner_be = is_up ? 1 : 0;
	x->tunnels[tunnel].out = is_up ? (struct dp_sa_out *)x : NULL;
}

static void add_forward(struct world *x, uint32_t to_be, uint8_t protocol, uint16_t port)
{
	struct dp_forward f = { .key = dp_forward_key(1, protocol, port),
		                .to_address_be = to_be,
		                .to_port_be = port,
		                .environment = SLOT,
		                .tunnel = DP_NONE_SLOT };
	uint32_t at = dp_crc8(f.key) & x->generation.forward_mask;

	while (x->forwards[at].key)
		at = (at + 1) & x->generation.forward_mask;
	x->forwards[at] = f;
	if (x->environment.last_forward)
		x->forwards[x->environment.last_forward - 1].next = at + 1;
	else
		x->environment.first_forward = at + 1;
	x->environment.last_forward = at + 1;
}

/* All three are up, 5 is active, they know their round trip; servers answer in RTT_NS. */
static struct world *create_up(uint64_t rtt_ns)
{
	struct world *x = create();

	add_forward(x, HOST_A, IPPROTO_TCP, 80);
	for (unsigned i = 0; i < TUNNELS; i++) {
		x->servers[x->list[i]].rtt_ns = rtt_ns;
		set(x, x->list[i], 1);
	}
	dp_failover_refresh(&x->w, SLOT);
	assert_int_equal(x->environments[SLOT].active, 5);
	pass(x, 5 * SECOND, STREAM);
	for (unsigned i = 0; i < TUNNELS; i++)
		assert_int_equal(x->tunnels[x->list[i]].liveness.state, IPC_LIVENESS_ALIVE);
	return x;
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
	assert_int_equal(dp_failover_move(&x->w, SLOT, 7, 1, IPC_MOVE_BY_HAND), -ENETDOWN);
	assert_int_equal(dp_failover_move(&x->w, SLOT, 2, 1, IPC_MOVE_BY_HAND), 0);
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
	assert_int_equal(dp_failover_move(&x->w, SLOT, 2, 0, IPC_MOVE_BY_HAND), -ESTALE);
	assert_int_equal(dp_failover_move(&x->w, SLOT, 2, 2, IPC_MOVE_BY_HAND), -ESTALE);
	assert_int_equal(dp_failover_move(&x->w, SLOT, 7, 1, IPC_MOVE_BY_HAND), -ENETDOWN);
	assert_int_equal(s->active, 5);
	assert_int_equal(s->move_counter, 1);
	assert_int_equal(dp_failover_move(&x->w, SLOT, 2, 1, IPC_MOVE_BY_HAND), 0);
	assert_int_equal(s->active, 2);
	assert_int_equal(s->move_counter, 2);
	assert_int_equal(dp_failover_move(&x->w, SLOT, 2, 1, IPC_MOVE_BY_HAND),
	                 -ESTALE); /* the same request once more */
	assert_int_equal(dp_failover_move(&x->w, SLOT, 2, 2, IPC_MOVE_BY_HAND),
	                 0); /* where it is already */
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

/* ---- liveness ---- */

/* The gap that a stream of 1,000 packets a second sees: whatever the moment of the cut. */
static void moves_within_200_ms(void **state)
{
	(void)state;
	for (unsigned phase = 0; phase < 100; phase++) {
		struct world *x = create_up(MS);
		const struct dp_environment_state *s = &x->environments[SLOT];
		unsigned ms;

		pass(x, phase * 7 * MS, phase % 2 ? STREAM : IDLE);
		pass(x, 20 * MS, STREAM);
		x->servers[5].is_cut = true;
		ms = until_moved(x, STREAM, 1000);
		assert_in_range(ms, 100, 170);
		assert_int_equal(s->active, 2); /* the next in order */
		assert_int_equal(s->moved_from, 5);
		assert_int_equal(s->move_reason, IPC_MOVE_DEAD);
		assert_int_equal(s->moved_ns, x->w.now_ns);
		assert_in_range(s->detection_ns, 100 * MS, 170 * MS);
		assert_int_equal(s->moves[IPC_MOVE_DEAD], 1);
		assert_int_equal(x->count.moves[IPC_MOVE_DEAD - 1], 1);
		assert_int_equal(x->count.detection[3] + x->count.detection[4], 1);
		assert_int_equal(x->tunnels[5].liveness.state, IPC_LIVENESS_DEAD);
		assert_int_equal(x->tunnels[5].liveness.deaths, 1);
		assert_true(atomic_load(&x->w.failover.is_changed));
		/* sessions that cannot leave are given up a little later */
		assert_true(x->tunnels[5].is_usable);
		pass(x, 110 * MS, STREAM);
		assert_false(x->tunnels[5].is_usable);
		free(x);
	}
}

/* Nobody sends: it is found out all the same, a little later. */
static void finds_out_when_idle(void **state)
{
	struct world *x = create_up(MS);

	(void)state;
	pass(x, 3 * SECOND, IDLE);
	x->servers[5].is_cut = true;
	assert_in_range(until_moved(x, IDLE, 5000), 50, 800);
	assert_int_equal(x->environments[SLOT].active, 2);
	free(x);
}

/* An hour of 200 ms and 50 ms jitter with 2 % loss each way: nothing moves and nothing dies. */
static void does_not_move_for_nothing(void **state)
{
	static const enum traffic kinds[] = { IDLE, STREAM, ONE_WAY };

	(void)state;
	for (unsigned k = 0; k < RTE_DIM(kinds); k++) {
		struct world *x = create_up(200 * MS);

		x->random = 0x5eed0000u + k;
		for (unsigned i = 0; i < TUNNELS; i++) {
			x->servers[x->list[i]].jitter_ns = 50 * MS;
			x->servers[x->list[i]].loss = 40;
		}
		pass(x, 1200 * SECOND, kinds[k]);
		assert_int_equal(x->environments[SLOT].move_counter, 1);
		assert_int_equal(x->count.tunnel_deaths, 0);
		assert_true(x->count.probes_missed > 10);
		free(x);
	}
}

/* The same, and twice a minute the worker stands still for 300 ms; what comes meanwhile waits. */
static void nor_where_it_is_stopped_besides(void **state)
{
	struct world *x = create_up(200 * MS);

	(void)state;
	x->random = 0x5eed0100u;
	for (unsigned i = 0; i < TUNNELS; i++) {
		x->servers[x->list[i]].jitter_ns = 50 * MS;
		x->servers[x->list[i]].loss = 40;
	}
	for (unsigned i = 0; i < 120; i++) {
		pass(x, 30 * SECOND, i % 2 ? STREAM : ONE_WAY);
		loop(x, 300 * MS);
	}
	assert_int_equal(x->environments[SLOT].move_counter, 1);
	assert_int_equal(x->count.tunnel_deaths, 0);
	free(x);
}

/* A way becomes 160 ms long between two packets. New sessions may go elsewhere, established ones
 * are left where they are, and the next time it is known. */
static void gives_up_no_session_of_who_is_merely_slower(void **state)
{
	struct world *x = create_up(MS);

	(void)state;
	x->servers[5].rtt_ns = 160 * MS;
	for (unsigned i = 0; i < 60000; i++) {
		step(x, STREAM);
		fly(5, 2, 0);
		assert_true(x->tunnels[5].is_usable);
	}
	assert_in_range(x->environments[SLOT].move_counter, 1, 2);
	assert_int_equal(x->tunnels[5].liveness.state, IPC_LIVENESS_ALIVE);
	assert_in_range(x->tunnels[5].liveness.deaths, 0, 1);
	assert_int_equal(x->tunnels[2].liveness.deaths, 0);
	/* 95 ms: nobody notices */
	free(x);
	x = create_up(MS);
	x->servers[5].rtt_ns = 95 * MS;
	pass(x, 60 * SECOND, STREAM);
	assert_int_equal(x->environments[SLOT].move_counter, 1);
	free(x);
}

/* The worker is stopped for 300 ms again and again, and what comes meanwhile is lost: what it did
 * not hear is nobody's fault, not even where several probes were on their way. */
static void does_not_blame_others_for_its_own_pauses(void **state)
{
	struct world *x = create_up(MS);

	(void)state;
	pass(x, SECOND, STREAM);
	loop(x, 300 * MS);
	assert_int_equal(x->tunnels[5].liveness.state, IPC_LIVENESS_ALIVE);
	free(x);
	x = create_up(190 * MS);
	x->servers[2].rtt_ns = x->servers[7].rtt_ns = MS; /* quick witnesses */
	for (unsigned i = 0; i < 2000; i++) {
		pass(x, 150 * MS + (i % 97) * MS, i % 3 ? STREAM : ONE_WAY);
		x->flight_count = 0;
		loop(x, 300 * MS);
	}
	assert_int_equal(x->environments[SLOT].move_counter, 1);
	assert_int_equal(x->count.tunnel_deaths, 0);
	/* and it still finds out */
	pass(x, 5 * SECOND, STREAM);
	x->servers[5].is_cut = true;
	assert_in_range(until_moved(x, STREAM, 1000), 200, 600);
	free(x);
}

/* Many short pauses slow it down, but do not keep it from finding out. */
static void finds_out_in_spite_of_short_pauses(void **state)
{
	struct world *x = create_up(MS);
	unsigned ms;

	(void)state;
	x->servers[5].is_cut = true;
	for (ms = 0; ms < 2000 && x->environments[SLOT].move_counter == 1; ms += 38) {
		x->tunnels[5].packets_out++;
		pass(x, 8 * MS, STREAM);
		loop(x, 30 * MS);
	}
	assert_in_range(ms, 100, 900);
	free(x);
}

/* A host that is dead through all tunnels moves nothing; another one is asked. */
static void asks_another_host(void **state)
{
	struct world *x = create_up(MS);

	(void)state;
	add_forward(x, HOST_B, IPPROTO_TCP, 81);
	for (unsigned i = 0; i < TUNNELS; i++)
		x->servers[x->list[i]].is_silent_to[0] = true;
	pass(x, 10 * SECOND, ONE_WAY);
	assert_int_equal(x->environments[SLOT].move_counter, 1);
	assert_int_equal(x->count.tunnel_deaths, 0);
	/* the other one shows who is dead */
	x->servers[5].is_cut = true;
	assert_in_range(until_moved(x, ONE_WAY, 5000), 50, 800);
	assert_int_equal(x->environments[SLOT].active, 2);
	free(x);
}

/* All are cut off: nothing moves; after a while the environment is lost, its sessions later. Who
 * comes back first gets it. */
static void waits_when_all_are_silent(void **state)
{
	struct world *x = create_up(MS);
	struct dp_forward forward = { .environment = SLOT, .tunnel = DP_NONE_SLOT };

	(void)state;
	for (unsigned i = 0; i < TUNNELS; i++)
		x->servers[x->list[i]].is_cut = true;
	pass(x, 1900 * MS, STREAM);
	assert_int_equal(dp_failover_choose(&x->w, &forward), 5);
	pass(x, 600 * MS, STREAM);
	assert_int_equal(x->tunnels[5].liveness.state, IPC_LIVENESS_DEAD);
	assert_int_equal(dp_failover_choose(&x->w, &forward), DP_NONE_SLOT);
	assert_true(x->tunnels[5].is_usable);
	pass(x, DP_GRACE_NS, STREAM);
	assert_false(x->tunnels[5].is_usable);
	assert_int_equal(x->environments[SLOT].move_counter, 1);
	x->servers[7].is_cut = false;
	assert_in_range(until_moved(x, STREAM, 2000), 1, 1100);
	assert_int_equal(x->environments[SLOT].active, 7);
	assert_int_equal(dp_failover_choose(&x->w, &forward), 7);
	x->servers[5].is_cut = false;
	pass(x, 5 * SECOND, STREAM);
	assert_int_equal(x->tunnels[5].liveness.state, IPC_LIVENESS_ALIVE);
	assert_int_equal(x->environments[SLOT].active, 7); /* moving back is policy */
	free(x);
}

static void returns_to_life_where_it_was(void **state)
{
	struct world *x = create_up(MS);

	(void)state;
	for (unsigned i = 0; i < TUNNELS; i++)
		x->servers[x->list[i]].is_cut = true;
	pass(x, 3 * SECOND, STREAM);
	assert_int_equal(x->tunnels[5].liveness.state, IPC_LIVENESS_DEAD);
	x->servers[5].is_cut = false;
	pass(x, 100 * MS, STREAM);
	assert_int_equal(x->tunnels[5].liveness.state, IPC_LIVENESS_ALIVE);
	assert_true(x->tunnels[5].is_usable && x->tunnels[5].liveness.alive_since_ns);
	assert_int_equal(x->environments[SLOT].move_counter, 1);
	free(x);
}

/* The standby's answer takes long: it is waited for. */
static void waits_for_a_late_standby(void **state)
{
	struct world *x = create_up(MS);

	(void)state;
	x->servers[7].is_cut = true;
	pass(x, 3 * SECOND, STREAM);
	assert_int_equal(x->tunnels[7].liveness.state, IPC_LIVENESS_DEAD);
	x->servers[2].rtt_ns = 300 * MS;
	x->servers[5].is_cut = true;
	assert_in_range(until_moved(x, STREAM, 2000), 300, 700);
	assert_int_equal(x->environments[SLOT].active, 2);
	assert_true(x->environments[SLOT].switch_ns >= 100 * MS);
	free(x);
}

static void forgives_who_returns_in_the_middle(void **state)
{
	(void)state;
	for (unsigned out_ms = 10; out_ms < 130; out_ms += 5) {
		struct world *x = create_up(MS);

		x->servers[5].is_cut = true;
		pass(x, out_ms * MS, STREAM);
		x->servers[5].is_cut = false;
		pass(x, 2 * SECOND, STREAM);
		assert_int_equal(x->environments[SLOT].move_counter, 1);
		assert_int_equal(x->tunnels[5].liveness.state, IPC_LIVENESS_ALIVE);
		free(x);
	}
}

static void moves_once_for_a_server_that_flaps(void **state)
{
	struct world *x = create_up(MS);

	(void)state;
	for (unsigned i = 0; i < 60; i++) {
		x->servers[5].is_cut = !(i % 2);
		pass(x, SECOND, STREAM);
	}
	assert_int_equal(x->environments[SLOT].move_counter, 2);
	assert_int_equal(x->tunnels[5].liveness.deaths, 30);
	free(x);
}

/* Echo is filtered everywhere: TCP is asked, once a second at most, and little when idle. */
static void asks_by_tcp_where_echo_is_filtered(void **state)
{
	struct world *x = create();
	unsigned syns;

	(void)state;
	add_forward(x, HOST_A, IPPROTO_TCP, 80);
	for (unsigned i = 0; i < TUNNELS; i++) {
		x->servers[x->list[i]] = (struct server){ .rtt_ns = MS, .is_echo_filtered = true };
		set(x, x->list[i], 1);
	}
	dp_failover_refresh(&x->w, SLOT);
	pass(x, 60 * SECOND, IDLE);
	assert_in_range(x->syns, 3 * 5, 3 * 7);
	assert_int_equal(x->count.tunnel_deaths, 0);
	pass(x, 60 * SECOND, ONE_WAY);
	assert_int_equal(x->environments[SLOT].move_counter, 1);
	syns = x->syns;
	x->servers[5].is_cut = true;
	assert_in_range(until_moved(x, STREAM, 10000), 100, 4000);
	assert_int_equal(x->environments[SLOT].active, 2);
	assert_true(x->syns - syns <= 3 * 5);
	free(x);
}

/* Where nobody can be asked, silence proves nothing. */
static void leaves_alone_who_cannot_be_asked(void **state)
{
	struct world *x = create();

	(void)state;
	add_forward(x, HOST_A, IPPROTO_UDP, 53);
	for (unsigned i = 0; i < TUNNELS; i++) {
		x->servers[x->list[i]] =
			(struct server){ .rtt_ns = MS, .is_echo_filtered = i == 0 };
		set(x, x->list[i], 1);
	}
	dp_failover_refresh(&x->w, SLOT);
	pass(x, 60 * SECOND, ONE_WAY);
	assert_int_equal(x->environments[SLOT].move_counter, 1);
	assert_int_equal(x->count.tunnel_deaths, 0);
	assert_int_equal(x->syns, 0);
	free(x);
}

static unsigned count_told(struct world *x, uint64_t ns, enum traffic traffic)
{
	unsigned told = 0;

	for (uint64_t end_ns = x->w.now_ns + ns; x->w.now_ns < end_ns;) {
		step(x, traffic);
		told += atomic_exchange(&x->w.failover.is_changed, 0);
	}
	return told;
}

/* But the control plane is told, which can ask by IKE; its opinion decides. */
static void takes_the_control_planes_opinion(void **state)
{
	struct world *x = create();
	struct dp_environment_state *s = &x->environments[SLOT];

	(void)state;
	add_forward(x, HOST_A, IPPROTO_UDP, 53);
	for (unsigned i = 0; i < TUNNELS; i++) {
		x->servers[x->list[i]] = (struct server){ .rtt_ns = MS, .is_echo_filtered = true };
		set(x, x->list[i], 1);
	}
	dp_failover_refresh(&x->w, SLOT);
	pass(x, 5 * SECOND, STREAM);
	count_told(x, MS, STREAM);
	assert_int_equal(count_told(x, 5 * SECOND, STREAM), 0);
	assert_int_equal(dp_failover_move(&x->w, SLOT, 2, 1, IPC_MOVE_DEAD), -EBUSY);
	x->servers[5].is_cut = true;
	assert_int_equal(count_told(x, 240 * MS, STREAM), 0);
	assert_int_equal(count_told(x, 20 * MS, STREAM), 1);
	assert_in_range(count_told(x, 10 * SECOND, STREAM), 9, 10); /* once a second */
	assert_int_equal(x->tunnels[5].liveness.state, IPC_LIVENESS_SUSPECT);
	assert_int_equal(s->move_counter, 1);
	assert_int_equal(dp_failover_move(&x->w, SLOT, 2, 0, IPC_MOVE_DEAD), -ESTALE);
	assert_int_equal(dp_failover_move(&x->w, SLOT, 5, 1, IPC_MOVE_DEAD), -EBUSY);
	assert_int_equal(dp_failover_move(&x->w, SLOT, 2, 1, IPC_MOVE_DEAD), 0);
	assert_int_equal(s->active, 2);
	assert_int_equal(s->move_reason, IPC_MOVE_DEAD);
	assert_in_range(s->detection_ns, 10 * SECOND, 11 * SECOND);
	assert_int_equal(x->tunnels[5].liveness.state, IPC_LIVENESS_DEAD);
	assert_false(x->tunnels[5].is_usable);
	assert_int_equal(dp_failover_move(&x->w, SLOT, 5, 2, IPC_MOVE_BY_HAND), -EHOSTUNREACH);
	/* any packet brings it back to life */
	x->servers[5].is_cut = false;
	x->tunnels[5].heard_ns = x->w.now_ns;
	pass(x, 10 * MS, STREAM);
	assert_int_equal(x->tunnels[5].liveness.state, IPC_LIVENESS_ALIVE);
	free(x);
}

/* Three times, each host once, through its tunnel; and no answer is held for or against anybody. */
static void greets_hosts(void **state)
{
	struct world *x = create_up(MS);
	unsigned echoes = x->echoes;

	(void)state;
	dp_greet_later(&x->w, SLOT, 2, HOST_A);
	dp_greet_later(&x->w, SLOT, 2, HOST_A);
	dp_greet_later(&x->w, SLOT, 7, HOST_B);
	pass(x, 10 * MS, STREAM);
	assert_int_equal(x->greeted[2], 1);
	assert_int_equal(x->greeted[7], 1);
	pass(x, SECOND, STREAM);
	assert_int_equal(x->greeted[2], DP_GREET_TIMES);
	assert_int_equal(x->greeted[7], DP_GREET_TIMES);
	assert_in_range(x->echoes - echoes, 3, 12);
	assert_int_equal(x->tunnels[2].packets_out - x->tunnels[2].liveness.probe_packets, 0);
	/* many hosts: some of them; one whose tunnel is down is left out */
	for (uint32_t i = 0; i < 100; i++)
		dp_greet_later(&x->w, SLOT, i % 2 ? 2 : 5, i + 1);
	set(x, 2, 0);
	dp_failover_refresh(&x->w, SLOT);
	pass(x, SECOND, STREAM);
	assert_int_equal(x->greeted[5], DP_GREETINGS_MAX / 2 * DP_GREET_TIMES);
	assert_int_equal(x->greeted[2], DP_GREET_TIMES);
	/* no room: later */
	dp_greet_later(&x->w, SLOT, 7, HOST_A);
	x->inside.n = DP_BURST;
	dp_greet(&x->w, SLOT);
	assert_int_equal(x->greeted[7], DP_GREET_TIMES);
	x->inside.n = 0;
	pass(x, SECOND, STREAM);
	assert_int_equal(x->greeted[7], 2 * DP_GREET_TIMES);
	free(x);
}

static void asks_nothing_where_it_may_not(void **state)
{
	struct world *x = create_up(MS);
	unsigned echoes = x->echoes;

	(void)state;
	x->environment.flags = IPC_ENVIRONMENT_UNPROBED;
	x->servers[5].is_cut = true;
	pass(x, 60 * SECOND, STREAM);
	assert_int_equal(x->echoes, echoes);
	assert_int_equal(x->environments[SLOT].move_counter, 1);
	free(x);
}

/* A commit, a new SA or a new configured host in the middle neither delays nor reverts a move. */
static void goes_on_through_commits(void **state)
{
	struct world *x = create_up(MS);
	unsigned ms = 0;

	(void)state;
	x->servers[5].is_cut = true;
	while (x->environments[SLOT].move_counter == 1 && ms < 1000) {
		ms += until_moved(x, STREAM, 10);
		dp_failover_refresh(&x->w, SLOT);
	}
	assert_in_range(ms, 100, 180);
	assert_int_equal(x->environments[SLOT].active, 2);
	for (unsigned i = 0; i < 10; i++) {
		dp_failover_refresh(&x->w, SLOT);
		pass(x, 50 * MS, STREAM);
	}
	assert_int_equal(x->environments[SLOT].active, 2);
	/* its target's forward is gone: nobody there is asked any more */
	memset(x->forwards, 0, sizeof(x->forwards));
	x->environment.first_forward = x->environment.last_forward = 0;
	add_forward(x, HOST_B, IPPROTO_TCP, 81);
	pass(x, 2 * SECOND, STREAM);
	x->servers[2].is_silent_to[0] = x->servers[7].is_silent_to[0] = true;
	pass(x, 5 * SECOND, STREAM);
	assert_int_equal(x->tunnels[7].liveness.state, IPC_LIVENESS_ALIVE);
	free(x);
}

/* The active tunnel is taken out of the configuration while it is suspect, or when it just died. */
static void survives_that_tunnels_are_removed(void **state)
{
	(void)state;
	for (unsigned out_ms = 20; out_ms < 300; out_ms += 20) {
		struct world *x = create_up(MS);

		x->servers[5].is_cut = true;
		pass(x, out_ms * MS, STREAM);
		x->environment.tunnel_count = 2;
		x->environment.tunnels[0] = x->list[0] = 2;
		x->environment.tunnels[1] = x->list[1] = 7;
		for (unsigned i = 1; i <= DP_WORKERS_MAX; i++)
			x->generation.homes[i] = 2;
		dp_failover_refresh(&x->w, SLOT);
		memset(&x->tunnels[5], 0, sizeof(x->tunnels[5]));
		assert_int_equal(x->environments[SLOT].active, 2);
		if (x->environments[SLOT].moves[IPC_MOVE_DEAD] == 0) {
			assert_int_equal(x->environments[SLOT].move_reason, IPC_MOVE_REMOVED);
			assert_int_equal(x->environments[SLOT].moved_from, DP_NONE_SLOT);
		}
		pass(x, SECOND, STREAM);
		assert_int_equal(x->environments[SLOT].active, 2);
		free(x);
	}
}

/* A forward's preferred tunnel carries it while it lives, and again when it has lived for long. */
static void prefers_who_lives(void **state)
{
	struct world *x = create_up(MS);
	const struct dp_forward forward = { .environment = SLOT, .tunnel = 7 };

	(void)state;
	assert_int_equal(dp_failover_choose(&x->w, &forward), 7);
	x->servers[7].is_cut = true;
	pass(x, 2 * SECOND, STREAM);
	assert_int_equal(dp_failover_choose(&x->w, &forward), 5);
	assert_false(x->tunnels[7].is_usable);
	assert_int_equal(x->environments[SLOT].move_counter, 1);
	x->servers[7].is_cut = false;
	pass(x, 2 * SECOND, STREAM);
	assert_int_equal(x->tunnels[7].liveness.state, IPC_LIVENESS_ALIVE);
	assert_int_equal(dp_failover_choose(&x->w, &forward), 5);
	pass(x, DP_HOLD_NS, STREAM);
	assert_int_equal(dp_failover_choose(&x->w, &forward), 7);
	set(x, 7, 0);
	dp_failover_refresh(&x->w, SLOT);
	assert_int_equal(dp_failover_choose(&x->w, &forward), 5);
	free(x);
}

static void refuses_to_move_to_the_dead(void **state)
{
	struct world *x = create_up(MS);
	struct dp_environment_state *s = &x->environments[SLOT];

	(void)state;
	x->servers[2].is_cut = true;
	pass(x, 2 * SECOND, STREAM);
	assert_int_equal(dp_failover_move(&x->w, SLOT, 2, 1, IPC_MOVE_BY_HAND), -EHOSTUNREACH);
	assert_int_equal(dp_failover_move(&x->w, SLOT, 7, 1, IPC_MOVE_BACK), 0);
	assert_int_equal(s->move_reason, IPC_MOVE_BACK);
	assert_int_equal(s->moved_from, 5);
	/* the active one goes down: not to the dead one, though it is preferred */
	set(x, 5, 0);
	set(x, 7, 0);
	dp_failover_refresh(&x->w, SLOT);
	assert_int_equal(s->active, 2); /* the only one that is up at all */
	set(x, 5, 1);
	dp_failover_refresh(&x->w, SLOT);
	assert_in_range(until_moved(x, STREAM, 2000), 1, 1000);
	assert_int_equal(s->active, 5);
	assert_int_equal(s->move_reason, IPC_MOVE_DEAD);
	free(x);
}

/* Clocks that have run for centuries. */
static void does_not_care_for_the_date(void **state)
{
	struct world *x = create();

	(void)state;
	x->w.now_ns = UINT64_MAX / 2 - SECOND;
	x->w.failover.last_ns = 0;
	dp_failover_tick(&x->w);
	add_forward(x, HOST_A, IPPROTO_TCP, 80);
	for (unsigned i = 0; i < TUNNELS; i++) {
		x->servers[x->list[i]].rtt_ns = MS;
		set(x, x->list[i], 1);
	}
	dp_failover_refresh(&x->w, SLOT);
	pass(x, 2 * SECOND, STREAM);
	x->servers[5].is_cut = true;
	assert_in_range(until_moved(x, STREAM, 1000), 100, 170);
	free(x);
}

/* RFC 6298 section 2. */
static void estimates_round_trips(void **state)
{
	struct world *x = create_up(80 * MS);
	const struct dp_liveness *l = &x->tunnels[2].liveness;

	(void)state;
	pass(x, 30 * SECOND, STREAM);
	assert_in_range(l->srtt_ns, 79 * MS, 82 * MS);
	assert_in_range(dp_liveness_deadline(l), 79 * MS, 95 * MS);
	x->servers[2].jitter_ns = 40 * MS;
	pass(x, 60 * SECOND, STREAM);
	assert_true(dp_liveness_deadline(l) > 120 * MS);
	assert_true(l->answered > 100 && l->asked >= l->answered);
	free(x);
}

/* One of very many tunnels is cut off under traffic, all others answer within the step. */
static void large_step(struct world *x, uint16_t cut)
{
	x->cut = cut;
	if (cut != UINT16_MAX)
		x->w.tunnels[cut].packets_out++;
	x->w.now_ns += MS;
	dp_failover_tick(&x->w);
	dp_failover_poll(&x->w);
}

/* 12,000 tunnels of 4,000 environments: some are looked at in each step, no more, and who fails is
 * found out nearly as soon. */
static void scales(void **state)
{
	enum { ENVIRONMENTS = 4000, ALL = 3 * ENVIRONMENTS, PLACES = 16384 };
	struct world *x = create();
	struct dp_environment *list = calloc(ENVIRONMENTS, sizeof(*list));
	struct dp_forward *forwards = calloc(PLACES, sizeof(*forwards));
	uint16_t *tunnels = calloc(ALL, sizeof(*tunnels));
	unsigned before, ms = 0;

	(void)state;
	assert_true(list && forwards && tunnels);
	x->w.tunnels = aligned_alloc(64, ALL * sizeof(struct dp_tunnel));
	x->w.environments = aligned_alloc(64, ENVIRONMENTS * sizeof(struct dp_environment_state));
	assert_true(x->w.tunnels && x->w.environments);
	memset(x->w.tunnels, 0, ALL * sizeof(struct dp_tunnel));
	memset(x->w.environments, 0, ENVIRONMENTS * sizeof(struct dp_environment_state));
	x->generation.forwards = forwards;
	x->generation.forward_mask = PLACES - 1;
	x->generation.tunnels = tunnels;
	for (unsigned i = 1; i <= DP_WORKERS_MAX; i++)
		x->generation.homes[i] = ALL;
	for (unsigned i = 0; i < ENVIRONMENTS; i++) {
		uint64_t key = dp_forward_key(i + 1, IPPROTO_TCP, 80);
		uint32_t at = dp_crc8(key) & (PLACES - 1);

		while (forwards[at].key)
			at = (at + 1) & (PLACES - 1);
		forwards[at] = (struct dp_forward){ .key = key,
			                            .to_address_be = HOST_A,
			                            .to_port_be = 80,
			                            .environment = (uint16_t)i };
		list[i] = (struct dp_environment){ .slot = (uint16_t)i,
			                           .tunnel_count = 3,
			                           .first_forward = at + 1,
			                           .last_forward = at + 1 };
		x->generation.by_slot[i] = &list[i];
		x->w.environments[i].active = DP_NONE_SLOT;
		for (uint16_t t = 0; t < 3; t++) {
			uint16_t slot = (uint16_t)(3 * i + t);

			tunnels[slot] = list[i].tunnels[t] = slot;
			x->w.tunnels[slot] = (struct dp_tunnel){ .environment = (uint16_t)i,
				                                 .is_wanted = 1,
				                                 .inner_be = 1,
				                                 .out = (void *)x };
		}
		dp_failover_refresh(&x->w, (uint16_t)i);
	}
	for (unsigned i = 0; i < 3000; i++) {
		before = x->echoes;
		large_step(x, UINT16_MAX);
		assert_true(x->echoes - before <= DP_FAILOVER_LOOKS);
	}
	assert_true(x->count.probes_answered >= 2 * ALL);
	assert_int_equal(x->count.tunnel_deaths, 0);
	while (x->w.environments[7].move_counter == 1 && ms++ < 1000)
		large_step(x, 21);
	assert_in_range(ms, 100, 300);
	assert_int_equal(x->count.tunnel_deaths, 1);
	free(x->w.tunnels);
	free(x->w.environments);
	free(list);
	free(forwards);
	free(tunnels);
	free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows_preference_and_stays),
		cmocka_unit_test(moves_within_200_ms),
		cmocka_unit_test(finds_out_when_idle),
		cmocka_unit_test(does_not_move_for_nothing),
		cmocka_unit_test(nor_where_it_is_stopped_besides),
		cmocka_unit_test(gives_up_no_session_of_who_is_merely_slower),
		cmocka_unit_test(takes_the_control_planes_opinion),
		cmocka_unit_test(greets_hosts),
		cmocka_unit_test(does_not_blame_others_for_its_own_pauses),
		cmocka_unit_test(finds_out_in_spite_of_short_pauses),
		cmocka_unit_test(asks_another_host),
		cmocka_unit_test(waits_when_all_are_silent),
		cmocka_unit_test(returns_to_life_where_it_was),
		cmocka_unit_test(waits_for_a_late_standby),
		cmocka_unit_test(forgives_who_returns_in_the_middle),
		cmocka_unit_test(moves_once_for_a_server_that_flaps),
		cmocka_unit_test(asks_by_tcp_where_echo_is_filtered),
		cmocka_unit_test(leaves_alone_who_cannot_be_asked),
		cmocka_unit_test(asks_nothing_where_it_may_not),
		cmocka_unit_test(goes_on_through_commits),
		cmocka_unit_test(survives_that_tunnels_are_removed),
		cmocka_unit_test(prefers_who_lives),
		cmocka_unit_test(refuses_to_move_to_the_dead),
		cmocka_unit_test(does_not_care_for_the_date),
		cmocka_unit_test(estimates_round_trips),
		cmocka_unit_test(scales),
		cmocka_unit_test(is_up_with_all_three),
		cmocka_unit_test(knows_every_standby),
		cmocka_unit_test(moves_by_compare_and_set),
		cmocka_unit_test(follows_the_generation),
	};

	return cmocka_run_group_tests_name("failover", tests, NULL, NULL);
}
