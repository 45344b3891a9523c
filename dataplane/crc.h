/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CRC32C, for tables whose keys the configuration chooses: what rte_hash_crc_4byte() and
 * rte_hash_crc_8byte() return, but they ask each time whether the processor can do it.
 */
#pragma once

#include <stdint.h>

#include <nmmintrin.h>

static inline uint32_t dp_crc4(uint32_t value)
{
	return _mm_crc32_u32(0, value);
}

static inline uint32_t dp_crc8(uint64_t value)
{
	return (uint32_t)_mm_crc32_u64(0, value);
}
