/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One request to the control plane's API socket, and its reply.
 */
#pragma once

#include <jansson.h>

#include "cli/options.h"

#define CLI_ERROR_LEN 512u

/*
 * Asks COMMAND with ARGUMENTS (NULL for none; taken). On CLI_OK *RESULT is the reply's result,
 * owned by the caller; otherwise it is NULL and ERROR says in words what is wrong (foreign text in
 * it is cleaned).
 */
enum cli_exit cli_request(const struct cli_options *options, const char *command, json_t *arguments,
                          json_t **result, char error[CLI_ERROR_LEN]);

/* Members of a reply's object; a missing one or one of another type reads as empty, 0 or false. */
const char *cli_member_text(const json_t *object, const char *key);
uint64_t cli_member_number(const json_t *object, const char *key);
double cli_member_real(const json_t *object, const char *key);
bool cli_member_is_true(const json_t *object, const char *key);
