/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IPv4 addresses, prefixes and endpoints as text and back.
 */
#include "common/netaddr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

int sp_address_parse(const char *text, uint32_t *address_be)
{
	struct in_addr address;

	if (inet_pton(AF_INET, text, &address) != 1)
		return -EINVAL;
	*address_be = address.s_addr;
	return 0;
}

/* A plain decimal number without sign, blanks and leading zeros. */
static int parse_decimal(const char *text, uint32_t max, uint32_t *value)
{
	uint32_t sum = 0;

	if (!*text || (text[0] == '0' && text[1]))
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		sum = sum * 10 + (uint32_t)(*text - '0');
		if (sum > max)
			return -EINVAL;
	}
	*value = sum;
	return 0;
}

/* Splits "ADDRESS<separator>NUMBER". */
static int parse_pair(const char *text, char separator, uint32_t max, uint32_t *address_be,
                      uint32_t *number)
{
	const char *end = strchr(text, separator);
	char address[SP_ADDRESS_TEXT];
	size_t length;

	if (!end)
		return -EINVAL;
	length = (size_t)(end - text);
	if (length >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, length);
	address[length] = 0;
	if (sp_address_parse(address, address_be) != 0)
		return -EINVAL;
	return parse_decimal(end + 1, max, number);
}

int sp_interface_parse(const char *text, uint32_t *address_be, uint8_t *length)
{
	uint32_t address, number;

	if (parse_pair(text, '/', 32, &address, &number) != 0)
		return -EINVAL;
	*address_be = address;
	*length = (uint8_t)number;
	return 0;
}

int sp_prefix_parse(const char *text, uint32_t *address_be, uint8_t *length)
{
	uint32_t address;
	uint8_t bits;

	if (sp_interface_parse(text, &address, &bits) != 0 ||
	    (address & ~sp_prefix_mask_be(bits)) != 0)
		return -EINVAL;
	*address_be = address;
	*length = bits;
	return 0;
}

int sp_endpoint_parse(const char *text, uint32_t *address_be, uint16_t *port_be)
{
	uint32_t address, number;

	if (parse_pair(text, ':', 65535, &address, &number) != 0 || number == 0)
		return -EINVAL;
	*address_be = address;
	*port_be = htons((uint16_t)number);
	return 0;
}

char *sp_address_format(char buffer[SP_ADDRESS_TEXT], uint32_t address_be)
{
	uint32_t a = ntohl(address_be);

	snprintf(buffer, SP_ADDRESS_TEXT, "%u.%u.%u.%u", a >> 24, (a >> 16) & 255, (a >> 8) & 255,
	         a & 255);
	return buffer;
}

char *sp_prefix_format(char buffer[SP_PREFIX_TEXT], uint32_t address_be, uint8_t length)
{
	char address[SP_ADDRESS_TEXT];

	snprintf(buffer, SP_PREFIX_TEXT, "%s/%u", sp_address_format(address, address_be),
	         length % 100u);
	return buffer;
}

char *sp_endpoint_format(char buffer[SP_ENDPOINT_TEXT], uint32_t address_be, uint16_t port_be)
{
	char address[SP_ADDRESS_TEXT];

	snprintf(buffer, SP_ENDPOINT_TEXT, "%s:%u", sp_address_format(address, address_be),
	         ntohs(port_be));
	return buffer;
}

uint32_t sp_prefix_mask_be(uint8_t length)
{
	return length == 0 ? 0 : htonl(0xffffffffu << (32 - length));
}

bool sp_prefix_contains(uint32_t prefix_be, uint8_t length, uint32_t address_be)
{
	return ((prefix_be ^ address_be) & sp_prefix_mask_be(length)) == 0;
}

bool sp_address_is_martian(uint32_t address_be)
{
	uint32_t first = ntohl(address_be) >> 24;

	return first == 0 || first == 127 || first >= 224;
}
