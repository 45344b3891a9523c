/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * json_pack() and the names of numbers. Its calls are kept from clang-format, which would not leave
 * a key and its value on one line.
 */
#include "controlplane/api_json.h"

#include "controlplane/zone.h"

#include "common/netaddr.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

json_t *cp_api_text(const char *text)
{
	json_t *value = json_string(text);
	char *copy;

	if (value)
		return value;
	copy = strdup(text);
	if (!copy)
		return NULL;
	for (char *c = copy; *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	value = json_string(copy);
	free(copy);
	return value;
}

json_t *cp_api_name_or_null(const char *name)
{
	return name && name[0] ? cp_api_text(name) : json_null();
}

json_t *cp_api_address(uint32_t address_be)
{
	char text[SP_ADDRESS_TEXT];

	return address_be ? json_string(sp_address_format(text, address_be)) : json_null();
}

json_t *cp_api_epoch(uint64_t epoch)
{
	return epoch ? json_sprintf("%016" PRIx64, epoch) : json_null();
}

json_t *cp_api_refused(const struct ipc_environment_state *state)
{
	/* clang-format off */
	return json_pack("{s:I, s:I, s:I, s:o, s:I, s:I}",
		"sessions", (json_int_t)state->refused_sessions,
		"ports", (json_int_t)state->refused_ports,
		"sources", (json_int_t)state->refused_sources,
		"last_source", state->refused_source_be ? cp_api_address(state->refused_source_be)
		                                        : json_null(),
		"rate_packets_out", (json_int_t)state->rate_dropped_out,
		"rate_packets_in", (json_int_t)state->rate_dropped_in);
	/* clang-format on */
}

json_t *cp_api_traffic(uint64_t packets_out, uint64_t bytes_out, uint64_t packets_in,
                       uint64_t bytes_in)
{
	/* clang-format off */
	return json_pack(
		"{s:I, s:I, s:I, s:I}",
		"packets_out", (json_int_t)packets_out,
		"bytes_out", (json_int_t)bytes_out,
		"packets_in", (json_int_t)packets_in,
		"bytes_in", (json_int_t)bytes_in);
	/* clang-format on */
}

/* Seconds since the monotonic time THEN_NS, null for never. */
static json_t *seconds_since(uint64_t then_ns)
{
	struct timespec now;
	uint64_t now_ns;

	if (!then_ns)
		return json_null();
	clock_gettime(CLOCK_MONOTONIC, &now);
	now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	return json_real(now_ns > then_ns ? (double)((now_ns - then_ns) / 1000000) / 1000 : 0);
}

static json_t *milliseconds(uint64_t microseconds)
{
	return json_real((double)microseconds / 1000);
}

/* Of probes and what they found. */
static json_t *liveness_view(const struct ipc_tunnel_info *info)
{
	const bool has_rtt = info && info->rtt_us;

	if (!info)
		return json_pack("{s:n, s:n, s:n, s:n, s:n, s:n, s:n, s:n}", "liveness",
		                 "alive_seconds", "rtt_ms", "rtt_deviation_ms", "probes_sent",
		                 "probes_answered", "probes_missed", "deaths");
	/* clang-format off */
	return json_pack(
		"{s:s, s:o, s:o, s:o, s:I, s:I, s:I, s:I}",
		"liveness", cp_liveness_name(info->liveness),
		"alive_seconds", seconds_since(info->alive_since_ns),
		"rtt_ms", has_rtt ? milliseconds(info->rtt_us) : json_null(),
		"rtt_deviation_ms", has_rtt ? milliseconds(info->rtt_deviation_us) : json_null(),
		"probes_sent", (json_int_t)info->probes_sent,
		"probes_answered", (json_int_t)info->probes_answered,
		"probes_missed", (json_int_t)info->probes_missed,
		"deaths", (json_int_t)info->deaths);
	/* clang-format on */
}

/* What the dataplane knows of a tunnel; every key is there, null while it cannot be asked. */
static json_t *dataplane_view(const struct ipc_tunnel_info *info)
{
	if (!info)
		return json_pack("{s:n, s:n, s:n, s:n}", "active", "inner_mtu", "heard_seconds",
		                 "traffic");
	/* clang-format off */
	return json_pack(
		"{s:b, s:o, s:o, s:o}",
		"active", info->is_active,
		"inner_mtu", info->inner_mtu ? json_integer(info->inner_mtu) : json_null(),
		"heard_seconds", seconds_since(info->heard_ns),
		"traffic", cp_api_traffic(info->packets_out, info->bytes_out,
		                          info->packets_in, info->bytes_in));
	/* clang-format on */
}

json_t *cp_api_last_move(const struct ipc_environment_state *state)
{
	if (state->move_reason == IPC_MOVE_NONE)
		return json_null();
	/* clang-format off */
	return json_pack(
		"{s:o, s:o, s:s, s:o, s:o, s:o, s:I, s:I, s:b}",
		"from", cp_api_name_or_null(state->moved_from),
		"to", cp_api_name_or_null(state->active),
		"reason", cp_move_reason_name(state->move_reason),
		"seconds_ago", seconds_since(state->moved_ns),
		"detection_ms", milliseconds(state->detection_ns / 1000),
		"switch_ms", milliseconds(state->switch_ns / 1000),
		"sessions_kept", (json_int_t)state->sessions_kept,
		"sessions_reset", (json_int_t)state->sessions_reset,
		"settled", state->is_settled);
	/* clang-format on */
}

json_t *cp_api_moves(const struct ipc_environment_state *state)
{
	json_t *moves = json_object();

	for (uint8_t reason = IPC_MOVE_UP; reason <= IPC_MOVE_BACK; reason++) {
		if (json_object_set_new(moves, cp_move_reason_name(reason),
		                        json_integer((json_int_t)state->moves[reason]))) {
			json_decref(moves);
			return NULL;
		}
	}
	return moves;
}

static json_t *name_servers(const struct cp_told *told)
{
	json_t *list = json_array();

	for (size_t i = 0; i < told->dns_count; i++)
		if (json_array_append_new(list, cp_api_address(told->dns_be[i]))) {
			json_decref(list);
			return NULL;
		}
	return list;
}

json_t *cp_api_tunnel(const struct cp_tunnel_view *view, const struct ipc_tunnel_info *info)
{
	json_t *tunnel = dataplane_view(info);
	/* clang-format off */
	json_t *known = json_pack(
		"{s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
		"environment", cp_api_text(view->id.environment),
		"server", cp_api_text(view->id.server),
		"zone", cp_api_text(view->zone),
		"protocol", cp_api_text(view->protocol),
		"address", cp_api_text(view->server_address),
		"remote_address", cp_api_address(view->remote_be),
		"inner_address", cp_api_address(view->inner_be));
	json_t *condition = json_pack(
		"{s:b, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:I, s:I, s:I}",
		"up", view->phase == CP_TUNNEL_UP,
		"phase", cp_tunnel_phase_name(view->phase),
		"why", cp_api_text(view->why),
		"suite", cp_api_text(view->suite),
		"unreachable", cp_api_text(view->limits),
		"renewal", cp_api_text(view->renewal),
		"notice", cp_api_text(view->told.notice),
		"name_servers", name_servers(&view->told),
		"udp_encapsulation", view->udp_encapsulation,
		"attempts", (json_int_t)view->attempts,
		"since", (json_int_t)view->since_s,
		"retry_at", (json_int_t)view->retry_at_s);
	json_t *liveness = liveness_view(info);
	json_t *counts = json_pack(
		"{s:I, s:I, s:I, s:I}",
		"stream_dropped", (json_int_t)view->stream_dropped,
		"connects", (json_int_t)view->connects,
		"ike_rekeys", (json_int_t)view->ike_rekeys,
		"child_rekeys", (json_int_t)view->child_rekeys);
	/* clang-format on */

	/* a NULL on either side makes these fail */
	if (json_object_update(tunnel, known) || json_object_update(tunnel, condition) ||
	    json_object_update(tunnel, liveness) || json_object_update(tunnel, counts)) {
		json_decref(tunnel);
		tunnel = NULL;
	}
	json_decref(known);
	json_decref(condition);
	json_decref(liveness);
	json_decref(counts);
	return tunnel;
}

static const char *protocol_name(uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_ICMP:
		return "icmp";
	default:
		return "unknown";
	}
}

