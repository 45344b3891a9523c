/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of a session share: ovpn_session.c (packets, the beginning and the end),
 * ovpn_session_make.c (memory), ovpn_session_negotiate.c (negotiations), ovpn_session_time.c (what
 * is due), ovpn_messages.c (what the server says inside TLS), ovpn_data_keys.c (keys of the data
 * channel).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "controlplane/ovpn_negotiation.h"
#include "controlplane/ovpn_push.h"
#include "controlplane/ovpn_session.h"
#include "controlplane/ovpn_wrap.h"

#define CP_OVPN_PIGGYBACK_ACKS 4u /* with another control packet */

enum cp_ovpn_state {
	CP_OVPN_NEW = 1,
	CP_OVPN_OPENING, /* key id 0 is being negotiated */
	CP_OVPN_PULLING, /* until the server has pushed */
	CP_OVPN_UP,
	CP_OVPN_LEAVING, /* EXIT waits for its acknowledgement */
	CP_OVPN_ENDING,  /* ended() is to be called when this call is through */
	CP_OVPN_OVER,
};

/* Everything that is secret and lives as long as the session. */
struct cp_ovpn_session_secrets {
	struct cp_ovpn_wrap first;    /* of key id 0, and of all where renewals has no key */
	struct cp_ovpn_wrap renewals; /* dynamic tls-crypt */
	uint8_t static_key[CP_OVPN_STATIC_KEY_LEN]; /* of the profile; zero: none */
};

/* A key that the dataplane has. */
struct cp_ovpn_live_key {
	bool is_live;
	uint8_t key_id;
	uint64_t begun_ms; /* its negotiation */
};

struct cp_ovpn_session {
	struct cp_ovpn_settings settings;
	struct cp_ovpn_link link;
	const struct cp_ovpn_calls *calls;
	void *context;
	struct sp_secret *token; /* the caller's: account, NUL, token; or empty */
	unsigned token_count;    /* of its changes */
	char account[CP_TEXT_LEN];
	struct sp_secret *password; /* NULL: neither is sent */
	struct sp_secret *secrets;
	struct cp_ovpn_tls *tls;
	uint32_t unix_s; /* when it was made */
	uint64_t made_ms;

	enum cp_ovpn_state state;
	bool is_resuming; /* another process began it; until we send with a key of our own */
	uint8_t own_id[CP_OVPN_SESSION_ID_LEN];
	uint8_t server_id[CP_OVPN_SESSION_ID_LEN];
	bool has_server_id;
	uint64_t refused;     /* packets that were not authentic */
	uint64_t last_ms;     /* something authentic was heard */
	uint64_t up_until_ms; /* up by then, or it failed */
	uint64_t ask_ms;      /* PUSH_REQUEST */
	uint64_t leave_ms;    /* LEAVING: at the latest */
	struct cp_ovpn_end end;

	struct cp_ovpn_negotiation *current; /* the newest one: what control packets are for */
	uint8_t next_key_id;
	uint64_t unrenewed_ms; /* no new key came: since when one is wanted; 0: all is well */
	char tls_text[96];

	struct cp_ovpn_push *push;
	bool has_tls_ekm; /* of the first negotiation, and so for all; likewise the next ones */
	bool has_renewal_wrap;
	enum cp_ovpn_cipher cipher;
	struct cp_ovpn_live_key newest;
	struct cp_ovpn_live_key older;
	uint8_t sending; /* key id that the dataplane sends with */
};

static inline struct cp_ovpn_session_secrets *cp_ovpn_session_secrets(
	const struct cp_ovpn_session *session)
{
	return (struct cp_ovpn_session_secrets *)(void *)session->secrets->data;
}

static inline uint64_t cp_ovpn_after_s(uint64_t now_ms, uint32_t seconds)
{
	return now_ms + (uint64_t)seconds * 1000;
}

static inline bool cp_ovpn_session_is_running(const struct cp_ovpn_session *session)
{
	return session->state >= CP_OVPN_OPENING && session->state <= CP_OVPN_LEAVING;
}

/* The server has begun with the current negotiation, too. */
static inline bool cp_ovpn_session_is_answered(const struct cp_ovpn_session *session)
{
	return session->current->reliable.next_in > 0;
}

/* What control packets of KEY_ID are wrapped with. */
static inline struct cp_ovpn_wrap *cp_ovpn_session_wrap(const struct cp_ovpn_session *session,
                                                        uint8_t key_id)
{
	struct cp_ovpn_session_secrets *secrets = cp_ovpn_session_secrets(session);

	return key_id && session->has_renewal_wrap ? &secrets->renewals : &secrets->first;
}

/* ---- ovpn_session.c ---- */

/* Every function of ovpn_session.h that does something ends with this: sends what there is, and
 * tells of the end. */
void cp_ovpn_session_finish(struct cp_ovpn_session *session, uint64_t now_ms);

/* The session ends with this call; the first reason stays. */
void cp_ovpn_session_end(struct cp_ovpn_session *session, enum cp_ovpn_next next, enum cp_rank rank,
                         const char *format, ...) __attribute__((format(printf, 4, 5)));

/* ---- ovpn_session_negotiate.c ---- */

/* A new negotiation takes the place of the current one; OPCODE is our reset. */
void cp_ovpn_session_negotiate(struct cp_ovpn_session *session, uint8_t key_id,
                               enum cp_ovpn_opcode opcode, uint64_t now_ms);
/* Either side wants new keys. */
void cp_ovpn_session_negotiate_again(struct cp_ovpn_session *session, uint64_t now_ms);
/* The current negotiation failed: so does the session, unless it has a key to go on with. One that
 * the server did not answer is begun again. */
void cp_ovpn_session_miss(struct cp_ovpn_session *session, enum cp_rank rank, const char *why,
                          uint64_t now_ms);
/* Takes the current negotiation as far as it goes. */
void cp_ovpn_session_advance(struct cp_ovpn_session *session, uint64_t now_ms);

/* ---- ovpn_messages.c ---- */

/* The first negotiation is active: asks for what the server pushes. */
void cp_ovpn_messages_pull(struct cp_ovpn_session *session, uint64_t now_ms);
/* Reads what is there. */
void cp_ovpn_messages_read(struct cp_ovpn_session *session, uint64_t now_ms);
/* Sends one, on an active negotiation. */
void cp_ovpn_messages_send(struct cp_ovpn_session *session, const char *text, uint64_t now_ms);
/* Account and password as they are sent now: the server's token, or the real ones. ACCOUNT is
 * borrowed; PASSWORD is the caller's to destroy. -ENOMEM. */
int cp_ovpn_messages_login(struct cp_ovpn_session *session, const char **account,
                           struct sp_secret **password);

/* ---- ovpn_data_keys.c ---- */

/* Chooses cipher and derivation by what was pushed, and hands out the first key. */
void cp_ovpn_data_keys_begin(struct cp_ovpn_session *session);
/* A later negotiation is active: hands out its key. */
void cp_ovpn_data_keys_renew(struct cp_ovpn_session *session);
/* A new negotiation begins: what is older than the newest key is not sent with any more. */
void cp_ovpn_data_keys_settle(struct cp_ovpn_session *session);
/* A packet under KEY_ID was authentic. */
void cp_ovpn_data_keys_heard(struct cp_ovpn_session *session, uint8_t key_id);
/* Switches to the newest key and forgets the older one when it is time. */
void cp_ovpn_data_keys_tick(struct cp_ovpn_session *session, uint64_t now_ms);
uint64_t cp_ovpn_data_keys_deadline_ms(const struct cp_ovpn_session *session);
