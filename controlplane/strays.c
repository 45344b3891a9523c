/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SAs of ours in the dataplane that no login of ours knows: the connection ended before the
 * acknowledgement of their addition, or before their removal.
 */
#include "controlplane/strays.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

struct search {
	uint64_t epoch;
	uint64_t before_ns;
	bool (*is_known)(void *context, const struct ipc_sa_id *id);
	void *context;
	struct ipc_sa_info *found; /* the list must be at its end before SAs may be removed */
	size_t count;
	int error;
};

static bool is_stray(const struct search *search, const struct ipc_sa_info *info)
{
	const uint64_t grace_ns = info->flags & IPC_SA_EARLY ? CP_STRAYS_EARLY_NS : 0;

	return info->control_epoch == search->epoch &&
	       info->added_ns + grace_ns < search->before_ns &&
	       !search->is_known(search->context, &info->id);
}

static void look_at(void *context, const void *entry)
{
	const struct ipc_sa_info *info = entry;
	struct search *search = context;
	struct ipc_sa_info *longer;

	if (search->error || !is_stray(search, info))
		return;
	longer = realloc(search->found, (search->count + 1) * sizeof(*longer));
	if (!longer) {
		search->error = -ENOMEM;
		return;
	}
	search->found = longer;
	longer[search->count++] = *info;
}

int cp_strays_remove(struct cp_dp *dp, uint64_t epoch, uint64_t before_ns,
                     bool (*is_known)(void *context, const struct ipc_sa_id *id), void *context)
{
	struct search search = {
		.epoch = epoch, .before_ns = before_ns, .is_known = is_known, .context = context
	};
	int rc = cp_dp_list(dp, IPC_SA_LIST, sizeof(struct ipc_sa_info), look_at, &search);

	if (rc == 0)
		rc = search.error;
	for (size_t i = 0; i < search.count; i++) {
		const struct ipc_sa_info *stray = &search.found[i];
		int status = cp_dp_call(dp, IPC_SA_DEL, &stray->id, sizeof(stray->id), NULL, 0);

		if (status != 0 && status != -ENOENT && rc == 0)
			rc = status;
		sp_log(SP_LOG_WARN,
		       "supervisor: removed an SA that nobody knows environment=%s server=%s spi=%08x result=%s",
		       stray->tunnel.environment, stray->tunnel.server, ntohl(stray->id.spi_be),
		       strerror(-status));
	}
	free(search.found);
	return rc != 0 ? rc : (int)search.count;
}
