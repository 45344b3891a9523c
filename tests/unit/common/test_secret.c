/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Secrets from files: which files are taken, and what is left behind.
 */
#include "common/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/unit/common/unit.h"

static void write_file(const char *path, const void *data, size_t length, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, length), (ssize_t)length);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void test_modes(void **state)
{
	static const struct {
		mode_t mode;
		int rc;
	} cases[] = {
		{ 0400, 0 },       { 0440, 0 },       { 0600, 0 },       { 0640, 0 },
		{ 0644, -EACCES }, { 0604, -EACCES }, { 0660, -EACCES }, { 0620, -EACCES },
		{ 0601, -EACCES }, { 0700, -EACCES }, { 0610, -EACCES }, { 0666, -EACCES },
		{ 0602, -EACCES }, { 0777, -EACCES },
	};
	struct sp_secret *secret = sp_secret_create();

	(void)state;
	assert_non_null(secret);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		write_file("secret", "swordfish", 9, cases[i].mode);
		assert_int_equal(sp_secret_check_file("secret"), cases[i].rc);
		assert_int_equal(sp_secret_read_file(secret, "secret"), cases[i].rc);
		assert_int_equal(secret->length, cases[i].rc == 0 ? 9 : 0);
		assert_int_equal(unlink("secret"), 0);
	}
	sp_secret_destroy(secret);
}

static void test_contents(void **state)
{
	static uint8_t big[SP_SECRET_MAX + 2];
	static const uint8_t zero[SP_SECRET_MAX];
	const struct {
		const void *data;
		size_t size, length;
		int rc;
	} cases[] = {
		{ "a", 1, 1, 0 },
		{ "pass word\n", 10, 9, 0 },
		{ "two\n\n", 5, 4, 0 },
		{ "crlf\r\n", 6, 5, 0 },
		{ "nul\0inside", 10, 10, 0 },
		{ "", 0, 0, -ENODATA },
		{ "\n", 1, 0, -ENODATA },
		{ big, SP_SECRET_MAX, SP_SECRET_MAX, 0 },
		{ big, SP_SECRET_MAX + 1, 0, -EFBIG },
		{ big, SP_SECRET_MAX + 2, 0, -EFBIG },
	};
	struct sp_secret *secret = sp_secret_create();

	(void)state;
	memset(big, 'x', sizeof(big));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		write_file("secret", cases[i].data, cases[i].size, 0600);
		assert_int_equal(sp_secret_check_file("secret"), cases[i].rc);
		assert_int_equal(sp_secret_read_file(secret, "secret"), cases[i].rc);
		assert_int_equal(secret->length, cases[i].length);
		assert_memory_equal(secret->data, cases[i].data, cases[i].length);
		/* Nothing of it or of the secret before stays behind its end. */
		assert_memory_equal(secret->data + secret->length, zero,
		                    SP_SECRET_MAX - secret->length);
		unlink("secret");
	}
	/* A newline does not count, not even behind a full buffer. */
	big[SP_SECRET_MAX] = '\n';
	write_file("secret", big, SP_SECRET_MAX + 1, 0600);
	assert_int_equal(sp_secret_read_file(secret, "secret"), 0);
	assert_int_equal(secret->length, SP_SECRET_MAX);
	unlink("secret");
	sp_secret_destroy(secret);
}

static void test_kinds_of_file(void **state)
{
	struct sp_secret *secret = sp_secret_create();

	(void)state;
	/* Secrets are mounted as symbolic links; the file behind counts. */
	write_file("target", "key", 3, 0440);
	assert_int_equal(symlink("target", "link"), 0);
	assert_int_equal(sp_secret_read_file(secret, "link"), 0);
	assert_int_equal(secret->length, 3);
	assert_int_equal(chmod("target", 0644), 0);
	assert_int_equal(sp_secret_read_file(secret, "link"), -EACCES);
	unlink("target");
	assert_int_equal(sp_secret_read_file(secret, "link"), -ENOENT);
	assert_int_equal(sp_secret_check_file("link"), -ENOENT);
	unlink("link");

	assert_int_equal(mkdir("directory", 0700), 0);
	assert_int_equal(sp_secret_read_file(secret, "directory"), -EISDIR);
	rmdir("directory");
	/* Nobody writes to it: reading must not wait. */
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_int_equal(sp_secret_read_file(secret, "fifo"), -EINVAL);
	unlink("fifo");
	sp_secret_destroy(secret);
	sp_secret_destroy(NULL);
}

static void test_equal_and_wipe(void **state)
{
	uint8_t a[32], b[32], zero[32] = { 0 };

	(void)state;
	memset(a, 5, sizeof(a));
	memcpy(b, a, sizeof(b));
	assert_true(sp_secret_equal(a, b, sizeof(a)));
	assert_true(sp_secret_equal(a, zero, 0));
	for (size_t i = 0; i < sizeof(a); i++) {
		b[i] ^= 0x80;
		assert_false(sp_secret_equal(a, b, sizeof(a)));
		assert_true(sp_secret_equal(a, b, i));
		b[i] ^= 0x80;
	}
	sp_wipe(a, sizeof(a));
	assert_memory_equal(a, zero, sizeof(a));
}

/* The pages' flags as the kernel tells them: "dd" is MADV_DONTDUMP. */
static void test_not_dumped(void **state)
{
	struct sp_secret *secret = sp_secret_create();
	FILE *maps = fopen("/proc/self/smaps", "r");
	char line[512];
	unsigned long start, end;
	int is_ours = 0, is_found = 0;

	(void)state;
	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			is_ours = (uintptr_t)secret >= start && (uintptr_t)secret < end;
		else if (is_ours && strncmp(line, "VmFlags:", 8) == 0) {
			is_found = 1;
			assert_non_null(strstr(line, " dd"));
		}
	}
	fclose(maps);
	assert_true(is_found);
	sp_secret_destroy(secret);
}

/* In a child, because it cannot be taken back. */
static void test_process(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		struct rlimit limit;
		int rc = sp_secret_process_init();

		_exit(rc == 0 && prctl(PR_GET_DUMPABLE) == 0 &&
		                      getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0
		              ? 0
		              : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_modes),         cmocka_unit_test(test_contents),
		cmocka_unit_test(test_kinds_of_file), cmocka_unit_test(test_equal_and_wipe),
		cmocka_unit_test(test_not_dumped),    cmocka_unit_test(test_process),
	};

	return cmocka_run_group_tests(tests, unit_enter_directory, unit_leave_directory);
}
