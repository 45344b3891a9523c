/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One login at an OpenVPN server: a session (ovpn_session.h), its data keys in the dataplane
 * (ovpn_leases.h), and what the supervisor is told of it.
 *
 * OpenVPN's thread owns logins and calls everything here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "controlplane/ike_tunnels.h"
#include "controlplane/ovpn_leases.h"
#include "controlplane/ovpn_session.h"
#include "controlplane/ovpn_stream.h"

struct cp_ovpn_login {
	uint32_t number; /* CP_OVPN_NUMBERS is set */
	const struct cp_ike *ike;
	const struct cp_ike_tunnel *tunnel;
	uint32_t remote_be; /* where it was begun; where the server is by now: leases.path */
	uint16_t remote_port_be;
	struct cp_ovpn_session *session;
	struct cp_ovpn_streams *streams; /* its TCP connection is there; NULL: datagrams */
	struct ipc_flow flow;            /* of that connection */
	uint64_t connect_ms; /* it must stand by then; UINT64_MAX: it does, or there is none */
	struct cp_ovpn_leases leases;
	_Atomic uint32_t *next_child; /* where its keys get their numbers from */

	/* what was pushed */
	uint32_t inner_be;
	struct cp_range ranges[CP_RANGES_MAX];
	size_t range_count;
	struct cp_told told;
	uint64_t poll_ms; /* between two looks at the keys in use; 0: none are wanted */

	uint32_t child;        /* what the supervisor knows as its child; 0: it is not up */
	uint64_t look_ms;      /* the next look; UINT64_MAX: none */
	uint64_t asked_ms;     /* whether the server is there; 0: answered, or nobody asks */
	uint64_t renewed_ms;   /* the last time that keys were renewed to ask that */
	bool is_unanswered;    /* told */
	bool is_unrenewed;     /* no new keys came: its control channel is dead */
	bool is_broken;        /* the dataplane did not take a key */
	bool has_lost_keys;    /* the dataplane has none of them any more */
	bool is_renewed_twice; /* shall be: see cp_ovpn_login_rekey() */
	bool is_unsaved;       /* what a successor needs is not in the dataplane yet */
	unsigned saved_tokens; /* cp_ovpn_session_token_count() then */
	bool makes_way;        /* it has taken leave: its keys live on until its successor's */
	uint64_t end_ms;       /* shall end then; UINT64_MAX: nobody wants that */
	bool is_over;          /* to be destroyed */
	uint64_t said_s;       /* the minute's begin in which the server said so many things */
	unsigned said;
	char broken[CP_WHY_LEN];
	struct cp_ovpn_login *next;
};

/* Begins a login; NULL with WHY in words. Reads the tunnel's secrets. TOKEN and STREAMS outlive it.
 * With CP_OVPN_GO_ON it goes on with the session of a predecessor, if the dataplane keeps one that
 * fits, which there is not over TCP. */
enum cp_ovpn_beginning { CP_OVPN_ANEW = 1, CP_OVPN_GO_ON = 2 };
struct cp_ovpn_login *cp_ovpn_login_create(const struct cp_ike *ike,
                                           const struct cp_ike_tunnel *tunnel, unsigned remote,
                                           uint32_t remote_be, uint32_t number,
                                           struct cp_ike_sas *known, _Atomic uint32_t *next_child,
                                           struct sp_secret *token, struct cp_ovpn_streams *streams,
                                           enum cp_ovpn_beginning beginning, uint64_t now_ms,
                                           char why[CP_WHY_LEN]);

/* Frees it; its keys stay in the dataplane. */
void cp_ovpn_login_destroy(struct cp_ovpn_login *login);

/* Whether a datagram from there to that port of ours may be for it. */
bool cp_ovpn_login_matches(const struct cp_ovpn_login *login, const struct ipc_punt *punt);
void cp_ovpn_login_receive(struct cp_ovpn_login *login, const uint8_t *packet, size_t length,
                           uint64_t now_ms);

/* Its TCP connection stands; or is over, WHY in words. */
void cp_ovpn_login_connected(struct cp_ovpn_login *login, uint64_t now_ms);
void cp_ovpn_login_broken(struct cp_ovpn_login *login, const char *why);

/* Does what is due; HAVE_KEYS_CHANGED: the dataplane said so. */
void cp_ovpn_login_tick(struct cp_ovpn_login *login, bool have_keys_changed, uint64_t now_ms);
uint64_t cp_ovpn_login_deadline_ms(const struct cp_ovpn_login *login);

/* Ends it, without a word to the server: that would end every session from our port. Its keys go,
 * too. */
void cp_ovpn_login_end(struct cp_ovpn_login *login);

/* Takes leave of the server, which goes on with its keys for some seconds; so do we, at most for
 * SECONDS. False: it is not told, as it has fallen silent, or the control channel is dead. */
bool cp_ovpn_login_make_way(struct cp_ovpn_login *login, unsigned seconds, uint64_t now_ms);

/* Takes leave of the server. */
void cp_ovpn_login_leave(struct cp_ovpn_login *login, uint64_t now_ms);

/* New keys. If the dataplane has lost this one, so it has all: the server would send with it for a
 * minute, but not if it is two keys old. */
void cp_ovpn_login_rekey(struct cp_ovpn_login *login, struct cp_ovpn_lease *lease, uint64_t now_ms);

/* Finds out whether the server still knows us: by new keys, since OpenVPN has no other question.
 * With a dead control channel it counts as asked all the same, and as unanswered. */
void cp_ovpn_login_ask(struct cp_ovpn_login *login, uint64_t now_ms);
