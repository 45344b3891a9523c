/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one place where messages of the contract are checked: length, version, padding, ranges, strings.
 */
#pragma once

#include "common/ipc_proto.h"

/*
 * Checks one received message: its header and, for requests, events and datagrams, the whole body of its
 * type; for replies (IPC_REPLY) the body's size. After 0 the body may be used as the struct the
 * type names (the buffer must be 8-byte aligned). -EBADMSG: length, flags or padding; -EPROTO: unknown type;
 * -EINVAL: a value out of range or a string that does not end. Pure; fuzzed.
 */
int ipc_decode(const void *message, size_t length, const struct ipc_header **header, const void **body);

/* The body's length in bytes. */
size_t ipc_body_length(const struct ipc_header *header);

/* Number of entries after an ipc_list in a reply; -EBADMSG if the sizes disagree. ENTRY_SIZE is ours: a sender
 * of another minor version may have longer or shorter entries. Entry I starts at
 * (const uint8_t *)(list + 1) + I * list->entry_size. */
int ipc_list_check(const struct ipc_header *header, const struct ipc_list *list, size_t entry_size);

/* Whether a HELLO's peer can be talked to: 0, -EPROTO (magic), -EPROTONOSUPPORT (major), -EXDEV (instance). */
int ipc_hello_check(const struct ipc_hello *hello, const char *instance);

/* The type's name as in the contract, "HELLO"; never NULL. */
const char *ipc_type_name(uint16_t type);

/* Names of instances, environments and servers: 1 to 31 of a-z, 0-9, '-', '_' and '.', first a letter or digit. */
int ipc_name_check(const char *name);
