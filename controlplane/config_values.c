/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Values of the configuration: whether they are the same, and as the file would have them.
 */
#include "controlplane/config_fields.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <string.h>

#include "common/netaddr.h"
#include "controlplane/ovpn_settings.h"

#define ENDPOINT_LEN (sizeof(uint32_t) + sizeof(uint16_t))
_Static_assert(offsetof(struct cp_config, health_port_be) ==
                       offsetof(struct cp_config, health_be) + sizeof(uint32_t),
               "an endpoint");

static const void *at(const void *base, size_t offset)
{
	return (const char *)base + offset;
}

/* Lists of elements of SIZE bytes, without padding. */
static bool is_same_list(const struct cp_field *field, size_t size, const void *a, const void *b)
{
	const size_t count = *(const size_t *)at(a, field->count);

	return count == *(const size_t *)at(b, field->count) &&
	       memcmp(at(a, field->offset), at(b, field->offset), count * size) == 0;
}

_Static_assert(sizeof(struct cp_inbound) == 16, "cp_inbound has no padding");

static bool is_same_probe(const struct cp_environment *a, const struct cp_environment *b)
{
	return a->probe_target_be == b->probe_target_be && a->is_unprobed == b->is_unprobed;
}

static bool is_same_place(const struct cp_ovpn_place *a, const struct cp_ovpn_place *b)
{
	return a->is_inline == b->is_inline && strcmp(a->file, b->file) == 0;
}

static bool are_same_remotes(const struct cp_ovpn_settings *a, const struct cp_ovpn_settings *b)
{
	bool is_same = a->remote_count == b->remote_count;

	for (size_t i = 0; is_same && i < a->remote_count; i++)
		is_same = a->remotes[i].port == b->remotes[i].port &&
		          a->remotes[i].transport == b->remotes[i].transport &&
		          strcmp(a->remotes[i].address, b->remotes[i].address) == 0;
	return is_same;
}

static bool are_same_ciphers(const struct cp_ovpn_settings *a, const struct cp_ovpn_settings *b)
{
	return a->cipher_count == b->cipher_count &&
	       memcmp(a->ciphers, b->ciphers, a->cipher_count * sizeof(a->ciphers[0])) == 0;
}

static bool are_same_filters(const struct cp_ovpn_settings *a, const struct cp_ovpn_settings *b)
{
	bool is_same = a->filter_count == b->filter_count;

	for (size_t i = 0; is_same && i < a->filter_count; i++)
		is_same = a->filters[i].action == b->filters[i].action &&
		          strcmp(a->filters[i].text, b->filters[i].text) == 0;
	return is_same;
}

static bool are_same_marks(const struct cp_ovpn_settings *a, const struct cp_ovpn_settings *b)
{
	return a->fingerprint_count == b->fingerprint_count &&
	       memcmp(a->fingerprints, b->fingerprints,
	              a->fingerprint_count * sizeof(a->fingerprints[0])) == 0 &&
	       a->key_usage_count == b->key_usage_count &&
	       memcmp(a->key_usages, b->key_usages,
	              a->key_usage_count * sizeof(a->key_usages[0])) == 0;
}

