/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extended sequence numbers after a loss of 2^32 packets or more: RFC 4303 appendix A3.
 *
 * The upper half of a sequence number is not on the wire. Where more was lost than the window can
 * bridge, every packet fails its integrity check. After DP_RESYNC_FAILURES of them in a row some
 * packets are tried with the next higher halves, on a copy: only one that proves authentic goes its
 * way with that half, and moves the window like any other. What a forger can make us compute so is
 * bounded for each SA, for each worker and in length.
 */
#pragma once

#include <stdint.h>

#include "dataplane/batch.h"
#include "dataplane/sa.h"

#define DP_RESYNC_FAILURES 32u /* in a row; an authentic packet begins anew */
#define DP_RESYNC_HALVES \
	8u /* tried for a packet; 2^35 packets are an hour at 10 million per second */
#define DP_RESYNC_PACKETS_PER_SECOND 4u  /* of an SA */
#define DP_RESYNC_WORKER_PER_SECOND 128u /* packets of all SAs */
#define DP_RESYNC_LENGTH_MAX 1600u       /* bytes of outer packet; longer ones are not tried */

static inline bool dp_resync_is_due(const struct dp_sa_in *sa)
{
	return sa->failures >= DP_RESYNC_FAILURES;
}

/*
 * For a packet of an SA for which it is due: the sequence number under which it is authentic, or
 * INFERRED if none was found or nothing may be tried now. The packet is not changed, nor is the
 * window. Worker only.
 */
uint64_t dp_resync(struct dp_worker *w, const struct dp_pkt *p, uint64_t inferred);
