/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The packet's way: which stages a burst passes, in which order. Worker only; each call takes all N
 * <= DP_BURST mbufs.
 */
#pragma once

#include "dataplane/batch.h"

/* A burst as it was received on a port. */
void dp_path_received(struct dp_worker *w, enum dp_port_id port, struct rte_mbuf **m, unsigned n);

/* A burst that another worker received and handed to this one, its home. */
void dp_path_handed(struct dp_worker *w, enum dp_port_id port, struct rte_mbuf **m, unsigned n);

/* Sends what the burst was answered with, to both sides; at the end of every loop. */
void dp_path_answers(struct dp_worker *w);
