/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connections as tables of segments: who sends what, what becomes of it, which state is behind it.
 *
 * The client's initial number is 1000, the target's 5000. Scenarios with large numbers start both
 * sides near the wrap.
 */
#include "dataplane/tcp_track.h"

#include <stdlib.h>

#include <rte_byteorder.h>

#include "tests/unit/dataplane/nat_packet.h"

enum side { C, T }; /* client: outward; target: inward */

#define PASS DP_TCP_PASS
#define REFUSE DP_TCP_REFUSE
#define REOPEN DP_TCP_REOPEN
#define OPENING DP_FLOW_OPENING
#define ANSWERED DP_FLOW_ANSWERED
#define ESTABLISHED DP_FLOW_ESTABLISHED
#define CLOSING DP_FLOW_CLOSING
#define TIME_WAIT DP_FLOW_TIME_WAIT
#define CLOSED DP_FLOW_CLOSED

struct step {
	enum side from;
	uint8_t flags;
	uint32_t sequence;
	uint32_t acknowledgement;
	uint32_t payload;
	uint16_t window;
	enum dp_tcp_verdict verdict;
	enum dp_flow_state state;
};

#define STEPS 16
struct scenario {
	const char *what;
	struct step step[STEPS]; /* the first is the SYN that opens; ends at flags 0 and state 0 */
};

/* The segments of a handshake, and all of it. */
#define ASKS                                            \
	{                                               \
		C, SYN, 1000, 0, 0, 1000, PASS, OPENING \
	}
#define ANSWERS                                                   \
	{                                                         \
		T, SYN | ACK, 5000, 1001, 0, 2000, PASS, ANSWERED \
	}
#define CONFIRMS                                               \
	{                                                      \
		C, ACK, 1001, 5001, 0, 1000, PASS, ESTABLISHED \
	}
#define HANDSHAKE ASKS, ANSWERS, CONFIRMS

