/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which forwards lead to where the server's selectors do not: in words. Pure.
 */
#include "controlplane/reach.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "common/netaddr.h"

struct text {
	char *at;
	size_t room; /* NUL included */
};

static void add_text(struct text *text, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Adds it whole or not at all. */
static void add_text(struct text *text, const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(text->at, text->room, format, arguments);
	va_end(arguments);
	if (length < 0 || (size_t)length >= text->room) {
		if (text->room)
			*text->at = 0;
		text->room = 0;
		return;
	}
	text->at += length;
	text->room -= (size_t)length;
}

static bool is_reached(const struct cp_forward *forward, const struct cp_range *ranges,
                       size_t count)
{
	const uint32_t address = ntohl(forward->to_address_be);
	const uint16_t port = ntohs(forward->to_port_be);

	for (size_t i = 0; i < count; i++) {
		const struct cp_range *range = &ranges[i];

		if (address >= range->first && address <= range->last &&
		    port >= range->first_port && port <= range->last_port &&
		    (range->protocol == 0 || range->protocol == forward->protocol))
			return true;
	}
	return false;
}

size_t cp_reach_check(const struct cp_environment *environment, const struct cp_range *ranges,
                      size_t count, char *text, size_t size)
{
	struct text out = { text, size };
	char address[SP_ADDRESS_TEXT];
	size_t missing = 0;

	if (size)
		*text = 0;
	for (size_t i = 0; i < environment->forward_count; i++)
		missing += !is_reached(&environment->forwards[i], ranges, count);
	if (missing == 0)
		return 0;
	add_text(&out, "the server's selectors leave out %zu of %zu forwards:", missing,
	         environment->forward_count);
	for (size_t i = 0; i < environment->forward_count; i++) {
		const struct cp_forward *forward = &environment->forwards[i];

		if (!is_reached(forward, ranges, count))
			add_text(&out, " %u%s to %s:%u", ntohs(forward->port_be),
			         forward->protocol == IPPROTO_UDP ? "/udp" : "",
			         sp_address_format(address, forward->to_address_be),
			         ntohs(forward->to_port_be));
	}
	return missing;
}