bool cp_value_is_same(const struct cp_field *field, const void *a, const void *b)
{
	const void *x = at(a, field->offset), *y = at(b, field->offset);
	const struct cp_port *p = x, *q = y;

	switch (field->kind) {
	case CP_VALUE_TEXT:
		return strcmp(x, y) == 0;
	case CP_VALUE_BOOL:
		return *(const bool *)x == *(const bool *)y;
	case CP_VALUE_UINT16:
		return *(const uint16_t *)x == *(const uint16_t *)y;
	case CP_VALUE_UINT32:
	case CP_VALUE_ADDRESS:
	case CP_VALUE_FAILBACK:
	case CP_VALUE_SECONDS:
		return *(const uint32_t *)x == *(const uint32_t *)y;
	case CP_VALUE_UINT64:
	case CP_VALUE_RATE:
		return *(const uint64_t *)x == *(const uint64_t *)y;
	case CP_VALUE_INT:
	case CP_VALUE_CHOICE:
		return *(const int *)x == *(const int *)y;
	case CP_VALUE_ENDPOINT:
		return memcmp(x, y, ENDPOINT_LEN) == 0;
	case CP_VALUE_PROBE:
		return is_same_probe(x, y);
	case CP_VALUE_INTERFACE:
		return p->address_be == q->address_be && p->prefix_length == q->prefix_length;
	case CP_VALUE_PREFIXES:
		return is_same_list(field, sizeof(struct ipc_prefix), a, b);
	case CP_VALUE_ADDRESSES:
		return is_same_list(field, sizeof(uint32_t), a, b);
	case CP_VALUE_INBOUND:
		return is_same_list(field, sizeof(struct cp_inbound), a, b);
	case CP_VALUE_PROPOSALS:
		return memcmp(x, y, sizeof(((struct cp_server *)0)->ike_proposals)) == 0;
	case CP_VALUE_PLACE:
		return is_same_place(x, y);
	case CP_VALUE_REMOTES:
		return are_same_remotes(x, y);
	case CP_VALUE_CIPHERS:
		return are_same_ciphers(x, y);
	case CP_VALUE_FILTERS:
		return are_same_filters(x, y);
	case CP_VALUE_MARKS:
		return are_same_marks(x, y);
	}
	return false;
}

void cp_value_append(char text[CP_VALUE_LEN], const char *format, ...)
{
	size_t used = strlen(text);
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(text + used, CP_VALUE_LEN - used, format, arguments);
	va_end(arguments);
	if (length >= 0 && used + (size_t)length >= CP_VALUE_LEN)
		memcpy(text + CP_VALUE_LEN - 4, "...", 4);
}

void cp_value_append_address(char text[CP_VALUE_LEN], uint32_t address_be)
{
	char address[SP_ADDRESS_TEXT];

	cp_value_append(text, "%s", address_be ? sp_address_format(address, address_be) : "");
}

static void append_prefixes(char text[CP_VALUE_LEN], const struct ipc_prefix *prefixes,
                            size_t count)
{
	for (size_t i = 0; i < count; i++) {
		cp_value_append(text, "%s", i ? ", " : "");
		cp_value_append_address(text, prefixes[i].address_be);
		cp_value_append(text, "/%u", prefixes[i].length);
	}
}

static void append_inbound(char text[CP_VALUE_LEN], const struct cp_inbound *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		cp_value_append(text, "%s%s/%u to ", i ? ", " : "",
		                list[i].protocol == IPPROTO_UDP ? "udp" : "tcp",
		                ntohs(list[i].port_be));
		cp_value_append_address(text, list[i].to_address_be);
		cp_value_append(text, ":%u", ntohs(list[i].to_port_be));
	}
}

static void append_openvpn(char text[CP_VALUE_LEN], enum cp_value_kind kind,
                           const struct cp_ovpn_settings *settings)
{
	switch (kind) {
	case CP_VALUE_REMOTES:
		for (size_t i = 0; i < settings->remote_count; i++)
			cp_value_append(text, "%s%s:%u/%s", i ? ", " : "",
			                settings->remotes[i].address, settings->remotes[i].port,
			                settings->remotes[i].transport == IPPROTO_UDP ? "udp"
			                                                              : "tcp");
		break;
	case CP_VALUE_CIPHERS:
		for (size_t i = 0; i < settings->cipher_count; i++)
			cp_value_append(text, "%s%s", i ? ", " : "",
			                cp_ovpn_cipher_name(settings->ciphers[i]));
		break;
	case CP_VALUE_FILTERS:
		for (size_t i = 0; i < settings->filter_count; i++)
			cp_value_append(text, "%s\"%s\"", i ? ", " : "", settings->filters[i].text);
		break;
	default:
		for (size_t i = 0; i < settings->fingerprint_count; i++)
			cp_value_append(text, "%s%02x:%02x:%02x...", i ? ", " : "",
			                settings->fingerprints[i][0], settings->fingerprints[i][1],
			                settings->fingerprints[i][2]);
		for (size_t i = 0; i < settings->key_usage_count; i++)
			cp_value_append(text, "%s%04x", i ? ", " : "", settings->key_usages[i]);
		break;
	}
}

