/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The active tunnel and its move counter, which belong to the dataplane (docs/contract.md). */
#include "dataplane/failover.h"

#include <errno.h>

int dp_failover_refresh(struct dp_worker *w, uint16_t environment)
{
	const struct dp_environment *e = w->generation->by_slot[environment];
	struct dp_environment_state *state = &w->environments[environment];
	uint16_t best = DP_NONE_SLOT;
	bool is_active_up = false;

	for (unsigned i = 0; e && i < e->tunnel_count; i++) {
		struct dp_tunnel *t = &w->tunnels[e->tunnels[i]];

		t->is_up = t->is_wanted && t->out && t->inner_be;
		if (!t->is_up)
			continue;
		is_active_up |= e->tunnels[i] == state->active;
		if (best == DP_NONE_SLOT)
			best = e->tunnels[i];
	}
	if (is_active_up || best == state->active)
		return 0;
	state->active = best;
	state->move_counter++;
	return 1;
}

int dp_failover_move(struct dp_worker *w, uint16_t environment, uint16_t tunnel, uint64_t expected)
{
	struct dp_environment_state *state = &w->environments[environment];

	if (state->move_counter != expected)
		return -ESTALE;
	if (!w->tunnels[tunnel].is_up)
		return -ENETDOWN;
	state->active = tunnel;
	state->move_counter++;
	return 0;
}
