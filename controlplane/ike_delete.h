/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of an IKE_SA that libcharon does not have: an authenticated DELETE, made from what is
 * known of it (RFC 7296 section 1.4.1).
 */
#pragma once

#include <stdint.h>

#define CP_IKE_ENCRYPTION_KEY_MAX 40u
#define CP_IKE_INTEGRITY_KEY_MAX 64u

/** An IKE_SA, as the keepsake has it: read by the same build or a later one of the same version. */
struct cp_ike_record {
	uint64_t initiator_spi;
	uint64_t responder_spi;
	uint32_t next_mid; /* of our requests */
	uint32_t local_be;
	uint32_t remote_be;
	uint16_t local_port;
	uint16_t remote_port;
	uint16_t encryption; /* IANA's numbers */
	uint16_t integrity;
	uint8_t is_initiator;
	uint8_t encryption_length;
	uint8_t integrity_length;
	uint8_t pad;
	uint8_t encryption_key[CP_IKE_ENCRYPTION_KEY_MAX]; /* of what we send */
	uint8_t integrity_key[CP_IKE_INTEGRITY_KEY_MAX];
};
_Static_assert(sizeof(struct cp_ike_record) == 144, "cp_ike_record");

/* Sends it, under each message ID that the server may expect. Its answer is not waited for. Does
 * not block. */
void cp_ike_delete_send(const struct cp_ike_record *record);
