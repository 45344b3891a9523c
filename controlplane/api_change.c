/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Live change by the API: what a reload came to as JSON.
 */
#include "controlplane/api_change.h"

#include "controlplane/api_json.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

json_t *cp_api_refuse(struct cp_refusal *refusal, const char *code, const char *format, ...)
{
	va_list arguments;

	refusal->code = code;
	va_start(arguments, format);
	vsnprintf(refusal->text, sizeof(refusal->text), format, arguments);
	va_end(arguments);
	return NULL;
}

/* ---- what a reload came to ---- */

static json_t *describe_mistake(const struct cp_mistake *mistake)
{
	return json_pack("{s:o, s:i, s:o, s:o}", "file", cp_api_text(mistake->file), "line",
	                 (int)mistake->line, "key", cp_api_text(mistake->key), "text",
	                 cp_api_text(mistake->text));
}

static json_t *describe_forward(const struct cp_change *change)
{
	if (change->what != CP_FORWARD)
		return json_null();
	return json_pack("{s:s, s:i}", "protocol", change->protocol == IPPROTO_UDP ? "udp" : "tcp",
	                 "port", (int)ntohs(change->port_be));
}

static json_t *describe_change(const struct cp_change *change)
{
	/* clang-format off */
	return json_pack(
		"{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:s}",
		"change", cp_change_kind_name(change->kind),
		"what", cp_change_what_name(change->what),
		"environment", cp_api_name_or_null(change->environment),
		"server", cp_api_name_or_null(change->server),
		"forward", describe_forward(change),
		"key", cp_api_name_or_null(change->key),
		"from", cp_api_name_or_null(change->from),
		"to", cp_api_name_or_null(change->to),
		"effect", cp_effect_name(change->effect));
	/* clang-format on */
}

static json_t *list_mistakes(const struct cp_mistakes *mistakes)
{
	json_t *list = json_array();

	for (size_t i = 0; i < mistakes->count; i++) {
		if (json_array_append_new(list, describe_mistake(&mistakes->list[i]))) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

/* As many as a page has. */
static json_t *list_changes(const struct cp_changes *changes)
{
	json_t *list = json_array();

	for (size_t i = 0; i < changes->count && i < CP_API_PAGE_MAX; i++) {
		if (json_array_append_new(list, describe_change(&changes->list[i]))) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *describe_outcome(const struct cp_outcome *outcome, bool is_applied)
{
	/* clang-format off */
	return json_pack(
		"{s:b, s:o, s:I, s:o}",
		"applied", is_applied,
		"mistakes", list_mistakes(&outcome->mistakes),
		"total", (json_int_t)outcome->changes.count,
		"changes", list_changes(&outcome->changes));
	/* clang-format on */
}

static json_t *answer_outcome(const struct cp_api_context *context,
                              const struct cp_api_request *request, struct cp_refusal *refusal)
{
	struct cp_outcome outcome;
	json_t *result = NULL;
	int rc;

	if (request->command == CP_API_DIFF) {
		rc = cp_reload_diff(context->reload, &outcome);
	} else {
		rc = request->command == CP_API_RELOAD
		             ? cp_reload_apply(context->reload, &outcome)
		             : cp_reload_rollback(context->reload, &outcome);
		cp_outcome_log(&outcome, rc);
	}
	if (rc == 0 || outcome.mistakes.count)
		result = describe_outcome(&outcome, rc == 0 && request->command != CP_API_DIFF);
	else if (rc == -ENOENT)
		cp_api_refuse(refusal, "not-found", "%s", outcome.why);
	else
		cp_api_refuse(refusal, "refused", "nothing has changed: %s", outcome.why);
	cp_outcome_fini(&outcome);
	return result;
}

/* ---- the others ---- */

static json_t *answer_drain(const struct cp_api_context *context,
                            const struct cp_api_request *request, struct cp_refusal *refusal)
{
	const char *environment = request->environment[0] ? request->environment : NULL;
	char why[CP_DP_WHY_LEN] = "";
	int rc = request->command == CP_API_DRAIN
	                 ? cp_reload_drain(context->reload, environment, why)
	                 : cp_reload_undrain(context->reload, environment, why);

	if (rc != 0)
		return cp_api_refuse(refusal, "refused", "%s", why);
	return json_pack("{s:b}", "draining", request->command == CP_API_DRAIN);
}

json_t *cp_api_change(const struct cp_api_context *context, const struct cp_api_request *request,
                      struct cp_refusal *refusal)
{
	switch (request->command) {
	case CP_API_RECONNECT:
		return json_pack("{s:I}", "tunnels",
		                 (json_int_t)cp_supervisor_renew(
					 context->supervisor, request->environment,
					 request->server[0] ? request->server : NULL));
	case CP_API_DRAIN:
	case CP_API_UNDRAIN:
		return answer_drain(context, request, refusal);
	default:
		return answer_outcome(context, request, refusal);
	}
}
