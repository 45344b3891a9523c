/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The text of a profile or of another file that may hold a secret, on pages that are wiped, and its
 * lines as OpenVPN reads them.
 */
#include "controlplane/ovpn_text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/secret.h"

/* ---- the file ---- */

static int map_pages(struct cp_ovpn_text *text, size_t size)
{
	void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		return -ENOMEM;
	text->bytes = pages;
	text->mapped = size;
	if (madvise(pages, size, MADV_DONTDUMP) != 0)
		return -errno;
	/* RLIMIT_MEMLOCK may forbid it; see common/secret.c */
	(void)mlock(pages, size);
	return 0;
}

/* One byte more than the file should have, so that one that grows is noticed. */
static int read_all(int fd, struct cp_ovpn_text *text)
{
	while (text->length < text->mapped) {
		ssize_t n = read(fd, text->bytes + text->length, text->mapped - text->length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		text->length += (size_t)n;
	}
	if (text->length == text->mapped)
		return -EFBIG;
	if (text->length == 0)
		return -ENODATA;
	return memchr(text->bytes, 0, text->length) ? -EILSEQ : 0;
}

static int read_regular(int fd, struct cp_ovpn_text *text)
{
	struct stat st;
	int rc;

	if (fstat(fd, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	if (st.st_size > CP_OVPN_TEXT_MAX)
		return -EFBIG;
	text->is_private = sp_secret_is_mode(st.st_mode);
	rc = map_pages(text, (size_t)st.st_size + 1);
	return rc == 0 ? read_all(fd, text) : rc;
}

int cp_ovpn_text_read(struct cp_ovpn_text *text, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), rc;

	*text = (struct cp_ovpn_text){ 0 };
	if (fd < 0)
		return -errno;
	rc = read_regular(fd, text);
	close(fd);
	if (rc != 0)
		cp_ovpn_text_wipe(text);
	return rc;
}

void cp_ovpn_text_wipe(struct cp_ovpn_text *text)
{
	if (text->bytes) {
		sp_wipe(text->bytes, text->mapped);
		munmap(text->bytes, text->mapped);
	}
	*text = (struct cp_ovpn_text){ 0 };
}

/* ---- words ---- */

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

struct splitter {
	struct cp_ovpn_line *line;
	const char *at;
	const char *end;
	size_t used; /* of line->room */
};

/* Appends a character to the word; false: no room. */
static bool put(struct splitter *splitter, char c)
{
	if (splitter->used == CP_OVPN_LINE_MAX)
		return false;
	splitter->line->room[splitter->used++] = c;
	return true;
}

/* One word, which begins here: in quotes or up to a blank. Returns what is wrong, or NULL. */
static const char *split_word(struct splitter *splitter)
{
	const char quote = *splitter->at == '"' || *splitter->at == '\'' ? *splitter->at : 0;

	splitter->at += quote != 0;
	for (;; splitter->at++) {
		if (splitter->at == splitter->end)
			return quote ? "has a quote that does not end" : NULL;
		if (quote ? *splitter->at == quote : is_blank(*splitter->at)) {
			splitter->at++;
			return NULL;
		}
		if (*splitter->at == '\\' && quote != '\'') {
			if (++splitter->at == splitter->end)
				return "ends in a backslash";
			if (*splitter->at != '\\' && *splitter->at != '"' &&
			    !is_blank(*splitter->at))
				return "has a backslash that is neither before a quote, nor a blank, nor a backslash: write two of them";
		}
		if (!put(splitter, *splitter->at))
			return "is too long";
	}
}

int cp_ovpn_split(struct cp_ovpn_line *line, const char *text, size_t length, const char **fault)
{
	struct splitter splitter = { .line = line, .at = text, .end = text + length };

	line->count = 0;
	line->block = NULL;
	line->words[0] = NULL;
	for (;;) {
		while (splitter.at < splitter.end && is_blank(*splitter.at))
			splitter.at++;
		if (splitter.at == splitter.end || *splitter.at == '#' || *splitter.at == ';')
			return line->count > 0;
		*fault = line->count == CP_OVPN_WORDS_MAX ? "has too many words" : NULL;
		if (*fault)
			return -EINVAL;
		line->words[line->count] = line->room + splitter.used;
		*fault = split_word(&splitter);
		if (!*fault && !put(&splitter, 0))
			*fault = "is too long";
		if (*fault)
			return -EINVAL;
		line->words[++line->count] = NULL;
	}
}

/* ---- lines ---- */

void cp_ovpn_lines_begin(struct cp_ovpn_lines *lines, const char *text, size_t length,
                         unsigned number)
{
	/* a byte order mark, as editors of other systems leave it */
	const size_t mark =
		number == 1 && length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;

	*lines =
		(struct cp_ovpn_lines){ .at = text + mark, .end = text + length, .number = number };
}

/* The line here, without its end, and goes behind it. */
static size_t take_line(struct cp_ovpn_lines *lines, const char **start)
{
	const char *newline = memchr(lines->at, '\n', (size_t)(lines->end - lines->at));
	const char *stop = newline ? newline : lines->end;

	*start = lines->at;
	lines->at = newline ? newline + 1 : lines->end;
	lines->number++;
	return (size_t)(stop - *start);
}

/* "<ca>" alone in its line; then its name is the line's word. */
static bool is_block(struct cp_ovpn_line *line)
{
	char *word = line->words[0];
	const size_t length = strlen(word);

	if (line->count != 1 || length < 3 || word[0] != '<' || word[1] == '/' ||
	    word[length - 1] != '>')
		return false;
	word[length - 1] = 0;
	line->words[0] = word + 1;
	return true;
}

static bool ends_block(const char *start, size_t length, const char *name)
{
	const size_t name_length = strlen(name);

	while (length && is_blank(*start)) {
		start++;
		length--;
	}
	return length >= name_length + 3 && start[0] == '<' && start[1] == '/' &&
	       memcmp(start + 2, name, name_length) == 0 && start[name_length + 2] == '>';
}

static int take_block(struct cp_ovpn_lines *lines, struct cp_ovpn_line *line, const char **fault)
{
	const char *start;
	size_t length;

	line->block = lines->at;
	line->block_number = lines->number;
	while (lines->at < lines->end) {
		length = take_line(lines, &start);
		if (ends_block(start, length, line->words[0])) {
			line->block_length = (size_t)(start - line->block);
			return 1;
		}
	}
	*fault = "is a block that does not end";
	return -EINVAL;
}

int cp_ovpn_lines_next(struct cp_ovpn_lines *lines, struct cp_ovpn_line *line, const char **fault)
{
	while (lines->at < lines->end) {
		const char *start;
		size_t length;
		int rc;

		line->number = lines->number;
		length = take_line(lines, &start);
		rc = cp_ovpn_split(line, start, length, fault);
		if (rc < 0)
			return rc;
		if (rc == 0)
			continue;
		if (is_block(line))
			return take_block(lines, line, fault);
		if (strncmp(line->words[0], "--", 2) == 0 && line->words[0][2])
			line->words[0] += 2;
		return 1;
	}
	return 0;
}

const char *cp_ovpn_block(const struct cp_ovpn_text *text, const char *name, size_t *length)
{
	const char *fault, *found = NULL;
	struct cp_ovpn_lines lines;
	struct cp_ovpn_line line;
	int rc;

	cp_ovpn_lines_begin(&lines, text->bytes, text->length, 1);
	while (!found && (rc = cp_ovpn_lines_next(&lines, &line, &fault)) != 0) {
		if (rc > 0 && line.block && strcmp(line.words[0], name) == 0) {
			found = line.block;
			*length = line.block_length;
		}
	}
	sp_wipe(&line, sizeof(line));
	return found;
}

/* -1: not a digit of base64. */
static int sextet_of(char c)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *found = c ? strchr(alphabet, c) : NULL;

	return found ? (int)(found - alphabet) : -1;
}

size_t cp_ovpn_base64(const char *text, size_t length, uint8_t *bytes, size_t max)
{
	size_t sextets = 0, count = 0, padding = 0;
	uint32_t bits = 0;

	for (size_t i = 0; i < length; i++) {
		const int sextet = sextet_of(text[i]);

		if (is_blank(text[i]))
			continue;
		padding += text[i] == '=';
		if (text[i] == '=')
			continue;
		if (sextet < 0 || padding)
			return 0;
		bits = bits << 6 | (uint32_t)sextet;
		if (++sextets % 4 == 1)
			continue;
		if (count == max)
			return 0;
		bytes[count++] = (uint8_t)(bits >> (6 - 2 * ((sextets - 1) % 4)));
	}
	return (sextets + padding) % 4 == 0 && padding < 3 ? count : 0;
}
