/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between libcharon's hosts and the contract's addresses, which are IPv4 in network byte order.
 */
#pragma once

#include <networking/host.h>

#include <stdint.h>
#include <string.h>

/* 0: it has no IPv4 address. */
static inline uint32_t cp_ike_address_of(host_t *host)
{
	uint32_t address_be = 0;
	chunk_t address = host->get_address(host);

	if (address.len == sizeof(address_be))
		memcpy(&address_be, address.ptr, sizeof(address_be));
	return address_be;
}

/* PORT in host byte order. The caller destroys it. */
static inline host_t *cp_ike_host_of(uint32_t address_be, uint16_t port)
{
	return host_create_from_chunk(AF_INET, chunk_from_thing(address_be), port);
}
