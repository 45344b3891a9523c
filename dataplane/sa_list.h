/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SAs as the contract shows them. Worker only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/ipc_proto.h"
#include "dataplane/sa.h"

/* False: there is no SA in the entry, or a larval one. */
bool dp_sa_describe(const struct dp_worker *w, const struct dp_sa_entry *e,
                    struct ipc_sa_info *info);

/* Fills at most MAX infos, starting at CURSOR (0: from the beginning); returns how many; *NEXT is
 * where to go on, 0: that was all. What is there during the whole listing is listed exactly once.
 * Larval SPIs are left out. */
unsigned dp_sa_list(struct dp_worker *w, uint64_t cursor, struct ipc_sa_info *infos, unsigned max,
                    uint64_t *next);
