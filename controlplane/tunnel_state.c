/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One tunnel's state machine: what happened goes in, what is to be done comes out. Pure, with the
 * caller's clock.
 */
#include "controlplane/tunnel_state.h"

#include <stdio.h>
#include <string.h>

#define WHY_NO_DATAPLANE "the dataplane is not there"

static void enter(struct cp_tunnel_state *state, enum cp_tunnel_phase phase, uint64_t now_ms)
{
	if (state->phase != phase)
		state->since_ms = now_ms;
	state->phase = phase;
	state->deadline_ms = 0;
	state->is_queued = false;
	state->is_negotiating = false;
}

static void explain(struct cp_tunnel_state *state, const char *why, enum cp_rank rank)
{
	if (rank <= state->rank)
		return;
	state->rank = rank;
	snprintf(state->reason, sizeof(state->reason), "%s", why);
}

static void forget_reason(struct cp_tunnel_state *state)
{
	state->rank = 0;
	state->reason[0] = 0;
}

/* ---- the SAs that libcharon told of ---- */

static bool has_ike(const struct cp_tunnel_state *state, uint32_t id)
{
	for (size_t i = 0; i < state->ike_count; i++) {
		if (state->ikes[i] == id)
			return true;
	}
	return false;
}

static void add_ike(struct cp_tunnel_state *state, uint32_t id)
{
	if (!has_ike(state, id) && state->ike_count < CP_TUNNEL_SAS_MAX)
		state->ikes[state->ike_count++] = id;
}

static void remove_ike(struct cp_tunnel_state *state, uint32_t id)
{
	for (size_t i = 0; i < state->ike_count; i++) {
		if (state->ikes[i] == id) {
			state->ikes[i] = state->ikes[--state->ike_count];
			return;
		}
	}
}

static struct cp_child *find_child(struct cp_tunnel_state *state, uint32_t id)
{
	for (size_t i = 0; i < state->child_count; i++) {
		if (state->children[i].id == id)
			return &state->children[i];
	}
	return NULL;
}

static struct cp_child *find_successor(struct cp_tunnel_state *state, uint32_t old_id)
{
	for (size_t i = 0; i < state->child_count; i++) {
		if (state->children[i].old_id == old_id)
			return &state->children[i];
	}
	return NULL;
}

static size_t count_stale(const struct cp_tunnel_state *state)
{
	size_t count = 0;

	for (size_t i = 0; i < state->child_count; i++)
		count += state->children[i].is_stale;
	return count;
}

/* Whatever there is shall end, and what it still reports is not of interest. */
static unsigned doom_all(struct cp_tunnel_state *state)
{
	const size_t room = CP_TUNNEL_SAS_MAX - state->doomed_count;
	const size_t count = state->ike_count < room ? state->ike_count : room;

	memcpy(&state->doomed[state->doomed_count], state->ikes, count * sizeof(state->ikes[0]));
	state->doomed_count += count;
	state->ike_count = 0;
	state->child_count = 0;
	state->is_renegotiating = false;
	state->is_renewing = false; /* what comes next has the new settings anyway */
	state->renewal_ike = 0;
	state->retire_ms = 0;
	state->renewal[0] = 0;
	return state->doomed_count ? CP_DO_TERMINATE : 0;
}

/* ---- transitions ---- */

/* Until the next attempt. */
static uint64_t take_pause_ms(struct cp_tunnel_state *state)
{
	const uint64_t pause_ms = cp_backoff_take_ms(&state->backoff);

	return pause_ms > state->pause_ms ? pause_ms : state->pause_ms;
}

static unsigned begin(struct cp_tunnel_state *state, uint64_t now_ms)
{
	unsigned todo = doom_all(state);

	enter(state, CP_TUNNEL_CONNECTING, now_ms);
	forget_reason(state);
	state->attempts++;
	state->pause_ms = 0;
	state->is_resolving = true;
	state->deadline_ms = now_ms + CP_GUARD_MS;
	return todo | CP_DO_RESOLVE;
}

