/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as a message of the contract: what is taken must hold what its readers rely on.
 */
#include <stdlib.h>
#include <string.h>

#include "common/ipc_codec.h"
#include "tests/fuzz/fuzz.h"

static void require(int condition)
{
	if (!condition)
		abort();
}

/* A reader treats it as a string. */
static void require_string(const char *text, size_t size)
{
	require(memchr(text, 0, size) != NULL);
}

static void check_request(const struct ipc_header *header, const void *body)
{
	const struct ipc_node *node = body;
	const struct ipc_environment *environment = body;
	const struct ipc_punt *punt = body;
	const struct ipc_sa_add *add = body;

	switch (header->type) {
	case IPC_HELLO:
		(void)ipc_hello_check(body, "edge");
		break;
	case IPC_NODE:
		require_string(node->uplink.device, sizeof(node->uplink.device));
		require_string(node->cluster.device, sizeof(node->cluster.device));
		require_string(node->cores, sizeof(node->cores));
		require(node->route_count <= IPC_PREFIXES_MAX);
		break;
	case IPC_CONFIG_ENVIRONMENT:
		require(environment->source_count <= IPC_PREFIXES_MAX);
		require(ipc_name_check(environment->name) == 0);
		break;
	case IPC_CONFIG_FORWARDS:
		require(ipc_body_length(header) % sizeof(struct ipc_forward) == 0);
		break;
	case IPC_SA_ADD:
		require(add->key_length <= sizeof(add->key));
		break;
	case IPC_PUNT_TX:
	case IPC_PUNT_RX:
		require(punt->length == ipc_body_length(header) - sizeof(*punt));
		break;
	default:
		break;
	}
}

/* The last byte of the last entry is inside of the message. */
static void check_list(const struct ipc_header *header, const struct ipc_list *list,
                       size_t entry_size)
{
	int count = ipc_list_check(header, list, entry_size);
	const uint8_t *entries = (const uint8_t *)(list + 1);

	require(count >= 0);
	for (int i = 0; i < count; i++) {
		const char *name = (const char *)entries + (size_t)i * list->entry_size;

		require_string(name, IPC_NAME_LEN);
		require(entries + (size_t)(i + 1) * list->entry_size <=
		        (const uint8_t *)header + header->length);
	}
}

static void check_reply(const struct ipc_header *header, const void *body)
{
	const struct ipc_refusal *refusal = body;

	if (header->type == IPC_HELLO) {
		(void)ipc_hello_check(body, "edge");
		return;
	}
	if (header->status != 0) {
		if (ipc_body_length(header) > 0)
			require_string(refusal->reason, sizeof(refusal->reason));
		return;
	}
	switch (header->type) {
	case IPC_SA_LIST:
		check_list(header, body, sizeof(struct ipc_sa_info));
		break;
	case IPC_STATE:
		check_list(header, body, sizeof(struct ipc_environment_state));
		break;
	case IPC_TUNNELS:
		check_list(header, body, sizeof(struct ipc_tunnel_info));
		break;
	case IPC_SESSIONS:
		check_list(header, body, sizeof(struct ipc_session));
		break;
	default:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct ipc_header *header;
	const void *body;
	void *message;

	/* A buffer of exactly this size: a sanitizer sees each byte that is read behind it. */
	message = malloc(size ? size : 1);
	if (!message)
		return 0;
	memcpy(message, data, size);
	/* What a socket cannot get wrong: the header's length is mostly right. Both are tried. */
	for (int pass = 0; pass < 2; pass++) {
		if (ipc_decode(message, size, &header, &body) == 0) {
			require(header->length == size);
			require(strcmp(ipc_type_name(header->type), "unknown") != 0);
			if (header->flags & IPC_REPLY)
				check_reply(header, body);
			else
				check_request(header, body);
		}
		if (size < sizeof(*header))
			break;
		((struct ipc_header *)message)->length = (uint32_t)size;
	}
	free(message);
	return 0;
}