static const struct scenario scenarios[] = {
	/* ---- opening ---- */
	{ "handshake and data",
	  { HANDSHAKE,
	    { C, ACK, 1001, 5001, 100, 1000, PASS, ESTABLISHED },
	    { T, ACK, 5001, 1101, 500, 2000, PASS, ESTABLISHED },
	    { C, ACK, 1101, 5501, 0, 1000, PASS, ESTABLISHED } } },
	{ "every segment of the handshake twice",
	  { ASKS,
	    ASKS,
	    ANSWERS,
	    { C, SYN, 1000, 0, 0, 1000, PASS, ANSWERED },
	    ANSWERS,
	    CONFIRMS,
	    { T, SYN | ACK, 5000, 1001, 0, 2000, PASS, ESTABLISHED },
	    CONFIRMS } },
	{ "another initial number before the answer",
	  { ASKS,
	    { C, SYN, 9000, 0, 0, 1000, PASS, OPENING },
	    { T, SYN | ACK, 5000, 1001, 0, 2000, PASS, OPENING },
	    { T, SYN | ACK, 5000, 9001, 0, 2000, PASS, ANSWERED } } },
	{ "data with the SYN, all of it or none taken",
	  { { C, SYN, 1000, 0, 50, 1000, PASS, OPENING },
	    { T, SYN | ACK, 5000, 1052, 0, 2000, PASS, OPENING },
	    { T, SYN | ACK, 5000, 1000, 0, 2000, PASS, OPENING },
	    { T, SYN | ACK, 5000, 1051, 0, 2000, PASS, ANSWERED } } },
	{ "data with the SYN, not taken",
	  { { C, SYN, 1000, 0, 50, 1000, PASS, OPENING }, ANSWERS } },
	{ "the first ACK carries data; the target spoke before",
	  { ASKS,
	    ANSWERS,
	    { T, ACK, 5001, 1001, 40, 2000, PASS, ANSWERED },
	    { C, ACK, 1001, 5041, 10, 1000, PASS, ESTABLISHED } } },
	{ "an ACK of nothing the target sent opens nothing",
	  { ASKS,
	    ANSWERS,
	    { C, ACK, 1001, 5002, 0, 1000, PASS, ANSWERED },
	    { C, ACK, 1001, 5000, 0, 1000, PASS, ANSWERED },
	    CONFIRMS } },
	{ "refused by the target",
	  { ASKS,
	    { T, RST | ACK, 0, 1002, 0, 0, REFUSE, OPENING },
	    { T, RST | ACK, 0, 1000, 0, 0, REFUSE, OPENING },
	    { T, RST, 0, 1001, 0, 0, REFUSE, OPENING },
	    { T, RST | ACK, 0, 1001, 0, 0, PASS, CLOSED } } },
	{ "given up by the client before the answer",
	  { ASKS,
	    { C, RST, 1002, 0, 0, 0, REFUSE, OPENING },
	    { C, RST, 1001, 0, 0, 0, PASS, CLOSED } } },
	{ "given up by the client behind the answer",
	  { ASKS, ANSWERS, { C, RST, 1001, 0, 0, 0, PASS, CLOSED } } },
	{ "reset by the target behind its answer",
	  { ASKS, ANSWERS, { T, RST, 5001, 0, 0, 0, PASS, CLOSED } } },
	{ "the target remembers an older connection: RFC 9293 section 3.5.1",
	  { ASKS,
	    { T, ACK, 70000, 80000, 0, 2000, PASS, OPENING },
	    { C, RST, 80001, 0, 0, 0, REFUSE, OPENING },
	    { C, RST, 80000, 0, 0, 0, PASS, OPENING },
	    HANDSHAKE } },
	{ "nobody opens from the tunnel",
	  { ASKS,
	    { T, SYN, 5000, 0, 0, 2000, REFUSE, OPENING },
	    { C, SYN | ACK, 1000, 5001, 0, 2000, REFUSE, OPENING },
	    { C, ACK, 1001, 5001, 0, 1000, REFUSE, OPENING } } },
	{ "flags no connection has",
	  { HANDSHAKE,
	    { C, SYN | FIN, 1001, 5001, 0, 1000, REFUSE, ESTABLISHED },
	    { C, SYN | RST, 1001, 5001, 0, 1000, REFUSE, ESTABLISHED },
	    { C, FIN | RST | ACK, 1001, 5001, 0, 1000, REFUSE, ESTABLISHED },
	    { C, FIN, 1001, 5001, 0, 1000, REFUSE, ESTABLISHED },
	    { C, 0x20, 1001, 5001, 0, 1000, REFUSE, ESTABLISHED },
	    { C, SYN | FIN | ACK | RST, 1001, 5001, 0, 1000, REFUSE, ESTABLISHED } } },
	/* ---- closing ---- */
	{ "the client closes first",
	  { HANDSHAKE,
	    { C, FIN | ACK, 1001, 5001, 10, 1000, PASS, CLOSING },
	    { T, ACK, 5001, 1012, 30, 2000, PASS, CLOSING },
	    { C, ACK, 1012, 5031, 0, 1000, PASS, CLOSING },
	    { T, FIN | ACK, 5031, 1012, 0, 2000, PASS, CLOSING },
	    { C, ACK, 1012, 5031, 0, 1000, PASS, CLOSING },
	    { C, ACK, 1012, 5032, 0, 1000, PASS, TIME_WAIT },
	    { T, FIN | ACK, 5031, 1012, 0, 2000, PASS, TIME_WAIT },
	    { C, ACK, 1012, 5032, 0, 1000, PASS, TIME_WAIT } } },
	{ "the target closes first, FIN and ACK together",
	  { HANDSHAKE,
	    { T, FIN | ACK, 5001, 1001, 0, 2000, PASS, CLOSING },
	    { T, FIN | ACK, 5001, 1001, 0, 2000, PASS, CLOSING },
	    { C, FIN | ACK, 1001, 5002, 0, 1000, PASS, CLOSING },
	    { T, ACK, 5002, 1002, 0, 2000, PASS, TIME_WAIT } } },
	{ "both close at once",
	  { HANDSHAKE,
	    { C, FIN | ACK, 1001, 5001, 0, 1000, PASS, CLOSING },
	    { T, FIN | ACK, 5001, 1001, 0, 2000, PASS, CLOSING },
	    { C, ACK, 1002, 5002, 0, 1000, PASS, CLOSING },
	    { T, ACK, 5002, 1002, 0, 2000, PASS, TIME_WAIT } } },
	{ "a FIN out of the window changes nothing",
	  { HANDSHAKE,
	    { T, FIN | ACK, 6002, 1001, 0, 2000, PASS, ESTABLISHED },
	    { T, FIN | ACK, 5000, 1001, 0, 2000, PASS, ESTABLISHED },
	    { C, FIN | ACK, 90000, 5001, 0, 1000, PASS, ESTABLISHED } } },
	{ "a FIN ahead of lost data is one",
	  { HANDSHAKE,
	    { T, FIN | ACK, 5501, 1001, 100, 2000, PASS, CLOSING },
	    { T, ACK, 5001, 1001, 500, 2000, PASS, CLOSING },
	    { C, FIN | ACK, 1001, 5602, 0, 1000, PASS, CLOSING },
	    { T, ACK, 5602, 1002, 0, 2000, PASS, TIME_WAIT } } },
	{ "nothing behind a FIN counts",
	  { HANDSHAKE,
	    { C, FIN | ACK, 1001, 5001, 0, 1000, PASS, CLOSING },
	    { C, FIN | ACK, 1050, 5001, 0, 1000, PASS, CLOSING },
	    { C, ACK, 1002, 5001, 70, 1000, PASS, CLOSING },
	    { T, FIN | ACK, 5001, 1002, 0, 2000, PASS, CLOSING },
	    { C, ACK, 1002, 5002, 0, 1000, PASS, TIME_WAIT } } },
	{ "a FIN as the handshake's last segment",
	  { ASKS,
	    ANSWERS,
	    { C, FIN | ACK, 1001, 5001, 5, 1000, PASS, CLOSING },
	    { T, FIN | ACK, 5001, 1007, 0, 2000, PASS, CLOSING },
	    { C, ACK, 1007, 5002, 0, 1000, PASS, TIME_WAIT } } },
	/* ---- RST ---- */
	{ "RST with the exact number, from the target",
	  { HANDSHAKE, { T, RST, 5001, 0, 0, 0, PASS, CLOSED } } },
	{ "RST with the exact number, from the client",
	  { HANDSHAKE, { C, RST | ACK, 1001, 5001, 0, 0, PASS, CLOSED } } },
	{ "RST behind data that is not acknowledged yet",
	  { HANDSHAKE,
	    { T, ACK, 5001, 1001, 300, 2000, PASS, ESTABLISHED },
	    { T, RST | ACK, 5301, 1001, 0, 0, PASS, CLOSED } } },
	{ "RST answering a segment: number from its acknowledgement",
	  { HANDSHAKE,
	    { C, ACK, 1001, 5001, 200, 1000, PASS, ESTABLISHED },
	    { T, ACK, 5001, 1101, 0, 2000, PASS, ESTABLISHED },
	    { C, RST, 1101, 0, 0, 0, PASS, CLOSED } } },
	{ "RST in the window, but not exact, is the receiver's to judge: RFC 5961",
	  { HANDSHAKE,
	    { T, RST, 5002, 0, 0, 0, PASS, ESTABLISHED },
	    { T, RST, 6001, 0, 0, 0, PASS, ESTABLISHED } } },
	{ "RST out of the window",
	  { HANDSHAKE,
	    { T, RST, 6002, 0, 0, 0, REFUSE, ESTABLISHED },
	    { T, RST, 5000, 0, 0, 0, REFUSE, ESTABLISHED },
	    { T, RST | ACK, 0, 1001, 0, 0, REFUSE, ESTABLISHED },
	    { C, RST, 3002, 0, 0, 0, REFUSE, ESTABLISHED },
	    { C, RST, 1000, 0, 0, 0, REFUSE, ESTABLISHED },
	    { C, RST, 3001, 0, 0, 0, PASS, ESTABLISHED } } },
	{ "a closed window leaves the exact number",
	  { HANDSHAKE,
	    { C, ACK, 1001, 5001, 0, 0, PASS, ESTABLISHED },
	    { T, RST, 5002, 0, 0, 0, REFUSE, ESTABLISHED },
	    { T, RST, 5001, 0, 0, 0, PASS, CLOSED } } },
	{ "an old acknowledgement does not move the window back",
	  { HANDSHAKE,
	    { T, ACK, 5001, 1001, 900, 2000, PASS, ESTABLISHED },
	    { C, ACK, 1001, 5901, 0, 1000, PASS, ESTABLISHED },
	    { C, ACK, 1001, 5001, 0, 30000, PASS, ESTABLISHED },
	    { T, RST, 6902, 0, 0, 0, REFUSE, ESTABLISHED },
	    { T, RST, 5900, 0, 0, 0, REFUSE, ESTABLISHED },
	    { T, RST, 5901, 0, 0, 0, PASS, CLOSED } } },
	{ "a forged acknowledgement does not shut out the true RST",
	  { HANDSHAKE,
	    { T, ACK, 5001, 900001, 0, 2000, PASS, ESTABLISHED },
	    { C, RST, 1001, 0, 0, 0, PASS, CLOSED } } },
	{ "RST while closing and behind it",
	  { HANDSHAKE,
	    { C, FIN | ACK, 1001, 5001, 0, 1000, PASS, CLOSING },
	    { T, ACK, 5001, 1002, 0, 2000, PASS, CLOSING },
	    { T, RST, 7000, 1002, 0, 0, REFUSE, CLOSING },
	    { C, RST, 1002, 0, 0, 0, PASS, CLOSED },
	    { C, RST, 1002, 0, 0, 0, PASS, CLOSED },
	    { T, ACK, 5001, 1002, 60, 2000, PASS, CLOSED } } },
	/* ---- the next connection ---- */
	{ "SYN on a living connection is the target's to challenge: RFC 5961 section 4",
	  { HANDSHAKE,
	    { C, SYN, 88888, 0, 0, 1000, PASS, ESTABLISHED },
	    { T, ACK, 5001, 1001, 0, 2000, PASS, ESTABLISHED },
	    { C, RST, 1001, 0, 0, 0, PASS, CLOSED },
	    { C, SYN, 88888, 0, 0, 1000, REOPEN, CLOSED } } },
	{ "SYN while closing",
	  { HANDSHAKE,
	    { C, FIN | ACK, 1001, 5001, 0, 1000, PASS, CLOSING },
	    { C, SYN, 88888, 0, 0, 1000, PASS, CLOSING } } },
	{ "reopened from TIME-WAIT with a greater number: RFC 6191",
	  { HANDSHAKE,
	    { C, FIN | ACK, 1001, 5001, 0, 1000, PASS, CLOSING },
	    { T, FIN | ACK, 5001, 1002, 0, 2000, PASS, CLOSING },
	    { C, ACK, 1002, 5002, 0, 1000, PASS, TIME_WAIT },
	    { C, SYN, 1002, 0, 0, 1000, REFUSE, TIME_WAIT },
	    { C, SYN, 900, 0, 0, 1000, REFUSE, TIME_WAIT },
	    { T, SYN, 90000, 0, 0, 1000, REFUSE, TIME_WAIT },
	    { C, SYN, 1003, 0, 0, 1000, REOPEN, TIME_WAIT } } },
	{ "numbers that wrap",
	  { { C, SYN, UINT32_MAX, 0, 0, 1000, PASS, OPENING },
	    { T, SYN | ACK, UINT32_MAX - 2, 0, 0, 2000, PASS, ANSWERED },
	    { C, ACK, 0, UINT32_MAX - 1, 0, 1000, PASS, ESTABLISHED },
	    { T, ACK, UINT32_MAX - 1, 0, 100, 2000, PASS, ESTABLISHED },
	    { C, ACK, 0, 98, 0, 1000, PASS, ESTABLISHED },
	    { T, RST, UINT32_MAX, 0, 0, 0, REFUSE, ESTABLISHED },
	    { T, RST, 1098, 0, 0, 0, PASS, ESTABLISHED },
	    { T, FIN | ACK, 98, 0, 0, 2000, PASS, CLOSING },
	    { C, FIN | ACK, 0, 99, 0, 1000, PASS, CLOSING },
	    { T, ACK, 99, 1, 0, 2000, PASS, TIME_WAIT },
	    { C, SYN, UINT32_MAX, 0, 0, 1000, REFUSE, TIME_WAIT },
	    { C, SYN, 2, 0, 0, 1000, REOPEN, TIME_WAIT } } },
};

