/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration's way to the dataplane: with a new connection, and over one that serves.
 */
#include "controlplane/dp_client_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/ipc_codec.h"
#include "common/log.h"
#include "controlplane/dp_messages.h"

#define COMMIT_TIMEOUT_MS 10000
#define NODE_TIMEOUT_MS 120000 /* memory and ports are set up meanwhile */

static uint64_t take_generation(struct cp_dp *client)
{
	uint64_t generation;

	pthread_mutex_lock(&client->lock);
	if (++client->last_generation == 0)
		client->last_generation = 1; /* 0 is none */
	generation = client->last_generation;
	pthread_mutex_unlock(&client->lock);
	return generation;
}

static void set_node_warning(struct cp_dp *client, const char *warning)
{
	pthread_mutex_lock(&client->lock);
	snprintf(client->node_warning, sizeof(client->node_warning), "%s", warning);
	pthread_mutex_unlock(&client->lock);
}

struct push {
	struct cp_dp *client;
	char *why;
};

static int push_one(void *context, uint16_t type, const void *body, size_t length)
{
	struct push *push = context;
	int timeout_ms = type == IPC_CONFIG_COMMIT ? COMMIT_TIMEOUT_MS : CP_DP_CALL_TIMEOUT_MS;

	return cp_dp_transact(push->client, type, body, length, timeout_ms, push->why);
}

/*
 * A running dataplane keeps the node it was started with: NODE tells whether it is still ours, and
 * a difference is only reported, as a restart is the operators' decision.
 */
static int start_node(struct cp_dp *client, const struct cp_config *config, bool is_started,
                      char why[CP_DP_WHY_LEN])
{
	struct ipc_node node;
	int rc;

	cp_dp_build_node(config, &node);
	rc = cp_dp_transact(client, IPC_NODE, &node, sizeof(node), NODE_TIMEOUT_MS, why);
	snprintf(client->refusal, sizeof(client->refusal), "%s", rc < 0 ? why : "");
	if (rc == -EBUSY && is_started) {
		sp_log(SP_LOG_WARN,
		       "dp: the running dataplane has another node configuration: restart the dataplane "
		       "to apply what changed reason=\"%s\"",
		       why);
		return 0;
	}
	return rc;
}

int cp_dp_bring(struct cp_dp *client, const struct cp_config *config,
                const struct ipc_hello *theirs, uint64_t *generation, char warning[CP_DP_WHY_LEN],
                char why[CP_DP_WHY_LEN])
{
	struct push push = { client, why };
	int rc = start_node(client, config, theirs->flags & IPC_HELLO_STARTED, why);

	if (rc != 0)
		return rc;
	snprintf(warning, CP_DP_WHY_LEN, "%s", why); /* what start_node() let pass */
	set_node_warning(client, warning);
	*generation = take_generation(client);
	rc = cp_dp_build_generation(config, *generation, push_one, &push);
	if (rc != 0 && theirs->generation != 0 && rc != -ECONNRESET && rc != -ETIMEDOUT) {
		/* It works on with the generation it has: so do we. */
		sp_log(SP_LOG_ERR,
		       "dp: the dataplane refused the configuration and keeps its old one reason=\"%s\"",
		       why);
		snprintf(warning, CP_DP_WHY_LEN, "%s", why);
		*generation = 0;
		return 0;
	}
	return rc;
}

/* One message of a configuration to a connection that serves requests. */
static int push_live(void *context, uint16_t type, const void *body, size_t length)
{
	struct push *push = context;
	struct ipc_refusal refusal = { 0 };
	size_t reply_length = 0;
	int rc = cp_dp_exchange_within(
		push->client, type, body, length, &refusal, sizeof(refusal), &reply_length,
		type == IPC_CONFIG_COMMIT ? COMMIT_TIMEOUT_MS : CP_DP_CALL_TIMEOUT_MS);

	if (rc != 0 && reply_length == sizeof(refusal))
		snprintf(push->why, CP_DP_WHY_LEN, "%.255s", refusal.reason);
	else if (rc != 0)
		snprintf(push->why, CP_DP_WHY_LEN, "%s: %s", ipc_type_name(type), strerror(-rc));
	return rc;
}

/* With the lock held. */
static void use_config(struct cp_dp *client, const struct cp_config *config)
{
	const struct cp_config *old = client->config;

	client->config = cp_config_hold(config);
	cp_config_release(old);
}

int cp_dp_configure(struct cp_dp *client, const struct cp_config *config, char why[CP_DP_WHY_LEN])
{
	struct push push = { client, why };
	uint64_t generation;
	int rc;

	pthread_mutex_lock(&client->lock);
	if (!client->state.is_connected) {
		use_config(client, config);
		pthread_mutex_unlock(&client->lock);
		return 0;
	}
	pthread_mutex_unlock(&client->lock);
	generation = take_generation(client);
	rc = cp_dp_build_generation(config, generation, push_live, &push);
	pthread_mutex_lock(&client->lock);
	if (rc == 0) {
		use_config(client, config);
		client->state.generation = generation;
		memcpy(client->state.warning, client->node_warning, CP_DP_WHY_LEN);
	} else if (rc == -ETIMEDOUT && client->fd >= 0) {
		/* nobody knows whether it was done: the next connection brings what was before */
		shutdown(client->fd, SHUT_RDWR);
	}
	pthread_mutex_unlock(&client->lock);
	return rc;
}
