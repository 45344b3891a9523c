/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads the configuration's files, hands their trees to the readers of the groups, and frees it
 * all.
 */
#include "controlplane/config.h"

#include <libconfig.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controlplane/config_read.h"
#include "controlplane/ovpn_settings.h"

/* A file's text and, after parse_file(), its tree. The tree's strings are in `library`. */
struct file {
	char name[CP_PATH_LEN];
	char *text;
	config_t library;
	struct cp_node root;
	bool is_parsed;
};

/* ---- before the library sees the text ---- */

/*
 * What the library would do silently is found here: it opens other files for "@include" at the
 * start of a line, recurses as deep as brackets are nested, cuts integers to 32 bits, and takes a
 * comment that does not end.
 */
struct scan {
	struct cp_reader *reader;
	const char *file;
	unsigned line;
	unsigned depth;
	bool is_good;
};

static void scan_line_start(struct scan *scan, const char *at)
{
	if (strncmp(at + strspn(at, " \t\r\f\v"), "@include", 8) == 0) {
		cp_mistake_at(scan->reader, scan->file, scan->line, "@include is not allowed");
		scan->is_good = false;
	}
}

static void scan_bracket(struct scan *scan, char bracket)
{
	if (strchr("{[(", bracket) && ++scan->depth == CP_NESTING_MAX + 1) {
		cp_mistake_at(scan->reader, scan->file, scan->line,
		              "groups and lists are nested too deep: at most %u", CP_NESTING_MAX);
		scan->is_good = false;
	} else if (strchr("}])", bracket) && scan->depth > 0) {
		scan->depth--;
	}
}

#define WORD_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-*.+"

/* Returns the length of the word at AT. All ranges are far below what is refused here. */
static size_t scan_word(struct scan *scan, const char *at)
{
	size_t length = strspn(at, WORD_CHARACTERS);
	const char *digits = at + strspn(at, "+-");
	size_t limit = 9;

	if (digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X')) {
		digits += 2;
		limit = 7;
	}
	if (*digits >= '0' && *digits <= '9') {
		digits += strspn(digits, "0");
		if (strspn(digits, "0123456789abcdefABCDEF") > limit) {
			cp_mistake_at(scan->reader, scan->file, scan->line,
			              "the number is too large");
			scan->is_good = false;
		}
	}
	return length;
}

/* Returns what follows a line's comment: the end of the line. */
static const char *scan_line_comment(const char *at)
{
	return at + strcspn(at, "\n");
}

/*
 * Returns what follows a string or a comment whose inside starts at AT, counting its lines. One
 * that does not end is a mistake of the line where it starts; the library would take an open
 * comment and leak an open string.
 */
static const char *scan_span(struct scan *scan, const char *at, const char *end, const char *what)
{
	size_t length = strlen(end);
	unsigned first_line = scan->line;

	for (; *at; at++) {
		if (strncmp(at, end, length) == 0)
			return at + length;
		if (*at == '\n') {
			scan->line++;
			scan_line_start(scan, at + 1);
		} else if (*at == '\\' && *end == '"' && at[1] && at[1] != '\n') {
			at++;
		}
	}
	cp_mistake_at(scan->reader, scan->file, first_line, "the %s that starts here does not end",
	              what);
	scan->is_good = false;
	return at;
}

static bool scan_text(struct cp_reader *reader, const char *file, const char *text)
{
	struct scan scan = { .reader = reader, .file = file, .line = 1, .is_good = true };
	size_t length;

	scan_line_start(&scan, text);
	while (*text) {
		if (*text == '\n') {
			scan.line++;
			scan_line_start(&scan, ++text);
		} else if (*text == '"') {
			text = scan_span(&scan, text + 1, "\"", "text");
		} else if (*text == '#' || (text[0] == '/' && text[1] == '/')) {
			text = scan_line_comment(text);
		} else if (text[0] == '/' && text[1] == '*') {
			text = scan_span(&scan, text + 2, "*/", "comment");
		} else if (strchr("{}[]()", *text)) {
			scan_bracket(&scan, *text++);
		} else {
			length = scan_word(&scan, text);
			text += length ? length : 1;
		}
	}
	return scan.is_good;
}

