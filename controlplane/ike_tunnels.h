/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the IKE side share: the configured IPsec tunnels, by number and by name, and
 * where events go.
 *
 * A tunnel's number is its place in the configuration, counted over all environments. It is known
 * to libcharon by "ENVIRONMENT/SERVER" as the name of its configuration and by number + 1 as the
 * reqid of its SAs.
 */
#pragma once

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
	const struct cp_server *server;
	_Atomic uint32_t suite; /* CP_IKE_SUITE() that its SAs had last; 0: not known */
};

struct cp_ike {
	const struct cp_config *config;
	struct cp_dp *dp;
	/* Called on libcharon's threads, with its locks held: must not block. */
	void (*report)(void *context, size_t tunnel, const struct cp_event *event);
	void *context;
	struct cp_ike_tunnel *tunnels;
	size_t tunnel_count;
	atomic_bool
		is_muted; /* the process ends: nothing may reach servers or dataplane any more */
};

/* Fills tunnels[] from the configuration. Returns 0 or -ENOMEM. */
int cp_ike_tunnels_init(struct cp_ike *ike);

/* The tunnel with that name; NULL: none. */
const struct cp_ike_tunnel *cp_ike_find(const struct cp_ike *ike, const char *name);

void cp_ike_report(const struct cp_ike *ike, const struct cp_ike_tunnel *tunnel,
                   const struct cp_event *event);

/* Reports CP_EVENT_REASON. */
void cp_ike_explain(const struct cp_ike *ike, const struct cp_ike_tunnel *tunnel, uint32_t ike_id,
                    enum cp_rank rank, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
