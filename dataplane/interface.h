/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel counts of an interface that a device stands on. */
#pragma once

#include <stdint.h>

/* How many frames the interface of INDEX (rtnetlink(7)) received and dropped, since it is there.
 * For AF_XDP those are the ones for which its rings had no room. 0 or -errno. Any thread. */
int dp_interface_rx_dropped(uint32_t index, uint64_t *dropped);
