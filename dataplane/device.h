/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * EAL's arguments, derived from the configuration: cores, memory, and the devices that the ports
 * are.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/ipc_proto.h"

#define DP_EAL_ARGUMENTS_MAX 32
#define DP_WHY_SIZE 256

struct dp_eal {
	int argc;
	char *argv[DP_EAL_ARGUMENTS_MAX]; /* owned */
	bool has_hugepages;
	uint16_t workers;
	char names[2][IPC_DEVICE_LEN]; /* the ports' DPDK device names, by enum dp_port_id; empty:
	                                  found by MAC address */
	uint8_t macs[2][6];            /* of "mac:" devices */
};

/* Fills EAL from NODE. Returns 0, or -EINVAL with WHY in words. */
int dp_eal_prepare(struct dp_eal *eal, const struct ipc_node *node, const char *instance,
                   char why[DP_WHY_SIZE]);

/* Memory that the node's tables and buffers need, megabytes. */
uint32_t dp_eal_memory_mb(const struct ipc_node *node, uint16_t workers);

/* Bytes of packet data per mbuf, headroom included, and mbufs in the pool. */
uint16_t dp_eal_mbuf_room(const struct ipc_node *node);
uint32_t dp_eal_mbuf_count(const struct ipc_node *node, uint16_t workers);

void dp_eal_fini(struct dp_eal *eal);
