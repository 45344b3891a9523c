/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the reader of profiles: what is known while one is read, and the directives' functions.
 * Only for ovpn_profile.c, ovpn_directives.c,
 * ovpn_trust.c and ovpn_refusals.c.
 */
#pragma once

#include "controlplane/ovpn_profile.h"
#include "controlplane/ovpn_text.h"

#define CP_OVPN_TOLERATED_MAX 16u
#define CP_OVPN_DIRECTIVE_LEN 64u
#define CP_OVPN_NOT_TUN "must be tun: frames of tap are not carried"

struct cp_ovpn_reading {
	struct cp_ovpn_profile *profile;
	const char *path;
	const struct cp_ovpn_line *line; /* the directive being read */
	cp_ovpn_complain_fn complain;
	void *context;
	bool is_in_connection; /* inside of <connection> */
	bool is_optional;      /* `setenv opt`: what is not known does no harm */
	bool is_tolerant;      /* setenv FORWARD_COMPATIBLE: likewise, from here on */
	char tolerated[CP_OVPN_TOLERATED_MAX][CP_OVPN_DIRECTIVE_LEN]; /* ignore-unknown-option */
	size_t tolerated_count;
	bool has_client, has_tls_client, has_pull;
	unsigned dev_line; /* 0: not set */
	bool is_named_tun, has_dev_type;
	struct cp_ovpn_settings outside; /* its remotes are those outside of <connection> */
	uint16_t port;                   /* 0: not set; of the file, or of this <connection> */
	uint8_t transport;
	uint8_t forced_transport;   /* proto-force; 0: none */
	enum cp_ovpn_cipher cipher; /* 0: not set */
	bool has_data_ciphers;
};

typedef void (*cp_ovpn_take_fn)(struct cp_ovpn_reading *reading);

/* The directives that are honoured; name NULL ends a table. */
struct cp_ovpn_taker {
	const char *name;
	cp_ovpn_take_fn take;
};
extern const struct cp_ovpn_taker cp_ovpn_way_takers[];   /* ovpn_directives.c */
extern const struct cp_ovpn_taker cp_ovpn_trust_takers[]; /* ovpn_trust.c */

/* A directive that has no meaning here. */
bool cp_ovpn_is_skipped(const char *name);

/* A directive that is refused, with all that begin with its name and '-': "management-hold" */
struct cp_ovpn_refusal {
	const char *name, *why;
};

/* Of a directive that is neither of these; NULL: it is not known. */
const struct cp_ovpn_refusal *cp_ovpn_find_refusal(const char *name);

/* Tells a mistake of the directive being read. */
void cp_ovpn_complain(struct cp_ovpn_reading *reading, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The directive's word at INDEX, 0 is its name; "" behind the last one. */
const char *cp_ovpn_word(const struct cp_ovpn_reading *reading, unsigned index);
bool cp_ovpn_has_word(const struct cp_ovpn_reading *reading, unsigned index);

/* Reads that word, or complains; false: it is not good. */
bool cp_ovpn_read_number(struct cp_ovpn_reading *reading, unsigned index, uint64_t min,
                         uint64_t max, uint64_t *number);
bool cp_ovpn_read_text(struct cp_ovpn_reading *reading, unsigned index, char *target, size_t size);
