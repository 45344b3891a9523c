/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages of an OpenVPN server inside TLS, other than its push replies.
 */
#include "controlplane/ovpn_push.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_MAX 86400u

/* A part of a message. */
struct slice {
	const char *at;
	size_t length;
};

/* Takes WORD off the beginning. */
static bool take(struct slice *slice, const char *word)
{
	const size_t length = strlen(word);

	if (slice->length < length || memcmp(slice->at, word, length) != 0)
		return false;
	slice->at += length;
	slice->length -= length;
	return true;
}

/* Takes what is up to one of STOPS. */
static struct slice take_until(struct slice *slice, const char *stops)
{
	struct slice taken = { slice->at, 0 };

	while (taken.length < slice->length && !strchr(stops, slice->at[taken.length]))
		taken.length++;
	slice->at += taken.length;
	slice->length -= taken.length;
	return taken;
}

static bool is_word(const struct slice *slice, const char *word)
{
	return slice->length == strlen(word) && memcmp(slice->at, word, slice->length) == 0;
}

static void skip_blanks(struct slice *slice)
{
	while (take(slice, " "))
		;
}

/* A number at the beginning; CP_OVPN_UNSET: none, or more than a day. */
static uint32_t take_number(struct slice *slice)
{
	const struct slice digits = take_until(slice, " ,]:");
	uint32_t number = 0;

	for (size_t i = 0; i < digits.length; i++) {
		if (digits.at[i] < '0' || digits.at[i] > '9')
			return CP_OVPN_UNSET;
		number = number * 10 + (uint32_t)(digits.at[i] - '0');
		if (number > BACKOFF_MAX)
			return CP_OVPN_UNSET;
	}
	return digits.length ? number : CP_OVPN_UNSET;
}

static void set_text(struct cp_ovpn_message *message, const struct slice *rest)
{
	const size_t length =
		rest->length < sizeof(message->text) ? rest->length : sizeof(message->text) - 1;

	memcpy(message->text, rest->at, length);
	message->text[length] = 0;
}

/* "[backoff 42,advance addr]: why" */
static void read_temporary(struct slice rest, struct cp_ovpn_message *message)
{
	bool has_flags = take(&rest, "[");

	message->type = CP_OVPN_AUTH_FAILED_TEMP;
	while (has_flags && rest.length) {
		skip_blanks(&rest);
		if (take(&rest, "backoff ")) {
			message->backoff_s = take_number(&rest);
		} else if (take(&rest, "advance ")) {
			const struct slice word = take_until(&rest, ",]");

			if (is_word(&word, "no"))
				message->advance = CP_OVPN_ADVANCE_NO;
			else if (is_word(&word, "addr"))
				message->advance = CP_OVPN_ADVANCE_ADDRESS;
			else if (is_word(&word, "remote"))
				message->advance = CP_OVPN_ADVANCE_REMOTE;
		}
		(void)take_until(&rest, ",]");
		has_flags = !take(&rest, "]");
		(void)take(&rest, ",");
	}
	(void)take(&rest, ":");
	skip_blanks(&rest);
	set_text(message, &rest);
}

static void read_failure(struct slice rest, struct cp_ovpn_message *message)
{
	message->type = CP_OVPN_AUTH_FAILED;
	if (!take(&rest, ","))
		return;
	if (take(&rest, "TEMP")) {
		read_temporary(rest, message);
		return;
	}
	if (take(&rest, "SESSION")) {
		message->type = CP_OVPN_AUTH_FAILED_SESSION;
		(void)take(&rest, ":");
		skip_blanks(&rest);
	} else if (take(&rest, "CRV1:")) {
		/* CRV1:flags:state:user:text */
		message->type = CP_OVPN_AUTH_CHALLENGE;
		for (int i = 0; i < 3; i++) {
			(void)take_until(&rest, ":");
			(void)take(&rest, ":");
		}
	}
	set_text(message, &rest);
}

static void read_pending(struct slice rest, struct cp_ovpn_message *message)
{
	message->type = CP_OVPN_AUTH_PENDING;
	while (take(&rest, ",")) {
		skip_blanks(&rest);
		if (take(&rest, "timeout "))
			message->timeout_s = take_number(&rest);
		(void)take_until(&rest, ",");
	}
}

/* "[NP]text" */
static void read_restart(struct slice rest, struct cp_ovpn_message *message)
{
	message->type = CP_OVPN_RESTART;
	if (!take(&rest, ","))
		return;
	if (take(&rest, "[")) {
		const struct slice flags = take_until(&rest, "]");

		for (size_t i = 0; i < flags.length; i++) {
			if (flags.at[i] == 'N')
				message->advance = CP_OVPN_ADVANCE_REMOTE;
			else if (flags.at[i] == 'P')
				message->keeps_login = true;
		}
		(void)take(&rest, "]");
	}
	set_text(message, &rest);
}

/* The rest is text behind a comma. */
static void read_plain(struct slice rest, enum cp_ovpn_message_type type,
                       struct cp_ovpn_message *message)
{
	message->type = type;
	if (take(&rest, ","))
		set_text(message, &rest);
}

/* The first word is up to a comma. */
static void read_message(struct slice rest, struct cp_ovpn_message *message)
{
	const struct slice all = rest, word = take_until(&rest, ",");

	if (is_word(&word, "PUSH_REPLY"))
		message->type = CP_OVPN_PUSH_REPLY;
	else if (is_word(&word, "AUTH_FAILED"))
		read_failure(rest, message);
	else if (is_word(&word, "AUTH_PENDING"))
		read_pending(rest, message);
	else if (is_word(&word, "RESTART"))
		read_restart(rest, message);
	else if (is_word(&word, "HALT"))
		read_plain(rest, CP_OVPN_HALT, message);
	else if (is_word(&word, "INFO"))
		read_plain(rest, CP_OVPN_INFO, message);
	else if (is_word(&word, "INFO_PRE"))
		read_plain(rest, CP_OVPN_INFO_PRE, message);
	else if (is_word(&word, "PUSH_UPDATE"))
		read_plain(rest, CP_OVPN_PUSH_UPDATE, message);
	else if (is_word(&word, "EXIT"))
		message->type = CP_OVPN_EXIT;
	else
		set_text(message, &all);
}

int cp_ovpn_message_parse(const char *text, size_t length, struct cp_ovpn_message *message)
{
	*message = (struct cp_ovpn_message){ .type = CP_OVPN_UNKNOWN,
		                             .backoff_s = CP_OVPN_UNSET,
		                             .timeout_s = CP_OVPN_UNSET,
		                             .advance = CP_OVPN_ADVANCE_NO };
	while (length && (text[length - 1] == '\r' || text[length - 1] == '\n'))
		length--;
	if (length == 0 || length > CP_OVPN_MESSAGE_MAX)
		return -EINVAL;
	for (size_t i = 0; i < length; i++) {
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return -EINVAL;
	}
	read_message((struct slice){ text, length }, message);
	return 0;
}
