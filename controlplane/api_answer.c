/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each command answers. The configuration says which environments and tunnels there are, the
 * supervisor how they do, the dataplane what passes through them; while the dataplane cannot be
 * asked, its part is null.
 */
#include "controlplane/api_answer.h"

#include "common/ipc_codec.h"
#include "controlplane/api_change.h"
#include "controlplane/api_json.h"
#include "controlplane/api_request.h"
#include "controlplane/dp_picture.h"
#include "controlplane/moves.h"
#include "controlplane/sources.h"

#include <jansson.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what is known at the moment ---- */

struct picture {
	const struct cp_config *config; /* borrowed: the one in force */
	bool is_handed_over;            /* the dataplane, to a successor */
	struct cp_dp_state dp;
	struct cp_tunnel_view *views;
	size_t view_count;
	struct cp_dp_picture dataplane; /* empty while it cannot be asked */
};

#define TUNNELS_MAX ((size_t)CP_ENVIRONMENTS_MAX * CP_SERVERS_MAX)

static void forget_picture(struct picture *picture)
{
	free(picture->views);
	cp_dp_picture_fini(&picture->dataplane);
}

static bool is_handed_over(const struct cp_api_context *context, const struct picture *picture)
{
	char why[CP_TAKEOVER_WHY_LEN];

	return !picture->dp.is_connected &&
	       cp_takeover_phase(context->takeover, why) == CP_TAKEOVER_RUNNING;
}

/* A dataplane that does not answer is part of the picture; -ENOMEM is the only error. */
static int take_picture(const struct cp_api_context *context, const struct cp_config *config,
                        struct picture *picture)
{
	int rc;

	memset(picture, 0, sizeof(*picture));
	picture->config = config;
	picture->views = calloc(TUNNELS_MAX, sizeof(*picture->views));
	if (!picture->views)
		return -ENOMEM;
	picture->view_count =
		cp_supervisor_tunnels(context->supervisor, picture->views, TUNNELS_MAX);
	if (picture->view_count > TUNNELS_MAX)
		picture->view_count = TUNNELS_MAX;
	cp_dp_state(context->dp, &picture->dp);
	picture->is_handed_over = is_handed_over(context, picture);
	if (!picture->dp.is_connected)
		return 0;
	rc = cp_dp_picture_take(context->dp, &picture->dataplane);
	if (rc) {
		picture->dp.is_connected = false;
		snprintf(picture->dp.why, sizeof(picture->dp.why), "it does not answer: %s",
		         strerror(-rc));
	}
	return 0;
}

/* ---- tunnels and status ---- */

