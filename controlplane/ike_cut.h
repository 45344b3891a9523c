/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An IKE_SA that is rekeyed while a CHILD_SA is.
 *
 * RFC 7296 section 2.25.2 has the second request refused. libcharon 5.9.8 does not, on either side,
 * where both ends rekey one CHILD_SA at once: to whom has answered the other one's request, it is
 * rekeyed already. The exchange that is still open is lost with the old IKE_SA, and with it who
 * deletes which CHILD_SA: one of them is left that neither side rekeys nor deletes, or that only
 * one side has.
 */
#pragma once

#include <stdbool.h>

#include <sa/ike_sa.h>

/* To be called when NEW has taken over from OLD. Whether an exchange about a CHILD_SA, ours or the
 * server's, was cut short; what of it is ours is given up, so that a late answer changes nothing.
 * The thread that has checked both out. */
bool cp_ike_cut_short(ike_sa_t *old, ike_sa_t *new);
