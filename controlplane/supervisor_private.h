/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the supervisor's files share: its tunnels, and what it knows of the dataplane's SAs.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "controlplane/event_queue.h"
#include "controlplane/ike_tunnels.h"
#include "controlplane/moves.h"
#include "controlplane/orphans.h"
#include "controlplane/protocol.h"
#include "controlplane/reach.h"
#include "controlplane/rekey_limits.h"
#include "controlplane/sources.h"
#include "controlplane/supervisor.h"
#include "controlplane/tunnel_state.h"

struct tunnel {
	struct cp_tunnel_state state; /* stepped with the lock held */
	const struct cp_ike_tunnel *ike;
	bool is_configured;
	uint64_t removed_ms; /* its place can be given to another tunnel some time later */
	uint32_t lookup;     /* of its address: the last one; what others find is not of interest */
	_Atomic unsigned remote; /* of those that its settings have: the one being tried */
	struct ipc_peer peer;    /* told to the dataplane last */
	struct ipc_peer up_at;   /* with which it came up */
	struct cp_range ranges[CP_RANGES_MAX]; /* of the newest CHILD_SA */
	size_t range_count;
	size_t orphan_count;
	bool was_carried;     /* orphans had it up when the dataplane was found; with the lock */
	uint64_t up_ms;       /* our outbound SA is there since; 0: it is not */
	bool has_left_ike;    /* predecessors' IKE_SAs at the server */
	uint64_t switched_ms; /* the server sends on our SAs since; 0: it does not */
	uint64_t
		checked_ms; /* in doubt, and asked by IKE then; 0: it is not (supervisor_doubt.c) */
	uint64_t check_every_ms; /* while it is */
	uint64_t answered_ms;    /* IKE answered last; 0: never */
	bool is_ike_silent;      /* though ESP passes */
};

/* What another thread wants done on the supervisor's. */
struct cp_order {
	int (*perform)(struct cp_supervisor *supervisor, void *argument);
	void *argument;
	int result;
	bool is_done;
};

struct cp_supervisor {
	const struct cp_config *config; /* in force, held; the thread's own */
	struct cp_dp *dp;
	bool is_dp_ready;
	uint32_t seed; /* of tunnels' pauses */
	struct cp_ike ike;
	struct cp_orphans orphans; /* the thread's own */
	struct cp_rekey_limits limits;
	bool has_limits;
	uint64_t limits_ms; /* when the counters were last looked at */
	struct cp_moves moves;
	struct cp_sources sources;
	uint64_t sources_due_ms;  /* when refused sources are looked at again */
	uint64_t moves_due_ms;    /* when environments are looked at again; 0: after a change */
	_Atomic uint64_t changed; /* IPC_CHANGED_* not looked at yet */
	struct tunnel *tunnels;   /* as ike.tunnels[] */
	pthread_t thread;

	struct cp_event_queue queue;
	_Atomic uint64_t lost_ns; /* when the connection to the dataplane ended last; 0: never */
	pthread_mutex_t lock;     /* tunnels[].state and what follows */
	size_t listing[CP_IKE_TUNNELS_MAX]; /* the configured ones, in the configuration's order */
	size_t listing_count;
	struct cp_order *order;   /* NULL: none */
	pthread_cond_t ordered;   /* an order is done */
	pthread_mutex_t ordering; /* one order at a time; not with the lock */
	bool has_read;            /* the dataplane's SAs, once */
	bool is_leaving;          /* shall stand aside */
	bool is_aside;            /* does */
	pthread_cond_t moved;     /* is_leaving or is_aside */
	bool was_aside;           /* since its SAs were read last; the thread's own */
};

static inline uint64_t cp_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Steps a tunnel and does what that says. The supervisor's thread, as are the others below. */
void cp_supervisor_step(struct cp_supervisor *supervisor, size_t index,
                        const struct cp_event *event);

/* Which forwards the tunnel's server does not take, by the configuration in force. */
void cp_supervisor_limits(const struct cp_supervisor *supervisor, size_t index,
                          char limits[CP_WHY_LEN]);

/* Whether another tunnel uses the account of this one at REMOTE_BE already; WHY says which. */
bool cp_supervisor_has_rival(const struct cp_supervisor *supervisor, size_t index,
                             uint32_t remote_be, char why[CP_WHY_LEN]);

/* Takes over the tunnels of CONFIG, whatever there was before. */
void cp_supervisor_adopt(struct cp_supervisor *supervisor, const struct cp_config *config);

/* Performs the order that waits, if there is one. */
void cp_supervisor_obey(struct cp_supervisor *supervisor);

/* The dataplane is there: reads what others left, drops what nobody knows, learns the suites. */
void cp_supervisor_read_sas(struct cp_supervisor *supervisor);

/* Rekeys what is used up: when the dataplane says that something is with its SAs, and once a second
 * if there are limits. */
void cp_supervisor_look_at_sas(struct cp_supervisor *supervisor, bool have_changed);

/* Asks by IKE those servers of PICTURE that are in doubt; when the next one is due, 0: none is. */
void cp_supervisor_ask_doubtful(struct cp_supervisor *supervisor,
                                const struct cp_dp_picture *picture);
uint64_t cp_supervisor_next_doubt_ms(const struct cp_supervisor *supervisor);

/* What IKE says about a tunnel, beside what the dataplane sees: true if EVENT is for the tunnel's
 * state machine. */
bool cp_supervisor_doubt(struct cp_supervisor *supervisor, size_t index,
                         const struct cp_event *event);

/* Ends what predecessors left of tunnels that are up. */
void cp_supervisor_retire(struct cp_supervisor *supervisor);
