/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the configuration to the contract's configuration messages. Pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/ipc_proto.h"
#include "controlplane/config.h"

void cp_dp_build_node(const struct cp_config *config, struct ipc_node *node);

/* Gets each message in turn; anything but 0 ends the walk. */
typedef int (*cp_dp_emit_fn)(void *context, uint16_t type, const void *body, size_t length);

/* CONFIG_BEGIN, then each environment with its servers and forwards, then egress, then
 * CONFIG_COMMIT. Returns 0
 * or what EMIT returned. */
int cp_dp_build_generation(const struct cp_config *config, uint64_t generation, cp_dp_emit_fn emit,
                           void *context);