/* A server that has enough of us falls silent: what it said before is still the reason. */
static void tell_reason(struct cp_tunnel_state *state)
{
	if (state->rank > CP_RANK_VAGUE)
		snprintf(state->before, sizeof(state->before), "%s", state->reason);
	if (state->rank == CP_RANK_VAGUE && state->before[0])
		snprintf(state->why, sizeof(state->why), "%.60s; before that: %.180s",
		         state->reason, state->before);
	else
		snprintf(state->why, sizeof(state->why), "%s", state->reason);
}

static unsigned fail(struct cp_tunnel_state *state, uint64_t now_ms)
{
	unsigned todo = doom_all(state);

	explain(state, "the negotiation ended without a reason given", CP_RANK_VAGUE);
	tell_reason(state);
	enter(state, CP_TUNNEL_WAITING, now_ms);
	state->deadline_ms = now_ms + take_pause_ms(state);
	state->is_resolving = false;
	return todo | CP_SAY_FAILED;
}

/* It was up and is not any more. */
static unsigned lose(struct cp_tunnel_state *state, uint64_t now_ms)
{
	const bool was_stable = now_ms - state->since_ms >= CP_STABLE_MS && !state->pause_ms;
	unsigned todo = doom_all(state);

	explain(state, "the server closed the tunnel", CP_RANK_VAGUE);
	snprintf(state->why, sizeof(state->why), "%s", state->reason);
	state->inner_be = 0;
	state->limits[0] = 0;
	state->is_announced = false;
	todo |= CP_DO_DOWN | CP_SAY_LOST;
	if (was_stable)
		return todo | begin(state, now_ms);
	enter(state, CP_TUNNEL_WAITING, now_ms);
	state->deadline_ms = now_ms + take_pause_ms(state);
	return todo;
}

/* ---- renewal ---- */

static bool is_trying(const struct cp_tunnel_state *state)
{
	return state->is_resolving || state->is_queued || state->is_negotiating;
}

/* Its successor is up, and it lives for some seconds more. */
static bool is_to_end(const struct cp_tunnel_state *state, uint32_t id)
{
	return state->retire_ms && id != state->new_ike;
}

static void doom(struct cp_tunnel_state *state, uint32_t id)
{
	remove_ike(state, id);
	if (state->doomed_count < CP_TUNNEL_SAS_MAX)
		state->doomed[state->doomed_count++] = id;
}

/* The logins that a renewal has replaced. */
static unsigned retire_old(struct cp_tunnel_state *state)
{
	if (!state->retire_ms)
		return 0;
	state->retire_ms = 0;
	for (size_t i = state->ike_count; i-- > 0;) {
		if (state->ikes[i] != state->new_ike)
			doom(state, state->ikes[i]);
	}
	return state->doomed_count ? CP_DO_TERMINATE : 0;
}

static unsigned try_renewal(struct cp_tunnel_state *state, uint64_t now_ms)
{
	unsigned todo = retire_old(state);

	forget_reason(state);
	state->renewal_attempts++;
	state->pause_ms = 0;
	state->renewal_ike = 0;
	state->is_resolving = true;
	state->deadline_ms = now_ms + CP_GUARD_MS;
	return todo | CP_DO_RESOLVE;
}

/* The old login goes on; the new one is tried again. */
static unsigned fail_renewal(struct cp_tunnel_state *state, uint64_t now_ms)
{
	const bool has_knocked = state->is_negotiating;
	unsigned todo = CP_SAY_RENEWAL_FAILED;

	if (state->renewal_ike)
		doom(state, state->renewal_ike);
	if (state->doomed_count)
		todo |= CP_DO_TERMINATE;
	if (has_knocked)
		todo |= CP_DO_PEER_BACK;
	explain(state, "the negotiation ended without a reason given", CP_RANK_VAGUE);
	snprintf(state->renewal, sizeof(state->renewal), "%s", state->reason);
	forget_reason(state);
	state->renewal_ike = 0;
	state->is_resolving = state->is_queued = state->is_negotiating = false;
	state->remote_be = state->up_remote_be;
	state->deadline_ms = now_ms + take_pause_ms(state);
	return todo;
}

