/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lists that the control plane gives out in pages.
 */
#pragma once

#include <jansson.h>

#include "cli/client.h"

/*
 * Asks COMMAND ("forwards", "sessions") page by page until the end or LIMIT entries. On CLI_OK
 * *LIST is an array of the caller's and *IS_WHOLE says whether there are no more; otherwise ERROR
 * says what is wrong.
 */
enum cli_exit cli_pages(const struct cli_options *options, const char *command, size_t limit,
                        json_t **list, bool *is_whole, char error[CLI_ERROR_LEN]);
