/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The text of a profile or of another file that may hold a secret, on pages that are wiped, and its
 * lines as OpenVPN reads them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CP_OVPN_TEXT_MAX (256u << 10)
#define CP_OVPN_LINE_MAX 1024u /* bytes of a line's words */
#define CP_OVPN_WORDS_MAX 16u

struct cp_ovpn_text {
	char *bytes; /* NUL behind the last one; NULL: not read */
	size_t length;
	size_t mapped;
	bool is_private; /* its mode is that of a secret */
};

/* Reads the file behind PATH. Returns 0; -EFBIG; -ENODATA: it is empty; -EILSEQ: it has a NUL byte;
 * -EINVAL, -EISDIR: not a regular file; or what open and read say. */
int cp_ovpn_text_read(struct cp_ovpn_text *text, const char *path);

/* Wipes and frees; an empty (zero) one is allowed. */
void cp_ovpn_text_wipe(struct cp_ovpn_text *text);

/* A place in a text that is being read. */
struct cp_ovpn_lines {
	const char *at;
	const char *end;
	unsigned number; /* of the line at `at` */
};

/* One directive: words, or a block "<ca> ... </ca>". Wipe it where the text has secrets. */
struct cp_ovpn_line {
	unsigned number;
	unsigned count; /* of words; 1 with a block: its name without brackets */
	char *words[CP_OVPN_WORDS_MAX + 1]; /* NULL behind the last one; in room[] */
	const char *block; /* the lines between the brackets, in the text; NULL: none */
	size_t block_length;
	unsigned block_number; /* of its first line */
	char room[CP_OVPN_LINE_MAX];
};

/* Begins with LENGTH bytes that are line NUMBER and following. */
void cp_ovpn_lines_begin(struct cp_ovpn_lines *lines, const char *text, size_t length,
                         unsigned number);

/* Takes the next directive; empty lines and comments are none. Returns 1; 0 at the end; -EINVAL
 * with *FAULT in words: that line is skipped. */
int cp_ovpn_lines_next(struct cp_ovpn_lines *lines, struct cp_ovpn_line *line, const char **fault);

/* Splits LENGTH bytes into words: blanks between them, "..." and '...' and a backslash before a
 * quote, a blank or a backslash, a comment behind '#' or ';'. The same returns. */
int cp_ovpn_split(struct cp_ovpn_line *line, const char *text, size_t length, const char **fault);

/* The block NAME of a profile: its inside; NULL: there is none. */
const char *cp_ovpn_block(const struct cp_ovpn_text *text, const char *name, size_t *length);

/* Decodes base64, blanks apart. Returns how many of MAX bytes it is; 0: it is not base64, or more.
 */
size_t cp_ovpn_base64(const char *text, size_t length, uint8_t *bytes, size_t max);
