/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who was refused, in words, and how often that is said.
 */
#include "controlplane/sources.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/unit/common/unit.h"

#define ADDRESS(a, b, c, d) htonl((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))
#define NODE ADDRESS(10, 0, 0, 7)
#define HOUR_NS 3600000000000ull

static struct cp_environment environments[2];
static struct cp_config config;
static struct ipc_environment_state states[2];

static int set_up(void **state)
{
	(void)state;
	memset(environments, 0, sizeof(environments));
	memset(states, 0, sizeof(states));
	config = (struct cp_config){ .environments = environments, .environment_count = 2 };
	config.cluster = (struct cp_port){ .address_be = ADDRESS(10, 0, 0, 2),
		                           .prefix_length = 24,
		                           .router_be = ADDRESS(10, 9, 0, 1) };
	for (int i = 0; i < 2; i++) {
		struct cp_environment *e = &environments[i];

		snprintf(e->name, sizeof(e->name), "%s", i ? "staging" : "production");
		memcpy(states[i].name, e->name, sizeof(states[i].name));
		e->sources[0] =
			(struct ipc_prefix){ .address_be = ADDRESS(10, 0, 1 + i, 0), .length = 24 };
		e->source_count = 1;
	}
	return 0;
}

static enum cp_source_kind kind(uint32_t source_be)
{
	const struct cp_environment *other;

	return cp_source_kind(&config, &environments[0], source_be, &other);
}

static void test_kinds(void **state)
{
	const struct cp_environment *other;

	(void)state;
	assert_int_equal(kind(ADDRESS(10, 0, 1, 5)), CP_SOURCE_ALLOWED);
	assert_int_equal(kind(NODE), CP_SOURCE_NODE);
	assert_int_equal(kind(ADDRESS(10, 9, 0, 1)), CP_SOURCE_NODE);
	assert_int_equal(kind(ADDRESS(10, 9, 0, 2)), CP_SOURCE_UNKNOWN);
	assert_int_equal(cp_source_kind(&config, &environments[0], ADDRESS(10, 0, 2, 5), &other),
	                 CP_SOURCE_OTHERS);
	assert_ptr_equal(other, &environments[1]);
	config.cluster.prefix_length = 32; /* as clouds do it */
	assert_int_equal(kind(NODE), CP_SOURCE_UNKNOWN);
}

static void test_words(void **state)
{
	char text[CP_SOURCES_TEXT_LEN];

	(void)state;
	cp_sources_explain(&config, &environments[0], NULL, text);
	assert_string_equal(text, "");
	cp_sources_explain(&config, &environments[0], &states[0], text);
	assert_string_equal(text, "");
	states[0].refused_sources = UINT64_MAX;
	states[0].refused_source_be = NODE;
	cp_sources_explain(&config, &environments[0], &states[0], text);
	assert_non_null(strstr(text, "10.0.0.7"));
	assert_non_null(strstr(text, "masquerades"));
	assert_int_equal(text[strlen(text) - 1], ')'); /* whole */
	states[0].refused_source_be = ADDRESS(10, 0, 2, 5);
	cp_sources_explain(&config, &environments[0], &states[0], text);
	assert_non_null(strstr(text, "\"staging\""));
	states[0].refused_source_be = ADDRESS(10, 0, 1, 5);
	cp_sources_explain(&config, &environments[0], &states[0], text);
	assert_string_equal(text, "");
}

/* Whether a look at NOW_NS says something. */
static bool says(struct cp_sources *sources, uint64_t now_ns)
{
	const struct cp_dp_picture picture = { .states = states, .state_count = 2 };
	uint64_t before = sources->told[0].said_ns;

	cp_sources_look(sources, &config, &picture, now_ns);
	return sources->told[0].said_ns != before;
}

static void test_how_often(void **state)
{
	struct cp_sources sources = { 0 };
	uint64_t now_ns = HOUR_NS;

	(void)state;
	states[0].refused_source_be = NODE;
	states[0].refused_sources = 9;
	assert_false(says(&sources, now_ns));
	states[0].refused_sources = 10;
	assert_true(says(&sources, now_ns));
	states[0].refused_sources = 1000;
	assert_false(says(&sources, now_ns + HOUR_NS - 1));
	states[0].refused_sources = 1001;
	assert_true(says(&sources, now_ns + HOUR_NS));
	assert_false(says(&sources, now_ns + 3 * HOUR_NS)); /* nothing new */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_kinds, set_up),
		cmocka_unit_test_setup(test_words, set_up),
		cmocka_unit_test_setup(test_how_often, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
