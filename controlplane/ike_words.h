/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a server's message says about why there will be no tunnel, in words.
 */
#pragma once

#include <daemon.h>

#include "controlplane/ike_tunnels.h"

/* Reports the reason that MESSAGE, decrypted and from the server, gives, if it gives one. On
 * libcharon's threads with the IKE_SA checked out. */
void cp_ike_words_explain(const struct cp_ike *ike, const struct cp_ike_tunnel *tunnel,
                          ike_sa_t *ike_sa, message_t *message);
