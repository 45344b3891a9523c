/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SAs of ours in the dataplane that no login of ours knows: the connection ended before the
 * acknowledgement of their addition, or before their removal.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "controlplane/dp_client.h"

/* An early SA (IPC_SA_EARLY) belongs to a negotiation that libcharon does not report before its
 * end: it is left alone for so long. */
#define CP_STRAYS_EARLY_NS (120 * 1000000000ull)

/*
 * Removes them. EPOCH: our own; BEFORE_NS (CLOCK_MONOTONIC): when the connection that is there now
 * came about: what was added since is being waited for. IS_KNOWN: whether somebody has the SA.
 * Returns how many were removed, or -errno. One thread at a time.
 */
int cp_strays_remove(struct cp_dp *dp, uint64_t epoch, uint64_t before_ns,
                     bool (*is_known)(void *context, const struct ipc_sa_id *id), void *context);