/* ---- the library's tree becomes ours ---- */

static void free_tree(struct cp_node *node)
{
	for (size_t i = 0; i < node->count; i++)
		free_tree(&node->children[i]);
	free(node->children);
}

static int copy_tree(struct cp_node *node, const config_setting_t *setting, const char *file);

static int copy_children(struct cp_node *node, const config_setting_t *setting, const char *file)
{
	int length = config_setting_length(setting);

	if (length <= 0)
		return 0;
	node->children = calloc((size_t)length, sizeof(*node->children));
	if (!node->children)
		return -ENOMEM;
	for (int i = 0; i < length; i++) {
		struct cp_node *child = &node->children[node->count++];

		child->parent = node;
		if (copy_tree(child, config_setting_get_elem(setting, (unsigned)i), file) != 0)
			return -ENOMEM;
	}
	return 0;
}

/* The recursion is as deep as CP_NESTING_MAX allows. */
static int copy_tree(struct cp_node *node, const config_setting_t *setting, const char *file)
{
	node->file = file;
	node->name = config_setting_name(setting);
	node->line = config_setting_source_line(setting);
	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_INT:
		node->kind = CP_NODE_INTEGER;
		node->integer = config_setting_get_int(setting);
		return 0;
	case CONFIG_TYPE_INT64:
		node->kind = CP_NODE_INTEGER;
		node->integer = config_setting_get_int64(setting);
		return 0;
	case CONFIG_TYPE_FLOAT:
		node->kind = CP_NODE_FLOAT;
		return 0;
	case CONFIG_TYPE_BOOL:
		node->kind = CP_NODE_BOOLEAN;
		node->integer = config_setting_get_bool(setting);
		return 0;
	case CONFIG_TYPE_STRING:
		node->kind = CP_NODE_TEXT;
		node->text = config_setting_get_string(setting);
		if (!node->text)
			node->text = "";
		return 0;
	default:
		node->kind = config_setting_is_group(setting) ? CP_NODE_GROUP : CP_NODE_LIST;
		return copy_children(node, setting, file);
	}
}

static void parse_file(struct cp_reader *reader, struct file *file)
{
	if (!file->text || !scan_text(reader, file->name, file->text))
		return;
	if (config_read_string(&file->library, file->text) != CONFIG_TRUE) {
		cp_mistake_at(reader, file->name, (unsigned)config_error_line(&file->library), "%s",
		              config_error_text(&file->library));
		return;
	}
	if (copy_tree(&file->root, config_root_setting(&file->library), file->name) != 0)
		reader->is_out_of_memory = true;
	else
		file->is_parsed = true;
}

/* ---- files ---- */

static void fini_files(struct file *files, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(files[i].text);
		free_tree(&files[i].root);
		config_destroy(&files[i].library);
	}
	free(files);
}

/* Reads a whole descriptor of at most CP_FILE_BYTES_MAX; *TEXT is owned by the caller. */
static int read_descriptor(int fd, char **text)
{
	size_t used = 0, room = CP_FILE_BYTES_MAX + 1;
	char *buffer = malloc(room + 1), *shrunk;
	ssize_t n;

	if (!buffer)
		return -ENOMEM;
	do {
		n = read(fd, buffer + used, room - used);
		if (n > 0)
			used += (size_t)n;
	} while ((n > 0 && used < room) || (n < 0 && errno == EINTR));
	if (n < 0 || used == room) {
		int rc = n < 0 ? -errno : -EFBIG;

		free(buffer);
		return rc;
	}
	buffer[used] = 0;
	if (strlen(buffer) != used) {
		free(buffer);
		return -EILSEQ;
	}
	shrunk = realloc(buffer, used + 1);
	*text = shrunk ? shrunk : buffer;
	return 0;
}

