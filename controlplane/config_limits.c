/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an environment may take of what all share: sessions, ports, its rate.
 */
#include "controlplane/config_read.h"

#include <string.h>

static const struct {
	const char *name;
	uint64_t bps;
} units[] = { { "kbps", 1000 }, { "Mbps", 1000000 }, { "Gbps", 1000000000 } };

/* "3 Gbps", "2.5 Gbps"; at most three digits behind the point. 0: it is none, or out of range. */
static uint64_t parse_rate(const char *text)
{
	uint64_t thousandths = 0;
	int behind = -1; /* digits behind the point; -1: there was none */

	if (*text < '0' || *text > '9')
		return 0;
	for (; (*text >= '0' && *text <= '9') || (*text == '.' && behind < 0); text++) {
		if (*text == '.') {
			behind = 0;
			continue;
		}
		if (thousandths > IPC_RATE_MAX || behind == 3)
			return 0;
		thousandths = thousandths * 10 + (uint64_t)(*text - '0');
		behind += behind >= 0;
	}
	if (behind == 0 || *text++ != ' ')
		return 0;
	for (int i = behind < 0 ? 0 : behind; i < 3; i++)
		thousandths *= 10;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		uint64_t bps;

		if (strcmp(text, units[i].name) != 0 ||
		    __builtin_mul_overflow(thousandths, units[i].bps / 1000, &bps))
			continue;
		return bps >= IPC_RATE_MIN && bps <= IPC_RATE_MAX ? bps : 0;
	}
	return 0;
}

static void read_rate(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_environment *environment = target;

	if (!cp_node_is(reader, node, CP_NODE_TEXT))
		return;
	environment->rate_bps = parse_rate(node->text);
	if (!environment->rate_bps)
		cp_mistake(
			reader, node, NULL,
			"must be a rate of 64 kbps to 1000 Gbps in kbps, Mbps or Gbps, as \"3 Gbps\"");
}

const struct cp_key cp_quota_keys[] = {
	{ .name = "sessions",
	  .kind = CP_KEY_UINT32,
	  .offset = offsetof(struct cp_environment, session_quota),
	  .min = 1,
	  .max = 16777216 },
	{ .name = "ports",
	  .kind = CP_KEY_UINT32,
	  .offset = offsetof(struct cp_environment, port_quota),
	  .min = 256,
	  .max = 64512 },
	{ 0 },
};

static void read_quota(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	const struct cp_section sections[] = { { cp_quota_keys, target } };

	cp_keys_read(reader, node, sections, 1);
}

const struct cp_key cp_limit_keys[] = {
	{ .name = "quota", .kind = CP_KEY_CUSTOM, .read = read_quota },
	{ .name = "rate", .kind = CP_KEY_CUSTOM, .read = read_rate },
	{ 0 },
};
