/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The segment of counters, written here and read by those who read it: common/stats_layout.c. */
#include "dataplane/stats.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/stats_layout.h"

#define WORKERS 3u
#define EPOCH 0x1122334455667788ull

struct world {
	char dir[64];
	char path[80];
	struct dp_stats *stats;
	struct sp_stats *reader;
};

static int create(void **state)
{
	struct world *x = calloc(1, sizeof(*x));

	if (!x)
		return -1;
	*state = x;
	snprintf(x->dir, sizeof(x->dir), "/tmp/sallyport-test-stats-XXXXXX");
	if (!mkdtemp(x->dir))
		return -1;
	snprintf(x->path, sizeof(x->path), "%s/stats", x->dir);
	if (dp_stats_create(&x->stats, x->dir, EPOCH, WORKERS) != 0)
		return -1;
	return sp_stats_open(x->path, &x->reader);
}

static int destroy(void **state)
{
	struct world *x = *state;

	sp_stats_close(x->reader);
	dp_stats_destroy(x->stats);
	unlink(x->path);
	rmdir(x->dir);
	free(x);
	return 0;
}

static int find(const struct sp_stats *s, const char *name)
{
	for (uint32_t i = 0; i < sp_stats_count(s); i++)
		if (strcmp(sp_stats_name(s, i), name) == 0)
			return (int)i;
	return -1;
}

static void names_are_unique_and_plain(void **state)
{
	struct world *x = *state;

	for (uint32_t i = 0; i < sp_stats_count(x->reader); i++) {
		const char *name = sp_stats_name(x->reader, i);

		assert_int_equal(find(x->reader, name), i);
		assert_true(strlen(name) < SP_STATS_NAME_LEN - 1); /* nothing was cut off */
		assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-/"),
		                 strlen(name));
		assert_true(name[0] != '/' && name[strlen(name) - 1] != '/');
	}
}

/* Every word of the cells but those of OK and TAKEN has exactly one name. */
static void names_every_counter(void **state)
{
	struct world *x = *state;
	size_t words = sizeof(struct dp_counters) / sizeof(uint64_t), named = 0;
	struct dp_counters *cells = dp_stats_cells(x->stats, 1);

	assert_int_equal(sizeof(struct dp_counters) % sizeof(uint64_t), 0);
	for (size_t i = 0; i < words; i++)
		((uint64_t *)cells)[i] = 1000 + i;
	for (size_t i = 0; i < words; i++) {
		unsigned readers = 0;

		for (uint32_t c = 0; c < sp_stats_count(x->reader); c++)
			readers += sp_stats_value(x->reader, c) == 1000 + i;
		if (i == DP_OK || i == DP_TAKEN) { /* drop[] comes first */
			assert_int_equal(readers, 0);
		} else if (readers != 1) {
			fail_msg("word %zu of struct dp_counters has %u names", i, readers);
		}
		named += readers;
	}
	assert_int_equal(named, words - 2);
	assert_int_equal(named, sp_stats_count(x->reader));
	memset(cells, 0, sizeof(*cells));
}

static void counts_by_name_and_worker(void **state)
{
	struct world *x = *state;
	int session = find(x->reader, "drop/no-session"), full = find(x->reader, "drop/tx-full");
	int rx = find(x->reader, "port/uplink/rx-packets"),
	    tx = find(x->reader, "port/cluster/tx-bytes");

	assert_true(session >= 0 && full >= 0 && rx >= 0 && tx >= 0);
	for (uint32_t w = 0; w < WORKERS; w++) {
		struct dp_counters *c = dp_stats_cells(x->stats, w);

		assert_int_equal((uintptr_t)c % 128, 0); /* cache lines of their own */
		c->drop[DP_NO_SESSION] = 10 + w;
		c->drop[DP_TX_FULL] = w;
		c->rx_packets[DP_PORT_UPLINK] = 100 * w;
		c->tx_bytes[DP_PORT_CLUSTER] = 1ull << (40 + w);
	}
	assert_int_equal(sp_stats_workers(x->reader), WORKERS);
	assert_int_equal(sp_stats_epoch(x->reader), EPOCH);
	assert_int_equal(sp_stats_value(x->reader, (uint32_t)session), 33);
	assert_int_equal(sp_stats_value(x->reader, (uint32_t)full), 3);
	assert_int_equal(sp_stats_value(x->reader, (uint32_t)rx), 300);
	assert_int_equal(sp_stats_value(x->reader, (uint32_t)tx), 7ull << 40);
	assert_int_equal(sp_stats_worker_value(x->reader, (uint32_t)session, 2), 12);
}

