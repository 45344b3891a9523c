/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Live change: reads a configuration whole, tells what it would change, and puts it in force; or
 * the one before it again.
 *
 * A configuration with a mistake, or one that the dataplane refuses, changes nothing. Keys that
 * need a restart keep the values they have; they are told.
 */
#pragma once

#include "controlplane/config.h"
#include "controlplane/config_diff.h"
#include "controlplane/config_store.h"
#include "controlplane/dp_client.h"
#include "controlplane/supervisor.h"

struct cp_reload;

struct cp_reload_options {
	const char *config_dir;
	const struct cp_store *store;
	struct cp_supervisor *supervisor;
	const struct cp_config *config; /* in force; held */
};

struct cp_outcome {
	struct cp_mistakes mistakes;
	struct cp_changes changes; /* from what is in force to what was read */
	char why[CP_DP_WHY_LEN];   /* where it failed otherwise */
};

/* All of OPTIONS is copied, but for the supervisor, which is borrowed. Returns 0 or -ENOMEM. */
int cp_reload_create(const struct cp_reload_options *options, struct cp_reload **reload);

/* The configuration in force, to be released by cp_config_release(). Any thread. */
const struct cp_config *cp_reload_running(struct cp_reload *reload);

/*
 * Each fills OUTCOME, which cp_outcome_fini() frees in every case. Any thread; one at a time is
 * served, others wait. Returns 0; -EINVAL: mistakes; -ENOENT: there is no previous configuration;
 * or another -errno with OUTCOME->why.
 */
int cp_reload_diff(struct cp_reload *reload, struct cp_outcome *outcome);     /* changes nothing */
int cp_reload_apply(struct cp_reload *reload, struct cp_outcome *outcome);    /* CONFIG_DIR */
int cp_reload_rollback(struct cp_reload *reload, struct cp_outcome *outcome); /* the previous one */

/* Refuses new sessions of ENVIRONMENT (NULL: of all), or takes them again. It lasts over reloads
 * and restarts of both processes, until it is ended or the node restarts. Returns 0, -ENOENT (no
 * such environment) or another -errno with WHY. */
int cp_reload_drain(struct cp_reload *reload, const char *environment, char why[CP_DP_WHY_LEN]);
int cp_reload_undrain(struct cp_reload *reload, const char *environment, char why[CP_DP_WHY_LEN]);

void cp_outcome_fini(struct cp_outcome *outcome);

/* As log lines, for who asked by a signal. */
void cp_outcome_log(const struct cp_outcome *outcome, int rc);
