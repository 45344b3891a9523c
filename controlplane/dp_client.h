/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connection to the dataplane: keeps it up, brings node and configuration there, carries
 * requests of any thread.
 *
 * One thread of its own connects, says HELLO, sends NODE and the configuration, then reads.
 * Requests are refused with -ENOTCONN until all that is done.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/ipc_proto.h"
#include "controlplane/config.h"

struct cp_dp;

#define CP_DP_WHY_LEN 320u

/* Called on the connection's thread: they must not block and must not call cp_dp_call(). */
struct cp_dp_callbacks {
	void (*ready)(void *context, bool is_new_epoch); /* requests are served from now on */
	void (*lost)(void *context);
	void (*changed)(void *context, uint64_t changed); /* IPC_EVENT */
	void (*datagram)(void *context, const struct ipc_punt *punt, const void *payload);
	/* a sealed packet for the byte stream from that port of ours; NULL: there are none */
	void (*stream)(void *context, const struct ipc_punt *punt, const void *packet);
	void *context;
};

struct cp_dp_options {
	const char *socket_path;
	const char *instance;
	uint64_t epoch;                 /* our own, for HELLO */
	const struct cp_config *config; /* held by the connection; cp_dp_configure() replaces it */
};

struct cp_dp_state {
	bool is_connected;   /* requests are served */
	uint64_t epoch;      /* the dataplane's; 0: never connected */
	uint64_t generation; /* committed last by us; 0: none */
	uint32_t pid;
	char why[CP_DP_WHY_LEN];     /* while not connected: the reason in words */
	char warning[CP_DP_WHY_LEN]; /* while connected: what of the configuration is not in force;
	                                empty: all is */
};

/* Returns 0 or -ENOMEM. Nothing happens before cp_dp_start(). */
int cp_dp_create(const struct cp_dp_options *options, struct cp_dp **client);

/* Starts the connection's thread. Returns 0 or -errno. It runs until the process ends. */
int cp_dp_start(struct cp_dp *client, const struct cp_dp_callbacks *callbacks);

/* Ends the connection, and begins none before cp_dp_resume(): the dataplane is somebody else's
 * meanwhile. Requests are refused, WHY is told as the reason; lost() is called if ready() was. On
 * return the connection is closed. Not on the connection's thread. */
void cp_dp_pause(struct cp_dp *client, const char *why);
void cp_dp_resume(struct cp_dp *client);

void cp_dp_state(struct cp_dp *client, struct cp_dp_state *state);

/*
 * Commits CONFIG to the dataplane; it is what later connections bring, too. While there is no
 * connection it only is that. Returns 0, or -errno with WHY in words: then the configuration of
 * before is in force, here and there (where the connection broke meanwhile: as soon as it is back).
 * Any thread, one at a time.
 */
int cp_dp_configure(struct cp_dp *client, const struct cp_config *config, char why[CP_DP_WHY_LEN]);

/*
 * One request and its reply, from any thread. REPLY may be NULL; otherwise up to REPLY_SIZE bytes
 * of its body are copied there, the rest of REPLY is zeroed. Returns the reply's status (0 or
 * -errno of the dataplane), -ENOTCONN (not sent), -ECONNRESET or -ETIMEDOUT (nobody knows whether
 * it was done).
 */
int cp_dp_call(struct cp_dp *client, uint16_t type, const void *body, size_t body_length,
               void *reply, size_t reply_size);

/* As cp_dp_call(), for requests whose reply is longer than a struct: REPLY gets a whole body of at
 * most REPLY_SIZE bytes, *REPLY_LENGTH its length. */
int cp_dp_exchange(struct cp_dp *client, uint16_t type, const void *body, size_t body_length,
                   void *reply, size_t reply_size, size_t *reply_length);

/* Reads a list that goes by struct ipc_cursor to its end. EACH gets entries of our version's size.
 * Returns 0 or as cp_dp_call(). */
int cp_dp_list(struct cp_dp *client, uint16_t type, size_t entry_size,
               void (*each)(void *context, const void *entry), void *context);

/*
 * Registers a TCP connection from the uplink's address to FLOW's remote address and port, and gets
 * the rest of FLOW and its socket, which is the caller's: bound, non-blocking, close-on-exec, not
 * connected yet. Nothing else can pass that socket. Returns the descriptor, or -errno as
 * cp_dp_call(), -EPROTO (there was none).
 */
int cp_dp_open_flow(struct cp_dp *client, struct ipc_flow *flow);

/* The flow's socket was closed: what TCP has to say to its end passes for a minute. */
void cp_dp_close_flow(struct cp_dp *client, const struct ipc_flow *flow);

/* Sends a datagram to the network. Returns 0, -ENOTCONN, -EAGAIN (queue full: it is lost, as
 * datagrams are). */
int cp_dp_send_datagram(struct cp_dp *client, const struct ipc_punt *punt, const void *payload);

/* The same with a data packet out of a byte stream: the dataplane opens it, as if it were a
 * datagram from there to the tunnel's port. */
int cp_dp_open_packet(struct cp_dp *client, const struct ipc_punt *punt, const void *packet);
