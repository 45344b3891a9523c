/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a tunnel does, in words; shared by `status` and `tunnels`.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* "waiting: password refused by the server; next attempt in 5 s (3 so far)". TUNNEL is the API's
 * object of one that is not up. Not cleaned. */
void cli_tunnel_explain(const json_t *tunnel, char *buffer, size_t size);

/* Whether it is up, but nobody answers through it. */
bool cli_tunnel_is_dead(const json_t *tunnel);
