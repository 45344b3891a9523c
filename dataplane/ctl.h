/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dataplane's end of the contract: one thread that serves the control plane, ARP and
 * housekeeping. Never a worker.
 */
#pragma once

#include <signal.h>
#include <sys/types.h>

#include "dataplane/core.h"

/* Serves RUN_DIR/dataplane.sock until *STOP is set. USER and GROUP: who may connect besides root
 * (-1: nobody). Returns 0 or -errno: -ENODEV after a NODE that failed when EAL had begun to start,
 * which is once in a process. */
int dp_ctl_run(struct dp_core *core, uid_t user, gid_t group, const volatile sig_atomic_t *stop);
