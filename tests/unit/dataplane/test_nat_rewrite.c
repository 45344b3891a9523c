/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Updated checksums against computed ones; the MSS option in every place and shape.
 */
#include "dataplane/nat_rewrite.h"

#include <stdlib.h>

#include "tests/unit/dataplane/nat_packet.h"

static uint64_t seed = 42;

static struct dp_flow flow_of(const uint8_t *ip, uint32_t source, uint32_t destination,
                              uint16_t source_port, uint16_t destination_port)
{
	struct dp_flow f = { .key = { .protocol = ip[9], .direction = DP_FLOW_OUTWARD } };

	memcpy(&f.key, ip + 12, 12);
	f.source_be = rte_cpu_to_be_32(source);
	f.destination_be = rte_cpu_to_be_32(destination);
	f.source_port_be = rte_cpu_to_be_16(source_port);
	f.destination_port_be = rte_cpu_to_be_16(destination_port);
	dp_nat_rewrite_prepare(&f);
	return f;
}

/* The same, without any cleverness. */
static void rewrite_plainly(uint8_t *ip, unsigned length, const struct dp_flow *f)
{
	bool is_unchecked = ip[9] == UDP && nat_get16(ip + 26) == 0;

	ip[8]--;
	memcpy(ip + 12, &f->source_be, 4);
	memcpy(ip + 16, &f->destination_be, 4);
	memcpy(ip + 20, &f->source_port_be, 2);
	memcpy(ip + 22, &f->destination_port_be, 2);
	nat_fill_checksums(ip, length);
	if (is_unchecked)
		nat_put16(ip + 26, 0);
}

static void check(const uint8_t *packet, unsigned length, const struct dp_flow *f)
{
	uint8_t *mine = malloc(length),
		*expected = malloc(length); /* to the byte: the sanitizer watches their ends */

	memcpy(mine, packet, length);
	memcpy(expected, packet, length);
	dp_nat_rewrite(mine, f);
	rewrite_plainly(expected, length, f);
	assert_memory_equal(mine, expected, length);
	free(mine);
	free(expected);
}

static unsigned build_random(uint8_t *packet)
{
	uint64_t a = dp_random(&seed), b = dp_random(&seed), c = dp_random(&seed);
	struct nat_packet p = {
		.source = (uint32_t)a,
		.destination = (uint32_t)(a >> 32),
		.source_port = (uint16_t)b,
		.destination_port = (uint16_t)(b >> 16),
		.protocol = b >> 32 & 1 ? TCP : UDP,
		.ttl = (uint8_t)(2 + (b >> 33) % 254),
		.flags = (uint8_t)(b >> 48),
		.sequence = (uint32_t)c,
		.acknowledgement = (uint32_t)(c >> 32),
		.payload = (uint16_t)(c % 61),
	};

	return nat_build(packet, &p);
}

static void test_random(void **state)
{
	uint8_t packet[200];

	(void)state;
	for (unsigned i = 0; i < 1000000; i++) {
		unsigned length = build_random(packet);
		uint64_t a = dp_random(&seed), b = dp_random(&seed);
		struct dp_flow f;

		switch (b >> 60) { /* few bits set, many bits set: where carries meet */
		case 0:
			a &= 0x0000000100000001u;
			break;
		case 1:
			a |= 0xfffffffefffffffeu;
			break;
		case 2: /* nothing changes */
			a = (uint64_t)nat_get32(packet + 16) << 32 | nat_get32(packet + 12);
			b = (uint64_t)nat_get16(packet + 22) << 16 | nat_get16(packet + 20);
			break;
		default:
			break;
		}
		f = flow_of(packet, (uint32_t)a, (uint32_t)(a >> 32), (uint16_t)b,
		            (uint16_t)(b >> 16));
		if (packet[9] == UDP && b >> 59 & 1)
			nat_put16(packet + 26, 0);
		check(packet, length, &f);
	}
}

/* Choose the payload so that the checksum behind, then before the translation is each value around
 * zero. */
static void test_zero(void **state)
{
	static const uint16_t values[] = { 0x0000, 0x0001, 0xfffe, 0xffff };
	uint8_t packet[200];

	(void)state;
	for (unsigned i = 0; i < 4000; i++) {
		unsigned length = build_random(packet), side = i / 4 % 2;
		uint16_t wanted = values[i % 4];
		struct dp_flow f =
			flow_of(packet, 0x0a030005, 0xc0a8641e, (uint16_t)(2000 + i), 8080);
		uint8_t copy[200];
		uint32_t x;

		/* one word of a length that is even: it takes up the difference */
		if (length % 2 || length < 44)
			continue;
		memcpy(copy, packet, length);
		if (side)
			rewrite_plainly(copy, length, &f);
		x = (uint32_t)nat_get16(copy + length - 2) +
		    nat_get16(copy + (copy[9] == UDP ? 26 : 36)) + (uint16_t)~wanted;
		x = (x & 0xffff) + (x >> 16);
		nat_put16(packet + length - 2, (uint16_t)(x + (x >> 16)));
		nat_fill_checksums(packet, length);
		check(packet, length, &f);
	}
}

static void test_unchecked_udp(void **state)
{
	struct nat_packet p = { .source = 1,
		                .destination = 2,
		                .source_port = 3,
		                .destination_port = 4,
		                .protocol = UDP,
		                .payload = 9 };
	uint8_t packet[64];
	unsigned length = nat_build(packet, &p);
	struct dp_flow f = flow_of(packet, 5, 6, 7, 8);

	(void)state;
	nat_put16(packet + 26, 0);
	dp_nat_rewrite(packet, &f);
	assert_int_equal(nat_get16(packet + 26), 0);
	assert_true(nat_is_right(packet, length));
	assert_int_equal(packet[8], 63);
}

