/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an OpenVPN server says inside TLS, and what becomes of the session by it.
 */
#include "controlplane/ovpn_session_private.h"

#include "controlplane/ovpn_about.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ASK_FIRST_MS 1000u /* the server may push unasked before that */
#define ASK_AGAIN_MS 5000u
#define RESTART_S 3u /* a stock server that says so is there for two seconds more */

/* ---- account and password ---- */

int cp_ovpn_messages_login(struct cp_ovpn_session *session, const char **account,
                           struct sp_secret **password)
{
	const struct sp_secret *token = session->token, *source = session->password;
	size_t skip = 0;

	*account = NULL;
	*password = NULL;
	if (token->length > 0) {
		*account = (const char *)token->data;
		skip = strlen(*account) + 1;
		source = token;
	} else if (session->password) {
		*account = session->account;
	} else {
		return 0;
	}
	*password = sp_secret_create();
	if (!*password)
		return -ENOMEM;
	(*password)->length = source->length - skip;
	memcpy((*password)->data, source->data + skip, (*password)->length);
	return 0;
}

static void drop_token(struct cp_ovpn_session *session)
{
	sp_wipe(session->token->data, session->token->length);
	session->token->length = 0;
	session->token_count++;
}

/* With which a token is good: the one that came with it, or else with the one before. */
static const char *account_of(const struct cp_ovpn_session *session,
                              const struct cp_ovpn_push *push)
{
	if (push->token_account[0])
		return push->token_account;
	return session->token->length > 0 ? (const char *)session->token->data : session->account;
}

/* Keeps what was pushed in place of the password. */
static void keep_token(struct cp_ovpn_session *session, const struct cp_ovpn_push *push)
{
	const char *account = account_of(session, push);
	size_t length = strlen(account) + 1;

	if (!push->token || length + push->token->length > SP_SECRET_MAX)
		return;
	memmove(session->token->data, account, length);
	memcpy(session->token->data + length, push->token->data, push->token->length);
	session->token->length = length + push->token->length;
	session->token_count++;
}

/* ---- what is pushed ---- */

void cp_ovpn_messages_send(struct cp_ovpn_session *session, const char *text, uint64_t now_ms)
{
	if (cp_ovpn_negotiation_write(session->current, (const uint8_t *)text, strlen(text) + 1,
	                              now_ms) < 0)
		cp_ovpn_session_end(session, CP_OVPN_RETRY, CP_RANK_VAGUE,
		                    "TLS: nothing can be sent");
}

void cp_ovpn_messages_pull(struct cp_ovpn_session *session, uint64_t now_ms)
{
	if (session->ask_ms == 0) {
		session->ask_ms = now_ms + ASK_FIRST_MS;
	} else if (now_ms >= session->ask_ms) {
		session->ask_ms = now_ms + ASK_AGAIN_MS;
		cp_ovpn_messages_send(session, "PUSH_REQUEST", now_ms);
	}
}

/* Renegotiations are wrapped with a key of the first TLS connection. False: the session ends. */
static bool make_renewal_wrap(struct cp_ovpn_session *session)
{
	struct cp_ovpn_session_secrets *secrets = cp_ovpn_session_secrets(session);
	uint8_t key[CP_OVPN_STATIC_KEY_LEN];
	int rc = cp_ovpn_tls_export(session->current->stream, CP_OVPN_EKM_WRAP, key, sizeof(key));

	if (rc < 0) {
		cp_ovpn_session_end(session, CP_OVPN_RETRY, CP_RANK_EXACT,
		                    "no key for dynamic tls-crypt could be derived");
		return false;
	}
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] ^= secrets->static_key[i];
	cp_ovpn_wrap_crypt(&secrets->renewals, key, session->unix_s);
	sp_wipe(key, sizeof(key));
	session->has_renewal_wrap = true;
	return true;
}

static void come_up(struct cp_ovpn_session *session)
{
	const struct cp_ovpn_push *push = session->push;

	keep_token(session, push);
	if (push->has_dyn_tls_crypt && !make_renewal_wrap(session))
		return;
	session->state = CP_OVPN_UP;
	session->calls->up(session->context, push);
	cp_ovpn_data_keys_begin(session);
}

