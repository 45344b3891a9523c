/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which SAs have carried as much as their server's limits allow: each is told once. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/ipc_proto.h"
#include "controlplane/config.h"

#define CP_LIMITS_POLL_MS 1000u /* how often the counters are looked at */
#define CP_LIMITS_TOLD_MAX 4096u

struct cp_rekey_limits {
	uint32_t told[CP_LIMITS_TOLD_MAX]; /* SPIs, a ring */
	size_t next;
};

/* Whether any server has such a limit: nobody looks at counters otherwise. */
bool cp_rekey_limits_any(const struct cp_config *config);

/* Whether the SA is to be rekeyed now. SERVER: whose it is. */
bool cp_rekey_limits_reached(struct cp_rekey_limits *limits, const struct cp_server *server,
                             const struct ipc_sa_info *info);
