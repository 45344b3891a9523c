/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ports of closed connections for new ones, where an endpoint has no other left.
 *
 * A session keeps its port for DP_TIMEOUT_TIME_WAIT_S behind both FINs. That is long where many
 * short connections go to one target: so once its ports have run out, a new connection may take the
 * place of one that is over, if (1) its initial sequence number is behind all that the old one has
 * sent: what a target in TIME-WAIT accepts (RFC 1122 section 4.2.2.13, RFC 6191 section 2), and
 * what keeps late segments of the old one out of the new one's window; (2) nothing was heard of the
 * old one for as long as its target may be in TIME-WAIT. The target is not, where its FIN
 * acknowledged the client's: a short silence shows that it got the last acknowledgement. Else it is
 * for 60 s on common stacks, and as it may insist on timestamps (RFC 6191 section 2), which two
 * clients do not share, the sequence number alone is not relied on before.
 */
#pragma once

#include <stdint.h>

#include "dataplane/portpool.h"

#define DP_RECLAIM_CLIENT_CLOSED_S 10u
#define DP_RECLAIM_TARGET_CLOSED_S 60u
#define DP_RECLAIM_LOOKUPS 64u       /* ports looked at in one search */
#define DP_RECLAIM_CANDIDATES 4u     /* of which the oldest is taken */
#define DP_RECLAIM_PAUSE_NS 1000000u /* behind a search that found none: refusing stays cheap */

struct dp_worker;

/* The session towards the endpoint that a connection of ENVIRONMENT with this initial sequence
 * number may replace, or DP_FLOW_NONE: of those whose ports are in the environment's window, all of
 * which are taken. Worker only. */
uint32_t dp_nat_reclaim_find(struct dp_worker *w, const struct dp_port_endpoint *endpoint,
                             uint16_t environment, uint32_t sequence);
