/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One tunnel's state machine: what happened goes in, what is to be done comes out. Pure, with the
 * caller's clock.
 *
 * libcharon knows IKE_SAs and CHILD_SAs by number; a tunnel has one of each, but for the moments of
 * a rekeying or reauthentication, when it has two. It is up while it has a CHILD_SA.
 *
 * A renewal is a second login beside a tunnel that is up: for changed settings, or because an
 * operator asks. The old IKE_SA goes when the new one carries the traffic; while the new one fails,
 * the old one stays, and it is tried again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/backoff.h"
#include "controlplane/config.h"
#include "controlplane/reach.h"
#include "controlplane/tunnel.h"

#define CP_TUNNEL_SAS_MAX 8u
#define CP_GUARD_MS 60000u        /* an attempt takes at most this */
#define CP_RENEGOTIATE_MS 2000u   /* after a restart of the dataplane: to rekey all CHILD_SAs */
#define CP_RENEWED_GRACE_MS 2000u /* what the server sent on the old SAs is still on its way */
#define CP_STABLE_MS 10000u /* up for this long: the first attempt after a loss is made at once */

enum cp_event_type {
	CP_EVENT_READY = 1,     /* the dataplane serves requests and is the one that we know */
	CP_EVENT_READY_NEW,     /* the dataplane serves requests; it knows nothing of our SAs */
	CP_EVENT_LOST,          /* the dataplane is not there */
	CP_EVENT_RESOLVED,      /* remote_be */
	CP_EVENT_NOT_BEGUN,     /* why: it could not even be tried */
	CP_EVENT_IKE_BEGUN,     /* ike_id */
	CP_EVENT_IKE_REKEYED,   /* ike_id: the new one */
	CP_EVENT_IKE_GONE,      /* ike_id */
	CP_EVENT_CHILD_UP,      /* ike_id, child_id, spi_be, inner_be, remote_be, is_udp, suite */
	CP_EVENT_CHILD_REKEYED, /* old_child_id, child_id, spi_be, suite; in a collision twice, the
	                           last one stays (RFC 7296 section 2.8.1) */
	CP_EVENT_CHILD_DOWN,    /* child_id */
	CP_EVENT_REASON,        /* why, rank, pause_s: explains what will end this attempt or this
	                           tunnel */
	CP_EVENT_TIME,          /* nothing happened but time */
	CP_EVENT_ADMITTED,      /* it is this tunnel's turn to knock at its server */
	CP_EVENT_OVERTAKEN,     /* as READY, but another control plane has SAs of this tunnel that
	                           are newer than ours */
	CP_EVENT_RENEW,         /* log in anew, make before break where it is up */
	CP_EVENT_UNSURE, /* ike_id: which CHILD_SAs of it the server has is not known (ike_cut.h),
	                    or it gets no new keys any more */
	CP_EVENT_UNRENEWED, /* ike_id, why: new keys are due, but do not come; the old ones go on */
	CP_EVENT_UNANSWERED, /* ike_id: a server whose tunnel is dead left its requests unanswered
	                      */
	CP_EVENT_SILENT,     /* ike_id: the same for ten seconds; for supervisor_doubt.c */
	CP_EVENT_ANSWERED,   /* the server answered a request; for supervisor_doubt.c */
	CP_EVENT_FLOATED,    /* ike_id, remote_be, remote_port_be: an OpenVPN server is there now */
	CP_EVENT_REMOVED,    /* taken out of the configuration: everything ends */
};

/* How much a reason explains; the highest one of an attempt is told. */
enum cp_rank {
	CP_RANK_VAGUE = 1,  /* no answer, closed */
	CP_RANK_NOTIFY = 2, /* what the server said */
	CP_RANK_AUTH = 3,   /* whose authentication failed */
	CP_RANK_EXACT = 4,  /* the very thing: a certificate, a file, a proposal */
};

struct cp_event {
	enum cp_event_type type;
	uint32_t ike_id;
	uint32_t child_id;
	uint32_t old_child_id;
	uint32_t old_ike_id; /* CP_EVENT_IKE_REKEYED */
	uint32_t pause_s;    /* CP_EVENT_REASON: the next attempt not before so long; 0: any time */
	uint32_t lookup;     /* the supervisor's: of which look-up this is the result; 0: of none */
	uint32_t spi_be;     /* inbound */
	uint32_t inner_be;
	uint32_t remote_be;
	uint16_t remote_port_be; /* CP_EVENT_FLOATED; CP_EVENT_CHILD_UP of one that has, or 0 */
	bool is_udp;
	enum cp_rank rank;
	char suite[64];
	char limits[CP_WHY_LEN]; /* of a CHILD_SA: which forwards its selectors leave out */
	struct cp_range
		ranges[CP_RANGES_MAX]; /* of a CHILD_SA: its selectors at the server's side */
	size_t range_count;
	struct cp_told told; /* of a CHILD_SA: with its login */
	char why[CP_WHY_LEN];
};

