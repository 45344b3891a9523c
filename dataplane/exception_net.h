/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The TCP stack of the exception port: the kernel's, in a network namespace of its own that has no
 * name and nothing in it but a TUN device with the uplink's address. It goes away with the process
 * and with the last of its sockets, and no two instances meet.
 *
 * Threads enter the namespace for a moment and end there; the process itself stays where it is.
 * Control thread only.
 */
#pragma once

#include <stdint.h>

struct dp_exception_net {
	int tun;   /* IPv4 packets to and from the stack, non-blocking; -1: there is none yet */
	int space; /* the namespace */
};

/* Makes namespace and device with this address and MTU (bytes of IPv4). Returns 0 or -errno. */
int dp_exception_net_create(struct dp_exception_net *net, uint32_t address_be, uint16_t mtu);
void dp_exception_net_destroy(struct dp_exception_net *net);

/*
 * A TCP socket in there, bound to the address and port, not connected yet, non-blocking. One that
 * is idle asks its peer every minute, so that silence means that nobody uses it. Returns the
 * descriptor, the caller's to close, or -errno.
 */
int dp_exception_net_socket(const struct dp_exception_net *net, uint32_t address_be,
                            uint16_t port_be);
