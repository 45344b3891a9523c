/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an OpenVPN data key has beyond an SA, and the numbers of the protocol's data channel.
 *
 * A key is an SA of dataplane/sa.h: sealed and opened, numbered and expired as ESP is. The packet
 * begins with a byte of opcode and key id, with a peer id behind it (DATA_V2) or without
 * (DATA_V1).
 */
#pragma once

#include <stdint.h>

#define DP_OVPN_DATA_V1 6u
#define DP_OVPN_DATA_V2 9u
#define DP_OVPN_SEQUENCE_MARK 0x80000000u /* packets: time for a new key */
/* Blocks and packets under one key of AES-GCM; OpenVPN 2.7 ends it there too. */
#define DP_OVPN_VOLUME_MAX ((1ull << 36) - 1)

/* How packets of a key look. */
enum dp_ovpn_shape {
	DP_OVPN_AEAD = 0, /* DATA_V2: header, number, tag, text */
	DP_OVPN_AEAD_V1,  /* the same without a peer id */
	DP_OVPN_CBC,      /* header, HMAC, IV, text; the number is inside */
	DP_OVPN_EPOCH,    /* header, epoch and counter, text, tag: dataplane/ovpn_epoch.h */
};

/* 16 bytes at the end of dp_sa_in's line 0. */
struct dp_ovpn_in {
	uint8_t first;     /* byte of its packets: opcode and key id */
	uint8_t shape;     /* enum dp_ovpn_shape */
	uint8_t framing;   /* enum ipc_openvpn_framing */
	uint8_t flags;     /* IPC_OPENVPN_FLOAT, IPC_OPENVPN_LZ4 */
	uint8_t iv[8];     /* implicit part of the nonce */
	uint8_t is_exited; /* the server said that it ends */
	uint8_t pad[3];
};
_Static_assert(sizeof(struct dp_ovpn_in) == 16, "dp_ovpn_in");

struct dp_ovpn_out {
	uint32_t first_be;    /* first four bytes of its packets; DATA_V1: one */
	uint8_t shape;        /* enum dp_ovpn_shape */
	uint8_t framing;      /* enum ipc_openvpn_framing */
	uint16_t ping_s;      /* a ping after so long without a packet; 0: never */
	uint8_t iv[8];        /* implicit part of the nonce */
	uint64_t volume;      /* blocks and packets sealed */
	uint64_t volume_mark; /* at which dp_sa_out_at_volume() is told */
};
_Static_assert(sizeof(struct dp_ovpn_out) == 32, "dp_ovpn_out");
