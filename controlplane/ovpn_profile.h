/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A customer's profile (.ovpn), taken as it is: what it says about the tunnel becomes settings,
 * what is for people or for the host it would run on is skipped, what cannot be honoured is
 * refused. No script or program in it ever runs. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/ovpn_settings.h"

struct cp_ovpn_profile {
	struct cp_ovpn_settings settings; /* OpenVPN's defaults where the profile says nothing */
	bool asks_password;               /* auth-user-pass without file and block */
	unsigned password_line;           /* where */
	unsigned secret_line;             /* of the first block that is a secret; 0: none */
	uint32_t retry_min_s;             /* connect-retry; 0: not set */
	uint32_t retry_max_s;
	uint64_t reneg_bytes; /* 0: no limit */
	uint64_t reneg_packets;
};

/* A mistake in LINE (0: in the whole file) at DIRECTIVE: TEXT is what is wrong. */
typedef void (*cp_ovpn_complain_fn)(void *context, unsigned line, const char *directive,
                                    const char *text);

/* Reads LENGTH bytes of TEXT, which is the file PATH (absolute: other files are named relative to
 * it). Every mistake is told; PROFILE is only good if there was none. */
void cp_ovpn_profile_read(struct cp_ovpn_profile *profile, const char *path, const char *text,
                          size_t length, cp_ovpn_complain_fn complain, void *context);

/* Whether DIRECTIVE is known, and why it is refused; for the documentation's test. */
enum cp_ovpn_treatment {
	CP_OVPN_UNKNOWN_DIRECTIVE = 0,
	CP_OVPN_HONOURED = 1,
	CP_OVPN_SKIPPED = 2,
	CP_OVPN_REFUSED = 3
};
enum cp_ovpn_treatment cp_ovpn_profile_treats(const char *directive);
