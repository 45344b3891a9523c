/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests of the operators' API: from the bytes of a line to a checked request.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/ipc_proto.h"

#define CP_API_REQUEST_MAX 4096u /* bytes of a request's line */
#define CP_API_PAGE_MAX 1000u    /* most entries in one reply, and the default */
#define CP_API_ERROR_LEN 256u

enum cp_api_command {
	CP_API_STATUS = 1,
	CP_API_TUNNELS = 2,
	CP_API_FORWARDS = 3,
	CP_API_SESSIONS = 4,
	CP_API_VERSION = 5,
	CP_API_UPGRADE = 6,
	CP_API_MOVE = 7,
	CP_API_EGRESS = 8,
	CP_API_DIFF = 10,
	CP_API_RELOAD = 11,
	CP_API_ROLLBACK = 12,
	CP_API_RECONNECT = 13,
	CP_API_DRAIN = 14,
	CP_API_UNDRAIN = 15,
	CP_API_HEALTH = 16,
	CP_API_COMMAND_LAST = CP_API_HEALTH,
};

struct cp_api_request {
	enum cp_api_command command;
	char environment[IPC_NAME_LEN]; /* empty: all */
	char server[IPC_NAME_LEN];      /* empty: none named */
	uint32_t limit;                 /* 1 to CP_API_PAGE_MAX */
	uint64_t cursor;                /* 0: from the start */
};

/*
 * Checks LENGTH bytes, a line without its newline: an object with "command" and, where the command
 * has any, "arguments" ("environment", "server", "limit", "cursor"); nothing else is allowed in it.
 * On -EINVAL, ERROR says in words what is wrong; -ENOMEM likewise. Pure; fuzzed.
 */
int cp_api_request_parse(const char *bytes, size_t length, struct cp_api_request *request,
                         char error[CP_API_ERROR_LEN]);
