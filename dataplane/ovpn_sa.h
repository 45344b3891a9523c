/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OpenVPN's part of an SA's addition and removal; for dataplane/sa.c. Worker only.
 */
#pragma once

#include <stdint.h>

#include "common/ipc_proto.h"
#include "dataplane/crypto_mb.h"

struct dp_sa_in;
struct dp_sa_out;
struct dp_tunnel;

/* 0; -EINVAL: its fields do not fit each other; -ENOTSUP: not served here. */
int dp_ovpn_check(const struct ipc_sa_add *add);

/* The algorithm with the places of OpenVPN's packets. */
struct dp_crypto_suite dp_ovpn_suite(const struct ipc_sa_add *add);

/* Whether the tunnel can take another inbound key: 0, -EEXIST: it has one of this key id, -ENOSPC:
 * it has two. */
int dp_ovpn_find_room(const struct dp_tunnel *tunnel, const struct ipc_sa_add *add);

/* Fills in what is OpenVPN's; the rest of the SA is sa.c's. */
void dp_ovpn_begin_in(struct dp_sa_in *sa, const struct ipc_sa_add *add);
void dp_ovpn_begin_out(struct dp_sa_out *sa, const struct ipc_sa_add *add);

/* Into the tunnel's inbound keys and out of them. */
void dp_ovpn_link(struct dp_tunnel *tunnel, struct dp_sa_in *sa);
void dp_ovpn_unlink(struct dp_tunnel *tunnel, const struct dp_sa_in *sa);

/* The largest inner packet that fits into an outer one of LINK_MTU bytes. */
uint16_t dp_ovpn_inner_mtu(const struct dp_sa_out *sa, uint16_t link_mtu);
