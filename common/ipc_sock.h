/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SOCK_SEQPACKET socket of the contract: listen, connect, check the peer, send and receive
 * whole messages.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Listens on PATH (an old socket file is replaced, unless somebody still answers there:
 * -EADDRINUSE), mode 0660, owned by GROUP (gid, or -1 to leave it). Returns a non-blocking
 * descriptor (close-on-exec) or -errno. */
int ipc_listen(const char *path, gid_t group);

/* Accepts one connection; the peer's uid must be 0, our own or ALLOWED (-1: none), else -EPERM
 * (closed). Returns a non-blocking descriptor or -errno; -EAGAIN: nobody there. */
int ipc_accept(int listener, uid_t allowed);

/* Connects; the peer's uid must be 0 or our own. Returns a blocking descriptor or -errno. */
int ipc_connect(const char *path);

/* Sends one message: header fields and up to two parts of body. Returns 0 or -errno (-EAGAIN: queue
 * full, nothing was sent; -EMSGSIZE). The header's length is filled in here. */
int ipc_send(int fd, uint16_t type, uint16_t flags, uint32_t seq, int32_t status, const void *body,
             size_t body_length, const void *more, size_t more_length);

/* As ipc_send(), with a copy of DESCRIPTOR for the other side (SCM_RIGHTS), which stays ours, too.
 */
int ipc_send_descriptor(int fd, uint16_t type, uint16_t flags, uint32_t seq, const void *body,
                        size_t body_length, int descriptor);

/* Receives one message into BUFFER (IPC_MSG_MAX bytes, 8-byte aligned). Returns its length, 0 at
 * the end of the connection, -EMSGSIZE (truncated), -EAGAIN or -errno. Not checked: see
 * ipc_decode(). Descriptors that came with it are closed. */
ssize_t ipc_receive(int fd, void *buffer, size_t size);

/* The same; *DESCRIPTOR (close-on-exec, the caller's) is the one that came with it, or -1. */
ssize_t ipc_receive_descriptor(int fd, void *buffer, size_t size, int *descriptor);
