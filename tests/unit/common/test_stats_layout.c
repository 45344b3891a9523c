/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mapping the counters' segment: a good one, each way of being broken, and counting while it is
 * mapped.
 */
#include "common/stats_layout.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "tests/unit/common/unit.h"

#define WORKERS 2
#define STRIDE 64
#define CELLS (sizeof(struct sp_stats_header) + 2 * sizeof(struct sp_stats_counter) + 16)

/* A segment with two counters and two workers, cells in cache lines of their own. */
struct segment {
	struct sp_stats_header header;
	struct sp_stats_counter directory[2];
	uint8_t gap[16];
	uint64_t cells[WORKERS][STRIDE / 8];
};

static struct segment good_segment(void)
{
	struct segment s = {
		.header = { .magic = SP_STATS_MAGIC,
		            .version = SP_STATS_VERSION,
		            .counters = 2,
		            .epoch = 77,
		            .workers = WORKERS,
		            .worker_stride = STRIDE,
		            .cells_offset = CELLS,
		            .size = sizeof(struct segment) },
		.directory = { { .name = "drop/no-session", .offset = 0 },
		               { .name = "port/uplink/rx-packets", .offset = 56 } },
	};

	s.cells[0][0] = 5;
	s.cells[1][0] = 6;
	s.cells[0][7] = 1000;
	s.cells[1][7] = UINT32_MAX;
	return s;
}

static void write_segment(const struct segment *segment, size_t size)
{
	int fd = open("stats", O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, segment, size), (ssize_t)size);
	close(fd);
}

static void test_good(void **state)
{
	struct segment segment = good_segment(), *writer;
	struct sp_stats *stats;
	int fd;

	(void)state;
	assert_int_equal(offsetof(struct segment, cells), CELLS);
	write_segment(&segment, sizeof(segment));
	assert_int_equal(sp_stats_open("stats", &stats), 0);
	assert_int_equal(sp_stats_epoch(stats), 77);
	assert_int_equal(sp_stats_count(stats), 2);
	assert_int_equal(sp_stats_workers(stats), WORKERS);
	assert_string_equal(sp_stats_name(stats, 0), "drop/no-session");
	assert_int_equal(sp_stats_value(stats, 0), 11);
	assert_int_equal(sp_stats_worker_value(stats, 1, 1), UINT32_MAX);
	assert_int_equal(sp_stats_value(stats, 1), 1000ull + UINT32_MAX);

	/* What the writer stores is seen; what it does to the header is not. */
	fd = open("stats", O_RDWR);
	writer = mmap(NULL, sizeof(segment), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(writer != MAP_FAILED);
	writer->cells[1][0] = 100;
	writer->header.workers = 60000;
	writer->directory[0].offset = 1u << 30;
	assert_int_equal(sp_stats_value(stats, 0), 105);
	munmap(writer, sizeof(segment));
	close(fd);
	sp_stats_close(stats);
	unlink("stats");
}

static void test_empty_directory(void **state)
{
	struct segment segment = good_segment();
	struct sp_stats *stats;

	(void)state;
	segment.header.counters = 0;
	write_segment(&segment, sizeof(segment));
	assert_int_equal(sp_stats_open("stats", &stats), 0);
	assert_int_equal(sp_stats_count(stats), 0);
	sp_stats_close(stats);
	unlink("stats");
}

#define BREAK(statement)                                  \
	do {                                              \
		struct segment s = good_segment();        \
		statement;                                \
		expect_broken(&s, sizeof(s), #statement); \
	} while (0)

static void expect_broken(const struct segment *segment, size_t size, const char *how)
{
	struct sp_stats *stats;
	int rc;

	write_segment(segment, size);
	rc = sp_stats_open("stats", &stats);
	if (rc != -EINVAL)
		fail_msg("%s: %d", how, rc);
	assert_null(stats);
	unlink("stats");
}

static void test_broken(void **state)
{
	struct segment segment = good_segment();
	struct sp_stats *stats;

	(void)state;
	BREAK(s.header.magic = 0);
	BREAK(s.header.version = SP_STATS_VERSION + 1);
	BREAK(s.header.counters = 3);
	BREAK(s.header.counters = UINT32_MAX);
	BREAK(s.header.workers = 0);
	BREAK(s.header.workers = WORKERS + 1);
	BREAK(s.header.workers = UINT32_MAX);
	BREAK(s.header.worker_stride = 60);
	BREAK(s.header.worker_stride = STRIDE + 8);
	BREAK(s.header.worker_stride = UINT32_MAX - 7);
	BREAK(s.header.cells_offset = sizeof(struct sp_stats_header));
	BREAK(s.header.cells_offset += 8);
	BREAK(s.header.cells_offset -= 4);
	BREAK(s.header.cells_offset = UINT64_MAX - 7);
	BREAK(s.header.size += 1);
	BREAK(s.header.size = 0);
	BREAK(s.directory[0].name[0] = 0);
	BREAK(memset(s.directory[1].name, 'x', SP_STATS_NAME_LEN));
	BREAK(s.directory[1].offset = 57);
	BREAK(s.directory[1].offset = 64);
	BREAK(s.directory[1].offset = UINT32_MAX - 7);
	expect_broken(&segment, sizeof(segment) - 1, "cut file");
	expect_broken(&segment, sizeof(segment.header) - 1, "cut header");
	expect_broken(&segment, 0, "empty file");

	assert_int_equal(sp_stats_open("stats", &stats), -ENOENT);
	assert_int_equal(sp_stats_open(".", &stats), -EINVAL);
	sp_stats_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_empty_directory),
		cmocka_unit_test(test_broken),
	};

	return cmocka_run_group_tests(tests, unit_enter_directory, unit_leave_directory);
}