static void read_file(struct cp_reader *reader, struct file *file)
{
	int fd = open(file->name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), rc = 0;
	struct stat st;

	if (fd < 0) {
		cp_mistake_at(reader, file->name, 0, "%s", strerror(errno));
		return;
	}
	if (fstat(fd, &st) != 0)
		rc = -errno;
	else if (!S_ISREG(st.st_mode))
		rc = -EINVAL;
	else
		rc = read_descriptor(fd, &file->text);
	close(fd);
	if (rc == -ENOMEM)
		reader->is_out_of_memory = true;
	else if (rc == -EINVAL)
		cp_mistake_at(reader, file->name, 0, "must be a regular file");
	else if (rc == -EFBIG)
		cp_mistake_at(reader, file->name, 0, "must have at most %u bytes",
		              CP_FILE_BYTES_MAX);
	else if (rc == -EILSEQ)
		cp_mistake_at(reader, file->name, 0, "must be text: it contains a NUL byte");
	else if (rc != 0)
		cp_mistake_at(reader, file->name, 0, "%s", strerror(-rc));
}

static int is_environment_file(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return entry->d_name[0] != '.' && length > 5 &&
	       strcmp(entry->d_name + length - 5, ".conf") == 0;
}

static bool join_path(struct cp_reader *reader, char path[CP_PATH_LEN], const char *directory,
                      const char *name)
{
	if ((size_t)snprintf(path, CP_PATH_LEN, "%s/%s", directory, name) < CP_PATH_LEN)
		return true;
	cp_mistake_at(reader, directory, 0, "the path of %s is too long: at most %u characters",
	              name, CP_PATH_LEN - 1);
	return false;
}

static struct file *create_files(size_t count)
{
	struct file *files = calloc(count, sizeof(*files));

	for (size_t i = 0; files && i < count; i++)
		config_init(&files[i].library);
	return files;
}

/* Returns gateway.conf and behind it the *COUNT - 1 files of environments.d, by name. NULL: no
 * memory. */
static struct file *read_directory(struct cp_reader *reader, const char *config_dir, size_t *count)
{
	struct dirent **entries = NULL;
	char directory[CP_PATH_LEN];
	struct file *files;
	int found = 0;

	*count = 0;
	if (join_path(reader, directory, config_dir, "environments.d")) {
		found = scandir(directory, &entries, is_environment_file, alphasort);
		if (found < 0) {
			cp_mistake_at(reader, directory, 0, "%s", strerror(errno));
			found = 0;
		}
	}
	files = create_files((size_t)found + 1);
	if (files) {
		*count = (size_t)found + 1;
		if (join_path(reader, files[0].name, config_dir, "gateway.conf"))
			read_file(reader, &files[0]);
	}
	for (int i = 0; i < found; i++) {
		if (files && i < (int)CP_ENVIRONMENTS_MAX &&
		    join_path(reader, files[i + 1].name, directory, entries[i]->d_name))
			read_file(reader, &files[i + 1]);
		free(entries[i]);
	}
	free(entries);
	if (found > (int)CP_ENVIRONMENTS_MAX)
		cp_mistake_at(reader, directory, 0, "must have at most %u files",
		              CP_ENVIRONMENTS_MAX);
	return files;
}

/* ---- from files to configuration ---- */

/* FILES[0] is gateway.conf. */
static void read_files(struct cp_reader *reader, struct file *files, size_t count)
{
	const struct cp_node **roots = calloc(count, sizeof(*roots));
	struct cp_config *config = reader->config;

	config->environments = calloc(count, sizeof(*config->environments));
	if (!roots || !config->environments) {
		reader->is_out_of_memory = true;
		free(roots);
		return;
	}
	for (size_t i = 0; i < count; i++)
		parse_file(reader, &files[i]);
	if (files[0].is_parsed)
		cp_read_gateway(reader, &files[0].root);
	for (size_t i = 1; i < count; i++) {
		if (!files[i].is_parsed)
			continue;
		roots[config->environment_count] = &files[i].root;
		cp_read_environment(reader, &files[i].root);
	}
	cp_check_environments(reader, roots);
	cp_check_ports(reader, roots);
	cp_check_egress(reader, files[0].is_parsed ? &files[0].root : NULL, roots);
	free(roots);
}

