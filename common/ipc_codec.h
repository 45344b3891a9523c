/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one place where messages of the contract are checked: length, version, padding, ranges,
 * strings.
 */
#pragma once

#include "common/ipc_proto.h"

/*
 * Checks one received message: its header and the whole body of its type; of a reply (IPC_REPLY)
 * with status 0 the reply body of its type, of one with another status an optional ipc_refusal (but
 * a HELLO's is always an ipc_hello). After 0 the body may be used as that struct (the buffer must
 * be 8-byte aligned). A HELLO and the entries of a list may be longer than ours: that is another
 * minor version, whose extra bytes are ignored; everything else is sent in the older side's version
 * and must fit exactly. -EBADMSG: length, flags or padding; -EPROTO: unknown type; -EINVAL: a value
 * out of range or a string that does not end. Pure; fuzzed.
 */
int ipc_decode(const void *message, size_t length, const struct ipc_header **header,
               const void **body);

/* The body's length in bytes. */
size_t ipc_body_length(const struct ipc_header *header);

/* Number of entries after an ipc_list in a reply; -EBADMSG if the sizes disagree or an entry is
 * shorter than ENTRY_SIZE, which is ours (a newer sender's may be longer). Entry I starts at (const
 * uint8_t *)(list + 1) + I * list->entry_size. */
int ipc_list_check(const struct ipc_header *header, const struct ipc_list *list, size_t entry_size);

/* Whether a HELLO's peer can be talked to: 0, -EPROTO (magic), -EPROTONOSUPPORT (major), -EXDEV
 * (instance). */
int ipc_hello_check(const struct ipc_hello *hello, const char *instance);

/* The type's name as in the contract, "HELLO"; never NULL. */
const char *ipc_type_name(uint16_t type);

/* Names of instances, environments and servers: 1 to 31 of a-z, 0-9, '-', '_' and '.', first a
 * letter or digit. */
int ipc_name_check(const char *name);
