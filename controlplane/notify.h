/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a service manager is told, as sd_notify(3) has it.
 */
#pragma once

#include <sys/types.h>

/* Our successor is the service's main process from now on. Returns when the manager has taken note
 * of it (it would take our end for the service's), or at once where there is none. */
void cp_notify_successor(pid_t successor);
