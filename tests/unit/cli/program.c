/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs the program as a shell would; what it runs against is a struct of the test's. */
#include "tests/unit/cli/program.h"

#include "common/ipc_sock.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS_MAX 12
#define OUTPUT_MAX (4u << 20)

const char *program;
struct world world;
char directory[] = "/tmp/test_cli.XXXXXX";
static struct cp_api *api;
char *output, *errors;

/* ---- running it ---- */

static char *read_back(FILE *from)
{
	char *text = calloc(1, OUTPUT_MAX);

	assert_non_null(text);
	rewind(from);
	assert_true(fread(text, 1, OUTPUT_MAX - 1, from) < OUTPUT_MAX - 1);
	fclose(from);
	return text;
}

/* Runs the program with the words of LINE; returns its exit status. */
static int run(const char *line)
{
	char words[512], *argv[WORDS_MAX + 1] = { (char *)program }, *rest = words;
	FILE *out = tmpfile(), *err = tmpfile();
	int status, argc = 1;
	pid_t child;

	assert_true(out && err);
	snprintf(words, sizeof(words), "%s", line);
	while (rest && argc < WORDS_MAX)
		argv[argc++] = strsep(&rest, " ");
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		if (dup2(fileno(out), STDOUT_FILENO) < 0 || dup2(fileno(err), STDERR_FILENO) < 0)
			_exit(99);
		execv(program, argv);
		_exit(99);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	free(output);
	free(errors);
	output = read_back(out);
	errors = read_back(err);
	return WEXITSTATUS(status);
}

void expect_in(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in:\n%s", part, text);
}

void expect_not_in(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("\"%s\" is in:\n%s", part, text);
}

void expect_exit(const char *line, int status)
{
	int is = run(line);

	if (is != status)
		fail_msg("'%s' ended with %d, not %d\n%s%s", line, is, status, output, errors);
}

json_t *json_output(void)
{
	json_t *value = json_loads(output, 0, NULL);

	if (!value)
		fail_msg("not JSON:\n%s", output);
	return value;
}

/* ---- what it runs against ---- */

int start(void **state)
{
	(void)state;
	strcpy(directory + strlen(directory) - 6, "XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	world_init(&world);
	return setenv("SALLYPORT_RUN_DIR", directory, 1) ||
	       setenv("SALLYPORT_CONFIG_DIR", directory, 1) || unsetenv("SALLYPORT_INSTANCE");
}

int start_with_api(void **state)
{
	return start(state) || cp_api_start(&world.context, directory, (gid_t)-1, &api);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

int stop(void **state)
{
	(void)state;
	cp_api_stop(api);
	api = NULL;
	return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void path_of(char path[256], const char *name)
{
	snprintf(path, 256, "%s/%s", directory, name);
}

void write_file(const char *name, const void *bytes, size_t length)
{
	char path[256];
	FILE *file;

	path_of(path, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, length, file), length);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, 0600), 0);
}

int listen_as_dataplane(void)
{
	char path[256];
	int fd;

	path_of(path, "dataplane.sock");
	fd = ipc_listen(path, (gid_t)-1);
	assert_true(fd >= 0);
	return fd;
}