static unsigned come_up(struct cp_tunnel_state *state, uint64_t now_ms)
{
	const bool was_up = state->phase == CP_TUNNEL_UP;
	const unsigned say = was_up ? 0 : CP_SAY_UP;

	enter(state, CP_TUNNEL_UP, now_ms);
	forget_reason(state);
	state->why[0] = 0;
	state->unrenewed[0] = 0;
	state->before[0] = 0;
	state->attempts = 0;
	state->is_renegotiating = false;
	state->is_announced = true;
	state->deadline_ms = state->retire_ms;
	cp_backoff_reset(&state->backoff);
	if (state->is_renewing) /* it waited for this */
		return CP_DO_UP | say | try_renewal(state, now_ms);
	return CP_DO_UP | say;
}

static unsigned finish_renewal(struct cp_tunnel_state *state, uint64_t now_ms)
{
	unsigned todo;

	state->new_ike = state->renewal_ike;
	state->is_renewing = false;
	state->renewal_ike = 0;
	state->renewal[0] = 0;
	todo = come_up(state, now_ms) | CP_SAY_UP;
	state->retire_ms = state->deadline_ms = now_ms + CP_RENEWED_GRACE_MS;
	return todo;
}

/* What the newest CHILD_SA cannot carry. */
static unsigned take_limits(struct cp_tunnel_state *state, const struct cp_event *event)
{
	const bool is_new = strcmp(state->limits, event->limits) != 0;

	memcpy(state->limits, event->limits, sizeof(state->limits));
	return is_new && state->limits[0] ? CP_SAY_LIMITS : 0;
}

/* ---- events ---- */

/* An SA's key is never given to a second dataplane: new keys for all, over the IKE_SA that lives.
 */
static unsigned on_ready_new(struct cp_tunnel_state *state, uint64_t now_ms)
{
	state->is_ready = true;
	state->is_announced = false;
	if (!state->child_count)
		return begin(state, now_ms);
	for (size_t i = 0; i < state->child_count; i++)
		state->children[i].is_stale = true;
	enter(state, CP_TUNNEL_CONNECTING, now_ms);
	state->is_renegotiating = true;
	state->deadline_ms = now_ms + CP_RENEGOTIATE_MS;
	snprintf(state->why, sizeof(state->why),
	         "the dataplane was restarted: new keys are being negotiated");
	return CP_DO_PEER | CP_DO_REKEY | CP_SAY_RENEGOTIATE;
}

static unsigned on_ready(struct cp_tunnel_state *state, uint64_t now_ms)
{
	unsigned todo = 0;

	if (count_stale(state)) /* the connection broke before they were replaced */
		return on_ready_new(state, now_ms);
	state->is_ready = true;
	if (state->child_count)
		return CP_DO_PEER | come_up(state, now_ms);
	if (state->is_announced) {
		state->is_announced = false;
		todo = CP_DO_DOWN;
	}
	return todo | begin(state, now_ms);
}

/* The server sends on the other one's SAs, and may have ended ours: as after a restart, we connect
 * beside them. */
static unsigned on_overtaken(struct cp_tunnel_state *state, uint64_t now_ms)
{
	unsigned todo;

	state->is_ready = true;
	state->is_announced = false;
	todo = begin(state, now_ms);
	return todo & CP_DO_TERMINATE ? (todo & ~CP_DO_TERMINATE) | CP_DO_TERMINATE_LATE : todo;
}

static unsigned on_lost(struct cp_tunnel_state *state, uint64_t now_ms)
{
	state->is_ready = false;
	state->is_resolving = false;
	state->is_renegotiating = false;
	enter(state, CP_TUNNEL_IDLE, now_ms);
	snprintf(state->why, sizeof(state->why), WHY_NO_DATAPLANE);
	return 0;
}

