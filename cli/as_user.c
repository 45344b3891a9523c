/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration as the control plane's user finds it, who reads secrets at each authentication
 * and all of it at an upgrade.
 *
 * A child becomes that user and loads it; its mistakes come back through a pipe.
 */
#include "cli/as_user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static bool write_whole(int to, const void *data, size_t length)
{
	const char *at = data;

	while (length > 0) {
		ssize_t written = write(to, at, length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return false;
		at += written;
		length -= (size_t)written;
	}
	return true;
}

/* In the child. Returns its exit status: an errno, or 0. */
static int load_as(const struct passwd *user, const char *config_dir, int to)
{
	struct cp_mistakes mistakes = { 0 };
	struct cp_config *config;
	int rc;

	if (initgroups(user->pw_name, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 ||
	    setuid(user->pw_uid) != 0)
		return errno;
	rc = cp_config_load(config_dir, &config, &mistakes);
	if (rc != 0 && rc != -EINVAL)
		return -rc;
	for (size_t i = 0; i < mistakes.count; i++) {
		if (!write_whole(to, &mistakes.list[i], sizeof(mistakes.list[i])))
			return EPIPE;
	}
	return 0;
}

static int append(struct cp_mistakes *mistakes, const struct cp_mistake *mistake, const char *user)
{
	struct cp_mistake *longer =
		realloc(mistakes->list, (mistakes->count + 1) * sizeof(*longer));
	struct cp_mistake *new;

	if (!longer)
		return -ENOMEM;
	mistakes->list = longer;
	new = &longer[mistakes->count++];
	*new = *mistake;
	snprintf(new->text, sizeof(new->text), "as user %s: %.*s", user,
	         (int)(sizeof(new->text) - sizeof("as user : ") - IPC_NAME_LEN), mistake->text);
	return 0;
}

static int take_all(int from, struct cp_mistakes *mistakes, const char *user)
{
	FILE *file = fdopen(from, "r");
	struct cp_mistake mistake;
	int rc = 0;

	if (!file) {
		close(from);
		return -errno;
	}
	while (rc == 0 && fread(&mistake, sizeof(mistake), 1, file) == 1)
		rc = append(mistakes, &mistake, user);
	fclose(file);
	return rc;
}

int cli_check_as_user(const char *config_dir, const struct cp_config *config,
                      struct cp_mistakes *mistakes)
{
	const struct passwd *user;
	int ends[2], status, rc;
	pid_t child;

	errno = 0;
	user = getpwnam(config->user);
	if (!user)
		return errno ? -errno : -ENOENT;
	if (pipe(ends) != 0)
		return -errno;
	fflush(NULL); /* what is in buffers is the parent's to write */
	child = fork();
	if (child == 0) {
		close(ends[0]);
		_exit(load_as(user, config_dir, ends[1]));
	}
	rc = child < 0 ? -errno : 0;
	close(ends[1]);
	if (rc != 0) {
		close(ends[0]);
		return rc;
	}
	rc = take_all(ends[0], mistakes, config->user);
	if (waitpid(child, &status, 0) != child)
		return -errno;
	if (rc == 0 && status != 0)
		rc = WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
	return rc;
}