json_t *cp_api_forward(const struct cp_environment *environment, const struct cp_forward *forward,
                       const char *active)
{
	/* clang-format off */
	return json_pack(
		"{s:o, s:o, s:i, s:s, s:o, s:i, s:o, s:o}",
		"environment", cp_api_text(environment->name),
		"pod_address", cp_api_address(environment->pod_address_be),
		"port", (int)ntohs(forward->port_be),
		"protocol", protocol_name(forward->protocol),
		"to_address", cp_api_address(forward->to_address_be),
		"to_port", (int)ntohs(forward->to_port_be),
		"preferred", cp_api_name_or_null(forward->server),
		"active", cp_api_name_or_null(active));
	/* clang-format on */
}

static const char *session_state_name(uint8_t state)
{
	switch (state) {
	case IPC_SESSION_OPENING:
		return "opening";
	case IPC_SESSION_ESTABLISHED:
		return "established";
	case IPC_SESSION_CLOSING:
		return "closing";
	case IPC_SESSION_CLOSED:
		return "closed";
	case IPC_SESSION_UDP:
		return "udp";
	case IPC_SESSION_ECHO:
		return "echo";
	default:
		return "unknown";
	}
}

static const char *session_kind_name(uint8_t kind)
{
	switch (kind) {
	case IPC_SESSION_FORWARD:
		return "forward";
	case IPC_SESSION_EGRESS:
		return "egress";
	case IPC_SESSION_INBOUND:
		return "inbound";
	case IPC_SESSION_HAIRPIN:
		return "hairpin";
	default:
		return "unknown";
	}
}

