/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An upgrade: this control plane starts its successor, stands aside for it, and ends when the
 * successor has every tunnel up again. If that fails it goes on as if nothing had been.
 *
 * The successor is the program that is installed now, with the options that we were started with.
 * docs/restart.md tells the whole story; successor.h is the other end.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "controlplane/supervisor.h"

struct cp_api;
struct cp_takeover;

#define CP_TAKEOVER_WHY_LEN CP_PROGRESS_WHY_LEN

struct cp_takeover_options {
	const char *program;    /* path of what is to be started */
	char *const *arguments; /* for it, the program's name first, NULL last */
	struct cp_supervisor *supervisor;
};

enum cp_takeover_phase {
	CP_TAKEOVER_NONE = 0,    /* nobody asked for one */
	CP_TAKEOVER_RUNNING = 1, /* a successor was started */
	CP_TAKEOVER_FAILED = 2,  /* the last one failed; WHY says why */
};

/* OPTIONS is copied, what it points to is borrowed. Returns 0 or -ENOMEM. */
int cp_takeover_create(const struct cp_takeover_options *options, struct cp_takeover **takeover);

/* The API, whose socket the successor will serve; before it is told, nothing can be begun. */
void cp_takeover_set_api(struct cp_takeover *takeover, struct cp_api *api);

/* Starts a successor and returns; *PID is its process. If all goes well this process ends with
 * status 0. Returns 0, -EALREADY (one is running), -ENOTSUP (this is process 1 of a container,
 * which would end with it) or -errno. Any thread. */
int cp_takeover_begin(struct cp_takeover *takeover, pid_t *pid);

/* This process ends: a successor that has not taken over yet shall, too. Any thread. */
void cp_takeover_cancel(struct cp_takeover *takeover);

/* Any thread. */
enum cp_takeover_phase cp_takeover_phase(struct cp_takeover *takeover,
                                         char why[CP_TAKEOVER_WHY_LEN]);
