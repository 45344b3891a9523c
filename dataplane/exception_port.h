/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The exception port, as the control thread serves it: TCP connections that end on this gateway, at
 * the uplink's own address. Registers flows, makes their sockets, and carries packets between the
 * workers and the kernel's TCP stack (dataplane/exception_net.h).
 *
 * Nothing is made before the first flow. A flow is a lease: it ends some time after FLOW_DEL, or
 * when nothing of it was heard or sent for long, which its socket does not let happen while anybody
 * has it. Control thread only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/ipc_proto.h"

struct dp_core;
struct dp_exception_port;

/* NULL: no memory. */
struct dp_exception_port *dp_exception_port_create(struct dp_core *core);
/* NULL is allowed. */
void dp_exception_port_destroy(struct dp_exception_port *port);

/*
 * Registers a flow from a port of ours that NAT never has, which FLOW gets, and makes a socket for
 * it, bound and not connected. Returns the socket, the caller's to close, or -errno: -ENOSPC (too
 * many flows).
 */
int dp_exception_port_open(struct dp_exception_port *port, struct ipc_flow *flow, uint64_t now_ns);

/* Ends a flow, but for what TCP still says to close it. Returns 0 or -ENOENT. */
int dp_exception_port_close(struct dp_exception_port *port, const struct ipc_flow *flow,
                            uint64_t now_ns);

/* What to poll for input; -1: nothing. */
int dp_exception_port_descriptor(const struct dp_exception_port *port);

/* Carries packets both ways, a bounded number. Returns whether there is more. */
bool dp_exception_port_run(struct dp_exception_port *port, uint64_t now_ns);

/* Ends flows that nobody uses; about once a second. */
void dp_exception_port_expire(struct dp_exception_port *port, uint64_t now_ns);
