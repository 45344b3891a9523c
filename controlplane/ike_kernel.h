/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What libcharon takes for the kernel: SAs go to the dataplane, addresses and routes are none of
 * ours.
 */
#pragma once

#include <stdbool.h>

#include "controlplane/ike_tunnels.h"

/* Called while libcharon loads its features, and when it unloads them. IKE outlives both. Return 0
 * or -errno. */
int cp_ike_kernel_attach(struct cp_ike *ike);
void cp_ike_kernel_detach(void);
int cp_ike_net_attach(struct cp_ike *ike);
void cp_ike_net_detach(void);

/* Whether libcharon has this SA: the dataplane acknowledged its addition, and it was not removed
 * since. Any thread. */
bool cp_ike_kernel_has(const struct ipc_sa_id *id);

/* Has the CHILD_SA that owns this SA rekeyed, as if its lifetime were about to end. Any thread;
 * does not block. */
void cp_ike_kernel_rekey(uint32_t spi_be, uint32_t destination_be);
