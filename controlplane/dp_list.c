/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lists of the dataplane that come in parts.
 */
#include "controlplane/dp_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Hands out the entries of one part of a list, cut or zero filled to our ENTRY_SIZE. */
static int each_entry(const struct ipc_list *list, size_t length, size_t entry_size,
                      void (*each)(void *, const void *), void *context)
{
	_Alignas(8) uint8_t entry[1024] = { 0 };
	const uint8_t *from = (const uint8_t *)(list + 1);
	size_t copied = list->entry_size < entry_size ? list->entry_size : entry_size;

	if (length < sizeof(*list) || entry_size > sizeof(entry) ||
	    (list->count > 0 && (length - sizeof(*list)) / list->count < list->entry_size))
		return -EBADMSG;
	for (uint32_t i = 0; i < list->count; i++) {
		memcpy(entry, from + (size_t)i * list->entry_size, copied);
		each(context, entry);
	}
	return 0;
}

int cp_dp_list(struct cp_dp *client, uint16_t type, size_t entry_size,
               void (*each)(void *context, const void *entry), void *context)
{
	struct ipc_cursor cursor = { 0 };
	struct ipc_list *list = malloc(IPC_MSG_MAX);
	int rc = list ? 0 : -ENOMEM;

	while (rc == 0) {
		size_t length;

		rc = cp_dp_exchange(client, type, &cursor, sizeof(cursor), list, IPC_MSG_MAX,
		                    &length);
		if (rc == 0)
			rc = each_entry(list, length, entry_size, each, context);
		if (rc == 0 && list->next == 0)
			break;
		cursor.cursor = list->next;
	}
	free(list);
	return rc;
}