static void destroy(struct cp_config *config)
{
	for (size_t i = 0; i < config->environment_count; i++) {
		struct cp_environment *environment = &config->environments[i];

		free(environment->forwards);
		for (size_t j = 0; j < environment->server_count; j++)
			free(environment->servers[j].openvpn);
	}
	for (size_t i = 0; i < config->source_count; i++)
		free(config->sources[i].text);
	free(config->sources);
	free(config->environments);
	free(config);
}

/* Their texts become the configuration's. */
static void keep_sources(struct cp_reader *reader, struct file *files, size_t count)
{
	struct cp_config *config = reader->config;

	config->sources = calloc(count, sizeof(*config->sources));
	if (!config->sources) {
		reader->is_out_of_memory = true;
		return;
	}
	for (size_t i = 0; i < count; i++) {
		struct cp_source *source = &config->sources[config->source_count++];
		const char *name = strrchr(files[i].name, '/');

		snprintf(source->name, sizeof(source->name), "%s%s", i ? "environments.d/" : "",
		         name ? name + 1 : files[i].name);
		source->text = files[i].text;
		files[i].text = NULL;
	}
}

/* Takes FILES. */
static int finish(struct cp_reader *reader, struct file *files, size_t count,
                  struct cp_config **config)
{
	if (files)
		read_files(reader, files, count);
	else
		reader->is_out_of_memory = true;
	if (files && !reader->is_out_of_memory && reader->mistakes->count == 0)
		keep_sources(reader, files, count);
	fini_files(files, count);
	if (!reader->is_out_of_memory && reader->mistakes->count == 0) {
		*config = reader->config;
		return 0;
	}
	destroy(reader->config);
	return reader->is_out_of_memory ? -ENOMEM : -EINVAL;
}

static int begin(struct cp_reader *reader, struct cp_config **config, struct cp_mistakes *mistakes)
{
	*config = NULL;
	memset(mistakes, 0, sizeof(*mistakes));
	reader->mistakes = mistakes;
	reader->config = calloc(1, sizeof(*reader->config));
	if (!reader->config)
		return -ENOMEM;
	reader->config->holders = 1;
	return 0;
}

/* ---- public ---- */

int cp_config_load(const char *config_dir, struct cp_config **config, struct cp_mistakes *mistakes)
{
	struct cp_reader reader = { .looks_at_files = true };
	struct file *files;
	size_t count;

	if (begin(&reader, config, mistakes) != 0)
		return -ENOMEM;
	files = read_directory(&reader, config_dir, &count);
	return finish(&reader, files, count, config);
}

int cp_config_parse(const char *gateway, const char *const *environments, size_t environment_count,
                    struct cp_config **config, struct cp_mistakes *mistakes)
{
	struct cp_reader reader = { .looks_at_files = false };
	struct file *files;

	if (begin(&reader, config, mistakes) != 0)
		return -ENOMEM;
	files = create_files(environment_count + 1);
	for (size_t i = 0; files && i <= environment_count; i++) {
		if (i == 0)
			snprintf(files[i].name, sizeof(files[i].name), "gateway.conf");
		else
			snprintf(files[i].name, sizeof(files[i].name), "environment-%zu.conf", i);
		files[i].text = strdup(i == 0 ? gateway : environments[i - 1]);
		if (!files[i].text)
			reader.is_out_of_memory = true;
	}
	return finish(&reader, files, files ? environment_count + 1 : 0, config);
}