void cp_value_format(const struct cp_field *field, const void *base, char text[CP_VALUE_LEN])
{
	const void *x = at(base, field->offset);
	const char(*proposals)[CP_TEXT_LEN] = x;

	text[0] = 0;
	switch (field->kind) {
	case CP_VALUE_TEXT:
		cp_value_append(text, "%s", (const char *)x);
		break;
	case CP_VALUE_BOOL:
		cp_value_append(text, "%s", *(const bool *)x ? "true" : "false");
		break;
	case CP_VALUE_UINT16:
		cp_value_append(text, "%u", *(const uint16_t *)x);
		break;
	case CP_VALUE_UINT32:
		cp_value_append(text, "%" PRIu32, *(const uint32_t *)x);
		break;
	case CP_VALUE_RATE:
		if (*(const uint64_t *)x)
			cp_value_append(text, "%.10g Mbps", (double)*(const uint64_t *)x / 1e6);
		break;
	case CP_VALUE_UINT64:
		cp_value_append(text, "%" PRIu64, *(const uint64_t *)x);
		break;
	case CP_VALUE_INT:
		cp_value_append(text, "%d", *(const int *)x);
		break;
	case CP_VALUE_CHOICE:
		cp_value_append(text, "%s", field->names[*(const int *)x]);
		break;
	case CP_VALUE_ENDPOINT:
		cp_value_append_address(text, *(const uint32_t *)x);
		if (*(const uint32_t *)x)
			cp_value_append(text, ":%u",
			                ntohs(*(const uint16_t *)at(x, sizeof(uint32_t))));
		break;
	case CP_VALUE_PROBE:
		if (((const struct cp_environment *)x)->is_unprobed)
			cp_value_append(text, "none");
		cp_value_append_address(text, ((const struct cp_environment *)x)->probe_target_be);
		break;
	case CP_VALUE_FAILBACK:
		if (*(const uint32_t *)x)
			cp_value_append(text, "after %" PRIu32 " s", *(const uint32_t *)x);
		else
			cp_value_append(text, "manual");
		break;
	case CP_VALUE_ADDRESS:
		cp_value_append_address(text, *(const uint32_t *)x);
		break;
	case CP_VALUE_INTERFACE:
		cp_value_append_address(text, ((const struct cp_port *)x)->address_be);
		cp_value_append(text, "/%u", ((const struct cp_port *)x)->prefix_length);
		break;
	case CP_VALUE_PREFIXES:
		append_prefixes(text, x, *(const size_t *)at(base, field->count));
		break;
	case CP_VALUE_ADDRESSES:
		for (size_t i = 0; i < *(const size_t *)at(base, field->count); i++) {
			cp_value_append(text, "%s", i ? ", " : "");
			cp_value_append_address(text, ((const uint32_t *)x)[i]);
		}
		break;
	case CP_VALUE_INBOUND:
		append_inbound(text, x, *(const size_t *)at(base, field->count));
		break;
	case CP_VALUE_PROPOSALS:
		for (size_t i = 0; i < CP_PROPOSALS_MAX && proposals[i][0]; i++)
			cp_value_append(text, "%s%s", i ? ", " : "", proposals[i]);
		break;
	case CP_VALUE_SECONDS:
		if (*(const uint32_t *)x != CP_OVPN_UNSET)
			cp_value_append(text, "%" PRIu32, *(const uint32_t *)x);
		break;
	case CP_VALUE_PLACE:
		cp_value_append(text, "%s", ((const struct cp_ovpn_place *)x)->file);
		break;
	case CP_VALUE_REMOTES:
	case CP_VALUE_CIPHERS:
	case CP_VALUE_FILTERS:
	case CP_VALUE_MARKS:
		append_openvpn(text, field->kind, x);
		break;
	}
}
