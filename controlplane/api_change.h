/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The API's commands that change something, or tell what would change; and how a request is
 * refused.
 */
#pragma once

#include <jansson.h>

#include "controlplane/api.h"
#include "controlplane/api_request.h"

/* Why a request has no result: CODE is for programs, TEXT for people. */
struct cp_refusal {
	const char *code;
	char text[CP_API_ERROR_LEN + CP_DP_WHY_LEN];
};

/* Fills REFUSAL; returns NULL. */
json_t *cp_api_refuse(struct cp_refusal *refusal, const char *code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The result of diff, reload, rollback, reconnect, drain and undrain; NULL: refused, or no memory.
 * Waits until it is done. */
json_t *cp_api_change(const struct cp_api_context *context, const struct cp_api_request *request,
                      struct cp_refusal *refusal);
