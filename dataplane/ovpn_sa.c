/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys come as SAs; here is where OpenVPN's packets differ from ESP's. */
#include "dataplane/ovpn_sa.h"

#include "dataplane/ipv4.h"
#include "dataplane/sa.h"
#include "dataplane/tunnel.h"

#include <errno.h>
#include <string.h>

#define NUMBER 4u /* packet id */
#define CBC_IV 16u
#define EPOCH_HEADER 12u
#define IMPLICIT_IV 8u

static bool is_aead(unsigned algorithm)
{
	return algorithm <= IPC_CHACHA20_POLY1305;
}

static unsigned header_bytes(const struct ipc_sa_add *add)
{
	return add->openvpn.peer_id == IPC_OPENVPN_NO_PEER ? 1 : 4;
}

static bool is_epoch(const struct ipc_sa_add *add)
{
	return add->openvpn.format == IPC_OPENVPN_FORMAT_EPOCH;
}

int dp_ovpn_check(const struct ipc_sa_add *add)
{
	const struct dp_crypto_suite *suite = dp_crypto_suite(add->algorithm);

	if (!is_aead(add->algorithm) && add->algorithm < IPC_AES128_CBC_SHA1_160)
		return -ENOTSUP; /* ESP's, with a short ICV */
	if (add->openvpn.key_id >= IPC_OPENVPN_KEY_IDS)
		return -EINVAL;
	if (is_epoch(add))
		return is_aead(add->algorithm) && add->key_length == DP_OVPN_EPOCH_SECRET &&
		                       add->openvpn.peer_id != IPC_OPENVPN_NO_PEER
		               ? 0
		               : -EINVAL;
	return add->key_length == suite->key_bytes + (is_aead(add->algorithm)
	                                                      ? IMPLICIT_IV
	                                                      : suite->integrity_bytes)
	               ? 0
	               : -EINVAL;
}

struct dp_crypto_suite dp_ovpn_suite(const struct ipc_sa_add *add)
{
	struct dp_crypto_suite suite = *dp_crypto_suite(add->algorithm);
	unsigned header = header_bytes(add);

	if (is_epoch(add)) {
		suite.aad_bytes = suite.text_at = EPOCH_HEADER;
		suite.block_bytes = 1;
		return suite;
	}
	suite.tail_bytes = 0;
	if (is_aead(add->algorithm)) {
		suite.aad_bytes = header == 1 ? NUMBER : 4 + NUMBER;
		suite.icv_at = (uint8_t)(header + NUMBER);
		suite.text_at = suite.icv_at + suite.icv_bytes;
		suite.block_bytes = 1;
	} else {
		suite.icv_at = (uint8_t)header;
		suite.text_at = suite.icv_at + suite.icv_bytes + CBC_IV;
		suite.hashed_bytes = CBC_IV;
	}
	return suite;
}

static uint32_t first_be(const struct ipc_sa_add *add)
{
	uint32_t first;

	if (add->openvpn.peer_id == IPC_OPENVPN_NO_PEER)
		first = (uint32_t)(DP_OVPN_DATA_V1 << 3 | add->openvpn.key_id) << 24;
	else
		first = (uint32_t)(DP_OVPN_DATA_V2 << 3 | add->openvpn.key_id) << 24 |
		        add->openvpn.peer_id;
	return rte_cpu_to_be_32(first);
}

static uint8_t shape_of(const struct ipc_sa_add *add)
{
	if (is_epoch(add))
		return DP_OVPN_EPOCH;
	if (!is_aead(add->algorithm))
		return DP_OVPN_CBC;
	return header_bytes(add) == 1 ? DP_OVPN_AEAD_V1 : DP_OVPN_AEAD;
}

int dp_ovpn_find_room(const struct dp_tunnel *tunnel, const struct ipc_sa_add *add)
{
	int rc = -ENOSPC;

	for (unsigned i = 0; i < DP_TUNNEL_KEYS; i++) {
		if (!tunnel->keys[i])
			rc = 0;
		else if ((tunnel->keys[i]->openvpn.first & 7u) == add->openvpn.key_id)
			return -EEXIST;
	}
	return rc;
}

void dp_ovpn_begin_in(struct dp_sa_in *sa, const struct ipc_sa_add *add)
{
	uint32_t first = first_be(add);

	memcpy(&sa->openvpn.first, &first, 1);
	sa->openvpn.shape = shape_of(add);
	sa->openvpn.framing = add->openvpn.framing;
	sa->openvpn.flags = add->openvpn.flags;
	if (is_aead(add->algorithm) && !is_epoch(add))
		memcpy(sa->openvpn.iv, add->key + sa->suite.key_bytes, IMPLICIT_IV);
}

void dp_ovpn_begin_out(struct dp_sa_out *sa, const struct ipc_sa_add *add)
{
	sa->openvpn.first_be = first_be(add);
	sa->openvpn.shape = shape_of(add);
	sa->openvpn.framing = add->openvpn.framing;
	sa->openvpn.ping_s = add->openvpn.ping_s;
	if (is_aead(add->algorithm) && !is_epoch(add))
		memcpy(sa->openvpn.iv, add->key + sa->suite.key_bytes, IMPLICIT_IV);
	sa->openvpn.volume_mark = DP_OVPN_VOLUME_MAX / 2;
	sa->mark = DP_OVPN_SEQUENCE_MARK;
	if (is_epoch(add)) { /* the volume ends an epoch, and 2^16 of them the key */
		sa->limit = sa->mark = UINT64_MAX;
		sa->sequence = (uint64_t)sa->epoch.number << DP_OVPN_COUNTER_BITS;
	}
}

void dp_ovpn_link(struct dp_tunnel *tunnel, struct dp_sa_in *sa)
{
	for (unsigned i = 0; i < DP_TUNNEL_KEYS; i++) {
		if (!tunnel->keys[i]) {
			tunnel->keys[i] = sa;
			return;
		}
	}
}

void dp_ovpn_unlink(struct dp_tunnel *tunnel, const struct dp_sa_in *sa)
{
	for (unsigned i = 0; i < DP_TUNNEL_KEYS; i++) {
		if (tunnel->keys[i] == sa)
			tunnel->keys[i] = NULL;
	}
}

uint16_t dp_ovpn_inner_mtu(const struct dp_sa_out *sa, uint16_t link_mtu)
{
	unsigned around = sa->outer_bytes + sa->suite.text_at + sa->suite.tail_bytes, room;

	if (link_mtu <= around)
		return 0;
	room = link_mtu - around;
	if (sa->openvpn.shape == DP_OVPN_CBC) {
		room &= ~(sa->suite.block_bytes - 1u);
		if (room < NUMBER + 1)
			return 0;
		room -= NUMBER + 1; /* of the padding at least one byte */
	}
	if (sa->openvpn.framing == IPC_OPENVPN_FRAMING_LZO_NO ||
	    sa->openvpn.framing == IPC_OPENVPN_FRAMING_STUB)
		room -= room > 0;
	return room < DP_IPV4_HEADER ? 0 : (uint16_t)room;
}
