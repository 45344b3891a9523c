/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nothing is ever compressed here; a server that does it all the same is understood if it is LZ4.
 */
#include "dataplane/ovpn_framing.h"

#include "dataplane/sa.h"
#include "dataplane/worker.h"

#include <lz4.h>

#define LZO_NOT 0xfau
#define LZO_DATA 0x66u
#define STUB_NOT 0xfbu /* the payload's first byte comes last */
#define STUB_LZ4 0x69u
#define V2_ESCAPE 0x50u
enum { V2_NOT = 0, V2_LZ4 = 1, V2_SNAPPY = 2 };

const uint8_t dp_ovpn_ping_payload[DP_OVPN_PING_BYTES] = { 0x2a, 0x18, 0x7b, 0xf3, 0x64, 0x1e,
	                                                   0xb4, 0xcb, 0x07, 0xed, 0x2d, 0x0a,
	                                                   0x98, 0x1f, 0xc7, 0x48 };
#define OCC_MAGIC 16u
#define OCC_EXIT 6
const uint8_t dp_ovpn_exit_payload[DP_OVPN_EXIT_BYTES] = { 0x28, 0x7f, 0x34, 0x6b, 0xd4,    0xef,
	                                                   0x7a, 0x81, 0x2d, 0x56, 0xb8,    0xd3,
	                                                   0xaf, 0xc5, 0x45, 0x9c, OCC_EXIT };

enum dp_ovpn_message dp_ovpn_message(const uint8_t *payload, unsigned length)
{
	if (length == DP_OVPN_PING_BYTES && memcmp(payload, dp_ovpn_ping_payload, length) == 0)
		return DP_OVPN_MESSAGE_PING;
	if (length <= OCC_MAGIC || memcmp(payload, dp_ovpn_exit_payload, OCC_MAGIC) != 0)
		return DP_OVPN_MESSAGE_NONE;
	return payload[OCC_MAGIC] == OCC_EXIT ? DP_OVPN_MESSAGE_EXIT : DP_OVPN_MESSAGE_OCC;
}

/* Into a buffer of its own: what it grows to is not known before. */
static enum dp_verdict decompress(struct dp_worker *w, struct dp_pkt *p, const struct dp_sa_in *sa,
                                  uint8_t **payload, unsigned *length)
{
	struct rte_mbuf *m;
	uint8_t *to;
	int room, n;

	if (!(sa->openvpn.flags & IPC_OPENVPN_LZ4))
		return DP_OVPN_COMPRESSED;
	m = rte_pktmbuf_alloc(w->mbufs);
	if (!m)
		return DP_NO_MBUF;
	to = rte_pktmbuf_mtod(m, uint8_t *);
	room = rte_pktmbuf_tailroom(m);
	n = LZ4_decompress_safe((const char *)*payload, (char *)to, (int)*length, room);
	if (n <= 0) {
		rte_pktmbuf_free(m);
		return DP_OVPN_COMPRESSED;
	}
	to[-1] = p->l3[1]; /* the outer header's congestion mark, all that is read of it later */
	m->port = p->m->port;
	rte_pktmbuf_free(p->m);
	p->m = m;
	p->l3 = to - 2;
	*payload = to;
	*length = (unsigned)n;
	w->count->ovpn_decompressed++;
	return DP_OK;
}

/* The last byte belongs to the front. */
static void swap_back(uint8_t *payload, unsigned *length)
{
	payload[0] = payload[--*length];
}

static enum dp_verdict unframe_lzo(uint8_t **payload, unsigned *length)
{
	uint8_t first = **payload;

	++*payload;
	--*length;
	if (first == LZO_NOT)
		return DP_OK;
	return first == LZO_DATA ? DP_OVPN_COMPRESSED : DP_OVPN_FRAMING;
}

static enum dp_verdict unframe_stub(struct dp_worker *w, struct dp_pkt *p,
                                    const struct dp_sa_in *sa, uint8_t **payload, unsigned *length)
{
	uint8_t first = **payload;

	if (*length < 2)
		return DP_OVPN_FRAMING;
	swap_back(*payload, length);
	if (first == STUB_NOT)
		return DP_OK;
	if (first == STUB_LZ4)
		return decompress(w, p, sa, payload, length);
	return first == LZO_DATA ? DP_OVPN_COMPRESSED : DP_OVPN_FRAMING;
}

static enum dp_verdict unframe_stub_v2(struct dp_worker *w, struct dp_pkt *p,
                                       const struct dp_sa_in *sa, uint8_t **payload,
                                       unsigned *length)
{
	unsigned kind;

	if (**payload != V2_ESCAPE)
		return DP_OK;
	if (*length < 3)
		return DP_OVPN_FRAMING;
	kind = (*payload)[1];
	*payload += 2;
	*length -= 2;
	switch (kind) {
	case V2_NOT:
		return DP_OK;
	case V2_LZ4:
		return decompress(w, p, sa, payload, length);
	case V2_SNAPPY:
		return DP_OVPN_COMPRESSED;
	default:
		return DP_OVPN_FRAMING;
	}
}

enum dp_verdict dp_ovpn_unframe(struct dp_worker *w, struct dp_pkt *p, const struct dp_sa_in *sa,
                                uint8_t **payload, unsigned *length)
{
	if (*length == 0)
		return DP_OVPN_FRAMING;
	switch (sa->openvpn.framing) {
	case IPC_OPENVPN_FRAMING_LZO_NO:
		return unframe_lzo(payload, length);
	case IPC_OPENVPN_FRAMING_STUB:
		return unframe_stub(w, p, sa, payload, length);
	case IPC_OPENVPN_FRAMING_STUB_V2:
		return unframe_stub_v2(w, p, sa, payload, length);
	default:
		return DP_OK;
	}
}
