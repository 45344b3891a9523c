/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Push replies of an OpenVPN server: options separated by commas, in one message or several. What
 * changes the packets on the wire must be understood or the session ends; the rest may be ignored.
 */
#include "controlplane/ovpn_push.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/netaddr.h"
#include "controlplane/ovpn_text.h"

#define REPLY "PUSH_REPLY"
#define OPTION_MAX 256u
#define PEER_ID_MAX 0xffffffu
#define MTU_MAX 1600u /* as we tell the server */
#define SECONDS_MAX 604800u

/* One option of a reply. */
struct option {
	struct cp_ovpn_push *push;
	unsigned count; /* of words, the name included */
	char *const *words;
	char *why;
};

__attribute__((format(printf, 3, 4))) static int fail(const struct option *option, int rc,
                                                      const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(option->why, CP_WHY_LEN, format, arguments);
	va_end(arguments);
	return rc;
}

static int malformed(const struct option *option)
{
	return fail(option, -EINVAL, "the server pushed a malformed \"%.60s\"", option->words[0]);
}

/* Remembers an option that is of no consequence to us. */
static int ignore(const struct option *option)
{
	struct cp_ovpn_push *push = option->push;
	const size_t used = strlen(push->ignored);

	snprintf(push->ignored + used, sizeof(push->ignored) - used, "%s%s", used ? " " : "",
	         option->words[0]);
	return 0;
}

/* The word at INDEX as a number up to MAX. */
static bool read_number(const struct option *option, unsigned index, uint32_t max, uint32_t *number)
{
	const char *text = index < option->count ? option->words[index] : "";
	const size_t length = strspn(text, "0123456789");

	if (length < 1 || length > 10 || text[length] || strtoull(text, NULL, 10) > max)
		return false;
	*number = (uint32_t)strtoull(text, NULL, 10);
	return true;
}

static bool read_mask(const char *text, uint8_t *length)
{
	uint32_t mask_be;

	if (sp_address_parse(text, &mask_be) != 0)
		return false;
	for (*length = 0; *length < 32 && sp_prefix_mask_be(*length) != mask_be;)
		(*length)++;
	return sp_prefix_mask_be(*length) == mask_be;
}

/* ---- addresses, routes, names ---- */

static int take_ifconfig(const struct option *option)
{
	struct cp_ovpn_push *push = option->push;

	if (option->count < 3 || sp_address_parse(option->words[1], &push->local_be) != 0 ||
	    sp_address_parse(option->words[2], &push->peer_be) != 0 ||
	    sp_address_is_martian(push->local_be))
		return malformed(option);
	return 0;
}

static int take_topology(const struct option *option)
{
	static const char *const names[] = {
		[CP_OVPN_NET30] = "net30", [CP_OVPN_P2P] = "p2p", [CP_OVPN_SUBNET] = "subnet"
	};

	for (size_t i = CP_OVPN_NET30; option->count > 1 && i <= CP_OVPN_SUBNET; i++) {
		if (strcmp(option->words[1], names[i]) == 0) {
			option->push->topology = (enum cp_ovpn_topology)i;
			return 0;
		}
	}
	return malformed(option);
}

/* A target or a router that is a name is not looked up: what it stands for is not the tunnel. */
static int take_route(const struct option *option)
{
	struct cp_ovpn_push *push = option->push;
	struct ipc_prefix route = { .length = 32 };
	uint32_t router_be;

	if (option->push->settings->route_nopull)
		return 0;
	if (option->count < 2 || sp_address_parse(option->words[1], &route.address_be) != 0 ||
	    (option->count > 2 && strcmp(option->words[2], "default") != 0 &&
	     !read_mask(option->words[2], &route.length)))
		return ignore(option);
	if (option->count > 3 && strcmp(option->words[3], "vpn_gateway") != 0 &&
	    strcmp(option->words[3], "default") != 0 &&
	    sp_address_parse(option->words[3], &router_be) != 0)
		return 0; /* net_gateway, remote_host */
	if (push->route_count == CP_OVPN_ROUTES_MAX)
		return fail(option, -EINVAL, "the server pushed more than %u routes",
		            CP_OVPN_ROUTES_MAX);
	route.address_be &= sp_prefix_mask_be(route.length);
	push->routes[push->route_count++] = route;
	return 0;
}

static int take_redirect(const struct option *option)
{
	bool has_ipv4 = true;

	for (unsigned i = 1; i < option->count; i++)
		has_ipv4 &= strcmp(option->words[i], "!ipv4") != 0;
	if (!option->push->settings->route_nopull)
		option->push->has_default_route |= has_ipv4;
	return 0;
}

