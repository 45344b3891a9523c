/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is different between two configurations, in the operators' nouns, and what it takes to apply
 * it. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "controlplane/config.h"

#define CP_VALUE_LEN 192u /* a longer one is cut, and ends in "..." */

enum cp_change_kind { CP_ADDED = 1, CP_REMOVED = 2, CP_CHANGED = 3 };

/* What is changed: the whole thing, or a key of what environment and server name. */
enum cp_change_what { CP_ENVIRONMENT = 1, CP_SERVER = 2, CP_FORWARD = 3, CP_KEY = 4 };

enum cp_effect {
	CP_AT_ONCE = 1,
	CP_RENEGOTIATES = 2,       /* the tunnel, make before break */
	CP_NEEDS_CONTROLPLANE = 3, /* its restart; the value in force stays until then */
	CP_NEEDS_BOTH = 4,         /* the restart of both processes; likewise */
};

struct cp_change {
	enum cp_change_kind kind;
	enum cp_change_what what;
	enum cp_effect effect;
	char environment[IPC_NAME_LEN]; /* empty: a key of the gateway */
	char server[IPC_NAME_LEN];
	uint8_t protocol; /* CP_FORWARD: which one */
	uint16_t port_be;
	const char *key; /* CP_KEY: below the environment or server, or of gateway.conf; static */
	char from[CP_VALUE_LEN]; /* CP_KEY and CP_FORWARD, as in the file; empty: was not there */
	char to[CP_VALUE_LEN];
};

struct cp_changes {
	struct cp_change *list;
	size_t count;
};

/* Fills CHANGES, to be freed by cp_changes_fini(). Returns 0 or -ENOMEM. */
int cp_config_diff(const struct cp_config *from, const struct cp_config *to,
                   struct cp_changes *changes);
void cp_changes_fini(struct cp_changes *changes);

/* Gives CONFIG, which is not shared yet, RUNNING's values of all keys that need a restart. */
void cp_config_keep_node(struct cp_config *config, const struct cp_config *running);

/* Whether a tunnel has to be negotiated anew to be as B wants it. */
bool cp_server_needs_renewal(const struct cp_server *a, const struct cp_server *b);

/* "added", "removed", "changed"; "environment", ...; "at-once", ... */
const char *cp_change_kind_name(enum cp_change_kind kind);
const char *cp_change_what_name(enum cp_change_what what);
const char *cp_effect_name(enum cp_effect effect);

/* Whether a key of a file, "environment.servers.address", is compared; for the test that no key is
 * forgotten. */
bool cp_config_diff_knows(const char *path);
