/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Feeds every file of a directory to a fuzz target, so that each input that once mattered is a
 * test.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

/* Runs the target on an exact copy of the file, so that a sanitizer sees a step over its end. */
static int replay(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
	uint8_t *data;
	size_t size;
	int rc = 1;

	if (!file || fstat(fileno(file), &st) != 0 || !S_ISREG(st.st_mode)) {
		fprintf(stderr, "%s: cannot be read\n", path);
		if (file)
			fclose(file);
		return 1;
	}
	size = (size_t)st.st_size;
	data = malloc(size ? size : 1);
	if (data && fread(data, 1, size, file) == size)
		rc = LLVMFuzzerTestOneInput(data, size);
	free(data);
	fclose(file);
	return rc;
}

int main(int argc, char **argv)
{
	unsigned replayed = 0;
	struct dirent *entry;
	char path[4096];
	DIR *directory;

	if (argc != 2 || !(directory = opendir(argv[1]))) {
		fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
		return 2;
	}
	while ((entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", argv[1], entry->d_name);
		printf("%s\n", path);
		fflush(stdout);
		if (replay(path) != 0)
			return 1;
		replayed++;
	}
	closedir(directory);
	/* An empty corpus tests nothing. */
	printf("%u replayed\n", replayed);
	return replayed > 0 ? 0 : 1;
}