static int add_name_server(const struct option *option, const char *text)
{
	struct cp_ovpn_push *push = option->push;
	uint32_t address_be;

	if (push->settings->route_nopull || sp_address_parse(text, &address_be) != 0 ||
	    sp_address_is_martian(address_be))
		return 0; /* IPv6, or with a port */
	for (size_t i = 0; i < push->dns_count; i++) {
		if (push->dns_be[i] == address_be)
			return 0;
	}
	if (push->dns_count == CP_OVPN_DNS_MAX)
		return ignore(option);
	push->dns_be[push->dns_count++] = address_be;
	return 0;
}

static int take_dhcp_option(const struct option *option)
{
	struct cp_ovpn_push *push = option->push;

	if (option->count < 3)
		return ignore(option);
	if (strcmp(option->words[1], "DNS") == 0)
		return add_name_server(option, option->words[2]);
	if (strcmp(option->words[1], "DOMAIN") == 0 && !push->settings->route_nopull)
		snprintf(push->domain, sizeof(push->domain), "%s", option->words[2]);
	return 0;
}

/* "dns server 0 address 192.0.2.1 192.0.2.2", "dns search-domains a b" */
static int take_dns(const struct option *option)
{
	struct cp_ovpn_push *push = option->push;
	int rc = 0;

	if (option->count > 4 && strcmp(option->words[1], "server") == 0 &&
	    strcmp(option->words[3], "address") == 0) {
		for (unsigned i = 4; rc == 0 && i < option->count; i++)
			rc = add_name_server(option, option->words[i]);
	} else if (option->count > 2 && strcmp(option->words[1], "search-domains") == 0 &&
	           !push->settings->route_nopull) {
		snprintf(push->domain, sizeof(push->domain), "%s", option->words[2]);
	}
	return rc;
}

/* ---- the data channel ---- */

static int take_peer_id(const struct option *option)
{
	return read_number(option, 1, PEER_ID_MAX, &option->push->peer_id) ? 0 : malformed(option);
}

static int take_cipher(const struct option *option)
{
	const struct cp_ovpn_settings *settings = option->push->settings;
	enum cp_ovpn_cipher cipher = 0;
	char ours[CP_TEXT_LEN] = "";

	if (option->count < 2)
		return malformed(option);
	(void)cp_ovpn_cipher_parse(option->words[1], &cipher); /* an unknown one is not ours */
	for (size_t i = 0; i < settings->cipher_count; i++) {
		const size_t used = strlen(ours);

		if (settings->ciphers[i] == cipher) {
			option->push->cipher = cipher;
			return 0;
		}
		snprintf(ours + used, sizeof(ours) - used, "%s%s", used ? ":" : "",
		         cp_ovpn_cipher_name(settings->ciphers[i]));
	}
	if (cipher && cipher == settings->fallback) {
		option->push->cipher = cipher;
		return 0;
	}
	return fail(option, -ENOTSUP, "the server wants the cipher %.60s, we offered %s",
	            option->words[1], ours);
}

/* What is not known may change the packets, so it must not be ignored. */
static int take_protocol_flags(const struct option *option)
{
	struct cp_ovpn_push *push = option->push;

	for (unsigned i = 1; i < option->count; i++) {
		const char *flag = option->words[i];

		if (strcmp(flag, "tls-ekm") == 0)
			push->has_tls_ekm = true;
		else if (strcmp(flag, "cc-exit") == 0)
			push->has_cc_exit = true;
		else if (strcmp(flag, "dyn-tls-crypt") == 0)
			push->has_dyn_tls_crypt = true;
		else if (strcmp(flag, "aead-epoch") == 0)
			push->has_aead_epoch = true;
		else
			return fail(option, -ENOTSUP,
			            "the server wants the protocol flag %.60s, which is not known",
			            flag);
	}
	return 0;
}

static int take_key_derivation(const struct option *option)
{
	if (option->count < 2 || strcmp(option->words[1], "tls-ekm") != 0)
		return fail(option, -ENOTSUP,
		            "the server wants the key derivation %.60s, which is not known",
		            option->count < 2 ? "" : option->words[1]);
	option->push->has_tls_ekm = true;
	return 0;
}

