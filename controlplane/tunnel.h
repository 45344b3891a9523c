/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is known of each tunnel, in words an operator understands; protocol-neutral, written by the
 * supervisor, read by the API.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/ipc_proto.h"

enum cp_tunnel_phase {
	CP_TUNNEL_IDLE = 0,       /* not tried yet, or the dataplane is not there */
	CP_TUNNEL_CONNECTING = 1, /* negotiating */
	CP_TUNNEL_UP = 2,
	CP_TUNNEL_WAITING = 3, /* failed; tried again at retry_at */
};

#define CP_WHY_LEN 256u

#define CP_DNS_MAX 8u

/* What the server told at the login beside our address. */
struct cp_told {
	uint32_t dns_be[CP_DNS_MAX]; /* the customer's name servers: shown, nobody here asks them */
	size_t dns_count;
	char notice[CP_WHY_LEN]; /* what an operator should know of it; mostly empty */
};

struct cp_tunnel_view {
	struct ipc_tunnel id;
	char zone[IPC_NAME_LEN];
	char protocol[8];         /* "ipsec", "openvpn" */
	char server_address[128]; /* as configured */
	uint32_t remote_be;       /* resolved; 0: not yet */
	uint32_t inner_be;        /* virtual IP; 0: none */
	enum cp_tunnel_phase phase;
	char why[CP_WHY_LEN]; /* while not up: the reason in words, "password or account refused by
	                         the server" */
	char suite[128];      /* while up: "AES_GCM_16_256", "AES_CBC_256 HMAC_SHA2_256_128" */
	char limits[CP_WHY_LEN];  /* while up: the forwards that the server's selectors leave out;
	                             mostly empty */
	char renewal[CP_WHY_LEN]; /* while up: why there are no new keys though they are due, or a
	                             new login beside this one is not up yet; mostly empty */
	struct cp_told told;      /* while up */
	uint64_t stream_dropped;  /* packets that its TCP connections had no room for, so far */
	bool udp_encapsulation;
	uint32_t attempts;   /* since it was last up */
	uint64_t since_s;    /* CLOCK_REALTIME: in this phase since */
	uint64_t retry_at_s; /* CLOCK_REALTIME: next attempt, 0: none planned */
	uint64_t ike_rekeys;
	uint64_t child_rekeys;
	uint64_t connects; /* times it came up */
};

/* "idle", "connecting", "up", "waiting". */
const char *cp_tunnel_phase_name(enum cp_tunnel_phase phase);
