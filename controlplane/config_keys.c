/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads a group of settings by a table of keys, and collects the mistakes.
 */
#include "controlplane/config_read.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/ipc_codec.h"
#include "common/netaddr.h"

/* ---- mistakes ---- */

/* Keeps the list in the order of files and lines, whatever the order of the checks. */
static size_t place_of(const struct cp_mistakes *mistakes, const struct cp_mistake *mistake)
{
	size_t place = mistakes->count;

	while (place > 0 && strcmp(mistakes->list[place - 1].file, mistake->file) != 0)
		place--;
	if (place == 0)
		return mistakes->count;
	while (place > 0 && strcmp(mistakes->list[place - 1].file, mistake->file) == 0 &&
	       mistakes->list[place - 1].line > mistake->line)
		place--;
	return place;
}

static void add_mistake(struct cp_reader *reader, const struct cp_mistake *mistake)
{
	struct cp_mistakes *mistakes = reader->mistakes;
	struct cp_mistake *list;
	size_t place;

	if (mistakes->count > CP_MISTAKES_MAX)
		return;
	list = realloc(mistakes->list, (mistakes->count + 1) * sizeof(*list));
	if (!list) {
		reader->is_out_of_memory = true;
		return;
	}
	mistakes->list = list;
	if (mistakes->count == CP_MISTAKES_MAX) {
		list[mistakes->count] =
			(struct cp_mistake){ .text = "and more mistakes, which are not listed" };
		memcpy(list[mistakes->count++].file, mistake->file, sizeof(mistake->file));
		return;
	}
	place = place_of(mistakes, mistake);
	memmove(&list[place + 1], &list[place], (mistakes->count - place) * sizeof(*list));
	list[place] = *mistake;
	mistakes->count++;
}

/* "environment.servers.[1].address", cut at the end of BUFFER. */
static void format_path(const struct cp_node *node, char *buffer, size_t size)
{
	char own[CP_TEXT_LEN];
	size_t length;

	if (!node->parent) {
		buffer[0] = 0;
		return;
	}
	format_path(node->parent, buffer, size);
	length = strlen(buffer);
	if (node->name)
		snprintf(own, sizeof(own), "%s", node->name);
	else
		snprintf(own, sizeof(own), "[%zu]", (size_t)(node - node->parent->children));
	snprintf(buffer + length, size - length, "%s%s", length ? "." : "", own);
}

void cp_mistake(struct cp_reader *reader, const struct cp_node *at, const char *key,
                const char *format, ...)
{
	struct cp_mistake mistake = { .line = at->line };
	size_t length;
	va_list args;

	snprintf(mistake.file, sizeof(mistake.file), "%s", at->file);
	format_path(at, mistake.key, sizeof(mistake.key));
	length = strlen(mistake.key);
	if (key)
		snprintf(mistake.key + length, sizeof(mistake.key) - length, "%s%s",
		         length ? "." : "", key);
	va_start(args, format);
	vsnprintf(mistake.text, sizeof(mistake.text), format, args);
	va_end(args);
	add_mistake(reader, &mistake);
}

void cp_mistake_at(struct cp_reader *reader, const char *file, unsigned line, const char *format,
                   ...)
{
	struct cp_mistake mistake = { .line = line };
	va_list args;

	snprintf(mistake.file, sizeof(mistake.file), "%s", file);
	va_start(args, format);
	vsnprintf(mistake.text, sizeof(mistake.text), format, args);
	va_end(args);
	add_mistake(reader, &mistake);
}

/* ---- the tree ---- */

const struct cp_node *cp_node_child(const struct cp_node *group, const char *name)
{
	if (!group || group->kind != CP_NODE_GROUP)
		return NULL;
	for (size_t i = 0; i < group->count; i++) {
		if (strcmp(group->children[i].name, name) == 0)
			return &group->children[i];
	}
	return NULL;
}

bool cp_node_is(struct cp_reader *reader, const struct cp_node *node, enum cp_node_kind kind)
{
	static const char *const kinds[] = {
		[CP_NODE_GROUP] = "a group { ... }",  [CP_NODE_LIST] = "a list",
		[CP_NODE_INTEGER] = "a whole number", [CP_NODE_FLOAT] = "a number",
		[CP_NODE_BOOLEAN] = "true or false",  [CP_NODE_TEXT] = "text in quotes",
	};

	if (node->kind == kind)
		return true;
	cp_mistake(reader, node, NULL, "must be %s", kinds[kind]);
	return false;
}

void cp_read_endpoint(struct cp_reader *reader, const struct cp_node *node, const char *example,
                      uint32_t *address_be, uint16_t *port_be)
{
	uint32_t address;
	uint16_t port;

	if (!cp_node_is(reader, node, CP_NODE_TEXT))
		return;
	if (sp_endpoint_parse(node->text, &address, &port) != 0 || sp_address_is_martian(address)) {
		cp_mistake(reader, node, NULL,
		           "must be a unicast IPv4 address and a port, as \"%s\"", example);
		return;
	}
	*address_be = address;
	*port_be = port;
}

