/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which forwards lead to where the server's selectors do not: in words. Pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "controlplane/config.h"

#define CP_RANGES_MAX 32u

/* One traffic selector of the server's side; host byte order, ends included. */
struct cp_range {
	uint32_t first;
	uint32_t last;
	uint16_t first_port;
	uint16_t last_port;
	uint8_t protocol; /* 0: any */
};

/* Returns how many forwards of ENVIRONMENT are in none of the ranges; if there are any, TEXT says
 * which, as many as SIZE has room for. Without one TEXT is empty. */
size_t cp_reach_check(const struct cp_environment *environment, const struct cp_range *ranges,
                      size_t count, char *text, size_t size);
