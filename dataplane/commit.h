/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Configuration on its way in: staged message by message, validated whole, applied as a difference.
 * Control thread.
 */
#pragma once

#include <stdint.h>

#include "common/ipc_proto.h"
#include "dataplane/core.h"

struct dp_staging;

struct dp_staging *dp_staging_create(void);
void dp_staging_destroy(struct dp_staging *s);

/* Drops what was staged and begins anew. */
void dp_staging_begin(struct dp_staging *s, uint64_t generation);

/* Each adds to what is staged; the messages were checked by ipc_decode(). 0, -EPROTO (no BEGIN),
 * -ENOMEM, -E2BIG. */
int dp_staging_environment(struct dp_staging *s, const struct ipc_environment *e);
int dp_staging_server(struct dp_staging *s, const struct ipc_server *server);
int dp_staging_forwards(struct dp_staging *s, const struct ipc_forward *forwards, uint32_t count);

int dp_staging_egress(struct dp_staging *s, const struct ipc_egress *egress);
int dp_staging_inbound(struct dp_staging *s, const struct ipc_inbound *inbound, uint32_t count);

/* Validates what is staged and makes it the generation of all workers. 0, or -errno with WHY in
 * words and nothing changed. What went away takes its SAs and sessions along: the SAs at once, the
 * sessions step by step; what stays is not touched. The staging is empty afterwards. */
int dp_staging_commit(struct dp_staging *s, struct dp_core *core, uint64_t generation,
                      char why[256]);

/* Frees a generation that no worker has any more; NULL is allowed. */
void dp_generation_destroy(struct dp_generation *g);