/* What is to be done, in this order; CP_SAY_* are log lines. */
#define CP_DO_TERMINATE 0x01u /* the IKE_SAs in doomed[], at once */
#define CP_DO_DOWN 0x02u      /* TUNNEL_SET: down */
#define CP_DO_RESOLVE 0x04u   /* the server's name; then CP_EVENT_RESOLVED or CP_EVENT_NOT_BEGUN */
#define CP_DO_PEER 0x08u      /* PEER_SET */
#define CP_DO_CONNECT 0x10u   /* initiate */
#define CP_DO_REKEY 0x20u     /* all CHILD_SAs */
#define CP_DO_UP 0x40u        /* TUNNEL_SET: up */
#define CP_DO_TERMINATE_LATE 0x80u /* as CP_DO_TERMINATE, when the new ones carry the traffic */
#define CP_DO_PEER_BACK 0x8000u    /* PEER_SET: where it was up last */
#define CP_DO_FLOAT 0x10000u       /* PEER_SET: up_remote_be and up_port_be, where it is up now */
#define CP_SAY_UP 0x100u
#define CP_SAY_FAILED 0x200u
#define CP_SAY_LOST 0x400u
#define CP_SAY_RENEGOTIATE 0x800u
#define CP_SAY_LIMITS 0x1000u
#define CP_SAY_RENEWING 0x2000u
#define CP_SAY_RENEWAL_FAILED 0x4000u

struct cp_child {
	uint32_t id;
	uint32_t old_id; /* the one that it took the place of; 0: none */
	uint32_t spi_be;
	bool is_stale; /* its keys were in a dataplane that is no more */
};

struct cp_tunnel_state {
	/* read by the caller */
	enum cp_tunnel_phase phase;
	uint64_t since_ms;
	uint64_t deadline_ms; /* call with CP_EVENT_TIME then; 0: never */
	uint32_t attempts;    /* since it was last up */
	uint32_t remote_be;
	uint32_t inner_be;
	bool is_udp;
	char suite[64];
	char why[CP_WHY_LEN];     /* while not up */
	char limits[CP_WHY_LEN];  /* while up: which forwards cannot be reached; mostly empty */
	char renewal[CP_WHY_LEN]; /* while renewing: why the last attempt failed; empty: none did */
	struct cp_told told;      /* while up */
	char unrenewed[CP_WHY_LEN]; /* while up: why there are no new keys yet; mostly empty */
	struct cp_child children[CP_TUNNEL_SAS_MAX];
	size_t child_count;
	uint32_t doomed[CP_TUNNEL_SAS_MAX]; /* of the last step */
	size_t doomed_count;
	uint64_t connects;
	uint64_t ike_rekeys;
	uint64_t child_rekeys;

	/* its own */
	struct cp_backoff backoff;
	bool is_ready;     /* the dataplane */
	bool is_announced; /* this dataplane was told that the tunnel is up */
	bool is_resolving;
	bool is_queued;      /* the address is known; waits for CP_EVENT_ADMITTED */
	bool is_negotiating; /* knocked at remote_be; neither up nor given up yet */
	bool is_renegotiating;
	bool is_removed;           /* for good */
	bool is_renewing;          /* until a new login is up, whatever it takes */
	uint32_t renewal_attempts; /* of this renewal */
	uint32_t renewal_ike;      /* the new login under way; 0: none */
	uint32_t new_ike;          /* after a renewal: all others end at retire_ms */
	uint64_t retire_ms;        /* 0: nothing to end */
	uint32_t up_remote_be;     /* where it is up, while remote_be is tried */
	uint16_t up_port_be;       /* its server's, since that floats; 0: the one configured */
	uint32_t tried_be;         /* what was looked up last; 0: nothing yet */
	uint32_t ikes[CP_TUNNEL_SAS_MAX];
	size_t ike_count;
	uint64_t pause_ms;       /* the server wants us to wait so long before the next attempt */
	char reason[CP_WHY_LEN]; /* of the attempt under way, or of what ends the tunnel */
	enum cp_rank rank;
	char before[CP_WHY_LEN]; /* the last reason that explained more than silence; since it was
	                            last up */
};

/* The pauses of the configuration changed. */
void cp_tunnel_state_set_retry(struct cp_tunnel_state *state, const struct cp_server *server);

void cp_tunnel_state_init(struct cp_tunnel_state *state, const struct cp_server *server,
                          uint32_t seed, uint64_t now_ms);

/* Takes EVENT; returns CP_DO_* and CP_SAY_* bits. */
unsigned cp_tunnel_state_step(struct cp_tunnel_state *state, const struct cp_event *event,
                              uint64_t now_ms);
