/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration in force and the one before it, as files below RUN_DIR: what a rollback returns
 * to, also after a restart of the control plane. They name secrets, as the operators' files do, and
 * hold none.
 *
 * RUN_DIR/configuration/applied and RUN_DIR/configuration/previous are laid out as CONFIG_DIR is.
 * RUN_DIR/configuration/draining names the environments that are drained, one a line: a restart of
 * the control plane does not end that, one of the node does.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "controlplane/config.h"

struct cp_store {
	char applied[CP_PATH_LEN];
	char previous[CP_PATH_LEN];
	char fresh[CP_PATH_LEN]; /* being written */
	char draining[CP_PATH_LEN];
};

/* Makes the directory below RUN_DIR and gives it to USER and GROUP ((uid_t)-1: it is ours). Returns
 * 0 or -errno. */
int cp_store_init(struct cp_store *store, const char *run_dir, uid_t user, gid_t group);

/* CONFIG is in force now: what was before becomes the previous one, unless it is the same. Returns
 * 0 or -errno: then there may be no previous one any more. */
int cp_store_apply(const struct cp_store *store, const struct cp_config *config);

/* Writes down which environments of CONFIG are draining. Returns 0 or -errno. */
int cp_store_set_draining(const struct cp_store *store, const struct cp_config *config);

/* Marks the environments of CONFIG, which is not shared yet, that were draining. Returns 0 or
 * -errno.
 */
int cp_store_get_draining(const struct cp_store *store, struct cp_config *config);

/* Whether there is a previous one; it is read from store->previous. */
bool cp_store_has_previous(const struct cp_store *store);
