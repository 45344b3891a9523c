/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The moves of environments between their servers: each is logged, and those that policy wants are
 * asked for.
 */
#include "controlplane/moves.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "common/log.h"

#define RETRY_NS 1000000000ull /* a move that the dataplane refused */
#define BY_HAND_TRIES 3u       /* others may move it meanwhile */

void cp_moves_init(struct cp_moves *moves, struct cp_dp *dp)
{
	*moves = (struct cp_moves){ .dp = dp };
}

/* ---- the log ---- */

/* A place for ENVIRONMENT; those of environments that are gone are taken over. */
static struct cp_moves_told *find_told(struct cp_moves *moves, const struct cp_dp_picture *picture,
                                       const char *environment, bool *is_new)
{
	struct cp_moves_told *place = NULL;

	*is_new = false;
	for (size_t i = 0; i < CP_ENVIRONMENTS_MAX; i++) {
		struct cp_moves_told *told = &moves->told[i];

		if (strncmp(told->environment, environment, IPC_NAME_LEN) == 0)
			return told;
		if (!place && !cp_dp_picture_state(picture, told->environment))
			place = told;
	}
	*is_new = true;
	if (place)
		memcpy(place->environment, environment, sizeof(place->environment));
	return place;
}

static void say(const struct ipc_environment_state *state, uint64_t count)
{
	const bool is_failure =
		state->move_reason == IPC_MOVE_DOWN || state->move_reason == IPC_MOVE_DEAD;

	sp_log(is_failure ? SP_LOG_WARN : SP_LOG_INFO,
	       "moves: moved environment=%.31s from=%.31s to=%.31s reason=%s detection_ms=%.1f switch_ms=%.3f "
	       "sessions_kept=%u sessions_reset=%u moves=%" PRIu64,
	       state->name, state->moved_from[0] ? state->moved_from : "-",
	       state->active[0] ? state->active : "-", cp_move_reason_name(state->move_reason),
	       (double)state->detection_ns / 1e6, (double)state->switch_ns / 1e6,
	       state->sessions_kept, state->sessions_reset, count);
}

/* A move is said when the number of its sessions is known; what happened before we came is not. */
static void tell(struct cp_moves *moves, const struct cp_dp_picture *picture, bool is_first)
{
	for (size_t i = 0; i < picture->state_count; i++) {
		const struct ipc_environment_state *state = &picture->states[i];
		bool is_new;
		struct cp_moves_told *told = find_told(moves, picture, state->name, &is_new);

		if (!told)
			continue;
		if (is_new)
			told->move_counter = is_first ? state->move_counter : 0;
		if (told->move_counter == state->move_counter || !state->is_settled)
			continue;
		say(state, state->move_counter - told->move_counter);
		told->move_counter = state->move_counter;
	}
}

/* ---- moving ---- */

/* Asks for one move; refused if there was another one since STATE. On 0 *COUNTER is the new count.
 */
static int ask(struct cp_dp *dp, const struct ipc_environment_state *state, const char *server,
               enum ipc_move_reason reason)
{
	struct ipc_move move = {
		.move_counter = state->move_counter,
		.reason = (uint8_t)reason,
	};
	struct ipc_move after;

	memcpy(move.environment, state->name, sizeof(move.environment));
	memcpy(move.server, server, sizeof(move.server));
	return cp_dp_call(dp, IPC_MOVE, &move, sizeof(move), &after, sizeof(after));
}

uint64_t cp_moves_look(struct cp_moves *moves, const struct cp_config *config, uint64_t epoch,
                       const struct cp_dp_picture *picture, uint64_t now_ns)
{
	uint64_t first_due_ns = 0;
	const bool is_first = moves->epoch == 0;

	if (moves->epoch != epoch) {
		memset(moves->told, 0, sizeof(moves->told));
		moves->epoch = epoch;
	}
	tell(moves, picture, is_first);
	for (size_t i = 0; i < config->environment_count; i++) {
		const struct cp_environment *environment = &config->environments[i];
		uint64_t due_ns;
		const struct cp_server *to =
			cp_zone_failback(environment, picture, now_ns, &due_ns);
		int rc = 0;

		if (to)
			rc = ask(moves->dp, cp_dp_picture_state(picture, environment->name),
			         to->name, IPC_MOVE_BACK);
		if (rc != 0) {
			due_ns = now_ns + RETRY_NS;
			sp_log(SP_LOG_DEBUG, "moves: not moved back environment=%s to=%s error=%s",
			       environment->name, to->name, strerror(-rc));
		}
		if (due_ns && (!first_due_ns || due_ns < first_due_ns))
			first_due_ns = due_ns;
	}
	return first_due_ns;
}

int cp_moves_from_dead(struct cp_dp *dp, const struct ipc_environment_state *state,
                       const char server[IPC_NAME_LEN])
{
	return ask(dp, state, server, IPC_MOVE_DEAD);
}

/* One try; -ESTALE: it was moved meanwhile. */
static int move_by_hand(struct cp_dp *dp, const struct cp_dp_picture *picture,
                        const struct cp_environment *environment, const char *name,
                        char from[IPC_NAME_LEN], char to[IPC_NAME_LEN], char why[CP_WHY_LEN])
{
	const struct ipc_environment_state *state = cp_dp_picture_state(picture, environment->name);
	const struct cp_server *server;

	if (!state)
		return -ENOENT; /* its commit was refused */
	server = cp_zone_choose(environment, picture, name, why);
	if (!server)
		return -EINVAL;
	memcpy(from, state->active, IPC_NAME_LEN);
	memcpy(to, server->name, IPC_NAME_LEN);
	if (strncmp(from, to, IPC_NAME_LEN) == 0)
		return 0;
	return ask(dp, state, to, IPC_MOVE_BY_HAND);
}

int cp_moves_by_hand(struct cp_dp *dp, const struct cp_environment *environment, const char *server,
                     char from[IPC_NAME_LEN], char to[IPC_NAME_LEN], char why[CP_WHY_LEN])
{
	int rc = -ESTALE;

	for (unsigned i = 0; i < BY_HAND_TRIES && rc == -ESTALE; i++) {
		struct cp_dp_picture picture;

		rc = cp_dp_picture_take(dp, &picture);
		if (rc == 0)
			rc = move_by_hand(dp, &picture, environment, server, from, to, why);
		cp_dp_picture_fini(&picture);
	}
	return rc;
}
