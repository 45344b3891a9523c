/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory that holds keys and passwords: locked, left out of core dumps, wiped.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SP_SECRET_MAX 16384u /* a private key of 8192 bits in PEM fits in */

struct sp_secret {
	size_t length; /* bytes of data[] in use */
	uint8_t data[SP_SECRET_MAX];
};

/* Allocates an empty secret on pages of its own (locked where allowed, never dumped). NULL: no
 * memory. */
struct sp_secret *sp_secret_create(void);

/* Wipes and frees; NULL is allowed. */
void sp_secret_destroy(struct sp_secret *secret);

/* Reads the file behind PATH (symbolic links are followed); one trailing newline is dropped.
 * -EACCES: readable or writable by others (modes 0400, 0440, 0600 and 0640 without the write bit of
 * the group are the ones allowed); -EFBIG; -ENODATA: empty; or what open and read say. */
int sp_secret_read_file(struct sp_secret *secret, const char *path);

/* Whether the file can be read as a secret, without keeping it: the same errors. For `sallyport
 * check`. */
int sp_secret_check_file(const char *path);

/* Whether a file with this mode may hold a secret. */
bool sp_secret_is_mode(mode_t mode);

/* Compares LENGTH bytes in constant time; non-zero if equal. */
int sp_secret_equal(const void *a, const void *b, size_t length);

/* Overwrites memory in a way the compiler keeps. */
void sp_wipe(void *memory, size_t length);

/* No core dumps for this process (prctl and RLIMIT_CORE). Returns 0 or -errno. */
int sp_secret_process_init(void);
