/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The request parser: jansson reads the text, a table says which command takes which argument.
 */
#include "controlplane/api_request.h"

#include "common/ipc_codec.h"

#include <jansson.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARGUMENT_ENVIRONMENT 0x1u
#define ARGUMENT_PAGE 0x2u /* limit and cursor */
#define ARGUMENT_SERVER 0x4u
#define NEEDS_ENVIRONMENT 0x8u

#define SHOWN_MAX 40 /* bytes of the client's own words in an error */

struct command {
	const char *name;
	enum cp_api_command command;
	unsigned arguments;
};

static const struct command commands[] = {
	{ "status", CP_API_STATUS, 0 },
	{ "tunnels", CP_API_TUNNELS, ARGUMENT_ENVIRONMENT },
	{ "forwards", CP_API_FORWARDS, ARGUMENT_ENVIRONMENT | ARGUMENT_PAGE },
	{ "sessions", CP_API_SESSIONS, ARGUMENT_ENVIRONMENT | ARGUMENT_PAGE },
	{ "egress", CP_API_EGRESS, ARGUMENT_PAGE },
	{ "version", CP_API_VERSION, 0 },
	{ "upgrade", CP_API_UPGRADE, 0 },
	{ "move", CP_API_MOVE, ARGUMENT_ENVIRONMENT | ARGUMENT_SERVER | NEEDS_ENVIRONMENT },
	{ "diff", CP_API_DIFF, 0 },
	{ "reload", CP_API_RELOAD, 0 },
	{ "rollback", CP_API_ROLLBACK, 0 },
	{ "reconnect", CP_API_RECONNECT,
	  ARGUMENT_ENVIRONMENT | NEEDS_ENVIRONMENT | ARGUMENT_SERVER },
	{ "drain", CP_API_DRAIN, ARGUMENT_ENVIRONMENT },
	{ "undrain", CP_API_UNDRAIN, ARGUMENT_ENVIRONMENT },
	{ "health", CP_API_HEALTH, ARGUMENT_ENVIRONMENT },
};

/* The text may quote the client, cut anywhere: only printable ASCII is kept. */
__attribute__((format(printf, 2, 3))) static int refuse(char error[CP_API_ERROR_LEN],
                                                        const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error, CP_API_ERROR_LEN, format, arguments);
	va_end(arguments);
	for (char *c = error; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	return -EINVAL;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static int read_environment(const json_t *value, struct cp_api_request *request, char *error)
{
	const char *name = json_string_value(value);

	if (!name || ipc_name_check(name))
		return refuse(error, "environment: must be the name of an environment");
	snprintf(request->environment, sizeof(request->environment), "%s", name);
	return 0;
}

static int read_server(const json_t *value, struct cp_api_request *request, char *error)
{
	const char *name = json_string_value(value);

	if (!name || ipc_name_check(name))
		return refuse(error, "server: must be the name of a server");
	snprintf(request->server, sizeof(request->server), "%s", name);
	return 0;
}

static int read_limit(const json_t *value, struct cp_api_request *request, char *error)
{
	json_int_t limit = json_integer_value(value);

	if (!json_is_integer(value) || limit < 1 || limit > CP_API_PAGE_MAX)
		return refuse(error, "limit: must be a whole number from 1 to %u", CP_API_PAGE_MAX);
	request->limit = (uint32_t)limit;
	return 0;
}

/* Text, because it has 64 bits and not every reader's JSON numbers have. */
static int read_cursor(const json_t *value, struct cp_api_request *request, char *error)
{
	const char *text = json_string_value(value);
	char *end = NULL;

	/* strtoull() alone would let a sign and white space pass */
	if (!text || text[0] < '0' || text[0] > '9')
		return refuse(error, "cursor: must be \"next\" of an earlier reply");
	errno = 0;
	request->cursor = strtoull(text, &end, 10);
	if (errno || *end)
		return refuse(error, "cursor: must be \"next\" of an earlier reply");
	return 0;
}

static int read_arguments(const struct command *command, const json_t *arguments,
                          struct cp_api_request *request, char *error)
{
	const char *key;
	json_t *value;
	int rc = 0;

	json_object_foreach((json_t *)arguments, key, value) {
		if (!strcmp(key, "environment") && (command->arguments & ARGUMENT_ENVIRONMENT))
			rc = read_environment(value, request, error);
		else if (!strcmp(key, "server") && (command->arguments & ARGUMENT_SERVER))
			rc = read_server(value, request, error);
		else if (!strcmp(key, "limit") && (command->arguments & ARGUMENT_PAGE))
			rc = read_limit(value, request, error);
		else if (!strcmp(key, "cursor") && (command->arguments & ARGUMENT_PAGE))
			rc = read_cursor(value, request, error);
		else
			rc = refuse(error, "%s has no argument \"%.*s\"", command->name, SHOWN_MAX,
			            key);
		if (rc)
			return rc;
	}
	return 0;
}

static int read_request(const json_t *root, struct cp_api_request *request, char *error)
{
	const json_t *name = json_object_get(root, "command");
	const json_t *arguments = json_object_get(root, "arguments");
	const struct command *command;
	const char *key;
	json_t *value;

	if (!json_is_object(root))
		return refuse(error, "a request is an object: {\"command\": \"status\"}");
	json_object_foreach((json_t *)root, key, value)
		if (value != name && value != arguments)
			return refuse(error, "a request has no key \"%.*s\"", SHOWN_MAX, key);
	if (!json_is_string(name))
		return refuse(error, "command: must be the name of a command");
	command = find_command(json_string_value(name));
	if (!command)
		return refuse(error, "there is no command \"%.*s\"", SHOWN_MAX,
		              json_string_value(name));
	if (arguments && !json_is_object(arguments))
		return refuse(error, "arguments: must be an object");

	request->command = command->command;
	request->limit = CP_API_PAGE_MAX;
	if (arguments && read_arguments(command, arguments, request, error))
		return -EINVAL;
	if ((command->arguments & NEEDS_ENVIRONMENT) && !request->environment[0])
		return refuse(error, "%s needs an environment", command->name);
	return 0;
}

int cp_api_request_parse(const char *bytes, size_t length, struct cp_api_request *request,
                         char error[CP_API_ERROR_LEN])
{
	json_error_t where;
	json_t *root;
	int rc;

	memset(request, 0, sizeof(*request));
	error[0] = '\0';
	if (length > CP_API_REQUEST_MAX)
		return refuse(error, "a request has at most %u bytes", CP_API_REQUEST_MAX);
	root = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, &where);
	if (!root) {
		if (json_error_code(&where) == json_error_out_of_memory) {
			refuse(error, "out of memory");
			return -ENOMEM;
		}
		return refuse(error, "not JSON: %s", where.text);
	}
	rc = read_request(root, request, error);
	json_decref(root);
	return rc;
}