/* A SYN with these options; MSS 1300 is asked for. */
static const struct {
	const char *what;
	uint8_t length;
	uint8_t options[40];
	uint16_t at[2]; /* where an MSS is afterwards, from the options' start + 1; 0: none */
	uint16_t value[2];
} clamps[] = {
	{ "first", 4, { 2, 4, 0x05, 0xb4 }, { 3 }, { 1300 } },
	{ "low already", 4, { 2, 4, 0x02, 0x18 }, { 3 }, { 536 } },
	{ "equal", 4, { 2, 4, 0x05, 0x14 }, { 3 }, { 1300 } },
	{ "odd", 8, { 1, 2, 4, 0x05, 0xb4, 1, 1, 0 }, { 4 }, { 1300 } },
	{ "odd behind scale", 8, { 3, 3, 7, 2, 4, 0xff, 0xff, 0 }, { 6 }, { 1300 } },
	{ "last",
	  20,
	  { 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 3, 3, 7, 1, 2, 4, 0x23, 0x28 },
	  { 19 },
	  { 1300 } },
	{ "twice",
	  12,
	  { 2, 4, 0x05, 0xb4, 1, 2, 4, 0x06, 0xb4, 1, 1, 0 },
	  { 3, 8 },
	  { 1300, 1300 } },
	{ "none", 4, { 1, 1, 4, 2 }, { 0 }, { 0 } },
	{ "behind the end", 8, { 0, 0, 2, 4, 0x05, 0xb4, 0, 0 }, { 5 }, { 1460 } },
	{ "length 0", 8, { 9, 0, 2, 4, 0x05, 0xb4, 0, 0 }, { 5 }, { 1460 } },
	{ "length 1", 8, { 9, 1, 2, 4, 0x05, 0xb4, 0, 0 }, { 5 }, { 1460 } },
	{ "length past the header", 8, { 9, 9, 2, 4, 0x05, 0xb4, 0, 0 }, { 5 }, { 1460 } },
	{ "MSS of length 3", 8, { 2, 3, 0xff, 2, 4, 0x05, 0xb4, 0 }, { 6 }, { 1300 } },
	{ "MSS of length 6", 8, { 2, 6, 0xff, 0xff, 0xff, 0xff, 0, 0 }, { 0 }, { 0 } },
	{ "cut off by one", 4, { 1, 2, 4, 0xff }, { 0 }, { 0 } },
	{ "cut off by two", 4, { 1, 1, 2, 4 }, { 0 }, { 0 } },
	{ "cut off by three", 4, { 1, 1, 1, 2 }, { 0 }, { 0 } },
	{ "padding only", 8, { 1, 1, 1, 1, 1, 1, 1, 1 }, { 0 }, { 0 } },
	{ "no options", 0, { 0 }, { 0 }, { 0 } },
};

static void test_clamp(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(clamps) / sizeof(*clamps); i++) {
		for (unsigned payload = 0; payload < 2; payload++) {
			struct nat_packet p = { .source = 1,
				                .destination = 2,
				                .source_port = 3,
				                .destination_port = 4,
				                .protocol = TCP,
				                .flags = SYN,
				                .options = clamps[i].options,
				                .option_length = clamps[i].length,
				                .payload = (uint16_t)payload };
			unsigned header = 20 + clamps[i].length, length = 20 + header + payload;
			uint8_t *packet = malloc(length), before[128];

			nat_build(packet, &p);
			memcpy(before, packet, length);
			dp_nat_clamp_mss(packet + 20, header, 1300);
			if (!nat_is_right(packet, length))
				fail_msg("%s: checksum", clamps[i].what);
			for (unsigned j = 0; j < 2 && clamps[i].at[j]; j++) {
				unsigned at = 40 + clamps[i].at[j] - 1u;

				if (nat_get16(packet + at) != clamps[i].value[j])
					fail_msg("%s: MSS %u", clamps[i].what,
					         nat_get16(packet + at));
				memcpy(before + at, packet + at, 2);
			}
			memcpy(before + 36, packet + 36, 2);
			assert_memory_equal(packet, before, length);
			free(packet);
		}
	}
}

static void test_clamp_off(void **state)
{
	static const uint8_t options[] = { 2, 4, 0x05, 0xb4 };
	struct nat_packet p = {
		.protocol = TCP, .flags = SYN, .options = options, .option_length = 4
	};
	uint8_t packet[64], before[64];
	unsigned length = nat_build(packet, &p);

	(void)state;
	memcpy(before, packet, length);
	dp_nat_clamp_mss(packet + 20, 24, 0);
	assert_memory_equal(packet, before, length);
}

/* Whatever the options are, nothing but an MSS and the checksum changes, and the checksum stays
 * right. */
static void test_clamp_random(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 300000; i++) {
		uint8_t options[40];
		struct nat_packet p = { .protocol = TCP, .flags = SYN, .options = options };
		unsigned length;
		uint8_t *packet;

		for (unsigned j = 0; j < sizeof(options); j++) {
			uint64_t r = dp_random(&seed);

			options[j] = r & 3 ? (uint8_t)((r >> 8) % 6) : (uint8_t)(r >> 8);
		}
		p.option_length = (uint8_t)(dp_random(&seed) % 11 * 4);
		length = 40u + p.option_length;
		packet = malloc(length);
		nat_build(packet, &p);
		dp_nat_clamp_mss(packet + 20, length - 20, 1);
		assert_true(nat_is_right(packet, length));
		free(packet);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),        cmocka_unit_test(test_zero),
		cmocka_unit_test(test_unchecked_udp), cmocka_unit_test(test_clamp),
		cmocka_unit_test(test_clamp_off),     cmocka_unit_test(test_clamp_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
