/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A dataplane for the tests of OpenVPN's logins and keys: it takes SAs and keepsakes as the real
 * one does, and one tunnel's two inbound keys.
 */
#pragma once

#include "tests/unit/common/unit.h"

#include "controlplane/dp_client.h"

struct fake_dataplane {
	struct ipc_sa_info sas[16];
	struct ipc_sa_add adds[16]; /* as they came */
	size_t count;
	uint32_t spis;    /* allocated so far */
	int add_status;   /* of the next SA_ADD, once; 0: as the real one */
	uint64_t now_ns;  /* when SAs are added */
	unsigned deletes; /* SA_DEL */
	struct ipc_keepsake keepsake;
	unsigned saves; /* KEEPSAKE_SET */
	struct ipc_punt punt;
	unsigned datagrams;
	unsigned flows; /* open */
};
extern struct fake_dataplane fake;

/* The SA with that SPI; NULL: none. */
struct ipc_sa_info *fake_find(uint32_t spi_be, enum ipc_direction direction);

/* How many there are of one direction. */
size_t fake_count(enum ipc_direction direction);

/* A packet under this key, from there. */
void fake_hear(uint32_t spi_be, uint32_t remote_be, uint16_t remote_port_be);