static void begin(struct dp_flow *flow)
{
	memset(flow, 0, 2 * sizeof(*flow));
	flow[C].key.direction = DP_FLOW_OUTWARD;
	flow[T].key.direction = DP_FLOW_INWARD;
}

static void play(const struct scenario *s)
{
	struct dp_flow flow[2];

	begin(flow);
	for (unsigned i = 0; i < STEPS && s->step[i].state; i++) {
		const struct step *step = &s->step[i];
		const struct dp_tcp_segment segment = { .sequence = step->sequence,
			                                .acknowledgement = step->acknowledgement,
			                                .payload = step->payload,
			                                .window = step->window,
			                                .flags = step->flags };
		struct dp_flow *from = &flow[step->from], *to = &flow[!step->from];
		enum dp_tcp_verdict verdict = PASS;

		if (i == 0)
			dp_tcp_open(&flow[C], &flow[T], &segment);
		else
			verdict = dp_tcp_track(from, to, &segment);
		if (verdict != step->verdict || flow[C].state != step->state ||
		    flow[T].state != step->state)
			fail_msg("%s, step %u: verdict %d, state %u", s->what, i, verdict,
			         flow[C].state);
	}
}

static void test_scenarios(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++)
		play(&scenarios[i]);
}

/* What the path does with ordinary segments of an established session is what the whole tracking
 * would do. */