static void take_push(struct cp_ovpn_session *session, const char *text, size_t length)
{
	char why[CP_WHY_LEN];
	int rc = cp_ovpn_push_append(session->push, text, length, why);

	if (rc < 0)
		cp_ovpn_session_end(session, CP_OVPN_RETRY, CP_RANK_EXACT, "%s", why);
	else if (rc > 0)
		come_up(session);
}

/* Up already: a new token is all that counts. */
static void take_late_push(struct cp_ovpn_session *session, const char *text, size_t length)
{
	struct cp_ovpn_push push;
	char why[CP_WHY_LEN];

	cp_ovpn_push_begin(&push, &session->settings);
	if (cp_ovpn_push_append(&push, text, length, why) >= 0)
		keep_token(session, &push);
	cp_ovpn_push_fini(&push);
}

/* ---- what is said ---- */

static void refuse_login(struct cp_ovpn_session *session, const struct cp_ovpn_message *message)
{
	char theirs[64] = "none", ours[256];

	if (session->token->length > 0) {
		drop_token(session);
		cp_ovpn_session_end(session, CP_OVPN_RETRY, CP_RANK_NOTIFY,
		                    "AUTH_FAILED: the server's token is no longer good; "
		                    "the password comes next");
		return;
	}
	if (strstr(message->text, "cipher")) {
		cp_ovpn_about_ciphers(&session->settings, ours, sizeof(ours));
		cp_ovpn_about_server_cipher(session->current->server.options, theirs,
		                            sizeof(theirs));
		cp_ovpn_session_end(session, CP_OVPN_RETRY, CP_RANK_EXACT,
		                    "no common cipher: the server says \"%.96s\", its cipher is "
		                    "%s, ours are %s",
		                    message->text, theirs, ours);
		return;
	}
	cp_ovpn_session_end(session, CP_OVPN_RETRY, CP_RANK_EXACT,
	                    message->text[0] ? "AUTH_FAILED, the server says: %s"
	                                     : "AUTH_FAILED: the server refuses account and "
	                                       "password, or us%s",
	                    message->text);
}

static void put_off(struct cp_ovpn_session *session, const struct cp_ovpn_message *message)
{
	enum cp_ovpn_next next =
		message->advance == CP_OVPN_ADVANCE_NO ? CP_OVPN_RETRY : CP_OVPN_RETRY_OTHER;

	if (message->backoff_s != CP_OVPN_UNSET)
		session->end.pause_s = message->backoff_s;
	cp_ovpn_session_end(session, next, CP_RANK_EXACT, "the server puts us off: %s",
	                    message->text[0] ? message->text : "AUTH_FAILED,TEMP");
}

/* Somebody else is to allow it: we wait, as long as the server wants and a negotiation may take. */
static void wait_longer(struct cp_ovpn_session *session, const struct cp_ovpn_message *message,
                        uint64_t now_ms)
{
	uint32_t longest_s = session->settings.hand_window_s;
	uint64_t until_ms;

	if (session->state != CP_OVPN_PULLING)
		return;
	if (session->settings.reneg_s / 2 > longest_s)
		longest_s = session->settings.reneg_s / 2;
	if (message->timeout_s != CP_OVPN_UNSET && message->timeout_s < longest_s)
		longest_s = message->timeout_s;
	until_ms = cp_ovpn_after_s(now_ms, longest_s);
	if (until_ms > session->up_until_ms)
		session->up_until_ms = until_ms;
}

static void restart(struct cp_ovpn_session *session, const struct cp_ovpn_message *message)
{
	if (!message->keeps_login)
		drop_token(session);
	if (message->advance != CP_OVPN_ADVANCE_REMOTE)
		session->end.pause_s = RESTART_S;
	cp_ovpn_session_end(session,
	                    message->advance == CP_OVPN_ADVANCE_REMOTE ? CP_OVPN_RETRY_OTHER
	                                                               : CP_OVPN_RETRY,
	                    CP_RANK_NOTIFY, "the server restarts%s%s", message->text[0] ? ": " : "",
	                    message->text);
}

