/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory that holds keys and passwords: locked, left out of core dumps, wiped.
 */
#include "common/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Others: nothing. The group: read at most. Nobody executes it. */
#define FORBIDDEN_MODE_BITS (S_IRWXO | S_IWGRP | S_IXGRP | S_IXUSR)

bool sp_secret_is_mode(mode_t mode)
{
	return !(mode & FORBIDDEN_MODE_BITS);
}

struct sp_secret *sp_secret_create(void)
{
	void *memory = mmap(NULL, sizeof(struct sp_secret), PROT_READ | PROT_WRITE,
	                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	if (madvise(memory, sizeof(struct sp_secret), MADV_DONTDUMP) != 0) {
		munmap(memory, sizeof(struct sp_secret));
		return NULL;
	}
	/* RLIMIT_MEMLOCK may forbid it for an unprivileged process; the node then decides by having
	 * swap or not. */
	(void)mlock(memory, sizeof(struct sp_secret));
	return memory;
}

void sp_secret_destroy(struct sp_secret *secret)
{
	if (!secret)
		return;
	sp_wipe(secret, sizeof(*secret));
	munmap(secret, sizeof(*secret));
}

/* The number of bytes read, fewer than SIZE only at the end of the file; or -errno. */
static ssize_t read_up_to(int fd, uint8_t *data, size_t size)
{
	size_t length = 0;

	while (length < size) {
		ssize_t n = read(fd, data + length, size - length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		length += (size_t)n;
	}
	return (ssize_t)length;
}

/* The whole file, less one newline at its end. */
static int read_secret(int fd, struct sp_secret *secret)
{
	ssize_t length = read_up_to(fd, secret->data, sizeof(secret->data)), more_length = 0;
	uint8_t more[2] = { 0 };

	if (length == (ssize_t)sizeof(secret->data))
		more_length = read_up_to(fd, more, sizeof(more));
	if (length < 0 || more_length < 0)
		return (int)(length < 0 ? length : more_length);
	if (more_length == 0 && length > 0 && secret->data[length - 1] == '\n')
		secret->data[--length] = 0;
	secret->length = (size_t)length;
	/* A full buffer and the newline that is dropped anyway is still good. */
	if (more_length == 2 || (more_length == 1 && more[0] != '\n')) {
		sp_wipe(more, sizeof(more));
		return -EFBIG;
	}
	return length == 0 ? -ENODATA : 0;
}

int sp_secret_read_file(struct sp_secret *secret, const char *path)
{
	struct stat st;
	int fd, rc;

	sp_wipe(secret, sizeof(*secret));
	/* Non-blocking: a FIFO in the place of the file must not stop us. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0) {
		rc = -errno;
	} else if (!S_ISREG(st.st_mode)) {
		rc = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	} else if (!sp_secret_is_mode(st.st_mode)) {
		rc = -EACCES;
	} else {
		rc = read_secret(fd, secret);
	}
	close(fd);
	if (rc != 0)
		sp_wipe(secret, sizeof(*secret));
	return rc;
}

int sp_secret_check_file(const char *path)
{
	struct sp_secret *secret = sp_secret_create();
	int rc;

	if (!secret)
		return -ENOMEM;
	rc = sp_secret_read_file(secret, path);
	sp_secret_destroy(secret);
	return rc;
}

int sp_secret_equal(const void *a, const void *b, size_t length)
{
	const volatile uint8_t *left = a, *right = b;
	uint8_t difference = 0;

	for (size_t i = 0; i < length; i++)
		difference |= (uint8_t)(left[i] ^ right[i]);
	return difference == 0;
}

void sp_wipe(void *memory, size_t length)
{
	explicit_bzero(memory, length);
}

int sp_secret_process_init(void)
{
	const struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0)
		return -errno;
	return 0;
}