static int take_compress(const struct option *option)
{
	static const struct {
		const char *name;
		enum cp_ovpn_framing framing;
		bool has_lz4, has_lzo;
	} kinds[] = {
		{ "stub", CP_OVPN_FRAMING_STUB, false, false },
		{ "stub-v2", CP_OVPN_FRAMING_STUB_V2, false, false },
		{ "lz4", CP_OVPN_FRAMING_STUB, true, false },
		{ "lz4-v2", CP_OVPN_FRAMING_STUB_V2, true, false },
		{ "lzo", CP_OVPN_FRAMING_LZO, false, true },
	};
	const char *name = option->count > 1 ? option->words[1] : "stub";

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, name) == 0) {
			option->push->framing = kinds[i].framing;
			option->push->has_lz4 = kinds[i].has_lz4;
			option->push->has_lzo = kinds[i].has_lzo;
			return 0;
		}
	}
	return fail(option, -ENOTSUP, "the server wants the compression %.60s, which is not known",
	            name);
}

static int take_comp_lzo(const struct option *option)
{
	option->push->framing = CP_OVPN_FRAMING_LZO;
	option->push->has_lz4 = false;
	option->push->has_lzo = option->count < 2 || strcmp(option->words[1], "no") != 0;
	return 0;
}

/* More than we could send in one packet is not wanted: larger packets have no use for us. */
static int take_tun_mtu(const struct option *option)
{
	uint32_t mtu;

	if (!read_number(option, 1, 65535, &mtu) || mtu < CP_OVPN_MTU_MIN)
		return malformed(option);
	option->push->tun_mtu = (uint16_t)(mtu < MTU_MAX ? mtu : MTU_MAX);
	return 0;
}

/* ---- life of the session ---- */

static int take_seconds(const struct option *option, uint32_t *seconds)
{
	return read_number(option, 1, SECONDS_MAX, seconds) ? 0 : malformed(option);
}

static int take_ping(const struct option *option)
{
	return take_seconds(option, &option->push->ping_s);
}

static int take_ping_restart(const struct option *option)
{
	option->push->is_exit_wanted = false;
	return take_seconds(option, &option->push->ping_restart_s);
}

static int take_ping_exit(const struct option *option)
{
	option->push->is_exit_wanted = true;
	return take_seconds(option, &option->push->ping_restart_s);
}

static int take_inactive(const struct option *option)
{
	return take_seconds(option, &option->push->inactive_s);
}

static int take_session_timeout(const struct option *option)
{
	return take_seconds(option, &option->push->session_timeout_s);
}

static int take_exit_notify(const struct option *option)
{
	option->push->exit_notify = 1;
	return option->count < 2 || read_number(option, 1, 10, &option->push->exit_notify)
	               ? 0
	               : malformed(option);
}

static int take_token(const struct option *option)
{
	struct cp_ovpn_push *push = option->push;
	const size_t length = option->count > 1 ? strlen(option->words[1]) : 0;

	if (!length)
		return malformed(option);
	if (!push->token)
		push->token = sp_secret_create();
	if (!push->token)
		return fail(option, -ENOMEM, "out of memory");
	sp_wipe(push->token->data, push->token->length);
	memcpy(push->token->data, option->words[1], length);
	push->token->length = length;
	return 0;
}

/* It comes as base64. */
static int take_token_user(const struct option *option)
{
	char *account = option->push->token_account;
	const char *text = option->count > 1 ? option->words[1] : "";
	const size_t length =
		cp_ovpn_base64(text, strlen(text), (uint8_t *)account, CP_TEXT_LEN - 1);

	account[length] = 0;
	return length && strlen(account) == length ? 0 : malformed(option);
}

static int refuse_client_nat(const struct option *option)
{
	return fail(
		option, -ENOTSUP,
		"the server wants client-nat, which is not done: a forward's target is an address of the customer's network itself");
}

static int skip(const struct option *option)
{
	(void)option;
	return 0;
}

/* ---- one option ---- */

typedef int (*take_fn)(const struct option *option);

