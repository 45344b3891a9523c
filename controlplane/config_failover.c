/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How an environment moves between its servers: whom it probes, what becomes of sessions, when it
 * moves back.
 */
#include "controlplane/config_read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/netaddr.h"

#define HOLD_DOWN_DEFAULT_S 60u
#define PAUSE_MAX_S 86400u

static const char failback_before[] = "after ";
static const char failback_after[] = " s";

void cp_failover_set_defaults(struct cp_environment *environment)
{
	environment->hold_down_s = HOLD_DOWN_DEFAULT_S;
}

/* "manual" is 0, "after N s" is N. */
static int parse_failback(const char *text, uint32_t *seconds)
{
	const size_t before = strlen(failback_before);
	unsigned long number;
	char *end;

	*seconds = 0;
	if (strcmp(text, "manual") == 0)
		return 0;
	if (strncmp(text, failback_before, before) != 0 || text[before] < '0' || text[before] > '9')
		return -EINVAL;
	errno = 0;
	number = strtoul(text + before, &end, 10);
	if (errno || number < 1 || number > PAUSE_MAX_S || strcmp(end, failback_after) != 0)
		return -EINVAL;
	*seconds = (uint32_t)number;
	return 0;
}

static void read_failback(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_environment *environment = target;

	if (!cp_node_is(reader, node, CP_NODE_TEXT))
		return;
	if (parse_failback(node->text, &environment->failback_s) != 0)
		cp_mistake(reader, node, NULL,
		           "must be \"manual\" or a time of 1 to %u seconds, as \"after 300 s\"",
		           PAUSE_MAX_S);
}

static void read_target(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_environment *environment = target;
	uint32_t address_be;

	if (!cp_node_is(reader, node, CP_NODE_TEXT))
		return;
	if (strcmp(node->text, "none") == 0)
		environment->is_unprobed = true;
	else if (sp_address_parse(node->text, &address_be) == 0 &&
	         !sp_address_is_martian(address_be))
		environment->probe_target_be = address_be;
	else
		cp_mistake(reader, node, NULL, "must be a unicast IPv4 address, or \"none\"");
}

const struct cp_key cp_probe_keys[] = {
	{ .name = "target", .kind = CP_KEY_CUSTOM, .is_required = true, .read = read_target },
	{ 0 },
};

static void read_probe(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	const struct cp_section sections[] = { { cp_probe_keys, target } };

	cp_keys_read(reader, node, sections, 1);
}

const struct cp_key cp_failover_keys[] = {
	{ .name = "probe", .kind = CP_KEY_CUSTOM, .read = read_probe },
	{ .name = "keep_sessions",
	  .kind = CP_KEY_BOOL,
	  .offset = offsetof(struct cp_environment, keep_sessions) },
	{ .name = "failback", .kind = CP_KEY_CUSTOM, .read = read_failback },
	{ .name = "hold_down",
	  .kind = CP_KEY_UINT32,
	  .offset = offsetof(struct cp_environment, hold_down_s),
	  .min = 1,
	  .max = PAUSE_MAX_S },
	{ 0 },
};

/* Whether A goes before B: by priority, then whoever is in our own zone. */
static bool is_before(const struct cp_server *a, const struct cp_server *b, const char *zone)
{
	if (a->priority != b->priority)
		return a->priority < b->priority;
	return *zone && strcmp(a->zone, zone) == 0 && strcmp(b->zone, zone) != 0;
}

void cp_sort_servers(struct cp_environment *environment, const char *zone)
{
	for (size_t i = 1; i < environment->server_count; i++) {
		struct cp_server server = environment->servers[i];
		size_t j = i;

		for (; j > 0 && is_before(&server, &environment->servers[j - 1], zone); j--)
			environment->servers[j] = environment->servers[j - 1];
		environment->servers[j] = server;
	}
}
