/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Big-endian integers at any address.
 */
#pragma once

#include <stdint.h>

static inline uint16_t cp_get_be16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline uint32_t cp_get_be32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

static inline void cp_put_be16(uint8_t *bytes, uint16_t value)
{
	bytes[0] = (uint8_t)(value >> 8);
	bytes[1] = (uint8_t)value;
}

static inline void cp_put_be32(uint8_t *bytes, uint32_t value)
{
	cp_put_be16(bytes, (uint16_t)(value >> 16));
	cp_put_be16(bytes + 2, (uint16_t)value);
}
