/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the connection to the dataplane and the configuration's way over it share.
 */
#pragma once

#include <pthread.h>
#include <stdint.h>
#include <sys/un.h>

#include "controlplane/dp_client.h"
#include "controlplane/dp_waiters.h"

#define CP_DP_CALL_TIMEOUT_MS 2000

struct cp_dp {
	char socket_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char instance[IPC_NAME_LEN];
	uint64_t epoch;
	struct cp_dp_callbacks callbacks;
	pthread_t thread;

	pthread_mutex_t lock;             /* what follows, up to the empty line */
	const struct cp_config *config;   /* held */
	uint64_t last_generation;         /* that was begun, here or by somebody before */
	char node_warning[CP_DP_WHY_LEN]; /* what of the node's configuration is not in force */
	int fd;                           /* -1: none; written by the connection's thread */
	uint32_t next_seq;
	struct cp_dp_waiters waiters;
	struct cp_dp_state state;
	const char *pause;      /* why there shall be no connection; NULL: there shall be one */
	pthread_cond_t changed; /* pause, or fd to -1 */

	/* the connection's thread only */
	char refusal[CP_DP_WHY_LEN]; /* of NODE, the last time; empty: none */
	char last_why[CP_DP_WHY_LEN];
	int descriptor; /* that came with the message; -1: none, or somebody has it */
	_Alignas(8) uint8_t message[IPC_MSG_MAX];
};

/* One request of the connection's own thread, before others are let in. Returns 0 or -errno; a
 * refusal's words go to WHY. */
int cp_dp_transact(struct cp_dp *client, uint16_t type, const void *body, size_t length,
                   int timeout_ms, char why[CP_DP_WHY_LEN]);

/* As cp_dp_exchange(), with a time of its own. */
int cp_dp_exchange_within(struct cp_dp *client, uint16_t type, const void *body, size_t body_length,
                          void *reply, size_t reply_size, size_t *reply_length, int timeout_ms);

/*
 * Brings node and CONFIG to a dataplane that said HELLO. Returns 0, with *GENERATION, and what of
 * it is not in force in WARNING; or -errno and WHY. A dataplane that refuses the configuration but
 * has another one works on with that: 0, and *GENERATION is 0. The connection's thread.
 */
int cp_dp_bring(struct cp_dp *client, const struct cp_config *config,
                const struct ipc_hello *theirs, uint64_t *generation, char warning[CP_DP_WHY_LEN],
                char why[CP_DP_WHY_LEN]);
