/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the IKE side share, and OpenVPN's client with them: the configured tunnels, by
 * number and by name, and where events go.
 *
 * A tunnel has a number as long as it is configured, and for a while after: its place in tunnels[].
 * It is known to libcharon by "ENVIRONMENT/SERVER" as the name of its configuration and by number +
 * 1 as the reqid of its SAs.
 *
 * The supervisor's thread adds tunnels and changes their settings, libcharon's threads read them.
 * Places are never moved nor freed. Settings are never changed but replaced, and what was replaced
 * stays for CP_IKE_SETTINGS_KEEP_MS: longer than anything that a thread of libcharon does with it.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/config.h"
#include "controlplane/dp_client.h"
#include "controlplane/tunnel_state.h"

#define CP_IKE_PORT 500u
#define CP_IKE_NATT_PORT 4500u
/* An algorithm of the contract with its flags (IPC_SA_ESN), in one word. */
#define CP_IKE_SUITE(algorithm, flags) \
	((uint32_t)(algorithm) | ((uint32_t)(flags)&IPC_SA_ESN) << 16)
#define CP_IKE_SUITE_ALGORITHM(suite) ((uint16_t)((suite)&0xffffu))
#define CP_IKE_SUITE_FLAGS(suite) ((suite) >> 16)
#define CP_IKE_NAME_LEN (2 * IPC_NAME_LEN)

struct cp_ike_tunnel {
	char name[CP_IKE_NAME_LEN];
	struct ipc_tunnel id;
	const struct cp_server *_Atomic server; /* its settings */
	_Atomic uint32_t suite; /* CP_IKE_SUITE() that its SAs had last; 0: not known */
};

/* Some more than can be configured: a tunnel that was removed keeps its place for a while. */
#define CP_IKE_TUNNELS_MAX (2u * CP_ENVIRONMENTS_MAX * CP_SERVERS_MAX)
#define CP_IKE_SETTINGS_KEEP_MS 600000u

struct cp_ike_settings;
struct cp_ovpn_client;

struct cp_ike {
	const struct cp_config *config; /* of this node: what a restart changes */
	struct cp_dp *dp;
	/* Called on the threads of libcharon, with its locks held, and of OpenVPN: must not block.
	 */
	void (*report)(void *context, size_t tunnel, const struct cp_event *event);
	void *context;
	struct cp_ike_tunnel *tunnels;    /* CP_IKE_TUNNELS_MAX places */
	atomic_size_t tunnel_count;       /* of places that were ever in use */
	pthread_rwlock_t lock;            /* the names */
	struct cp_ike_settings *replaced; /* the supervisor's */
	struct cp_ovpn_client *openvpn;   /* from its start on */
	atomic_bool
		is_muted; /* the process ends: nothing may reach servers or dataplane any more */
};

/* Makes room for tunnels. Returns 0 or -ENOMEM. */
int cp_ike_tunnels_init(struct cp_ike *ike);

/* Gives place NUMBER, up to tunnel_count, to a tunnel. Returns 0 or -ENOMEM. Supervisor's thread,
 * as what follows. */
int cp_ike_tunnel_add(struct cp_ike *ike, size_t number, const struct ipc_tunnel *id,
                      const struct cp_server *server, uint64_t now_ms);

/* Gives the tunnel a copy of these settings. Returns 0 or -ENOMEM. */
int cp_ike_tunnel_set(struct cp_ike *ike, size_t number, const struct cp_server *server,
                      uint64_t now_ms);

/* Frees settings that were replaced long ago. */
void cp_ike_tunnels_tidy(struct cp_ike *ike, uint64_t now_ms);

/* The tunnel with that name; NULL: none. */
const struct cp_ike_tunnel *cp_ike_find(struct cp_ike *ike, const char *name);

void cp_ike_report(const struct cp_ike *ike, const struct cp_ike_tunnel *tunnel,
                   const struct cp_event *event);

/* Reports CP_EVENT_REASON. */
void cp_ike_explain(const struct cp_ike *ike, const struct cp_ike_tunnel *tunnel, uint32_t ike_id,
                    enum cp_rank rank, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
