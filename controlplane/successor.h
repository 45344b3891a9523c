/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A successor's part in an upgrade (takeover.h): its predecessor started it and waits at the other
 * end of a channel.
 */
#pragma once

#include <stdint.h>

#include "controlplane/supervisor.h"

/* The descriptors that a successor is started with. */
#define CP_SUCCESSOR_CHANNEL                                                                       \
	3                       /* to the predecessor: SOCK_SEQPACKET, struct cp_successor_message \
	                         */
#define CP_SUCCESSOR_LISTENER 4 /* the API's socket, listening */
#define CP_SUCCESSOR_END 5

enum cp_successor_kind {
	CP_SUCCESSOR_READY =
		1,           /* to the predecessor: all that can be done without the dataplane is */
	CP_SUCCESSOR_GO = 2, /* to the successor: the dataplane is yours */
	CP_SUCCESSOR_DONE = 3,   /* to the predecessor: every tunnel is up again */
	CP_SUCCESSOR_FAILED = 4, /* to the predecessor: why */
};

struct cp_successor_message {
	uint32_t kind;
	char why[CP_PROGRESS_WHY_LEN];
};

/* Whether a control plane started us and gave us the descriptors: call before any is opened.
 * Returns 0 or -EBADF. */
int cp_successor_check(void);

/* Tells the predecessor that we are ready, and waits until it has left the dataplane to us. Returns
 * 0 or -errno: then there is nothing to do but end. */
int cp_successor_wait(void);

/* Waits until each tunnel that the predecessor had is up, and has it end. Returns 0 (it is gone) or
 * -ETIMEDOUT (it takes everything back: end). A predecessor that goes away by itself is no
 * failure. */
int cp_successor_take_over(struct cp_supervisor *supervisor);