static const struct {
	const char *name;
	take_fn take;
} takers[] = {
	{ "ifconfig", take_ifconfig },
	{ "topology", take_topology },
	{ "route", take_route },
	{ "redirect-gateway", take_redirect },
	{ "dhcp-option", take_dhcp_option },
	{ "dns", take_dns },
	{ "peer-id", take_peer_id },
	{ "cipher", take_cipher },
	{ "protocol-flags", take_protocol_flags },
	{ "key-derivation", take_key_derivation },
	{ "compress", take_compress },
	{ "comp-lzo", take_comp_lzo },
	{ "tun-mtu", take_tun_mtu },
	{ "ping", take_ping },
	{ "ping-restart", take_ping_restart },
	{ "ping-exit", take_ping_exit },
	{ "inactive", take_inactive },
	{ "session-timeout", take_session_timeout },
	{ "explicit-exit-notify", take_exit_notify },
	{ "auth-token", take_token },
	{ "auth-token-user", take_token_user },
	{ "client-nat", refuse_client_nat },
	/* without a meaning here: IPv6, what is up to the host, and notes for other clients */
	{ "ifconfig-ipv6", skip },
	{ "tun-ipv6", skip },
	{ "route-ipv6", skip },
	{ "route-gateway", skip },
	{ "route-ipv6-gateway", skip },
	{ "route-metric", skip },
	{ "route-delay", skip },
	{ "route-method", skip },
	{ "redirect-private", skip },
	{ "block-ipv6", skip },
	{ "block-outside-dns", skip },
	{ "register-dns", skip },
	{ "ping-timer-rem", skip },
	{ "persist-key", skip },
	{ "persist-tun", skip },
	{ "sndbuf", skip },
	{ "rcvbuf", skip },
	{ "socket-flags", skip },
	{ "echo", skip },
	{ "parameter", skip },
	{ "setenv", skip },
	{ "setenv-safe", skip },
	{ "verb", skip },
	{ "mute", skip },
	{ "server-poll-timeout", skip },
	{ "ip-win32", skip },
	{ "push-continuation", skip },
};

/* An option's meaning is ours to choose by pull-filter: by the first one it begins with. */
static enum cp_ovpn_filter_action filter_of(const struct cp_ovpn_settings *settings,
                                            const char *text, size_t length)
{
	for (size_t i = 0; i < settings->filter_count; i++) {
		const struct cp_ovpn_filter *filter = &settings->filters[i];
		const size_t own = strlen(filter->text);

		if (own <= length && memcmp(filter->text, text, own) == 0)
			return filter->action;
	}
	return CP_OVPN_PULL_ACCEPT;
}

static int take_words(const struct option *option)
{
	for (size_t i = 0; i < sizeof(takers) / sizeof(takers[0]); i++) {
		if (strcmp(takers[i].name, option->words[0]) == 0)
			return takers[i].take(option);
	}
	return ignore(option);
}

/* How much of it is before a blank. */
static size_t name_length(const char *text, size_t length)
{
	const char *blank = memchr(text, ' ', length);

	return blank ? (size_t)(blank - text) : length;
}

static int take_option(struct cp_ovpn_push *push, const char *text, size_t length,
                       char why[CP_WHY_LEN])
{
	struct option option = { .push = push, .why = why };
	struct cp_ovpn_line line;
	const char *fault;
	int rc;

	if (length > OPTION_MAX) {
		snprintf(why, CP_WHY_LEN, "the server pushed an option of more than %u bytes",
		         OPTION_MAX);
		return -EINVAL;
	}
	switch (filter_of(push->settings, text, length)) {
	case CP_OVPN_PULL_IGNORE:
		return 0;
	case CP_OVPN_PULL_REJECT:
		/* its name alone: what follows may be a token */
		snprintf(why, CP_WHY_LEN, "the server pushed \"%.*s\", which pull-filter rejects",
		         (int)name_length(text, length < 100 ? length : 100), text);
		return -ENOTSUP;
	case CP_OVPN_PULL_ACCEPT:
		break;
	}
	rc = cp_ovpn_split(&line, text, length, &fault);
	if (rc < 0)
		snprintf(why, CP_WHY_LEN, "an option that the server pushed %s", fault);
	if (rc == 1) {
		option.count = line.count;
		option.words = line.words;
		rc = take_words(&option);
	}
	sp_wipe(&line, sizeof(line));
	return rc;
}

/* ---- replies ---- */

/* All parts are there. */
static int finish(struct cp_ovpn_push *push, char why[CP_WHY_LEN])
{
	char mask[SP_ADDRESS_TEXT];

	push->is_complete = true;
	push->prefix_length = 32;
	if (push->topology == CP_OVPN_SUBNET && push->local_be) {
		if (!read_mask(sp_address_format(mask, push->peer_be), &push->prefix_length)) {
			snprintf(why, CP_WHY_LEN, "the server pushed %s as a netmask", mask);
			return -EINVAL;
		}
		push->peer_be = 0;
	}
	if (push->has_aead_epoch && push->peer_id == CP_OVPN_NO_PEER) {
		snprintf(why, CP_WHY_LEN,
		         "the server wants the epoch format, but pushed no peer-id");
		return -EINVAL;
	}
	if (push->settings->dead_s)
		push->ping_restart_s = push->settings->dead_s;
	return 1;
}

