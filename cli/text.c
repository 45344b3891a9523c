/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Amounts with units, and the filter between foreign text and the terminal.
 */
#include "cli/text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

char *cli_bytes_format(char buffer[CLI_AMOUNT_LEN], uint64_t bytes)
{
	static const char *const units[] = { "kB", "MB", "GB", "TB", "PB", "EB" };
	double amount = (double)bytes / 1000;
	unsigned unit = 0;

	if (bytes < 1000) {
		snprintf(buffer, CLI_AMOUNT_LEN, "%" PRIu64 " B", bytes);
		return buffer;
	}
	while (amount >= 999.95) { /* what would be printed as 1000.0 */
		amount /= 1000;
		unit++;
	}
	snprintf(buffer, CLI_AMOUNT_LEN, "%.1f %s", amount, units[unit]);
	return buffer;
}

char *cli_duration_format(char buffer[CLI_AMOUNT_LEN], uint64_t seconds)
{
	uint64_t minutes = seconds / 60, hours = minutes / 60, days = hours / 24;

	if (days)
		snprintf(buffer, CLI_AMOUNT_LEN, "%" PRIu64 " d %u h", days,
		         (unsigned)(hours % 24));
	else if (hours)
		snprintf(buffer, CLI_AMOUNT_LEN, "%u h %u min", (unsigned)hours,
		         (unsigned)(minutes % 60));
	else if (minutes)
		snprintf(buffer, CLI_AMOUNT_LEN, "%u min", (unsigned)minutes);
	else
		snprintf(buffer, CLI_AMOUNT_LEN, "%u s", (unsigned)seconds);
	return buffer;
}

/* Bytes of the UTF-8 sequence at TEXT, its code point in *POINT; 0: not UTF-8 (RFC 3629). */
static size_t decode(const unsigned char *text, uint32_t *point)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t length;

	if (text[0] < 0x80) {
		*point = text[0];
		return 1;
	}
	if (text[0] < 0xc2 || text[0] > 0xf4)
		return 0;
	length = text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
	*point = text[0] & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) { /* a NUL inside ends it: it is no continuation */
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		*point = *point << 6 | (text[i] & 0x3f);
	}
	if (*point < smallest[length] || *point > 0x10ffff || (*point >= 0xd800 && *point < 0xe000))
		return 0;
	return length;
}

static bool is_harmless(uint32_t point)
{
	if (point < 0x20 || (point >= 0x7f && point < 0xa0))
		return false;
	if (point >= 0x2028 && point <= 0x202e) /* separators, embeddings and overrides */
		return false;
	return point != 0x061c && point != 0x200e && point != 0x200f &&
	       !(point >= 0x2066 && point <= 0x2069);
}

size_t cli_text_clean(char *buffer, size_t size, const char *text)
{
	const unsigned char *from = (const unsigned char *)text;
	size_t length = 0;

	while (*from) {
		uint32_t point = 0;
		size_t taken = decode(from, &point);
		bool is_kept = taken && is_harmless(point);

		if (!taken)
			taken = 1;
		for (; taken; taken--, from++) {
			char piece[5];
			int n = snprintf(piece, sizeof(piece), is_kept ? "%c" : "\\x%02x", *from);

			for (int i = 0; i < n; i++, length++)
				if (length + 1 < size)
					buffer[length] = piece[i];
		}
	}
	if (size)
		buffer[length < size ? length : size - 1] = '\0';
	return length;
}

size_t cli_text_width(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += (*text & 0xc0) != 0x80;
	return width;
}
