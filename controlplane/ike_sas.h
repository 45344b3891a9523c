/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SAs that the dataplane acknowledged: which ones are alive, nothing more, and never a key.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/ipc_proto.h"

struct cp_ike_sa;

struct cp_ike_sas {
	pthread_mutex_t lock;
	struct cp_ike_sa *list;
};

void cp_ike_sas_init(struct cp_ike_sas *sas);
void cp_ike_sas_fini(struct cp_ike_sas *sas);

/* Any thread. An SA is known by SPI and destination; TUNNEL is its tunnel's number, NOW_S any clock
 * that does not go back. Returns 0 or -ENOMEM. */
int cp_ike_sas_add(struct cp_ike_sas *sas, const struct ipc_sa_id *id, size_t tunnel,
                   uint64_t now_s);
bool cp_ike_sas_has(struct cp_ike_sas *sas, const struct ipc_sa_id *id);
void cp_ike_sas_del(struct cp_ike_sas *sas, const struct ipc_sa_id *id);

/* Whether this is an inbound SA that was succeeded by another one of its tunnel less than GRACE_S
 * ago: the server may not send on the new one yet. */
bool cp_ike_sas_is_just_succeeded(struct cp_ike_sas *sas, const struct ipc_sa_id *id,
                                  uint64_t now_s, uint64_t grace_s);
