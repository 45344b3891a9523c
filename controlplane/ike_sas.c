/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SAs that the dataplane acknowledged: which ones are alive, nothing more, and never a key.
 */
#include "controlplane/ike_sas.h"

#include <errno.h>
#include <stdlib.h>

struct cp_ike_sa {
	struct ipc_sa_id id;
	struct cp_ike_sa *next;
};

/* With the lock held: where the SA is linked, or the end of the list. */
static struct cp_ike_sa **find(struct cp_ike_sas *sas, const struct ipc_sa_id *id)
{
	struct cp_ike_sa **at = &sas->list;

	while (*at &&
	       ((*at)->id.spi_be != id->spi_be || (*at)->id.destination_be != id->destination_be))
		at = &(*at)->next;
	return at;
}

void cp_ike_sas_init(struct cp_ike_sas *sas)
{
	pthread_mutex_init(&sas->lock, NULL);
	sas->list = NULL;
}

void cp_ike_sas_fini(struct cp_ike_sas *sas)
{
	while (sas->list) {
		struct cp_ike_sa *sa = sas->list;

		sas->list = sa->next;
		free(sa);
	}
	pthread_mutex_destroy(&sas->lock);
}

int cp_ike_sas_add(struct cp_ike_sas *sas, const struct ipc_sa_id *id)
{
	struct cp_ike_sa *sa = malloc(sizeof(*sa));

	if (!sa)
		return -ENOMEM;
	sa->id = *id;
	pthread_mutex_lock(&sas->lock);
	sa->next = sas->list;
	sas->list = sa;
	pthread_mutex_unlock(&sas->lock);
	return 0;
}

bool cp_ike_sas_has(struct cp_ike_sas *sas, const struct ipc_sa_id *id)
{
	bool is_there;

	pthread_mutex_lock(&sas->lock);
	is_there = *find(sas, id);
	pthread_mutex_unlock(&sas->lock);
	return is_there;
}

void cp_ike_sas_del(struct cp_ike_sas *sas, const struct ipc_sa_id *id)
{
	struct cp_ike_sa **at, *sa;

	pthread_mutex_lock(&sas->lock);
	at = find(sas, id);
	sa = *at;
	if (sa)
		*at = sa->next;
	pthread_mutex_unlock(&sas->lock);
	free(sa);
}