void cp_ovpn_push_begin(struct cp_ovpn_push *push, const struct cp_ovpn_settings *settings)
{
	*push = (struct cp_ovpn_push){
		.settings = settings,
		.topology = CP_OVPN_NET30,
		.peer_id = CP_OVPN_NO_PEER,
		.framing = settings->framing,
		.has_lz4 = settings->has_lz4,
		.has_lzo = settings->framing == CP_OVPN_FRAMING_LZO,
		.ping_s = settings->ping_s == CP_OVPN_UNSET ? 0 : settings->ping_s,
		.ping_restart_s =
			settings->ping_restart_s == CP_OVPN_UNSET ? 0 : settings->ping_restart_s,
		.exit_notify = settings->exit_notify,
		.tun_mtu = settings->tun_mtu,
	};
}

static bool is_printable(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return false;
	}
	return true;
}

/* Goes from one comma to the next; 1: another part follows. */
static int take_options(struct cp_ovpn_push *push, const char *at, const char *end,
                        char why[CP_WHY_LEN])
{
	static const char continued[] = "push-continuation 2";
	bool has_more = false;

	while (at < end) {
		const char *comma, *start = at + 1; /* behind the comma before it */
		size_t length;
		int rc;

		while (start < end && *start == ' ')
			start++;
		comma = memchr(start, ',', (size_t)(end - start));
		length = (size_t)((comma ? comma : end) - start);
		if (length == strlen(continued) && memcmp(start, continued, length) == 0)
			has_more = true;
		rc = take_option(push, start, length, why);
		if (rc != 0)
			return rc;
		at = comma ? comma : end;
	}
	return has_more;
}

int cp_ovpn_push_append(struct cp_ovpn_push *push, const char *text, size_t length,
                        char why[CP_WHY_LEN])
{
	const size_t head = strlen(REPLY);
	int rc;

	push->bytes += length;
	while (length && (text[length - 1] == '\r' || text[length - 1] == '\n'))
		length--;
	if (push->is_complete || push->bytes > CP_OVPN_PUSH_MAX || length < head ||
	    memcmp(text, REPLY, head) != 0 || (length > head && text[head] != ',') ||
	    !is_printable(text, length)) {
		snprintf(why, CP_WHY_LEN, "the server's push reply is malformed or too long");
		return -EINVAL;
	}
	rc = take_options(push, text + head, text + length, why);
	if (rc < 0)
		return rc;
	return rc ? 0 : finish(push, why);
}

void cp_ovpn_push_fini(struct cp_ovpn_push *push)
{
	sp_secret_destroy(push->token);
	push->token = NULL;
}

/* ---- what may be reached ---- */

static struct cp_range range_of(uint32_t address_be, uint8_t length)
{
	const uint32_t mask = ntohl(sp_prefix_mask_be(length));

	return (struct cp_range){ .first = ntohl(address_be) & mask,
		                  .last = ntohl(address_be) | ~mask,
		                  .last_port = UINT16_MAX };
}

static int compare_ranges(const void *a, const void *b)
{
	const struct cp_range *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

/* All of them, joined where they meet; ALL is sorted. */
static size_t join_ranges(struct cp_range *all, size_t count)
{
	size_t used = 0;

	for (size_t i = 0; i < count; i++) {
		if (used &&
		    (all[used - 1].last == UINT32_MAX || all[i].first <= all[used - 1].last + 1)) {
			if (all[i].last > all[used - 1].last)
				all[used - 1].last = all[i].last;
		} else {
			all[used++] = all[i];
		}
	}
	return used;
}

size_t cp_ovpn_push_ranges(const struct cp_ovpn_push *push, struct cp_range *ranges, size_t max)
{
	struct cp_range all[CP_OVPN_ROUTES_MAX + IPC_PREFIXES_MAX + 2];
	const struct cp_ovpn_settings *settings = push->settings;
	size_t count = 0, used;

	if (max == 0)
		return 0;
	if (push->has_default_route || settings->has_default_route ||
	    (settings->route_nopull && settings->route_count == 0)) {
		ranges[0] = range_of(0, 0);
		return 1;
	}
	if (push->local_be)
		all[count++] = range_of(push->local_be, push->prefix_length);
	if (push->peer_be)
		all[count++] = range_of(push->peer_be, 32);
	for (size_t i = 0; i < push->route_count; i++)
		all[count++] = range_of(push->routes[i].address_be, push->routes[i].length);
	for (size_t i = 0; i < settings->route_count; i++)
		all[count++] = range_of(settings->routes[i].address_be, settings->routes[i].length);
	qsort(all, count, sizeof(all[0]), compare_ranges);
	used = join_ranges(all, count);
	if (used > max) {
		all[max - 1].last = all[used - 1].last;
		used = max;
	}
	memcpy(ranges, all, used * sizeof(*ranges));
	return used;
}
