/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which field of the configuration is which key, what its change takes, and its values as the file
 * would have them. Only for the comparison of configurations (config_diff.c).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/config_diff.h"

enum cp_value_kind {
	CP_VALUE_TEXT,
	CP_VALUE_BOOL,
	CP_VALUE_UINT16,
	CP_VALUE_UINT32,
	CP_VALUE_UINT64,
	CP_VALUE_INT,
	CP_VALUE_ADDRESS,   /* uint32_t in network byte order; 0: none */
	CP_VALUE_INTERFACE, /* struct cp_port: address and prefix length */
	CP_VALUE_PREFIXES,  /* their count is at `count` */
	CP_VALUE_ADDRESSES, /* likewise */
	CP_VALUE_INBOUND,   /* struct cp_inbound; likewise */
	CP_VALUE_PROPOSALS,
	CP_VALUE_CHOICE,   /* an enum; names[] by value */
	CP_VALUE_RATE,     /* uint64_t, bit/s; 0: none */
	CP_VALUE_ENDPOINT, /* address and port, one behind the other */
	CP_VALUE_PROBE,    /* struct cp_environment; no address: "none" or not set */
	CP_VALUE_FAILBACK, /* uint32_t, s; 0: "manual" */
	CP_VALUE_SECONDS,  /* uint32_t; CP_OVPN_UNSET: not set */
	CP_VALUE_PLACE,    /* struct cp_ovpn_place */
	CP_VALUE_REMOTES,  /* struct cp_ovpn_settings: all of them */
	CP_VALUE_CIPHERS,  /* likewise */
	CP_VALUE_FILTERS,  /* likewise */
	CP_VALUE_MARKS,    /* likewise: fingerprints, and usages of keys */
};

struct cp_field {
	const char *key;
	enum cp_value_kind kind;
	size_t offset;
	enum cp_effect effect;
	size_t count;
	const char *const *names;
};

/* Tables of a struct cp_config, cp_environment, cp_server and cp_ovpn_settings; key NULL ends one.
 */
extern const struct cp_field cp_gateway_fields[];
extern const struct cp_field cp_environment_fields[];
extern const struct cp_field cp_server_fields[];
extern const struct cp_field cp_openvpn_fields[];

/* Whether A and B, of the table's struct, have the same in FIELD. */
bool cp_value_is_same(const struct cp_field *field, const void *a, const void *b);

/* The value in BASE as the file would have it. */
void cp_value_format(const struct cp_field *field, const void *base, char text[CP_VALUE_LEN]);

/* Appends to TEXT; what has no room is replaced by "...". */
void cp_value_append(char text[CP_VALUE_LEN], const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void cp_value_append_address(char text[CP_VALUE_LEN], uint32_t address_be); /* 0: nothing */
