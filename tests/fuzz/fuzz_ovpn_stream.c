/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as what comes out of a TCP connection of OpenVPN: whole packets, one behind the other,
 * whatever pieces they come in.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/ovpn_stream.h"
#include "tests/fuzz/fuzz.h"

static void require(int condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t at = 0;
	int length;

	while ((length = cp_ovpn_deframe(data + at, size - at)) > 0) {
		require((unsigned)length <= CP_OVPN_STREAM_PACKET_MAX);
		require(2 + (size_t)length <= size - at);
		/* a byte less is not enough, and more changes nothing */
		require(cp_ovpn_deframe(data + at, 2 + (size_t)length - 1) == 0);
		require(cp_ovpn_deframe(data + at, 2 + (size_t)length) == length);
		at += 2 + (size_t)length;
	}
	require(length == 0 || length == -EPROTO);
	return 0;
}