static void test_established(void **state)
{
	uint64_t seed = 3;

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		struct dp_flow a[2], b[2];
		uint64_t r = dp_random(&seed), q = dp_random(&seed);
		struct dp_tcp_segment s = { .flags = ACK,
			                    .payload = (uint32_t)(q % 1400),
			                    .window = (uint16_t)(q >> 32) };

		begin(a);
		a[C].state = a[T].state = ESTABLISHED;
		a[C].scale = q >> 60 & 7;
		a[C].sequence_end = (uint32_t)r;
		a[C].acknowledged = (uint32_t)(r >> 32);
		a[C].window = 777;
		s.sequence = (uint32_t)r + (uint32_t)(q >> 16 & 0xfff) - 2048;
		s.acknowledgement = (uint32_t)(r >> 32) + (uint32_t)(q >> 48 & 0xfff) - 2048;
		memcpy(b, a, sizeof(a));
		dp_tcp_track_established(&a[C], s.sequence + s.payload, s.acknowledgement,
		                         s.window);
		assert_int_equal(dp_tcp_track(&b[C], &b[T], &s), PASS);
		assert_memory_equal(a, b, sizeof(a));
		assert_true((int32_t)(a[C].sequence_end - (uint32_t)r) >= 0);
		assert_true((int32_t)(a[C].acknowledged - (uint32_t)(r >> 32)) >= 0);
	}
}

