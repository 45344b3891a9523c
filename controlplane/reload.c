/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Live change: read, compare, put in force, write down.
 */
#include "controlplane/reload.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

#define LOGGED_MAX 50u /* changes; the others are counted */

struct cp_reload {
	char config_dir[CP_PATH_LEN];
	struct cp_store store;
	struct cp_supervisor *supervisor;
	pthread_mutex_t turn; /* one change at a time */

	pthread_mutex_t lock;
	const struct cp_config *running;
};

int cp_reload_create(const struct cp_reload_options *options, struct cp_reload **reload)
{
	struct cp_reload *new = calloc(1, sizeof(*new));

	if (!new)
		return -ENOMEM;
	snprintf(new->config_dir, sizeof(new->config_dir), "%s", options->config_dir);
	new->store = *options->store;
	new->supervisor = options->supervisor;
	new->running = cp_config_hold(options->config);
	pthread_mutex_init(&new->turn, NULL);
	pthread_mutex_init(&new->lock, NULL);
	*reload = new;
	return 0;
}

const struct cp_config *cp_reload_running(struct cp_reload *reload)
{
	const struct cp_config *config;

	pthread_mutex_lock(&reload->lock);
	config = cp_config_hold(reload->running);
	pthread_mutex_unlock(&reload->lock);
	return config;
}

static void keep_draining(struct cp_config *config, const struct cp_config *running)
{
	for (size_t i = 0; i < config->environment_count; i++) {
		const struct cp_environment *old =
			cp_config_environment(running, config->environments[i].name);

		config->environments[i].is_draining = old && old->is_draining;
	}
}

/* Reads DIRECTORY and compares it with what is in force. On 0 *CONFIG is to be released. */
static int read_other(struct cp_reload *reload, const char *directory, struct cp_config **config,
                      struct cp_outcome *outcome)
{
	const struct cp_config *running;
	int rc = cp_config_load(directory, config, &outcome->mistakes);

	if (rc != 0) {
		if (rc != -EINVAL)
			snprintf(outcome->why, sizeof(outcome->why), "%s cannot be read: %s",
			         directory, strerror(-rc));
		return rc;
	}
	running = cp_reload_running(reload);
	cp_config_keep_ports(*config, running);
	rc = cp_config_diff(running, *config, &outcome->changes);
	cp_config_keep_node(*config, running);
	keep_draining(*config, running);
	cp_config_release(running);
	if (rc != 0) {
		snprintf(outcome->why, sizeof(outcome->why), "%s", strerror(-rc));
		cp_config_release(*config);
	}
	return rc;
}

static void use(struct cp_reload *reload, const struct cp_config *config)
{
	const struct cp_config *old;

	pthread_mutex_lock(&reload->lock);
	old = reload->running;
	reload->running = cp_config_hold(config);
	pthread_mutex_unlock(&reload->lock);
	cp_config_release(old);
}

static void write_down(struct cp_reload *reload, const struct cp_config *config)
{
	int rc = cp_store_apply(&reload->store, config);
	if (rc != 0)
		sp_log(SP_LOG_WARN,
		       "reload: what is in force could not be written to %s: a rollback may be impossible "
		       "error=%s",
		       reload->store.applied, strerror(-rc));
}

/* With the turn taken. */
static int apply(struct cp_reload *reload, const char *directory, struct cp_outcome *outcome)
{
	struct cp_config *config = NULL;
	int rc = read_other(reload, directory, &config, outcome);

	if (rc != 0)
		return rc;
	rc = cp_supervisor_configure(reload->supervisor, config, outcome->why);
	if (rc == 0) {
		use(reload, config);
		write_down(reload, config);
	}
	cp_config_release(config);
	return rc;
}

int cp_reload_diff(struct cp_reload *reload, struct cp_outcome *outcome)
{
	struct cp_config *config = NULL;
	int rc;

	*outcome = (struct cp_outcome){ 0 };
	rc = read_other(reload, reload->config_dir, &config, outcome);
	if (rc == 0)
		cp_config_release(config);
	return rc;
}

int cp_reload_apply(struct cp_reload *reload, struct cp_outcome *outcome)
{
	int rc;

	*outcome = (struct cp_outcome){ 0 };
	pthread_mutex_lock(&reload->turn);
	rc = apply(reload, reload->config_dir, outcome);
	pthread_mutex_unlock(&reload->turn);
	return rc;
}

