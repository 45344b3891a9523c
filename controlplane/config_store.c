/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration in force and the one before it, as files: written beside, then moved into
 * place.
 */
#include "controlplane/config_store.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY_MODE 0750
#define FILE_MODE 0640
#define DEPTH_MAX 4 /* descriptors that the walk may have open */

static int join(char path[CP_PATH_LEN], const char *directory, const char *name)
{
	int length = snprintf(path, CP_PATH_LEN, "%s/%s", directory, name);

	return length > 0 && (size_t)length < CP_PATH_LEN ? 0 : -ENAMETOOLONG;
}

static int make_directory(const char *path)
{
	return mkdir(path, DIRECTORY_MODE) == 0 || errno == EEXIST ? 0 : -errno;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path) == 0 ? 0 : -errno;
}

static int remove_tree(const char *path)
{
	int rc;

	if (access(path, F_OK) != 0)
		return errno == ENOENT ? 0 : -errno;
	rc = nftw(path, remove_entry, DEPTH_MAX, FTW_DEPTH | FTW_PHYS);
	return rc == -1 ? -errno : rc;
}

/* ---- writing ---- */

static int write_all(int fd, const char *bytes, size_t length)
{
	while (length) {
		ssize_t written = write(fd, bytes, length);

		if (written < 0 && errno != EINTR)
			return -errno;
		if (written > 0) {
			bytes += written;
			length -= (size_t)written;
		}
	}
	return 0;
}

static int write_source(const char *directory, const struct cp_source *source)
{
	char path[CP_PATH_LEN];
	int rc = join(path, directory, source->name), fd;

	if (rc != 0)
		return rc;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
	if (fd < 0)
		return -errno;
	rc = write_all(fd, source->text, strlen(source->text));
	if (close(fd) != 0 && rc == 0)
		rc = -errno;
	return rc;
}

static int write_tree(const char *directory, const struct cp_config *config)
{
	char below[CP_PATH_LEN];
	int rc = remove_tree(directory);

	if (rc == 0)
		rc = make_directory(directory);
	if (rc == 0)
		rc = join(below, directory, "environments.d");
	if (rc == 0)
		rc = make_directory(below);
	for (size_t i = 0; rc == 0 && i < config->source_count; i++)
		rc = write_source(directory, &config->sources[i]);
	return rc;
}

/* ---- comparing ---- */

static bool has_same_text(const char *directory, const struct cp_source *source)
{
	const size_t length = strlen(source->text);
	char path[CP_PATH_LEN], *text;
	bool is_same = false;
	FILE *file;

	if (join(path, directory, source->name) != 0)
		return false;
	file = fopen(path, "re");
	text = malloc(length + 1);
	if (file && text) /* one byte more would be another text */
		is_same = fread(text, 1, length + 1, file) == length &&
		          memcmp(text, source->text, length) == 0;
	free(text);
	if (file)
		fclose(file);
	return is_same;
}

static __thread size_t files_found; /* nftw() has no context */

static int count_file(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)path;
	(void)st;
	(void)where;
	files_found += type == FTW_F;
	return 0;
}

static bool is_same_tree(const char *directory, const struct cp_config *config)
{
	files_found = 0;
	if (nftw(directory, count_file, DEPTH_MAX, FTW_PHYS) != 0 ||
	    files_found != config->source_count)
		return false;
	for (size_t i = 0; i < config->source_count; i++) {
		if (!has_same_text(directory, &config->sources[i]))
			return false;
	}
	return true;
}

/* ---- public ---- */

int cp_store_init(struct cp_store *store, const char *run_dir, uid_t user, gid_t group)
{
	char directory[CP_PATH_LEN];
	int rc = join(directory, run_dir, "configuration");

	if (rc == 0)
		rc = join(store->applied, directory, "applied");
	if (rc == 0)
		rc = join(store->previous, directory, "previous");
	if (rc == 0)
		rc = join(store->fresh, directory, "fresh");
	if (rc == 0)
		rc = join(store->draining, directory, "draining");
	if (rc == 0)
		rc = make_directory(directory);
	if (rc == 0 && user != (uid_t)-1 && lchown(directory, user, group) != 0)
		rc = -errno;
	return rc;
}

int cp_store_apply(const struct cp_store *store, const struct cp_config *config)
{
	int rc;

	if (is_same_tree(store->applied, config))
		return 0;
	rc = write_tree(store->fresh, config);
	if (rc == 0)
		rc = remove_tree(store->previous);
	if (rc == 0 && rename(store->applied, store->previous) != 0 && errno != ENOENT)
		rc = -errno;
	if (rc == 0 && rename(store->fresh, store->applied) != 0)
		rc = -errno;
	return rc;
}

int cp_store_set_draining(const struct cp_store *store, const struct cp_config *config)
{
	char path[CP_PATH_LEN + sizeof(".new")];
	FILE *file;
	int rc = 0;

	snprintf(path, sizeof(path), "%s.new", store->draining);
	file = fopen(path, "we");
	if (!file)
		return -errno;
	for (size_t i = 0; i < config->environment_count; i++) {
		if (config->environments[i].is_draining &&
		    fprintf(file, "%s\n", config->environments[i].name) < 0)
			rc = -EIO;
	}
	if (fclose(file) != 0 && rc == 0)
		rc = -errno;
	if (rc == 0 && rename(path, store->draining) != 0)
		rc = -errno;
	return rc;
}

int cp_store_get_draining(const struct cp_store *store, struct cp_config *config)
{
	FILE *file = fopen(store->draining, "re");
	char line[IPC_NAME_LEN + 1];

	if (!file)
		return errno == ENOENT ? 0 : -errno;
	while (fgets(line, sizeof(line), file)) {
		struct cp_environment *environment;

		line[strcspn(line, "\n")] = 0;
		environment = (struct cp_environment *)cp_config_environment(config, line);
		if (environment)
			environment->is_draining = true;
	}
	fclose(file);
	return 0;
}

bool cp_store_has_previous(const struct cp_store *store)
{
	return access(store->previous, F_OK) == 0;
}