/* SYNs with their options as they arrive: scales count only if both sides send one. */
static void scales(const uint8_t *client, uint8_t client_length, const uint8_t *target,
                   uint8_t target_length, uint32_t client_window, uint32_t target_window)
{
	struct nat_packet syn = { .protocol = TCP,
		                  .flags = SYN,
		                  .sequence = 1000,
		                  .window = 500,
		                  .options = client,
		                  .option_length = client_length };
	struct nat_packet answer = { .protocol = TCP,
		                     .flags = SYN | ACK,
		                     .sequence = 5000,
		                     .acknowledgement = 1001,
		                     .window = 600,
		                     .options = target,
		                     .option_length = target_length };
	struct dp_tcp_segment s;
	struct dp_flow flow[2];
	uint8_t packet[100];
	unsigned length;

	begin(flow);
	length = nat_build(packet, &syn);
	assert_true(dp_tcp_read(packet + 20, length - 20, &s));
	assert_true(dp_tcp_is_opening(&s));
	dp_tcp_open(&flow[C], &flow[T], &s);
	assert_int_equal(flow[C].window, 500);
	length = nat_build(packet, &answer);
	assert_true(dp_tcp_read(packet + 20, length - 20, &s));
	assert_false(dp_tcp_is_opening(&s));
	assert_int_equal(dp_tcp_track(&flow[T], &flow[C], &s), PASS);
	assert_int_equal(flow[T].window, 600); /* not scaled in a SYN */
	s = (struct dp_tcp_segment){
		.flags = ACK, .sequence = 1001, .acknowledgement = 5001, .window = 100
	};
	assert_int_equal(dp_tcp_track(&flow[C], &flow[T], &s), PASS);
	assert_int_equal(flow[C].state, ESTABLISHED);
	assert_int_equal(flow[C].window, client_window);
	s = (struct dp_tcp_segment){
		.flags = ACK, .sequence = 5001, .acknowledgement = 1001, .window = 200
	};
	assert_int_equal(dp_tcp_track(&flow[T], &flow[C], &s), PASS);
	assert_int_equal(flow[T].window, target_window);
}

