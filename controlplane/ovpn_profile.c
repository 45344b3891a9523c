/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A customer's profile (.ovpn): goes through its lines, and draws the conclusions at the end.
 */
#include "controlplane/ovpn_profile.h"

#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/secret.h"
#include "controlplane/ovpn_directives.h"

#define COMPLAINT_LEN 512u

/* NULL: it is not honoured. */
static cp_ovpn_take_fn find_taker(const char *name)
{
	static const struct cp_ovpn_taker *const tables[] = { cp_ovpn_way_takers,
		                                              cp_ovpn_trust_takers };

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		for (const struct cp_ovpn_taker *taker = tables[i]; taker->name; taker++) {
			if (strcmp(taker->name, name) == 0)
				return taker->take;
		}
	}
	return NULL;
}

/* The directive, of those in our tables: where a bracket is missing, lines of a key or a password
 * are read as such, and what is told goes to logs. */
static const char *name_of(const struct cp_ovpn_line *line)
{
	const char *name = line->count ? line->words[0] : "";
	const struct cp_ovpn_refusal *refusal;

	if (find_taker(name) || cp_ovpn_is_skipped(name))
		return name;
	refusal = cp_ovpn_find_refusal(name);
	return refusal ? refusal->name : "";
}

void cp_ovpn_complain(struct cp_ovpn_reading *reading, const char *format, ...)
{
	char text[COMPLAINT_LEN];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	reading->complain(reading->context, reading->line->number, name_of(reading->line), text);
}

const char *cp_ovpn_word(const struct cp_ovpn_reading *reading, unsigned index)
{
	return index < reading->line->count ? reading->line->words[index] : "";
}

bool cp_ovpn_has_word(const struct cp_ovpn_reading *reading, unsigned index)
{
	return index < reading->line->count;
}

bool cp_ovpn_read_number(struct cp_ovpn_reading *reading, unsigned index, uint64_t min,
                         uint64_t max, uint64_t *number)
{
	const char *text = cp_ovpn_word(reading, index);
	const size_t digits = strspn(text, "0123456789");
	const uint64_t value = digits && digits < 19 ? strtoull(text, NULL, 10) : UINT64_MAX;

	if (text[digits] || value < min || value > max) {
		cp_ovpn_complain(reading, "must be a number from %llu to %llu, not \"%.40s\"",
		                 (unsigned long long)min, (unsigned long long)max, text);
		return false;
	}
	*number = value;
	return true;
}

bool cp_ovpn_read_text(struct cp_ovpn_reading *reading, unsigned index, char *target, size_t size)
{
	const char *text = cp_ovpn_word(reading, index);

	if (!*text || strlen(text) >= size) {
		cp_ovpn_complain(reading, "must have a text of up to %zu bytes behind it",
		                 size - 1);
		return false;
	}
	memcpy(target, text, strlen(text) + 1);
	return true;
}

static bool is_tolerated(const struct cp_ovpn_reading *reading, const char *name)
{
	for (size_t i = 0; i < reading->tolerated_count; i++) {
		if (strcmp(reading->tolerated[i], name) == 0)
			return true;
	}
	return reading->is_optional || reading->is_tolerant;
}

static void read_directive(struct cp_ovpn_reading *reading)
{
	const char *name = reading->line->words[0];
	const struct cp_ovpn_refusal *refusal;
	cp_ovpn_take_fn take = find_taker(name);

	if (take)
		take(reading);
	else if (cp_ovpn_is_skipped(name))
		return;
	else if ((refusal = cp_ovpn_find_refusal(name)))
		cp_ovpn_complain(reading, "%s", refusal->why);
	else if (!is_tolerated(reading, name))
		cp_ovpn_complain(reading, "begins with what is no directive that is known (not "
		                          "shown: it may be of a key or a password)");
}

static void read_lines(struct cp_ovpn_reading *reading, const char *text, size_t length,
                       unsigned number);

/* A <connection> has its own port and transport; where it says nothing, those of the file count. */
static void read_connection(struct cp_ovpn_reading *reading, const struct cp_ovpn_line *line)
{
	const uint16_t port = reading->port;
	const uint8_t transport = reading->transport;

	reading->is_in_connection = true;
	read_lines(reading, line->block, line->block_length, line->block_number);
	reading->is_in_connection = false;
	reading->port = port;
	reading->transport = transport;
}

/* "setenv opt DIRECTIVE ...": a directive that may be unknown. */
static void read_optional(struct cp_ovpn_reading *reading, struct cp_ovpn_line *line)
{
	memmove(&line->words[0], &line->words[2], (line->count - 1) * sizeof(line->words[0]));
	line->count -= 2;
	reading->is_optional = true;
	read_directive(reading);
	reading->is_optional = false;
}

static bool is_optional(const struct cp_ovpn_line *line)
{
	return line->count > 2 && strcmp(line->words[0], "setenv") == 0 &&
	       strcmp(line->words[1], "opt") == 0;
}

