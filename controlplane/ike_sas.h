/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SAs that the dataplane acknowledged: which ones are alive, nothing more, and never a key.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "common/ipc_proto.h"

struct cp_ike_sa;

struct cp_ike_sas {
	pthread_mutex_t lock;
	struct cp_ike_sa *list;
};

void cp_ike_sas_init(struct cp_ike_sas *sas);
void cp_ike_sas_fini(struct cp_ike_sas *sas);

/* Any thread. An SA is known by SPI and destination. Returns 0 or -ENOMEM. */
int cp_ike_sas_add(struct cp_ike_sas *sas, const struct ipc_sa_id *id);
bool cp_ike_sas_has(struct cp_ike_sas *sas, const struct ipc_sa_id *id);
void cp_ike_sas_del(struct cp_ike_sas *sas, const struct ipc_sa_id *id);
