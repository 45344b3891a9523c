/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a server says inside EAP, and a proper end of an EAP exchange that we give up.
 */
#pragma once

struct ike_sa_t;
struct message_t;

/* Looks at a message of the server's, decrypted, before libcharon does. Returns in words what EAP
 * in it refuses us for; NULL: nothing. */
const char *cp_ike_eap_watch(struct ike_sa_t *ike_sa, struct message_t *message);

/* Looks at a message of ours before it is encrypted, on the thread that watched: where it says that
 * the authentication failed on our side, it is made an answer to the server's last EAP request, if
 * there was one, so that the server gives up too. */
void cp_ike_eap_give_up(struct ike_sa_t *ike_sa, struct message_t *message);
