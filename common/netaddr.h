/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IPv4 addresses, prefixes and endpoints as text and back. IPv4 addresses are uint32_t in network
 * byte order.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SP_ADDRESS_TEXT 16  /* "255.255.255.255" and NUL */
#define SP_PREFIX_TEXT 19   /* "255.255.255.255/32" and NUL */
#define SP_ENDPOINT_TEXT 22 /* "255.255.255.255:65535" and NUL */

/* Each parser takes the whole text or returns -EINVAL. */
int sp_address_parse(const char *text, uint32_t *address_be);
/* "192.0.2.0/24"; host bits must be zero. */
int sp_prefix_parse(const char *text, uint32_t *address_be, uint8_t *length);
/* "192.0.2.10/24"; host bits are the interface's own address. */
int sp_interface_parse(const char *text, uint32_t *address_be, uint8_t *length);
/* "192.0.2.1:8080"; the port is in network byte order, 1 to 65535. */
int sp_endpoint_parse(const char *text, uint32_t *address_be, uint16_t *port_be);

/* Each formatter fills BUFFER (of the size above) and returns it. */
char *sp_address_format(char buffer[SP_ADDRESS_TEXT], uint32_t address_be);
char *sp_prefix_format(char buffer[SP_PREFIX_TEXT], uint32_t address_be, uint8_t length);
char *sp_endpoint_format(char buffer[SP_ENDPOINT_TEXT], uint32_t address_be, uint16_t port_be);

/* The netmask of a prefix length 0 to 32, network byte order. */
uint32_t sp_prefix_mask_be(uint8_t length);
bool sp_prefix_contains(uint32_t prefix_be, uint8_t length, uint32_t address_be);
/* Loopback, multicast, 0.0.0.0/8, class E and broadcast: never a unicast host's address. */
bool sp_address_is_martian(uint32_t address_be);