/* ---- kinds of values ---- */

static bool is_printable(const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f)
			return false;
	}
	return true;
}

static void read_text(struct cp_reader *reader, const struct cp_node *node, size_t size,
                      char *target)
{
	if (!cp_node_is(reader, node, CP_NODE_TEXT))
		return;
	if (!node->text[0])
		cp_mistake(reader, node, NULL, "must not be empty");
	else if (strlen(node->text) >= size)
		cp_mistake(reader, node, NULL, "must be shorter: at most %zu characters", size - 1);
	else if (!is_printable(node->text))
		cp_mistake(reader, node, NULL, "must not contain control characters");
	else
		memcpy(target, node->text, strlen(node->text) + 1);
}

static void read_name(struct cp_reader *reader, const struct cp_node *node, char *target)
{
	if (!cp_node_is(reader, node, CP_NODE_TEXT))
		return;
	if (ipc_name_check(node->text) != 0)
		cp_mistake(
			reader, node, NULL,
			"must be a name: 1 to 31 of a-z, 0-9, '-', '_' and '.', the first a letter or a digit");
	else
		memcpy(target, node->text, strlen(node->text) + 1);
}

static void read_path(struct cp_reader *reader, const struct cp_node *node, char *target)
{
	if (node->kind == CP_NODE_TEXT && node->text[0] && node->text[0] != '/')
		cp_mistake(reader, node, NULL, "must be an absolute path");
	else
		read_text(reader, node, CP_PATH_LEN, target);
}

/* Returns whether *VALUE was filled. */
static bool read_integer(struct cp_reader *reader, const struct cp_node *node, long long min,
                         long long max, long long *value)
{
	if (!cp_node_is(reader, node, CP_NODE_INTEGER))
		return false;
	if (node->integer < min || node->integer > max) {
		cp_mistake(reader, node, NULL, "must be %lld to %lld, not %lld", min, max,
		           node->integer);
		return false;
	}
	*value = node->integer;
	return true;
}

static void read_host(struct cp_reader *reader, const struct cp_node *node, uint32_t *target)
{
	uint32_t address_be;

	if (!cp_node_is(reader, node, CP_NODE_TEXT))
		return;
	if (sp_address_parse(node->text, &address_be) != 0 || sp_address_is_martian(address_be))
		cp_mistake(reader, node, NULL, "must be a unicast IPv4 address as \"192.0.2.1\"");
	else
		*target = address_be;
}

static void read_choice(struct cp_reader *reader, const struct cp_node *node,
                        const struct cp_choice *choices, int *target)
{
	char names[CP_TEXT_LEN] = "";

	if (!cp_node_is(reader, node, CP_NODE_TEXT))
		return;
	for (const struct cp_choice *choice = choices; choice->name; choice++) {
		size_t length = strlen(names);

		if (strcmp(choice->name, node->text) != 0) {
			if (!choice->why)
				snprintf(names + length, sizeof(names) - length, "%s\"%s\"",
				         length ? " or " : "", choice->name);
			continue;
		}
		if (choice->why)
			cp_mistake(reader, node, NULL, "%s", choice->why);
		else
			*target = choice->value;
		return;
	}
	cp_mistake(reader, node, NULL, "must be %s", names);
}

static void read_transport(struct cp_reader *reader, const struct cp_node *node, uint8_t *target)
{
	static const struct cp_choice transports[] = {
		{ .name = "tcp", .value = IPPROTO_TCP },
		{ .name = "udp", .value = IPPROTO_UDP },
		{ 0 },
	};
	int protocol = *target;

	read_choice(reader, node, transports, &protocol);
	*target = (uint8_t)protocol;
}

static void read_prefixes(struct cp_reader *reader, const struct cp_node *node,
                          struct ipc_prefix *target, size_t *count)
{
	if (!cp_node_is(reader, node, CP_NODE_LIST))
		return;
	if (node->count > IPC_PREFIXES_MAX) {
		cp_mistake(reader, node, NULL, "must have at most %u entries", IPC_PREFIXES_MAX);
		return;
	}
	*count = 0;
	for (size_t i = 0; i < node->count; i++) {
		const struct cp_node *entry = &node->children[i];
		struct ipc_prefix *prefix = &target[*count];

		if (!cp_node_is(reader, entry, CP_NODE_TEXT))
			continue;
		if (sp_prefix_parse(entry->text, &prefix->address_be, &prefix->length) != 0)
			cp_mistake(reader, entry, NULL,
			           "must be a prefix with no host bits, as \"10.0.0.0/16\"");
		else
			(*count)++;
	}
}

