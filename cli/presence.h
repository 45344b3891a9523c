/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a dataplane is there, found out without the control plane.
 */
#pragma once

#include "cli/options.h"

enum cli_presence {
	CLI_ABSENT,
	CLI_PRESENT,
	CLI_UNKNOWN, /* we are not allowed to ask */
};

/* Looks whether a socket is alive at RUN_DIR/dataplane.sock, without connecting to it. */
enum cli_presence cli_dataplane_presence(const struct cli_options *options);
