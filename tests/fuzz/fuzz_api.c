/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as a request of the API: what is accepted is in range, what is refused says why in
 * plain ASCII.
 */
#include "controlplane/api_request.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int is_true)
{
	if (!is_true)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[CP_API_ERROR_LEN];
	struct cp_api_request request;

	if (cp_api_request_parse((const char *)data, size, &request, error)) {
		require(error[0] && memchr(error, '\0', sizeof(error)));
		for (const char *c = error; *c; c++)
			require(*c >= ' ' && *c <= '~');
		return 0;
	}
	require(size <= CP_API_REQUEST_MAX);
	require(request.command >= CP_API_STATUS && request.command <= CP_API_COMMAND_LAST);
	require(memchr(request.environment, '\0', sizeof(request.environment)) != NULL);
	require(memchr(request.server, '\0', sizeof(request.server)) != NULL);
	require(request.command != CP_API_RECONNECT || request.environment[0]);
	require(request.limit >= 1 && request.limit <= CP_API_PAGE_MAX);
	return 0;
}
