/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The API's nouns as JSON: a tunnel, a forward, a session. The keys are documented in docs/cli.md
 * and stay.
 */
#pragma once

#include <jansson.h>

#include "common/ipc_proto.h"
#include "controlplane/config.h"
#include "controlplane/tunnel.h"

/* Each returns a new value or NULL: no memory. */

/* Text of any origin: where it is not UTF-8 its bytes beyond ASCII become '?'. */
json_t *cp_api_text(const char *text);
/* null when empty */
json_t *cp_api_name_or_null(const char *name);
/* null when 0 */
json_t *cp_api_address(uint32_t address_be);
/* 16 hexadecimal digits: epochs have 64 bits, and not every reader's JSON numbers have; null when 0
 */
json_t *cp_api_epoch(uint64_t epoch);

/* What an environment was refused. */
json_t *cp_api_refused(const struct ipc_environment_state *state);

json_t *cp_api_traffic(uint64_t packets_out, uint64_t bytes_out, uint64_t packets_in,
                       uint64_t bytes_in);

/* The last move of an environment, null if there was none; and how many there were, by reason. */
json_t *cp_api_last_move(const struct ipc_environment_state *state);
json_t *cp_api_moves(const struct ipc_environment_state *state);

/* INFO is the dataplane's view, NULL while it is unknown. */
json_t *cp_api_tunnel(const struct cp_tunnel_view *view, const struct ipc_tunnel_info *info);

/* ACTIVE is the environment's active server, NULL or empty: none or unknown. */
json_t *cp_api_forward(const struct cp_environment *environment, const struct cp_forward *forward,
                       const char *active);

json_t *cp_api_session(const struct ipc_session *session);

json_t *cp_api_egress_use(const struct ipc_egress_use *use);
