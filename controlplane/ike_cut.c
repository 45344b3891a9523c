/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An IKE_SA that is rekeyed while a CHILD_SA is.
 */
#include "controlplane/ike_cut.h"

#include <daemon.h>

/* Whether we wait for an answer about a CHILD_SA: such a task stays with the old IKE_SA. */
static bool has_open_request(ike_sa_t *ike_sa)
{
	enumerator_t *enumerator = ike_sa->create_task_enumerator(ike_sa, TASK_QUEUE_ACTIVE);
	bool is_open = FALSE;
	task_t *task;

	while (!is_open && enumerator->enumerate(enumerator, &task)) {
		const task_type_t type = task->get_type(task);

		is_open = type == TASK_CHILD_CREATE || type == TASK_CHILD_REKEY ||
		          type == TASK_CHILD_DELETE;
	}
	enumerator->destroy(enumerator);
	return is_open;
}

/* Whether a CHILD_SA waits for the DELETE that ends its rekeying. After a normal one it does not
 * here: the server refuses to rekey the IKE_SA before it had an answer to its DELETE. */
static bool has_open_child(ike_sa_t *ike_sa)
{
	enumerator_t *enumerator = ike_sa->create_child_sa_enumerator(ike_sa);
	bool is_open = FALSE;
	child_sa_t *child_sa;

	while (!is_open && enumerator->enumerate(enumerator, &child_sa)) {
		const child_sa_state_t state = child_sa->get_state(child_sa);

		is_open = state == CHILD_REKEYING || state == CHILD_REKEYED ||
		          state == CHILD_DELETING;
	}
	enumerator->destroy(enumerator);
	return is_open;
}

bool cp_ike_cut_short(ike_sa_t *old, ike_sa_t *new)
{
	const bool is_ours = has_open_request(old);

	if (is_ours)
		old->flush_queue(old, TASK_QUEUE_ACTIVE);
	return is_ours || has_open_child(new);
}