static void read_value(struct cp_reader *reader, const struct cp_node *node,
                       const struct cp_key *key, void *target)
{
	char *at = (char *)target + key->offset;
	long long value;

	switch (key->kind) {
	case CP_KEY_NAME:
		read_name(reader, node, at);
		break;
	case CP_KEY_TEXT:
		read_text(reader, node, (size_t)key->max, at);
		break;
	case CP_KEY_PATH:
		read_path(reader, node, at);
		break;
	case CP_KEY_UINT16:
		if (read_integer(reader, node, key->min, key->max, &value))
			*(uint16_t *)(void *)at = (uint16_t)value;
		break;
	case CP_KEY_UINT32:
		if (read_integer(reader, node, key->min, key->max, &value))
			*(uint32_t *)(void *)at = (uint32_t)value;
		break;
	case CP_KEY_INT:
		if (read_integer(reader, node, key->min, key->max, &value))
			*(int *)(void *)at = (int)value;
		break;
	case CP_KEY_BOOL:
		if (cp_node_is(reader, node, CP_NODE_BOOLEAN))
			*(bool *)(void *)at = node->integer != 0;
		break;
	case CP_KEY_PORT_BE:
		if (read_integer(reader, node, 1, 65535, &value))
			*(uint16_t *)(void *)at = htons((uint16_t)value);
		break;
	case CP_KEY_HOST_BE:
		read_host(reader, node, (uint32_t *)(void *)at);
		break;
	case CP_KEY_CHOICE:
		read_choice(reader, node, key->choices, (int *)(void *)at);
		break;
	case CP_KEY_TRANSPORT:
		read_transport(reader, node, (uint8_t *)at);
		break;
	case CP_KEY_PREFIXES:
		read_prefixes(reader, node, (struct ipc_prefix *)(void *)at,
		              (size_t *)(void *)((char *)target + key->count));
		break;
	case CP_KEY_CUSTOM:
		if (key->read)
			key->read(reader, node, target);
		break;
	case CP_KEY_REFUSED:
		cp_mistake(reader, node, NULL, "%s", key->why);
		break;
	case CP_KEY_END:
		break;
	}
}

/* ---- groups ---- */

#define KEY_LEN_MAX 48u

/* Levenshtein's distance of two short words. */
static size_t distance(const char *a, const char *b)
{
	size_t row[KEY_LEN_MAX + 1], length_b = strlen(b);

	if (strlen(a) > KEY_LEN_MAX || length_b > KEY_LEN_MAX)
		return KEY_LEN_MAX;
	for (size_t j = 0; j <= length_b; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= length_b; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (diagonal + 1 < best)
				best = diagonal + 1;
			row[j] = best;
		}
	}
	return row[length_b];
}

static void report_unknown(struct cp_reader *reader, const struct cp_node *node,
                           const struct cp_section *sections, size_t count)
{
	const char *nearest = NULL;
	size_t nearest_distance = strlen(node->name) / 3 + 2;

	for (size_t i = 0; i < count; i++) {
		for (const struct cp_key *key = sections[i].keys; key->name; key++) {
			const bool is_refused = key->kind == CP_KEY_REFUSED || !sections[i].target;
			size_t d = is_refused ? KEY_LEN_MAX : distance(node->name, key->name);

			if (d < nearest_distance) {
				nearest_distance = d;
				nearest = key->name;
			}
		}
	}
	if (nearest)
		cp_mistake(reader, node, NULL, "is not a key here; did you mean \"%s\"?", nearest);
	else
		cp_mistake(reader, node, NULL, "is not a key here");
}

static const struct cp_key *find_key(const struct cp_section *sections, size_t count,
                                     const char *name, const struct cp_section **section)
{
	for (size_t i = 0; i < count; i++) {
		for (const struct cp_key *key = sections[i].keys; key->name; key++) {
			if (strcmp(key->name, name) == 0) {
				*section = &sections[i];
				return key;
			}
		}
	}
	return NULL;
}

void cp_keys_read(struct cp_reader *reader, const struct cp_node *group,
                  const struct cp_section *sections, size_t count)
{
	const struct cp_section *section;
	const struct cp_key *key;

	if (!cp_node_is(reader, group, CP_NODE_GROUP))
		return;
	for (size_t i = 0; i < group->count; i++) {
		key = find_key(sections, count, group->children[i].name, &section);
		if (key && !section->target)
			cp_mistake(reader, &group->children[i], NULL, "has no use with this vpn");
		else if (key)
			read_value(reader, &group->children[i], key, section->target);
		else
			report_unknown(reader, &group->children[i], sections, count);
	}
	for (size_t i = 0; i < count; i++) {
		for (key = sections[i].keys; key->name; key++) {
			if (key->is_required && sections[i].target &&
			    !cp_node_child(group, key->name))
				cp_mistake(reader, group, key->name, "is missing");
		}
	}
}