static unsigned on_child_up(struct cp_tunnel_state *state, const struct cp_event *event,
                            uint64_t now_ms)
{
	unsigned todo;

	if (!has_ike(state, event->ike_id) || state->child_count == CP_TUNNEL_SAS_MAX) {
		/* of an attempt that was given up meanwhile */
		if (state->doomed_count < CP_TUNNEL_SAS_MAX)
			state->doomed[state->doomed_count++] = event->ike_id;
		return CP_DO_TERMINATE;
	}
	if (event->inner_be == 0) {
		explain(state, "the server assigned no virtual IP address", CP_RANK_EXACT);
		if (event->ike_id == state->renewal_ike)
			return fail_renewal(state, now_ms);
		return state->phase == CP_TUNNEL_CONNECTING ? fail(state, now_ms) : 0;
	}
	if (!find_child(state, event->child_id))
		state->children[state->child_count++] =
			(struct cp_child){ .id = event->child_id, .spi_be = event->spi_be };
	state->inner_be = event->inner_be;
	state->remote_be = event->remote_be;
	state->up_remote_be = event->remote_be;
	state->up_port_be = event->remote_port_be;
	state->is_udp = event->is_udp;
	memcpy(state->suite, event->suite, sizeof(state->suite));
	state->told = event->told;
	todo = take_limits(state, event);
	if (!state->is_ready)
		return todo;
	if (state->renewal_ike == event->ike_id && state->phase == CP_TUNNEL_UP)
		return todo | finish_renewal(state, now_ms);
	if (state->is_renewing && state->phase == CP_TUNNEL_UP)
		return todo | CP_DO_UP; /* libcharon's own reauthentication, beside ours */
	if (state->phase != CP_TUNNEL_UP)
		state->connects++;
	return todo | come_up(state, now_ms);
}

static unsigned on_child_rekeyed(struct cp_tunnel_state *state, const struct cp_event *event,
                                 uint64_t now_ms)
{
	struct cp_child *child = find_child(state, event->old_child_id);
	unsigned todo;

	if (child)
		state->child_rekeys++;
	else /* or its other successor's place is taken, when both sides began */
		child = find_successor(state, event->old_child_id);
	if (!child)
		return 0;
	*child = (struct cp_child){ event->child_id, event->old_child_id, event->spi_be, false };
	memcpy(state->suite, event->suite, sizeof(state->suite));
	state->told = event->told;
	state->unrenewed[0] = 0;
	todo = take_limits(state, event);
	forget_reason(state);
	if (!state->is_renegotiating || count_stale(state))
		return todo;
	return todo | come_up(state, now_ms);
}

static unsigned on_child_down(struct cp_tunnel_state *state, const struct cp_event *event,
                              uint64_t now_ms)
{
	struct cp_child *child = find_child(state, event->child_id);

	if (!child)
		return 0;
	*child = state->children[--state->child_count];
	if (state->child_count)
		return 0;
	if (state->phase == CP_TUNNEL_UP)
		return lose(state, now_ms);
	return state->is_renegotiating ? begin(state, now_ms) : 0;
}

static unsigned on_ike_gone(struct cp_tunnel_state *state, const struct cp_event *event,
                            uint64_t now_ms)
{
	if (!has_ike(state, event->ike_id))
		return 0;
	remove_ike(state, event->ike_id);
	if (event->ike_id == state->renewal_ike) {
		state->renewal_ike = 0;
		return state->phase == CP_TUNNEL_UP ? fail_renewal(state, now_ms) : 0;
	}
	if (state->phase != CP_TUNNEL_CONNECTING || state->ike_count || state->child_count)
		return 0;
	return fail(state, now_ms);
}

static unsigned on_resolved(struct cp_tunnel_state *state, const struct cp_event *event)
{
	if (!state->is_resolving)
		return 0;
	state->is_resolving = false;
	state->remote_be = state->tried_be = event->remote_be;
	state->is_queued = true;
	state->deadline_ms = 0; /* others may take their time */
	return 0;
}

static unsigned on_admitted(struct cp_tunnel_state *state, uint64_t now_ms)
{
	if (!state->is_queued)
		return 0;
	state->is_queued = false;
	state->is_negotiating = true;
	state->deadline_ms = now_ms + CP_GUARD_MS;
	return CP_DO_PEER | CP_DO_CONNECT;
}

static unsigned on_not_begun(struct cp_tunnel_state *state, const struct cp_event *event,
                             uint64_t now_ms)
{
	const bool is_renewal = state->phase == CP_TUNNEL_UP && state->is_renewing &&
	                        is_trying(state) && !state->renewal_ike;

	if (!is_renewal && (state->phase != CP_TUNNEL_CONNECTING || state->ike_count))
		return 0;
	explain(state, event->why, CP_RANK_EXACT);
	return is_renewal ? fail_renewal(state, now_ms) : fail(state, now_ms);
}

