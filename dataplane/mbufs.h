/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pool of packet buffers, laid out so that AF_XDP sees all of them.
 *
 * The driver shows the kernel (buffers * bytes of one) bytes, from the pool's first page on. A pool
 * lets no buffer cross a page, so buffers of 2.4 kB on pages of 4 kB end far behind that, and the
 * kernel takes what lies there for invalid: a buffer to receive into is lost for good, a frame in
 * one is never sent and costs the frame behind it its kick. Buffers of exactly a page leave no
 * gaps, on pages of whatever size.
 */
#pragma once

#include <stdint.h>

#include <rte_mempool.h>

/* Bytes of data, headroom included, of a buffer that is a page. */
uint16_t dp_mbufs_page_room(void);

/* A pool of COUNT buffers with ROOM bytes of data each, pages side by side where that is
 * dp_mbufs_page_room(). It stays until EAL ends. NULL: not enough memory. Control thread. */
struct rte_mempool *dp_mbufs_create(uint32_t count, uint16_t room);