/* The tunnels of ENVIRONMENT, or of all when that is empty. */
static json_t *list_tunnels(const struct picture *picture, const char *environment)
{
	json_t *list = json_array();

	for (size_t i = 0; i < picture->view_count; i++) {
		const struct cp_tunnel_view *view = &picture->views[i];

		if (environment[0] && strcmp(view->id.environment, environment))
			continue;
		if (json_array_append_new(
			    list, cp_api_tunnel(view, cp_dp_picture_tunnel(&picture->dataplane,
		                                                           view->id.environment,
		                                                           view->id.server)))) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *describe_dataplane(const struct cp_dp_state *dp)
{
	/* clang-format off */
	return json_pack(
		"{s:b, s:o, s:o, s:o, s:o, s:o}",
		"connected", dp->is_connected,
		"why", cp_api_text(dp->is_connected ? "" : dp->why),
		"warning", cp_api_text(dp->is_connected ? dp->warning : ""),
		"epoch", cp_api_epoch(dp->epoch),
		"generation", json_integer((json_int_t)dp->generation),
		"pid", dp->pid ? json_integer(dp->pid) : json_null());
	/* clang-format on */
}

static size_t count_up(const struct picture *picture, const char *environment, size_t *total)
{
	size_t up = 0;

	*total = 0;
	for (size_t i = 0; i < picture->view_count; i++) {
		if (strcmp(picture->views[i].id.environment, environment))
			continue;
		up += picture->views[i].phase == CP_TUNNEL_UP;
		++*total;
	}
	return up;
}

/* What the dataplane says of an environment; every key is there, null while it cannot be asked. */
static json_t *dataplane_part(const struct ipc_environment_state *state)
{
	if (!state)
		return json_pack("{s:n, s:n, s:n, s:n, s:n, s:n, s:n, s:n, s:n}", "active", "lost",
		                 "moves", "moves_by_reason", "last_move", "home_worker", "sessions",
		                 "traffic", "refused");
	/* clang-format off */
	return json_pack(
		"{s:o, s:b, s:I, s:o, s:o, s:I, s:I, s:o, s:o}",
		"active", cp_api_name_or_null(state->active),
		"lost", state->is_lost,
		"moves", (json_int_t)state->move_counter,
		"moves_by_reason", cp_api_moves(state),
		"last_move", cp_api_last_move(state),
		"home_worker", (json_int_t)state->home_worker,
		"sessions", (json_int_t)state->sessions,
		"traffic", cp_api_traffic(state->packets_out, state->bytes_out,
		                          state->packets_in, state->bytes_in),
		"refused", cp_api_refused(state));
	/* clang-format on */
}

static const char *health_of(const struct cp_environment *environment,
                             const struct picture *picture);

static json_t *describe_environment(const struct cp_environment *environment,
                                    const struct picture *picture)
{
	const struct ipc_environment_state *state =
		cp_dp_picture_state(&picture->dataplane, environment->name);
	json_t *result = dataplane_part(state);
	size_t total, up = count_up(picture, environment->name, &total);
	char sources[CP_SOURCES_TEXT_LEN];
	json_t *known;

	cp_sources_explain(picture->config, environment, state, sources);
	/* clang-format off */
	known = json_pack(
		"{s:o, s:s, s:o, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:o}",
		"name", cp_api_text(environment->name),
		"health", health_of(environment, picture),
		"pod_address", cp_api_address(environment->pod_address_be),
		"forwards", (json_int_t)environment->forward_count,
		"session_quota", (json_int_t)environment->session_quota,
		"port_quota", (json_int_t)environment->port_quota,
		"rate_bps", (json_int_t)environment->rate_bps,
		"sources_warning", cp_api_text(sources),
		"tunnels_up", (json_int_t)up,
		"tunnels_total", (json_int_t)total,
		"tunnels", list_tunnels(picture, environment->name));
	/* clang-format on */

	if (json_object_update(result, known)) {
		json_decref(result);
		result = NULL;
	}
	json_decref(known);
	return result;
}

static json_t *list_environments(const struct picture *picture)
{
	json_t *list = json_array();

	for (size_t i = 0; i < picture->config->environment_count; i++) {
		if (json_array_append_new(
			    list,
			    describe_environment(&picture->config->environments[i], picture))) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

/* null: nobody asked for one; otherwise whether it runs, and why the last one failed. */
static json_t *describe_upgrade(const struct cp_api_context *context)
{
	char why[CP_TAKEOVER_WHY_LEN];
	enum cp_takeover_phase phase = cp_takeover_phase(context->takeover, why);

	if (phase == CP_TAKEOVER_NONE)
		return json_null();
	return json_pack("{s:b, s:o}", "running", phase == CP_TAKEOVER_RUNNING, "why",
	                 cp_api_text(why));
}

static json_t *answer_status(const struct cp_api_context *context, const struct picture *picture)
{
	/* clang-format off */
	return json_pack(
		"{s:o, s:o, s:o, s:{s:s, s:i, s:o, s:o}, s:o, s:o}",
		"instance", cp_api_text(context->instance),
		"gateway", cp_api_text(picture->config->name),
		"zone", cp_api_text(picture->config->zone),
		"controlplane",
			"version", SALLYPORT_VERSION,
			"pid", (int)getpid(),
			"epoch", cp_api_epoch(context->epoch),
			"upgrade", describe_upgrade(context),
		"dataplane", describe_dataplane(&picture->dp),
		"environments", list_environments(picture));
	/* clang-format on */
}

static json_t *answer_tunnels(const struct picture *picture, const struct cp_api_request *request)
{
	return json_pack("{s:o, s:o}", "dataplane", describe_dataplane(&picture->dp), "tunnels",
	                 list_tunnels(picture, request->environment));
}

/* ---- health ---- */

static bool has_tunnel(const struct picture *picture, const char *environment)
{
	size_t total;

	return count_up(picture, environment, &total) > 0;
}

/* What a load balancer or a controller of routes has to know. While a successor has the dataplane,
 * tunnels are as they were. */
static const char *health_of(const struct cp_environment *environment,
                             const struct picture *picture)
{
	const struct ipc_environment_state *state =
		cp_dp_picture_state(&picture->dataplane, environment->name);

	if (picture->is_handed_over ? !has_tunnel(picture, environment->name)
	                            : !state || !state->active[0] || state->is_lost)
		return "down";
	return environment->is_draining ? "draining" : "ready";
}

/* Both are sums over workers that count on meanwhile. */
static json_int_t count_open(const struct ipc_environment_state *state)
{
	return state->sessions > state->sessions_closed ? state->sessions - state->sessions_closed
	                                                : 0;
}

static json_t *describe_health(const struct cp_environment *environment,
                               const struct picture *picture)
{
	const struct ipc_environment_state *state =
		cp_dp_picture_state(&picture->dataplane, environment->name);
	/* clang-format off */
	return json_pack(
		"{s:o, s:s, s:b, s:o, s:o}",
		"name", cp_api_text(environment->name),
		"state", health_of(environment, picture),
		"draining", environment->is_draining,
		"sessions", state ? json_integer(state->sessions) : json_null(),
		"sessions_open", state ? json_integer(count_open(state)) : json_null());
	/* clang-format on */
}

/* Ready, if an environment is; else draining, if one is. Without environments: as the dataplane. */
static const char *sum_up(const char *sum, const char *state)
{
	if (strcmp(sum, "ready") == 0 || strcmp(state, "ready") == 0)
		return "ready";
	return strcmp(sum, "draining") == 0 ? sum : state;
}

static json_t *answer_health(const struct picture *picture, const struct cp_api_request *request)
{
	const char *sum =
		picture->config->environment_count || !picture->dp.is_connected ? "down" : "ready";
	json_t *list = json_array();

	for (size_t i = 0; i < picture->config->environment_count; i++) {
		const struct cp_environment *environment = &picture->config->environments[i];

		if (request->environment[0] && strcmp(environment->name, request->environment))
			continue;
		sum = sum_up(sum, health_of(environment, picture));
		if (json_array_append_new(list, describe_health(environment, picture))) {
			json_decref(list);
			return NULL;
		}
	}
	return json_pack("{s:s, s:o, s:o}", "state", sum, "dataplane",
	                 describe_dataplane(&picture->dp), "environments", list);
}

/* ---- lists in pages ---- */

#define ROUNDS_MAX 64u /* requests to the dataplane for one page */

/* LIST (taken) under NAME and where the next page starts, null at the end. */
static json_t *page(const char *name, json_t *list, uint64_t next)
{
	return json_pack("{s:o, s:o}", name, list, "next",
	                 next ? json_sprintf("%" PRIu64, next) : json_null());
}

/* The cursor counts the forwards before the page. */
static json_t *answer_forwards(const struct picture *picture, const struct cp_api_request *request)
{
	json_t *list = json_array();
	uint64_t position = 0, end;

	if (__builtin_add_overflow(request->cursor, request->limit, &end))
		end = UINT64_MAX;
	for (size_t i = 0; i < picture->config->environment_count; i++) {
		const struct cp_environment *environment = &picture->config->environments[i];
		const struct ipc_environment_state *state =
			cp_dp_picture_state(&picture->dataplane, environment->name);

		if (request->environment[0] && strcmp(environment->name, request->environment))
			continue;
		for (size_t k = 0; k < environment->forward_count; k++, position++) {
			if (position < request->cursor || position >= end)
				continue;
			if (json_array_append_new(
				    list, cp_api_forward(environment, &environment->forwards[k],
			                                 state ? state->active : NULL))) {
				json_decref(list);
				return NULL;
			}
		}
	}
	return page("forwards", list, position > end ? end : 0);
}

/* Appends the entries of one reply, of which LENGTH bytes were received, to LIST. */
static int append_sessions(json_t *list, const struct ipc_list *reply, size_t length)
{
	const struct ipc_header header = { .type = IPC_SESSIONS,
		                           .flags = IPC_REPLY,
		                           .length = (uint32_t)(sizeof(header) + length) };
	const uint8_t *entry = (const uint8_t *)(reply + 1);
	int count = ipc_list_check(&header, reply, sizeof(struct ipc_session));

	for (int i = 0; i < count; i++, entry += reply->entry_size)
		if (json_array_append_new(list, cp_api_session((const struct ipc_session *)entry)))
			return -ENOMEM;
	return count < 0 ? count : 0;
}

/* Fills LIST up to LIMIT entries and moves the query's cursor to where the next page starts. It may
 * come back earlier: the dataplane looks at many sessions for one that matches, and other clients
 * wait. */
static int collect_sessions(const struct cp_api_context *context, struct ipc_session_query *query,
                            uint32_t limit, json_t *list)
{
	uint64_t reply[IPC_MSG_MAX /
	               sizeof(uint64_t)]; /* aligned for every struct of the contract */
	const struct ipc_list *part = (const struct ipc_list *)reply;
	size_t length;

	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		int rc;

		query->limit = limit - (uint32_t)json_array_size(list);
		rc = cp_dp_exchange(context->dp, IPC_SESSIONS, query, sizeof(*query), reply,
		                    sizeof(reply), &length);
		if (!rc)
			rc = append_sessions(list, part, length);
		if (rc)
			return rc;
		query->cursor = part->next;
		if (!query->cursor || json_array_size(list) >= limit)
			break;
	}
	return 0;
}

static json_t *answer_sessions(const struct cp_api_context *context,
                               const struct cp_api_request *request, struct cp_refusal *refusal)
{
	struct ipc_session_query query = { .cursor = request->cursor };
	json_t *list = json_array();
	struct cp_dp_state state;
	int rc;

	memcpy(query.environment, request->environment, sizeof(query.environment));
	rc = list ? collect_sessions(context, &query, request->limit, list) : -ENOMEM;
	if (!rc)
		return page("sessions", list, query.cursor);
	json_decref(list);
	if (rc == -ENOMEM)
		return NULL;
	if (rc == -ENOENT)
		return cp_api_refuse(refusal, "not-found",
		                     "the dataplane has no environment \"%s\"",
		                     request->environment);
	cp_dp_state(context->dp, &state);
	if (!state.is_connected)
		return cp_api_refuse(refusal, "no-dataplane", "%s", state.why);
	return cp_api_refuse(refusal, "no-dataplane", "it does not answer: %s", strerror(-rc));
}

/* ---- requests ---- */

static json_t *answer_version(void)
{
	return json_pack("{s:s, s:o}", "version", SALLYPORT_VERSION, "contract",
	                 json_sprintf("%u.%u", IPC_VERSION_MAJOR, IPC_VERSION_MINOR));
}

static json_t *answer_upgrade(const struct cp_api_context *context, struct cp_refusal *refusal)
{
	pid_t successor;
	int rc = cp_takeover_begin(context->takeover, &successor);

	if (rc == -EALREADY)
		return cp_api_refuse(refusal, "busy", "an upgrade is running");
	if (rc == -ENOTSUP)
		return cp_api_refuse(
			refusal, "refused",
			"the control plane is process 1 of its container, which would end with it: restart the container instead");
	if (rc)
		return cp_api_refuse(refusal, "internal", "the successor cannot be started: %s",
		                     strerror(-rc));
	return json_pack("{s:i}", "pid", (int)successor);
}

static json_t *answer_move(const struct cp_api_context *context,
                           const struct cp_environment *environment,
                           const struct cp_api_request *request, struct cp_refusal *refusal)
{
	char from[IPC_NAME_LEN], to[IPC_NAME_LEN], why[CP_WHY_LEN];
	int rc;

	rc = cp_moves_by_hand(context->dp, environment, request->server, from, to, why);
	if (rc == -ENOMEM)
		return NULL;
	if (rc == -EINVAL)
		return cp_api_refuse(refusal, "refused", "%s", why);
	if (rc == -ESTALE || rc == -ENETDOWN || rc == -EHOSTUNREACH)
		return cp_api_refuse(refusal, "refused",
		                     "the tunnels changed meanwhile: see sallyport tunnels");
	if (rc)
		return cp_api_refuse(refusal, "no-dataplane", "it did not move: %s", strerror(-rc));
	return json_pack("{s:o, s:o, s:o, s:b}", "environment", cp_api_text(request->environment),
	                 "from", cp_api_name_or_null(from), "to", cp_api_text(to), "moved",
	                 strncmp(from, to, sizeof(to)) != 0);
}

/* ---- egress ---- */

static void append_use(void *context, const void *entry)
{
	json_t **list = context;

	if (*list && json_array_append_new(*list, cp_api_egress_use(entry))) {
		json_decref(*list);
		*list = NULL;
	}
}

static json_t *answer_egress(const struct cp_api_context *context, struct cp_refusal *refusal)
{
	json_t *list = json_array();
	int rc = cp_dp_list(context->dp, IPC_EGRESS, sizeof(struct ipc_egress_use), append_use,
	                    &list);

	if (rc) {
		json_decref(list);
		return cp_api_refuse(refusal, "no-dataplane", "its egress is not known: %s",
		                     strerror(-rc));
	}
	return page("egress", list, 0);
}

static json_t *answer_from_picture(const struct cp_api_context *context,
                                   const struct cp_config *config,
                                   const struct cp_api_request *request)
{
	struct picture picture;
	json_t *result;

	if (take_picture(context, config, &picture))
		return NULL;
	if (request->command == CP_API_STATUS)
		result = answer_status(context, &picture);
	else if (request->command == CP_API_TUNNELS)
		result = answer_tunnels(&picture, request);
	else if (request->command == CP_API_HEALTH)
		result = answer_health(&picture, request);
	else
		result = answer_forwards(&picture, request);
	forget_picture(&picture);
	return result;
}

static json_t *answer_request(const struct cp_api_context *context, const struct cp_config *config,
                              const struct cp_api_request *request, struct cp_refusal *refusal)
{
	const struct cp_environment *environment =
		cp_config_environment(config, request->environment);

	if (request->environment[0] && !environment)
		return cp_api_refuse(refusal, "not-found", "there is no environment \"%s\"",
		                     request->environment);
	if (request->server[0] && !cp_config_server(environment, request->server))
		return cp_api_refuse(refusal, "not-found",
		                     "environment \"%s\" has no server \"%s\"",
		                     request->environment, request->server);
	switch (request->command) {
	case CP_API_VERSION:
		return answer_version();
	case CP_API_UPGRADE:
		return answer_upgrade(context, refusal);
	case CP_API_MOVE:
		return answer_move(context, environment, request, refusal);
	case CP_API_SESSIONS:
		return answer_sessions(context, request, refusal);
	case CP_API_EGRESS:
		return answer_egress(context, refusal);
	case CP_API_DIFF:
	case CP_API_RELOAD:
	case CP_API_ROLLBACK:
	case CP_API_RECONNECT:
	case CP_API_DRAIN:
	case CP_API_UNDRAIN:
		return cp_api_change(context, request, refusal);
	case CP_API_STATUS:
	case CP_API_TUNNELS:
	case CP_API_FORWARDS:
	case CP_API_HEALTH:
		break;
	}
	return answer_from_picture(context, config, request);
}

static json_t *answer_line(const struct cp_api_context *context, const char *line, size_t length,
                           struct cp_refusal *refusal)
{
	const struct cp_config *config;
	char error[CP_API_ERROR_LEN];
	struct cp_api_request request;
	json_t *result;

	if (cp_api_request_parse(line, length, &request, error))
		return cp_api_refuse(refusal, "bad-request", "%s", error);
	config = cp_reload_running(context->reload);
	result = answer_request(context, config, &request, refusal);
	cp_config_release(config);
	return result;
}

char *cp_api_answer(const struct cp_api_context *context, const char *line, size_t length)
{
	struct cp_refusal refusal = { .code = "internal", .text = "out of memory" };
	json_t *result = answer_line(context, line, length, &refusal);
	json_t *reply = result ? json_pack("{s:b, s:o}", "ok", 1, "result", result)
	                       : json_pack("{s:b, s:s, s:o}", "ok", 0, "code", refusal.code,
	                                   "error", cp_api_text(refusal.text));
	char *text = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
	char *reply_line = NULL;

	if (text && asprintf(&reply_line, "%s\n", text) < 0)
		reply_line = NULL;
	json_decref(reply);
	free(text);
	return reply_line;
}