static void on_ike_begun(struct cp_tunnel_state *state, const struct cp_event *event)
{
	add_ike(state, event->ike_id);
	if (state->phase == CP_TUNNEL_UP && state->is_negotiating && !state->renewal_ike)
		state->renewal_ike = event->ike_id;
}

static void on_ike_rekeyed(struct cp_tunnel_state *state, const struct cp_event *event)
{
	add_ike(state, event->ike_id);
	state->ike_rekeys++;
	if (state->new_ike == event->old_ike_id)
		state->new_ike = event->ike_id;
}

static unsigned on_renew(struct cp_tunnel_state *state, uint64_t now_ms)
{
	unsigned todo = 0;

	cp_backoff_reset(&state->backoff);
	if (!state->is_ready) {
		state->is_renewing = state->child_count != 0;
		return 0;
	}
	if (state->phase != CP_TUNNEL_UP) {
		state->attempts = 0;
		return begin(state, now_ms);
	}
	if (state->renewal_ike) { /* an attempt that knew nothing of this */
		doom(state, state->renewal_ike);
		todo = CP_DO_TERMINATE;
	}
	state->is_renewing = true;
	state->is_queued = state->is_negotiating = false;
	state->renewal_attempts = 0;
	state->renewal[0] = 0;
	return todo | CP_SAY_RENEWING | try_renewal(state, now_ms);
}

static void on_reason(struct cp_tunnel_state *state, const struct cp_event *event)
{
	if (!has_ike(state, event->ike_id))
		return;
	explain(state, event->why, event->rank);
	if (event->pause_s * UINT64_C(1000) > state->pause_ms)
		state->pause_ms = event->pause_s * UINT64_C(1000);
}

/* It may have lost us in a restart: we do not wait until the IKE_SA is given up. If it comes back
 * as it was, the old login goes when the new one is up. */
static unsigned on_unanswered(struct cp_tunnel_state *state, const struct cp_event *event,
                              uint64_t now_ms)
{
	if (state->phase != CP_TUNNEL_UP || state->is_renewing || !has_ike(state, event->ike_id))
		return 0;
	return on_renew(state, now_ms);
}

/* One of its CHILD_SAs may never be rekeyed again, or be the server's alone: none of them stays. An
 * IKE_SA that is about to end takes its own along. */
static unsigned on_unsure(struct cp_tunnel_state *state, const struct cp_event *event,
                          uint64_t now_ms)
{
	/* or will be, with these, when the dataplane is back */
	const bool is_up = state->phase == CP_TUNNEL_UP || !state->is_ready;

	if (!is_up || state->is_renewing || is_to_end(state, event->ike_id))
		return 0;
	return on_renew(state, now_ms);
}

static void on_unrenewed(struct cp_tunnel_state *state, const struct cp_event *event)
{
	if (state->phase == CP_TUNNEL_UP && has_ike(state, event->ike_id))
		memcpy(state->unrenewed, event->why, sizeof(state->unrenewed));
}

static unsigned on_removed(struct cp_tunnel_state *state, uint64_t now_ms)
{
	unsigned todo = doom_all(state);

	enter(state, CP_TUNNEL_IDLE, now_ms);
	state->is_removed = true;
	return todo;
}

/* A login that had begun before the tunnel was removed ends too. */
static unsigned step_removed(struct cp_tunnel_state *state, const struct cp_event *event)
{
	if (event->type != CP_EVENT_IKE_BEGUN && event->type != CP_EVENT_IKE_REKEYED &&
	    event->type != CP_EVENT_CHILD_UP)
		return 0;
	doom(state, event->ike_id);
	return CP_DO_TERMINATE;
}

/* What is tried meanwhile is tried where it was looked up; but a session that is gone on with is
 * not up yet and has floated before. */
static unsigned on_floated(struct cp_tunnel_state *state, const struct cp_event *event)
{
	if (!has_ike(state, event->ike_id) || event->ike_id == state->renewal_ike ||
	    is_to_end(state, event->ike_id))
		return 0;
	if (!is_trying(state) || !state->child_count)
		state->remote_be = event->remote_be;
	state->up_remote_be = event->remote_be;
	state->up_port_be = event->remote_port_be;
	return CP_DO_FLOAT;
}

