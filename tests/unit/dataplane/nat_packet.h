/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For tests of translation: packets made by hand, checksums computed the long way, EAL without
 * hugepages.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define FIN 0x01u
#define SYN 0x02u
#define RST 0x04u
#define ACK 0x10u
#define TCP 6u
#define UDP 17u

/* Group set-up. */
int nat_eal(void **state);

struct dp_worker;

/* Gives the worker buffers and room for what it has to say; those of before are gone. Behind
 * nat_eal(). */
void nat_answers(struct dp_worker *w);

struct nat_packet {
	uint32_t source; /* host byte order, all of it */
	uint32_t destination;
	uint16_t source_port;
	uint16_t destination_port;
	uint8_t protocol;
	uint8_t ttl;
	uint8_t flags; /* TCP */
	uint32_t sequence;
	uint32_t acknowledgement;
	uint16_t window;
	uint16_t payload;
	const uint8_t *options; /* TCP; length a multiple of 4 */
	uint8_t option_length;
};

/* Writes the packet with right checksums; returns its length. Payload bytes count up. */
unsigned nat_build(uint8_t *out, const struct nat_packet *p);

/* Writes both checksums anew. */
void nat_fill_checksums(uint8_t *ip, unsigned length);
/* Are both right? A UDP checksum of 0 counts as right. */
bool nat_is_right(const uint8_t *ip, unsigned length);

uint16_t nat_get16(const uint8_t *p);
uint32_t nat_get32(const uint8_t *p);
void nat_put16(uint8_t *p, uint16_t value);
void nat_put32(uint8_t *p, uint32_t value);
