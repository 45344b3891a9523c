/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What other threads have for OpenVPN's thread: orders of the supervisor, datagrams of the
 * dataplane. In order, from any thread.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/ipc_proto.h"

/* Datagrams beyond are dropped, as on any full queue: the server sends them again. */
#define CP_OVPN_DATAGRAMS_MAX 1024u

enum cp_ovpn_order_type {
	CP_OVPN_CONNECT = 1,
	CP_OVPN_END,
	CP_OVPN_END_LATE,
	CP_OVPN_LEAVE,
	CP_OVPN_REKEY,
	CP_OVPN_ASK,
	CP_OVPN_DATAGRAM,
	CP_OVPN_CONNECTED, /* its TCP connection */
	CP_OVPN_BROKEN,    /* the same, over: why is in payload[], terminated */
};

struct cp_ovpn_order {
	enum cp_ovpn_order_type type;
	uint32_t login;  /* of all but CONNECT and REKEY; DATAGRAM: if it came by TCP, else 0 */
	size_t tunnel;   /* CONNECT; and the next three */
	unsigned remote; /* of its settings */
	uint32_t remote_be;
	uint32_t number;      /* the login's, to be */
	uint64_t due_ms;      /* for its taker: not before */
	uint32_t spi_be;      /* REKEY */
	unsigned seconds;     /* END_LATE */
	struct ipc_punt punt; /* DATAGRAM, with what follows it in payload[] */
	struct cp_ovpn_order *next;
	uint8_t payload[];
};

struct cp_ovpn_inbox {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* also what follows the queue */
	struct cp_ovpn_order *first;
	struct cp_ovpn_order **last;
	size_t datagrams;
	bool is_rung;   /* keys in the dataplane changed */
	bool is_frozen; /* nothing is taken */
	bool is_idle;   /* the taker waits */
};

void cp_ovpn_inbox_init(struct cp_ovpn_inbox *inbox);

/* Puts a copy of ORDER with LENGTH bytes of PAYLOAD; without memory it is lost, which is logged. */
void cp_ovpn_inbox_put(struct cp_ovpn_inbox *inbox, const struct cp_ovpn_order *order,
                       const void *payload, size_t length);

/* Wakes the taker up. */
void cp_ovpn_inbox_ring(struct cp_ovpn_inbox *inbox);

/* Waits for an order, a ring or DEADLINE_MS (CLOCK_MONOTONIC). Returns the order, to be freed by
 * the caller, or NULL; *IS_RUNG: whether there was a ring since the last call. One thread. */
struct cp_ovpn_order *cp_ovpn_inbox_take(struct cp_ovpn_inbox *inbox, uint64_t deadline_ms,
                                         bool *is_rung);

/* Nothing is taken from now on until cp_ovpn_inbox_thaw(); on return the taker waits. Datagrams are
 * dropped meanwhile. */
void cp_ovpn_inbox_freeze(struct cp_ovpn_inbox *inbox);
void cp_ovpn_inbox_thaw(struct cp_ovpn_inbox *inbox);
