/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who was refused because its address is not among an environment's `sources`, and what that means:
 * a cluster whose network plugin masquerades shows us its nodes' addresses instead of the pods'.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/config.h"
#include "controlplane/dp_picture.h"

#define CP_SOURCES_TEXT_LEN 320u
#define CP_SOURCES_LOOK_MS 10000u /* how often */

enum cp_source_kind {
	CP_SOURCE_ALLOWED = 0, /* by now: the configuration changed */
	CP_SOURCE_NODE,        /* of the cluster port's own subnet, or its router */
	CP_SOURCE_OTHERS,      /* of another environment's sources */
	CP_SOURCE_UNKNOWN,     /* of nobody's */
};

/* What kind of caller SOURCE_BE is for ENVIRONMENT; *OTHER is the environment whose it is. Pure. */
enum cp_source_kind cp_source_kind(const struct cp_config *config,
                                   const struct cp_environment *environment, uint32_t source_be,
                                   const struct cp_environment **other);

/* In words what was refused, and what to do about it; empty: nothing was, or it is allowed now.
 * Pure. */
void cp_sources_explain(const struct cp_config *config, const struct cp_environment *environment,
                        const struct ipc_environment_state *state, char text[CP_SOURCES_TEXT_LEN]);

/* What was said already; one thread. */
struct cp_sources {
	struct {
		char environment[IPC_NAME_LEN]; /* empty: free place */
		uint64_t refused;               /* when it was last looked at */
		uint64_t said_ns;               /* monotonic; 0: not yet */
	} told[CP_ENVIRONMENTS_MAX];
};

/* Logs what PICTURE shows to be new: of an environment at most one line an hour, and none before
 * ten refusals. */
void cp_sources_look(struct cp_sources *sources, const struct cp_config *config,
                     const struct cp_dp_picture *picture, uint64_t now_ns);
