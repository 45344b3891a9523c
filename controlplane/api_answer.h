/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The API's answers: from a request's line to the reply's line.
 */
#pragma once

#include <stddef.h>

#include "controlplane/api.h"

/* The reply to LENGTH bytes (a line without its newline), with its newline; always a JSON object.
 * The caller frees it; NULL: no memory. May wait for the dataplane as long as cp_dp_call() does. */
char *cp_api_answer(const struct cp_api_context *context, const char *line, size_t length);
