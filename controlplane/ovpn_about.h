/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an OpenVPN client and its server tell each other about themselves in plain text: our options
 * string and peer info, and what we want of the server's options string.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "controlplane/ovpn_session.h"
#include "controlplane/ovpn_settings.h"

/* "V4,dev-type tun,...": servers compare it with theirs and log what differs. */
void cp_ovpn_about_options(const struct cp_ovpn_settings *settings, const struct cp_ovpn_link *link,
                           char *text, size_t room);

/* "IV_VER=...\n...": what we can do, which is what a server may push. */
void cp_ovpn_about_peer_info(const struct cp_ovpn_settings *settings, char *text, size_t room);

/* Our ciphers, "AES-256-GCM:AES-128-GCM". */
void cp_ovpn_about_ciphers(const struct cp_ovpn_settings *settings, char *text, size_t room);

/* The cipher of the server's OPTIONS, as it spells it; false: it names none. */
bool cp_ovpn_about_server_cipher(const char *options, char *name, size_t room);
