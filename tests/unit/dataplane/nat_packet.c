/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets of translation tests.
 */
#include "tests/unit/dataplane/nat_packet.h"

#include <rte_eal.h>
#include <rte_mbuf.h>

#include "dataplane/worker.h"

#define ANSWERS 63u

int nat_eal(void **state)
{
	static char *arguments[] = { "test",        "--no-huge",   "--no-pci",
		                     "-m",          "512",         "--no-telemetry",
		                     "--no-shconf", "--log-level", "error",
		                     "-l",          "0",           NULL };
	static bool is_started;

	(void)state;
	if (!is_started &&
	    rte_eal_init((int)(sizeof(arguments) / sizeof(*arguments)) - 1, arguments) < 0)
		return -1;
	is_started = true;
	return 0;
}

void nat_answers(struct dp_worker *w)
{
	static struct rte_mempool *pool;
	static struct dp_batch answers;

	if (!pool)
		pool = rte_pktmbuf_pool_create("answers", ANSWERS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
		                               SOCKET_ID_ANY);
	assert_non_null(pool);
	for (unsigned i = 0; i < answers.n; i++)
		rte_pktmbuf_free(answers.p[i].m);
	answers.n = 0;
	w->mbufs = pool;
	w->answers = &answers;
}

uint16_t nat_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

uint32_t nat_get32(const uint8_t *p)
{
	return (uint32_t)nat_get16(p) << 16 | nat_get16(p + 2);
}

void nat_put16(uint8_t *p, uint16_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

void nat_put32(uint8_t *p, uint32_t value)
{
	nat_put16(p, (uint16_t)(value >> 16));
	nat_put16(p + 2, (uint16_t)value);
}

static uint32_t sum(const uint8_t *p, unsigned length, uint32_t start)
{
	for (unsigned i = 0; i < length; i++)
		start += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (start >> 16)
		start = (start & 0xffff) + (start >> 16);
	return start;
}

static uint32_t sum_l4(const uint8_t *ip, unsigned length)
{
	return sum(ip + 20, length - 20, sum(ip + 12, 8, ip[9] + length - 20));
}

static unsigned checksum_at(const uint8_t *ip)
{
	return ip[9] == UDP ? 26 : 36;
}

void nat_fill_checksums(uint8_t *ip, unsigned length)
{
	uint16_t l4;

	nat_put16(ip + 10, 0);
	nat_put16(ip + 10, (uint16_t)~sum(ip, 20, 0));
	nat_put16(ip + checksum_at(ip), 0);
	l4 = (uint16_t)~sum_l4(ip, length);
	nat_put16(ip + checksum_at(ip), ip[9] == UDP && l4 == 0 ? 0xffff : l4);
}

bool nat_is_right(const uint8_t *ip, unsigned length)
{
	if (sum(ip, 20, 0) != 0xffff)
		return false;
	if (ip[9] == UDP && nat_get16(ip + 26) == 0)
		return true;
	return sum_l4(ip, length) == 0xffff;
}

unsigned nat_build(uint8_t *out, const struct nat_packet *p)
{
	unsigned header = p->protocol == UDP ? 8 : 20 + p->option_length,
		 length = 20 + header + p->payload;
	uint8_t *l4 = out + 20;

	memset(out, 0, 20 + header);
	out[0] = 0x45;
	nat_put16(out + 2, (uint16_t)length);
	out[6] = 0x40;
	out[8] = p->ttl ? p->ttl : 64;
	out[9] = p->protocol;
	nat_put32(out + 12, p->source);
	nat_put32(out + 16, p->destination);
	nat_put16(l4, p->source_port);
	nat_put16(l4 + 2, p->destination_port);
	if (p->protocol == UDP) {
		nat_put16(l4 + 4, (uint16_t)(8 + p->payload));
	} else {
		nat_put32(l4 + 4, p->sequence);
		nat_put32(l4 + 8, p->acknowledgement);
		l4[12] = (uint8_t)(header / 4 << 4);
		l4[13] = p->flags;
		nat_put16(l4 + 14, p->window);
		if (p->option_length)
			memcpy(l4 + 20, p->options, p->option_length);
	}
	for (unsigned i = 0; i < p->payload; i++)
		l4[header + i] = (uint8_t)i;
	nat_fill_checksums(out, length);
	return length;
}