static void has_a_name_for_every_verdict(void **state)
{
	struct world *x = *state;

	for (unsigned v = 0; v < DP_VERDICT_COUNT; v++) {
		char name[64];

		snprintf(name, sizeof(name), "drop/%s", dp_verdict_name((enum dp_verdict)v));
		if (v == DP_OK || v == DP_TAKEN || v == DP_PROBE)
			assert_string_equal(name, "drop/");
		else
			assert_true(find(x->reader, name) >= 0);
	}
}

/* A new dataplane makes a new file; who has the old one mapped keeps it. */
static void replaces_an_earlier_segment(void **state)
{
	struct world *x = *state;
	struct dp_stats *fresh;
	struct sp_stats *reader;
	struct stat st;

	dp_stats_cells(x->stats, 0)->loops = 77;
	assert_int_equal(dp_stats_create(&fresh, x->dir, EPOCH + 1, 1), 0);
	assert_int_equal(sp_stats_open(x->path, &reader), 0);
	assert_int_equal(sp_stats_epoch(reader), EPOCH + 1);
	assert_int_equal(sp_stats_workers(reader), 1);
	assert_int_equal(sp_stats_value(reader, (uint32_t)find(reader, "worker/loops")), 0);
	assert_int_equal(sp_stats_value(x->reader, (uint32_t)find(x->reader, "worker/loops")), 77);
	assert_int_equal(stat(x->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644); /* everybody may read, nobody else writes */
	sp_stats_close(reader);
	dp_stats_destroy(fresh);
	assert_int_equal(access(x->path, R_OK), 0); /* it stays after the end */
	dp_stats_destroy(NULL);
}

static void says_what_is_wrong(void **state)
{
	struct world *x = *state;
	struct dp_stats *none = NULL;
	char path[400];

	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = 0;
	assert_int_equal(dp_stats_create(&none, path, 1, 1), -ENAMETOOLONG);
	snprintf(path, sizeof(path), "%s/nowhere", x->dir);
	assert_int_equal(dp_stats_create(&none, path, 1, 1), -ENOENT);
	/* something that cannot be replaced is in the way: nothing is left behind */
	snprintf(path, sizeof(path), "%s/stats/x", x->dir);
	unlink(x->path);
	assert_int_equal(mkdir(x->path, 0700), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_true(dp_stats_create(&none, x->dir, 1, 1) < 0);
	assert_null(none);
	snprintf(path, sizeof(path), "%s/stats.new", x->dir);
	assert_int_equal(access(path, F_OK), -1);
	snprintf(path, sizeof(path), "%s/stats/x", x->dir);
	rmdir(path);
	rmdir(x->path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(names_are_unique_and_plain, create, destroy),
		cmocka_unit_test_setup_teardown(names_every_counter, create, destroy),
		cmocka_unit_test_setup_teardown(counts_by_name_and_worker, create, destroy),
		cmocka_unit_test_setup_teardown(has_a_name_for_every_verdict, create, destroy),
		cmocka_unit_test_setup_teardown(replaces_an_earlier_segment, create, destroy),
		cmocka_unit_test_setup_teardown(says_what_is_wrong, create, destroy),
	};

	return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
