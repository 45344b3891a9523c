/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IPv4 addresses of DNS names, looked up on a thread of its own: getaddrinfo() may take half a
 * minute.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* ADDRESS_BE is valid with ERROR NULL; otherwise ERROR says in words what failed. Runs on the
 * look-up's thread, or on the caller's if there was nothing to look up. */
typedef void (*cp_resolved_fn)(void *context, size_t tag, uint32_t address_be, const char *error);

/* Looks NAME up; an address as text is its own answer. Of several addresses DONE gets the first one
 * of the answer, or, with AFTER_BE (not 0), the next higher one than that, after the highest the
 * lowest: whoever names the last one gets each in turn. DONE is called once in any case. */
void cp_resolve(const char *name, uint32_t after_be, size_t tag, cp_resolved_fn done,
                void *context);