/* SIZE bytes of FROM; NULL: no memory, or nothing to copy. */
static void *copy_of(const void *from, size_t size)
{
	void *copy = from && size ? malloc(size) : NULL;

	return copy ? memcpy(copy, from, size) : NULL;
}

/* ENVIRONMENT is a flat copy of FROM: what that points to is copied too, up to where memory ends.
 */
static int copy_environment(struct cp_environment *environment, const struct cp_environment *from)
{
	int rc = 0;

	environment->forwards =
		copy_of(from->forwards, from->forward_count * sizeof(*from->forwards));
	if (from->forward_count && !environment->forwards)
		rc = -ENOMEM;
	for (size_t i = 0; i < from->server_count; i++) {
		const struct cp_ovpn_settings *settings = from->servers[i].openvpn;

		environment->servers[i].openvpn = copy_of(settings, sizeof(*settings));
		if (settings && !environment->servers[i].openvpn)
			rc = -ENOMEM;
	}
	return rc;
}

/* Fills COPY, whose lists are empty, up to where memory ends. */
static int copy_lists(struct cp_config *copy, const struct cp_config *from)
{
	copy->environments = calloc(from->environment_count + 1, sizeof(*copy->environments));
	copy->sources = calloc(from->source_count + 1, sizeof(*copy->sources));
	if (!copy->environments || !copy->sources)
		return -ENOMEM;
	for (size_t i = 0; i < from->environment_count; i++) {
		struct cp_environment *environment = &copy->environments[copy->environment_count++];

		*environment = from->environments[i];
		if (copy_environment(environment, &from->environments[i]) != 0)
			return -ENOMEM;
	}
	for (size_t i = 0; i < from->source_count; i++) {
		struct cp_source *source = &copy->sources[copy->source_count++];

		*source = from->sources[i];
		source->text = strdup(from->sources[i].text);
		if (!source->text)
			return -ENOMEM;
	}
	return 0;
}

struct cp_config *cp_config_copy(const struct cp_config *config)
{
	struct cp_config *copy = malloc(sizeof(*copy));

	if (!copy)
		return NULL;
	*copy = *config;
	copy->environments = NULL;
	copy->sources = NULL;
	copy->environment_count = copy->source_count = 0;
	copy->holders = 1;
	if (copy_lists(copy, config) == 0)
		return copy;
	destroy(copy);
	return NULL;
}

const struct cp_config *cp_config_hold(const struct cp_config *config)
{
	if (config)
		atomic_fetch_add(&((struct cp_config *)config)->holders, 1);
	return config;
}

void cp_config_release(const struct cp_config *config)
{
	if (config && atomic_fetch_sub(&((struct cp_config *)config)->holders, 1) == 1)
		destroy((struct cp_config *)config);
}

void cp_mistakes_fini(struct cp_mistakes *mistakes)
{
	free(mistakes->list);
	memset(mistakes, 0, sizeof(*mistakes));
}

void cp_mistakes_print(const struct cp_mistakes *mistakes, FILE *to)
{
	for (size_t i = 0; i < mistakes->count; i++) {
		const struct cp_mistake *mistake = &mistakes->list[i];

		fprintf(to, "%s:", mistake->file);
		if (mistake->line)
			fprintf(to, "%u:", mistake->line);
		if (mistake->key[0])
			fprintf(to, " %s:", mistake->key);
		fprintf(to, " %s\n", mistake->text);
	}
}

const struct cp_environment *cp_config_environment(const struct cp_config *config, const char *name)
{
	for (size_t i = 0; i < config->environment_count; i++) {
		if (strcmp(config->environments[i].name, name) == 0)
			return &config->environments[i];
	}
	return NULL;
}

const struct cp_server *cp_config_server(const struct cp_environment *environment, const char *name)
{
	for (size_t i = 0; i < environment->server_count; i++) {
		if (strcmp(environment->servers[i].name, name) == 0)
			return &environment->servers[i];
	}
	return NULL;
}