static void tell(struct cp_ovpn_session *session, const char *what, const char *text)
{
	char line[CP_WHY_LEN + 64];

	snprintf(line, sizeof(line), "%s%s", what, text);
	session->calls->tell(session->context, line);
}

/* It wants somebody to read, type or open something; we never said that we can. */
static bool is_question(const char *text, size_t length)
{
	static const char *const questions[] = { "INFO_PRE,WEB_AUTH:", "INFO_PRE,OPEN_URL:",
		                                 "INFO_PRE,CR_TEXT:" };

	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++)
		if (length > strlen(questions[i]) &&
		    memcmp(text, questions[i], strlen(questions[i])) == 0)
			return true;
	return false;
}

static void obey(struct cp_ovpn_session *session, const struct cp_ovpn_message *message,
                 const char *text, size_t length, uint64_t now_ms)
{
	switch (message->type) {
	case CP_OVPN_PUSH_REPLY:
		if (session->state == CP_OVPN_PULLING)
			take_push(session, text, length);
		else
			take_late_push(session, text, length);
		return;
	case CP_OVPN_AUTH_FAILED:
	case CP_OVPN_AUTH_FAILED_SESSION:
		refuse_login(session, message);
		return;
	case CP_OVPN_AUTH_FAILED_TEMP:
		put_off(session, message);
		return;
	case CP_OVPN_INFO_PRE:
		if (!is_question(text, length)) {
			tell(session, "the server says: ", message->text);
			return;
		}
		/* fall through */
	case CP_OVPN_AUTH_CHALLENGE:
		cp_ovpn_session_end(session, CP_OVPN_RETRY, CP_RANK_EXACT,
		                    "the server asks what only a person can answer: %s",
		                    message->text);
		return;
	case CP_OVPN_AUTH_PENDING:
		wait_longer(session, message, now_ms);
		return;
	case CP_OVPN_RESTART:
		restart(session, message);
		return;
	case CP_OVPN_HALT:
		cp_ovpn_session_end(session, CP_OVPN_NEVER, CP_RANK_EXACT,
		                    "the server sent us away for good (HALT)%s%s",
		                    message->text[0] ? ": " : "", message->text);
		return;
	case CP_OVPN_EXIT:
		cp_ovpn_session_end(session, CP_OVPN_RETRY, CP_RANK_NOTIFY,
		                    "the server took leave");
		return;
	case CP_OVPN_INFO:
		tell(session, "the server says: ", message->text);
		return;
	case CP_OVPN_PUSH_UPDATE: /* there may be a token in it */
		tell(session, "an unexpected message is ignored: PUSH_UPDATE", "");
		return;
	case CP_OVPN_UNKNOWN:
		tell(session, "an unexpected message is ignored: ", message->text);
		return;
	}
}

/* A record may have several messages. */
static void read_record(struct cp_ovpn_session *session, const char *bytes, size_t length,
                        uint64_t now_ms)
{
	while (length > 0 && session->state < CP_OVPN_ENDING) {
		size_t one = strnlen(bytes, length);
		struct cp_ovpn_message message;

		if (one > 0 && cp_ovpn_message_parse(bytes, one, &message) == 0)
			obey(session, &message, bytes, one, now_ms);
		one += one < length; /* the NUL */
		bytes += one;
		length -= one;
	}
}

void cp_ovpn_messages_read(struct cp_ovpn_session *session, uint64_t now_ms)
{
	uint8_t record[CP_OVPN_RECORD_MAX];
	char why[CP_WHY_LEN];
	long length;

	while (session->state < CP_OVPN_ENDING) {
		length = cp_ovpn_negotiation_read(session->current, record, why);
		if (length < 0)
			cp_ovpn_session_end(session, CP_OVPN_RETRY, CP_RANK_VAGUE, "%s", why);
		if (length <= 0)
			break;
		read_record(session, (const char *)record, (size_t)length, now_ms);
		sp_wipe(record, (size_t)length); /* a token may be in it */
	}
}