/* Of a renewal: its end, its next attempt, or the end of what it replaced. */
static unsigned on_time_up(struct cp_tunnel_state *state, uint64_t now_ms)
{
	state->deadline_ms = 0;
	if (state->retire_ms)
		return retire_old(state);
	if (!state->is_renewing)
		return 0;
	if (!is_trying(state))
		return try_renewal(state, now_ms);
	explain(state, "the negotiation took too long", CP_RANK_VAGUE);
	return fail_renewal(state, now_ms);
}

static unsigned on_time(struct cp_tunnel_state *state, uint64_t now_ms)
{
	if (state->deadline_ms == 0 || now_ms < state->deadline_ms)
		return 0;
	if (state->phase == CP_TUNNEL_UP)
		return on_time_up(state, now_ms);
	if (state->phase == CP_TUNNEL_WAITING || state->is_renegotiating)
		return begin(state, now_ms);
	explain(state, "the negotiation took too long", CP_RANK_VAGUE);
	return fail(state, now_ms);
}

/* ---- public ---- */

void cp_tunnel_state_init(struct cp_tunnel_state *state, const struct cp_server *server,
                          uint32_t seed, uint64_t now_ms)
{
	memset(state, 0, sizeof(*state));
	cp_backoff_init(&state->backoff, server->retry_min_s * 1000, server->retry_max_s * 1000,
	                seed);
	state->since_ms = now_ms;
	snprintf(state->why, sizeof(state->why), WHY_NO_DATAPLANE);
}

void cp_tunnel_state_set_retry(struct cp_tunnel_state *state, const struct cp_server *server)
{
	cp_backoff_init(&state->backoff, server->retry_min_s * 1000, server->retry_max_s * 1000,
	                state->backoff.random);
}

unsigned cp_tunnel_state_step(struct cp_tunnel_state *state, const struct cp_event *event,
                              uint64_t now_ms)
{
	state->doomed_count = 0;
	if (state->is_removed)
		return step_removed(state, event);
	switch (event->type) {
	case CP_EVENT_READY:
		return on_ready(state, now_ms);
	case CP_EVENT_READY_NEW:
		return on_ready_new(state, now_ms);
	case CP_EVENT_OVERTAKEN:
		return on_overtaken(state, now_ms);
	case CP_EVENT_LOST:
		return on_lost(state, now_ms);
	case CP_EVENT_RESOLVED:
		return on_resolved(state, event);
	case CP_EVENT_NOT_BEGUN:
		return on_not_begun(state, event, now_ms);
	case CP_EVENT_IKE_BEGUN:
		on_ike_begun(state, event);
		return 0;
	case CP_EVENT_IKE_REKEYED:
		on_ike_rekeyed(state, event);
		return 0;
	case CP_EVENT_IKE_GONE:
		return on_ike_gone(state, event, now_ms);
	case CP_EVENT_CHILD_UP:
		return on_child_up(state, event, now_ms);
	case CP_EVENT_CHILD_REKEYED:
		return on_child_rekeyed(state, event, now_ms);
	case CP_EVENT_CHILD_DOWN:
		return on_child_down(state, event, now_ms);
	case CP_EVENT_REASON:
		on_reason(state, event);
		return 0;
	case CP_EVENT_ADMITTED:
		return on_admitted(state, now_ms);
	case CP_EVENT_RENEW:
		return on_renew(state, now_ms);
	case CP_EVENT_UNSURE:
		return on_unsure(state, event, now_ms);
	case CP_EVENT_UNRENEWED:
		on_unrenewed(state, event);
		return 0;
	case CP_EVENT_UNANSWERED:
		return on_unanswered(state, event, now_ms);
	case CP_EVENT_SILENT:
	case CP_EVENT_ANSWERED:
		return 0;
	case CP_EVENT_FLOATED:
		return on_floated(state, event);
	case CP_EVENT_REMOVED:
		return on_removed(state, now_ms);
	case CP_EVENT_TIME:
		return on_time(state, now_ms);
	}
	return 0;
}