static void read_lines(struct cp_ovpn_reading *reading, const char *text, size_t length,
                       unsigned number)
{
	const struct cp_ovpn_line *outer = reading->line;
	struct cp_ovpn_lines lines;
	struct cp_ovpn_line line;
	const char *fault;
	int rc;

	reading->line = &line;
	cp_ovpn_lines_begin(&lines, text, length, number);
	while ((rc = cp_ovpn_lines_next(&lines, &line, &fault)) != 0) {
		if (rc < 0) {
			line.count = 0;
			cp_ovpn_complain(reading, "%s", fault);
		} else if (line.block && strcmp(line.words[0], "connection") == 0) {
			/* not inside of another one: the first end ends the outer one */
			read_connection(reading, &line);
		} else if (is_optional(&line)) {
			read_optional(reading, &line);
		} else {
			read_directive(reading);
		}
	}
	sp_wipe(&line, sizeof(line)); /* it may have seen a secret's block begin */
	reading->line = outer;
}

/* ---- at the end ---- */

/* Those of <connection> blocks, or else those outside; and of them the ones that proto-force
 * leaves.
 */
static void choose_remotes(struct cp_ovpn_reading *reading)
{
	struct cp_ovpn_settings *settings = &reading->profile->settings;
	size_t used = 0;

	if (!settings->remote_count) {
		memcpy(settings->remotes, reading->outside.remotes, sizeof(settings->remotes));
		settings->remote_count = reading->outside.remote_count;
		/* `port` and `proto` may stand behind them */
		for (size_t i = 0; i < settings->remote_count; i++) {
			struct cp_ovpn_remote *remote = &settings->remotes[i];

			remote->port = remote->port ? remote->port : reading->port;
			remote->transport =
				remote->transport ? remote->transport : reading->transport;
		}
	}
	for (size_t i = 0; i < settings->remote_count; i++) {
		struct cp_ovpn_remote remote = settings->remotes[i];

		remote.port = remote.port ? remote.port : CP_OVPN_PORT;
		remote.transport = remote.transport ? remote.transport : IPPROTO_UDP;
		if (!reading->forced_transport || remote.transport == reading->forced_transport)
			settings->remotes[used++] = remote;
	}
	if (settings->remote_count && !used)
		cp_ovpn_complain(reading, "proto-force leaves no remote");
	settings->remote_count = used;
}

/* `cipher` of old is one more that we offer, and what a server has that does not negotiate. */
static void choose_ciphers(struct cp_ovpn_reading *reading)
{
	struct cp_ovpn_settings *settings = &reading->profile->settings;
	bool is_offered = reading->has_data_ciphers;

	if (!reading->cipher)
		return;
	for (size_t i = 0; i < settings->cipher_count; i++)
		is_offered |= settings->ciphers[i] == reading->cipher;
	if (!is_offered && settings->cipher_count < CP_OVPN_CIPHERS_MAX)
		settings->ciphers[settings->cipher_count++] = reading->cipher;
	if (!settings->fallback)
		settings->fallback = reading->cipher;
}

static void conclude(struct cp_ovpn_reading *reading)
{
	struct cp_ovpn_settings *settings = &reading->profile->settings;

	choose_remotes(reading);
	choose_ciphers(reading);
	if (reading->dev_line && !reading->is_named_tun && !reading->has_dev_type)
		reading->complain(reading->context, reading->dev_line, "dev", CP_OVPN_NOT_TUN);
	if (settings->wrapping != CP_OVPN_TLS_AUTH)
		settings->key_direction = -1;
	if (!reading->has_client && !(reading->has_tls_client && reading->has_pull))
		cp_ovpn_complain(reading, "must say `client`: only servers that push are called");
}

void cp_ovpn_profile_read(struct cp_ovpn_profile *profile, const char *path, const char *text,
                          size_t length, cp_ovpn_complain_fn complain, void *context)
{
	const struct cp_ovpn_line whole = { .number = 0 };
	struct cp_ovpn_reading reading = { .profile = profile,
		                           .path = path,
		                           .line = &whole,
		                           .complain = complain,
		                           .context = context };

	*profile = (struct cp_ovpn_profile){ 0 };
	cp_ovpn_settings_init(&profile->settings);
	snprintf(profile->settings.profile, sizeof(profile->settings.profile), "%s", path);
	read_lines(&reading, text, length, 1);
	conclude(&reading);
}

enum cp_ovpn_treatment cp_ovpn_profile_treats(const char *directive)
{
	if (find_taker(directive))
		return CP_OVPN_HONOURED;
	if (cp_ovpn_is_skipped(directive))
		return CP_OVPN_SKIPPED;
	return cp_ovpn_find_refusal(directive) ? CP_OVPN_REFUSED : CP_OVPN_UNKNOWN_DIRECTIVE;
}
