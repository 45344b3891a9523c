/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SAs that the dataplane acknowledged: which ones are alive, nothing more, and never a key.
 */
#include "controlplane/ike_sas.h"

#include <errno.h>
#include <stdlib.h>

struct cp_ike_sa {
	struct ipc_sa_id id;
	size_t tunnel;
	uint64_t added_s;
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

int cp_ike_sas_add(struct cp_ike_sas *sas, const struct ipc_sa_id *id, size_t tunnel,
                   uint64_t now_s)
{
	struct cp_ike_sa *sa = malloc(sizeof(*sa));

	if (!sa)
		return -ENOMEM;
	*sa = (struct cp_ike_sa){ .id = *id, .tunnel = tunnel, .added_s = now_s };
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

bool cp_ike_sas_is_just_succeeded(struct cp_ike_sas *sas, const struct ipc_sa_id *id,
                                  uint64_t now_s, uint64_t grace_s)
{
	const struct cp_ike_sa *sa, *other;
	bool is_just_succeeded;

	pthread_mutex_lock(&sas->lock);
	sa = *find(sas, id);
	/* the newest ones come first */
	for (other = sa ? sas->list : NULL; other && other != sa; other = other->next) {
		if (other->tunnel == sa->tunnel && other->id.direction == IPC_IN)
			break;
	}
	is_just_succeeded =
		sa && id->direction == IPC_IN && other != sa && now_s - other->added_s < grace_s;
	pthread_mutex_unlock(&sas->lock);
	return is_just_succeeded;
}