int cp_reload_rollback(struct cp_reload *reload, struct cp_outcome *outcome)
{
	int rc;

	*outcome = (struct cp_outcome){ 0 };
	pthread_mutex_lock(&reload->turn);
	if (cp_store_has_previous(&reload->store)) {
		rc = apply(reload, reload->store.previous, outcome);
	} else {
		rc = -ENOENT;
		snprintf(
			outcome->why, sizeof(outcome->why),
			"there is no previous configuration: none was replaced since this node started");
	}
	pthread_mutex_unlock(&reload->turn);
	return rc;
}

/* ---- draining ---- */

/* Marks ENVIRONMENT, or all; how many there are. */
static size_t mark(struct cp_config *config, const char *environment, bool is_draining)
{
	size_t count = 0;

	for (size_t i = 0; i < config->environment_count; i++) {
		if (environment && strcmp(config->environments[i].name, environment) != 0)
			continue;
		config->environments[i].is_draining = is_draining;
		count++;
	}
	return count;
}

static int set_draining(struct cp_reload *reload, const char *environment, bool is_draining,
                        char why[CP_DP_WHY_LEN])
{
	const struct cp_config *running;
	struct cp_config *config;
	int rc = 0;

	pthread_mutex_lock(&reload->turn);
	running = cp_reload_running(reload);
	config = cp_config_copy(running);
	cp_config_release(running);
	if (!config)
		rc = -ENOMEM;
	else if (mark(config, environment, is_draining) == 0 && environment)
		rc = -ENOENT;
	if (rc != 0)
		snprintf(why, CP_DP_WHY_LEN, "%s", strerror(-rc));
	else
		rc = cp_supervisor_configure(reload->supervisor, config, why);
	if (rc == 0) {
		use(reload, config);
		rc = cp_store_set_draining(&reload->store, config);
		if (rc != 0)
			snprintf(
				why, CP_DP_WHY_LEN,
				"it is done, but not kept over a restart of the control plane: %s: %s",
				reload->store.draining, strerror(-rc));
		sp_log(SP_LOG_INFO, "reload: %s environment=%s",
		       is_draining ? "draining" : "no longer draining",
		       environment ? environment : "(all)");
	}
	cp_config_release(config);
	pthread_mutex_unlock(&reload->turn);
	return rc;
}

int cp_reload_drain(struct cp_reload *reload, const char *environment, char why[CP_DP_WHY_LEN])
{
	return set_draining(reload, environment, true, why);
}

int cp_reload_undrain(struct cp_reload *reload, const char *environment, char why[CP_DP_WHY_LEN])
{
	return set_draining(reload, environment, false, why);
}

void cp_outcome_fini(struct cp_outcome *outcome)
{
	cp_mistakes_fini(&outcome->mistakes);
	cp_changes_fini(&outcome->changes);
}

/* ---- log ---- */

static void log_change(const struct cp_change *change)
{
	char forward[32] = "";

	if (change->what == CP_FORWARD)
		snprintf(forward, sizeof(forward), " %s/%u",
		         change->protocol == IPPROTO_UDP ? "udp" : "tcp", ntohs(change->port_be));
	sp_log(change->effect >= CP_NEEDS_CONTROLPLANE ? SP_LOG_WARN : SP_LOG_INFO,
	       "reload: %s %s%s%s%s environment=%s server=%s from=\"%s\" to=\"%s\" effect=%s",
	       cp_change_kind_name(change->kind), cp_change_what_name(change->what), forward,
	       change->key ? " " : "", change->key ? change->key : "", change->environment,
	       change->server, change->from, change->to, cp_effect_name(change->effect));
}

void cp_outcome_log(const struct cp_outcome *outcome, int rc)
{
	for (size_t i = 0; i < outcome->mistakes.count && i < LOGGED_MAX; i++) {
		const struct cp_mistake *mistake = &outcome->mistakes.list[i];

		sp_log(SP_LOG_ERR, "reload: %s:%u: %s: %s", mistake->file, mistake->line,
		       mistake->key, mistake->text);
	}
	if (rc != 0) {
		sp_log(SP_LOG_ERR, "reload: nothing has changed mistakes=%zu error=%s%s%s",
		       outcome->mistakes.count, strerror(-rc), outcome->why[0] ? " why=" : "",
		       outcome->why);
		return;
	}
	for (size_t i = 0; i < outcome->changes.count && i < LOGGED_MAX; i++)
		log_change(&outcome->changes.list[i]);
	sp_log(SP_LOG_INFO, "reload: done changes=%zu", outcome->changes.count);
}
