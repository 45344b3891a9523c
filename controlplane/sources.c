/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The last refused source speaks for all of them: the dataplane keeps no list. */
#include "controlplane/sources.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/netaddr.h"

#define SAY_AGAIN_NS 3600000000000ull
#define REFUSALS_MIN 10u /* fewer are somebody's mistake, not a network plugin's */

static bool is_in(const struct ipc_prefix *prefixes, size_t count, uint32_t address_be)
{
	for (size_t i = 0; i < count; i++)
		if (((address_be ^ prefixes[i].address_be) &
		     sp_prefix_mask_be(prefixes[i].length)) == 0)
			return true;
	return false;
}

static bool is_node(const struct cp_port *cluster, uint32_t address_be)
{
	const struct ipc_prefix subnet = { .address_be = cluster->address_be,
		                           .length = cluster->prefix_length };

	return address_be == cluster->router_be || is_in(&subnet, 1, address_be);
}

enum cp_source_kind cp_source_kind(const struct cp_config *config,
                                   const struct cp_environment *environment, uint32_t source_be,
                                   const struct cp_environment **other)
{
	*other = NULL;
	if (is_in(environment->sources, environment->source_count, source_be))
		return CP_SOURCE_ALLOWED;
	for (size_t i = 0; i < config->environment_count; i++) {
		const struct cp_environment *e = &config->environments[i];

		if (!is_in(e->sources, e->source_count, source_be))
			continue;
		*other = e;
		return CP_SOURCE_OTHERS;
	}
	return is_node(&config->cluster, source_be) ? CP_SOURCE_NODE : CP_SOURCE_UNKNOWN;
}

void cp_sources_explain(const struct cp_config *config, const struct cp_environment *environment,
                        const struct ipc_environment_state *state, char text[CP_SOURCES_TEXT_LEN])
{
	const struct cp_environment *other;
	char source[SP_ADDRESS_TEXT];

	*text = 0;
	if (!state || !state->refused_sources || !state->refused_source_be)
		return;
	sp_address_format(source, state->refused_source_be);
	switch (cp_source_kind(config, environment, state->refused_source_be, &other)) {
	case CP_SOURCE_ALLOWED:
		return;
	case CP_SOURCE_NODE:
		snprintf(
			text, CP_SOURCES_TEXT_LEN,
			"%" PRIu64
			" packets were refused, the last one from %s: that is the nodes' network, "
			"not `sources`. If pods sent them, the cluster's network plugin masquerades: it must "
			"leave what goes to %s as it is (docs/configuration.md, Sources)",
			state->refused_sources, source, "`pod_address`");
		return;
	case CP_SOURCE_OTHERS:
		snprintf(text, CP_SOURCES_TEXT_LEN,
		         "%" PRIu64
		         " packets were refused, the last one from %s, which is a source of "
		         "environment \"%s\"",
		         state->refused_sources, source, other->name);
		return;
	case CP_SOURCE_UNKNOWN:
		snprintf(text, CP_SOURCES_TEXT_LEN,
		         "%" PRIu64
		         " packets were refused, the last one from %s, which is a source of "
		         "no environment",
		         state->refused_sources, source);
		return;
	}
}

/* The place of ENVIRONMENT, or one that nobody needs any more. */
static size_t find_told(struct cp_sources *sources, const struct cp_config *config,
                        const char *environment)
{
	size_t place = CP_ENVIRONMENTS_MAX; /* one is free: there are no more environments */

	for (size_t i = 0; i < CP_ENVIRONMENTS_MAX; i++) {
		if (strcmp(sources->told[i].environment, environment) == 0)
			return i;
		if (place == CP_ENVIRONMENTS_MAX &&
		    !cp_config_environment(config, sources->told[i].environment))
			place = i;
	}
	memset(&sources->told[place], 0, sizeof(sources->told[place]));
	snprintf(sources->told[place].environment, IPC_NAME_LEN, "%s", environment);
	return place;
}

void cp_sources_look(struct cp_sources *sources, const struct cp_config *config,
                     const struct cp_dp_picture *picture, uint64_t now_ns)
{
	for (size_t i = 0; i < config->environment_count; i++) {
		const struct cp_environment *environment = &config->environments[i];
		const struct ipc_environment_state *state =
			cp_dp_picture_state(picture, environment->name);
		size_t place = find_told(sources, config, environment->name);
		char text[CP_SOURCES_TEXT_LEN];
		uint64_t before = sources->told[place].refused;

		if (!state)
			continue;
		sources->told[place].refused = state->refused_sources;
		if (state->refused_sources == before || state->refused_sources < REFUSALS_MIN)
			continue;
		if (sources->told[place].said_ns &&
		    now_ns - sources->told[place].said_ns < SAY_AGAIN_NS)
			continue;
		cp_sources_explain(config, environment, state, text);
		if (!*text)
			continue;
		sp_log(SP_LOG_WARN, "sources: refused environment=%s: %s", environment->name, text);
		sources->told[place].said_ns = now_ns;
	}
}