static void test_scales(void **state)
{
	static const uint8_t none[] = { 2, 4, 5, 180 }, seven[] = { 1, 3, 3, 7 },
			     two[] = { 2, 4, 5, 180, 3, 3, 2, 1 };
	static const uint8_t large[] = { 3, 3, 200, 0 }, broken[] = { 9, 0, 1, 1, 3, 3, 7, 0 };
	static const uint8_t ended[] = { 0, 3, 3, 7 }, cut[] = { 1, 1, 3, 3 },
			     odd[] = { 3, 4, 7, 7 };

	(void)state;
	scales(seven, 4, two, 8, 100 << 7, 200 << 2);
	scales(seven, 4, none, 4, 100, 200);
	scales(none, 4, two, 8, 100, 200);
	scales(seven, 4, large, 4, 100 << 7, 200 << 14); /* RFC 7323 section 2.3 */
	scales(seven, 4, broken, 8, 100, 200);
	scales(seven, 4, ended, 4, 100, 200);
	scales(seven, 4, cut, 4, 100, 200);
	scales(seven, 4, odd, 4, 100, 200);
	scales(seven, 0, two, 8, 100, 200);
}

static void test_read(void **state)
{
	struct nat_packet p = { .protocol = TCP,
		                .flags = ACK,
		                .sequence = 0x01020304,
		                .acknowledgement = 0x05060708,
		                .window = 0x090a,
		                .payload = 7 };
	struct dp_tcp_segment s;
	uint8_t packet[60], *tcp = packet + 20;

	(void)state;
	nat_build(packet, &p);
	assert_true(dp_tcp_read(tcp, 27, &s));
	assert_int_equal(s.sequence, 0x01020304);
	assert_int_equal(s.acknowledgement, 0x05060708);
	assert_int_equal(s.window, 0x090a);
	assert_int_equal(s.payload, 7);
	assert_int_equal(s.flags, ACK);
	tcp[12] = 4 << 4;
	assert_false(dp_tcp_read(tcp, 27, &s));
	tcp[12] = 7 << 4;
	assert_false(dp_tcp_read(tcp, 27, &s));
	assert_true(dp_tcp_read(tcp, 28, &s));
	assert_int_equal(s.payload, 0);
	tcp[12] = 15 << 4;
	assert_false(dp_tcp_read(tcp, 59, &s));
}

static void test_timeouts(void **state)
{
	(void)state;
	assert_int_equal(dp_flow_timeout_s(OPENING), 240);
	assert_int_equal(dp_flow_timeout_s(ANSWERED), 240);
	assert_int_equal(dp_flow_timeout_s(ESTABLISHED), 7440);
	assert_int_equal(dp_flow_timeout_s(CLOSING), 240);
	assert_int_equal(dp_flow_timeout_s(TIME_WAIT), 120);
	assert_int_equal(dp_flow_timeout_s(CLOSED), 10);
	assert_int_equal(dp_flow_timeout_s(DP_FLOW_UDP), 300);
	assert_int_equal(dp_flow_timeout_s(DP_FLOW_ECHO), 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scenarios), cmocka_unit_test(test_established),
		cmocka_unit_test(test_scales),    cmocka_unit_test(test_read),
		cmocka_unit_test(test_timeouts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
