/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration as the control plane's user finds it, who reads secrets at each authentication
 * and all of it at an upgrade.
 */
#pragma once

#include "controlplane/config.h"

/* Appends to MISTAKES what CONFIG_DIR looks wrong in to CONFIG's user and not to us, who must be
 * root. Returns 0 or -errno: it could not be found out. */
int cli_check_as_user(const char *config_dir, const struct cp_config *config,
                      struct cp_mistakes *mistakes);