json_t *cp_api_session(const struct ipc_session *session)
{
	/* clang-format off */
	return json_pack(
		"{s:s, s:o, s:o, s:s, s:s, s:o, s:i, s:i, s:o, s:i, s:o, s:i, s:I, s:I, s:I, s:I}",
		"kind", session_kind_name(session->kind),
		"environment", cp_api_name_or_null(session->tunnel.environment),
		"server", cp_api_name_or_null(session->tunnel.server),
		"protocol", protocol_name(session->protocol),
		"state", session_state_name(session->state),
		"client_address", cp_api_address(session->client_be),
		"client_port", (int)ntohs(session->client_port_be),
		"forward_port", (int)ntohs(session->forward_port_be),
		"inner_address", cp_api_address(session->inner_be),
		"inner_port", (int)ntohs(session->inner_port_be),
		"target_address", cp_api_address(session->target_be),
		"target_port", (int)ntohs(session->target_port_be),
		"age_seconds", (json_int_t)session->age_s,
		"idle_seconds", (json_int_t)session->idle_s,
		"bytes_out", (json_int_t)session->bytes_out,
		"bytes_in", (json_int_t)session->bytes_in);
	/* clang-format on */
}

json_t *cp_api_egress_use(const struct ipc_egress_use *use)
{
	bool is_address = use->remote_be == 0;

	/* clang-format off */
	return json_pack(
		"{s:o, s:o, s:o, s:o, s:I, s:I, s:I}",
		"address", cp_api_address(use->address_be),
		"remote_address", cp_api_address(use->remote_be),
		"remote_port", is_address ? json_null() : json_integer(ntohs(use->remote_port_be)),
		"protocol", is_address ? json_null() : json_string(protocol_name(use->protocol)),
		"ports", (json_int_t)use->ports,
		"capacity", (json_int_t)use->capacity,
		"sessions", (json_int_t)use->sessions);
	/* clang-format on */
}
