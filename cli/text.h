/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text for people: amounts with units, and foreign text made safe for a terminal.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CLI_AMOUNT_LEN 32

/* Each fills BUFFER and returns it. "999 B", "1.2 MB" (powers of 1000). */
char *cli_bytes_format(char buffer[CLI_AMOUNT_LEN], uint64_t bytes);
/* "59 s", "3 min", "2 h 5 min", "4 d 1 h": the two largest units at most. */
char *cli_duration_format(char buffer[CLI_AMOUNT_LEN], uint64_t seconds);

/*
 * Copies TEXT so that it cannot steer a terminal: control characters (C0, DEL, C1), marks that turn
 * the direction of writing, line separators and what is not UTF-8 become \xNN. Returns the length
 * that the whole needs, as snprintf() does; BUFFER may be NULL when SIZE is 0.
 */
size_t cli_text_clean(char *buffer, size_t size, const char *text);

/* Columns that clean text takes: its code points. */
size_t cli_text_width(const char *text);
