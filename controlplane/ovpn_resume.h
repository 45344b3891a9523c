/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A session that goes on in another process: what it needs, and its new beginning.
 *
 * Each renegotiation is a TLS connection of its own under the session's ids, so whoever knows those
 * can begin the next one (soft reset). The server notices nothing, and the data keys of before stay
 * good until it sends with the new ones.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "controlplane/ovpn_session.h"

/* Writes what SESSION needs to go on; it holds secrets. Returns its length; 0: the session is not
 * up, or ROOM bytes are too few. */
size_t cp_ovpn_session_save(const struct cp_ovpn_session *session, uint8_t *bytes, size_t room);

/* In place of cp_ovpn_session_start(): goes on with what was saved, from new data keys on; up() is
 * called first. A server that does not answer within some seconds has forgotten the session, which
 * ends then. Returns 0; or -EINVAL, with nothing done: it was saved by another version, or with
 * other settings. */
int cp_ovpn_session_resume(struct cp_ovpn_session *session, const uint8_t *bytes, size_t length,
                           uint64_t now_ms);
