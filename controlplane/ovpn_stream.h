/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OpenVPN over TCP: connections whose packets have their length before them, two bytes in network
 * byte order.
 *
 * One thread reads all of them and completes what could not be written at once. Writing never
 * blocks: what a connection does not take is dropped and counted, as on any full queue, but for
 * control packets, for which there is room of their own. Connections have numbers, the caller's.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/ipc_proto.h"

#define CP_OVPN_STREAM_PACKET_MAX 10240u /* bytes; IPC_PUNT_MAX */
#define CP_OVPN_STREAM_WHY 160u

struct cp_ovpn_streams;

/* On the streams' thread; they may call nothing of this header. A packet is gone when it returns.
 */
struct cp_ovpn_stream_calls {
	void (*open)(void *context, uint32_t number);
	/* FROM: what connect() was given, with the packet's length. */
	void (*packet)(void *context, uint32_t number, const struct ipc_punt *from,
	               const uint8_t *packet);
	/* It is over by itself: WHY in words. It still has to be closed. */
	void (*broken)(void *context, uint32_t number, const char *why);
};

/* Starts the thread, which runs until the process ends. Returns 0 or -errno. */
int cp_ovpn_streams_start(const struct cp_ovpn_stream_calls *calls, void *context,
                          struct cp_ovpn_streams **streams);

/* ---- any thread ---- */

/* Connects SOCKET, which is taken in any case, to FROM's source; open() or broken() follows. FROM
 * is what its packets come with. OWN_PORT_BE is the connection's, which names it for data. Returns
 * 0 or -errno. */
int cp_ovpn_streams_connect(struct cp_ovpn_streams *streams, uint32_t number, int socket,
                            const struct ipc_punt *from, uint16_t own_port_be);

/* Nothing of it is told any more. Nothing is done for a number that is not there. */
void cp_ovpn_streams_close(struct cp_ovpn_streams *streams, uint32_t number);

/* A control packet. Returns 0, -ENOTCONN, or -EAGAIN: its room is full. */
int cp_ovpn_streams_send(struct cp_ovpn_streams *streams, uint32_t number, const uint8_t *packet,
                         size_t length);

/* A data packet of TO's length, for the connection between these addresses and ports: the newest
 * one, where a dataplane that restarted has given a port again. Returns 0, -ENOTCONN: there is
 * none, or -EAGAIN: it was dropped and counted. */
int cp_ovpn_streams_send_data(struct cp_ovpn_streams *streams, const struct ipc_punt *to,
                              const uint8_t *packet);

/* Data packets that were dropped so far by connections whose packets come to that port (FROM's
 * destination), which is a tunnel's. */
uint64_t cp_ovpn_streams_dropped(struct cp_ovpn_streams *streams, uint16_t port_be);

/* From here on that is 0, but for connections to come: the port is another tunnel's, or the tunnel
 * goes by datagrams. */
void cp_ovpn_streams_forget(struct cp_ovpn_streams *streams, uint16_t port_be);

/* ---- the framing by itself ---- */

/* The first packet of LENGTH bytes of a stream: its length, with the packet at BYTES + 2; 0: it is
 * not whole yet; -EPROTO: that is no OpenVPN. */
int cp_ovpn_deframe(const uint8_t *bytes, size_t length);
