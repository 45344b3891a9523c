/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The customer's name servers: every login asks for them (RFC 7296 section 3.15), so that operators
 * see what clients of that server are given. Nothing here asks them anything.
 */
#pragma once

#include "controlplane/tunnel.h"

struct ike_sa_t;

/* From now on each IKE_AUTH asks. Returns 0 or -ENOMEM. */
int cp_ike_dns_attach(void);
void cp_ike_dns_detach(void);

/* Those that the server gave with this IKE_SA, or with the ones it followed. IKE_SA is checked out
 * by the caller. */
void cp_ike_dns_collect(struct ike_sa_t *ike_sa, struct cp_told *told);
