/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one place where messages of the contract are checked. Each body has a table of its fields;
 * what ties several fields together is in a function beside it.
 */
#include "common/ipc_codec.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/netaddr.h"

/* ---- fields ---- */

enum field_kind {
	FIELD_END = 0,
	FIELD_PAD,           /* zero */
	FIELD_NAME,          /* ipc_name_check() */
	FIELD_OPTIONAL_NAME, /* the same, or empty */
	FIELD_TEXT,          /* terminated, zero filled, not empty */
	FIELD_OPTIONAL_TEXT, /* the same, or empty */
	FIELD_RANGE,         /* an integer in host byte order, min to max */
	FIELD_NONZERO,       /* an integer of any byte order */
	FIELD_HOST,          /* a unicast IPv4 address */
	FIELD_OPTIONAL_HOST, /* the same, or 0 */
	FIELD_PREFIX,        /* struct ipc_prefix */
};

struct field {
	enum field_kind kind;
	uint32_t offset;
	uint32_t size;
	uint64_t min;
	uint64_t max;
};

#define SIZE_OF(type, member) ((uint32_t)sizeof(((type *)0)->member))
#define FIELD(kind, type, member)                                                   \
	{                                                                           \
		kind, (uint32_t)offsetof(type, member), SIZE_OF(type, member), 0, 0 \
	}
#define RANGE(type, member, min, max)                                                          \
	{                                                                                      \
		FIELD_RANGE, (uint32_t)offsetof(type, member), SIZE_OF(type, member), min, max \
	}

static bool is_zero(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (bytes[i])
			return false;
	}
	return true;
}

/* Whether SIZE bytes hold a string that ends and is zero filled. */
static bool is_text(const uint8_t *bytes, size_t size)
{
	const uint8_t *end = memchr(bytes, 0, size);

	return end && is_zero(end, size - (size_t)(end - bytes));
}

static uint64_t read_integer(const uint8_t *at, size_t size)
{
	uint64_t u64;
	uint32_t u32;
	uint16_t u16;

	switch (size) {
	case 1:
		return *at;
	case 2:
		memcpy(&u16, at, sizeof(u16));
		return u16;
	case 4:
		memcpy(&u32, at, sizeof(u32));
		return u32;
	default:
		memcpy(&u64, at, sizeof(u64));
		return u64;
	}
}

static int check_name(const uint8_t *at, size_t size)
{
	return is_text(at, size) && ipc_name_check((const char *)at) == 0 ? 0 : -EINVAL;
}

static int check_host(const uint8_t *at)
{
	return sp_address_is_martian((uint32_t)read_integer(at, 4)) ? -EINVAL : 0;
}

static int check_prefix(const uint8_t *at)
{
	struct ipc_prefix prefix;

	memcpy(&prefix, at, sizeof(prefix));
	if (!is_zero(prefix.pad, sizeof(prefix.pad)))
		return -EBADMSG;
	if (prefix.length > 32 || (prefix.address_be & ~sp_prefix_mask_be(prefix.length)) != 0)
		return -EINVAL;
	return 0;
}

static int check_field(const struct field *field, const uint8_t *body)
{
	const uint8_t *at = body + field->offset;
	uint64_t value;

	switch (field->kind) {
	case FIELD_PAD:
		return is_zero(at, field->size) ? 0 : -EBADMSG;
	case FIELD_NAME:
		return check_name(at, field->size);
	case FIELD_OPTIONAL_NAME:
		return is_zero(at, field->size) ? 0 : check_name(at, field->size);
	case FIELD_TEXT:
		return at[0] && is_text(at, field->size) ? 0 : -EINVAL;
	case FIELD_OPTIONAL_TEXT:
		return is_text(at, field->size) ? 0 : -EINVAL;
	case FIELD_RANGE:
		value = read_integer(at, field->size);
		return value >= field->min && value <= field->max ? 0 : -EINVAL;
	case FIELD_NONZERO:
		return is_zero(at, field->size) ? -EINVAL : 0;
	case FIELD_HOST:
		return check_host(at);
	case FIELD_OPTIONAL_HOST:
		return is_zero(at, field->size) ? 0 : check_host(at);
	case FIELD_PREFIX:
		return check_prefix(at);
	case FIELD_END:
		break;
	}
	return -EINVAL;
}

static int check_fields(const struct field *fields, const uint8_t *body)
{
	for (; fields->kind != FIELD_END; fields++) {
		int rc = check_field(fields, body);

		if (rc != 0)
			return rc;
	}
	return 0;
}

/* COUNT prefixes are good and the rest of the array is zero. */
static int check_prefixes(const struct ipc_prefix *prefixes, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		int rc = check_prefix((const uint8_t *)&prefixes[i]);

		if (rc != 0)
			return rc;
	}
	return is_zero((const uint8_t *)&prefixes[count],
	               (IPC_PREFIXES_MAX - count) * sizeof(*prefixes))
	               ? 0
	               : -EBADMSG;
}

/* ---- bodies ---- */

static const struct field refusal_fields[] = {
	FIELD(FIELD_OPTIONAL_TEXT, struct ipc_refusal, reason),
	{ 0 },
};

/* Magic, versions and flags are for ipc_hello_check(): a HELLO of another version must be
 * decodable. */
static const struct field hello_fields[] = {
	FIELD(FIELD_NONZERO, struct ipc_hello, epoch),
	FIELD(FIELD_NAME, struct ipc_hello, instance),
	{ 0 },
};

#define PORT_FIELDS(member)                                                    \
	FIELD(FIELD_TEXT, struct ipc_node, member.device),                     \
		FIELD(FIELD_HOST, struct ipc_node, member.address_be),         \
		FIELD(FIELD_OPTIONAL_HOST, struct ipc_node, member.router_be), \
		RANGE(struct ipc_node, member.prefix_length, 0, 32),           \
		FIELD(FIELD_PAD, struct ipc_node, member.pad0),                \
		RANGE(struct ipc_node, member.mtu, 576, 9000),                 \
		RANGE(struct ipc_node, member.queues, 0, 256),                 \
		FIELD(FIELD_PAD, struct ipc_node, member.pad1)

/* The top 6 bits of an SPI name the worker. */
#define WORKERS_MAX 64

static const struct field node_fields[] = {
	FIELD(FIELD_NAME, struct ipc_node, name),
	PORT_FIELDS(uplink),
	PORT_FIELDS(cluster),
	FIELD(FIELD_TEXT, struct ipc_node, cores),
	RANGE(struct ipc_node, workers, 0, WORKERS_MAX),
	FIELD(FIELD_NONZERO, struct ipc_node, sessions),
	RANGE(struct ipc_node, flags, 0, IPC_NODE_ALLOW_SLOW_CRYPTO),
	RANGE(struct ipc_node, idle, IPC_IDLE_POLL, IPC_IDLE_ADAPTIVE),
	RANGE(struct ipc_node, hugepages, IPC_HUGEPAGES_AUTO, IPC_HUGEPAGES_OFF),
	FIELD(FIELD_PAD, struct ipc_node, pad0),
	RANGE(struct ipc_node, route_count, 0, IPC_PREFIXES_MAX),
	FIELD(FIELD_PAD, struct ipc_node, pad1),
	{ 0 },
};

static int check_node(const void *body, size_t length)
{
	const struct ipc_node *node = body;

	(void)length;
	return check_prefixes(node->routes, node->route_count);
}

static const struct field generation_fields[] = {
	FIELD(FIELD_NONZERO, struct ipc_generation, generation),
	{ 0 },
};

static const struct field environment_fields[] = {
	FIELD(FIELD_NAME, struct ipc_environment, name),
	FIELD(FIELD_HOST, struct ipc_environment, pod_address_be),
	RANGE(struct ipc_environment, source_count, 0, IPC_PREFIXES_MAX),
	FIELD(FIELD_PAD, struct ipc_environment, pad),
	RANGE(struct ipc_environment, flags, 0,
	      IPC_ENVIRONMENT_KEEP_SESSIONS | IPC_ENVIRONMENT_UNPROBED | IPC_ENVIRONMENT_DRAINING),
	FIELD(FIELD_OPTIONAL_HOST, struct ipc_environment, probe_target_be),
	RANGE(struct ipc_environment, port_quota, 0, 65536),
	FIELD(FIELD_PAD, struct ipc_environment, pad1),
	{ 0 },
};

static int check_environment(const void *body, size_t length)
{
	const struct ipc_environment *environment = body;
	uint64_t bps = environment->rate_bps;

	(void)length;
	if (bps && (bps < IPC_RATE_MIN || bps > IPC_RATE_MAX))
		return -EINVAL;
	return check_prefixes(environment->sources, environment->source_count);
}

static const struct field server_fields[] = {
	FIELD(FIELD_NAME, struct ipc_server, id.environment),
	FIELD(FIELD_NAME, struct ipc_server, id.server),
	FIELD(FIELD_PAD, struct ipc_server, pad),
	FIELD(FIELD_PAD, struct ipc_server, pad1),
	{ 0 },
};

static const struct field forward_fields[] = {
	FIELD(FIELD_NAME, struct ipc_forward, environment),
	FIELD(FIELD_OPTIONAL_NAME, struct ipc_forward, server),
	FIELD(FIELD_HOST, struct ipc_forward, to_address_be),
	FIELD(FIELD_NONZERO, struct ipc_forward, to_port_be),
	FIELD(FIELD_NONZERO, struct ipc_forward, port_be),
	FIELD(FIELD_PAD, struct ipc_forward, pad),
	{ 0 },
};

static int check_forwards(const void *body, size_t length)
{
	const struct ipc_forward *forwards = body;
	size_t count = length / sizeof(*forwards);

	if (length % sizeof(*forwards) != 0 || count < 1 || count > IPC_FORWARDS_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < count; i++) {
		int rc = check_fields(forward_fields, (const uint8_t *)&forwards[i]);

		if (rc != 0)
			return rc;
		if (forwards[i].protocol != 6 && forwards[i].protocol != 17)
			return -EINVAL;
	}
	return 0;
}

static const struct field egress_fields[] = {
	FIELD(FIELD_OPTIONAL_NAME, struct ipc_egress, environment),
	RANGE(struct ipc_egress, address_count, 1, IPC_EGRESS_ADDRESSES_MAX),
	RANGE(struct ipc_egress, source_count, 0, IPC_PREFIXES_MAX),
	RANGE(struct ipc_egress, allow_count, 0, IPC_PREFIXES_MAX),
	FIELD(FIELD_PAD, struct ipc_egress, pad),
	{ 0 },
};

static int check_egress(const void *body, size_t length)
{
	const struct ipc_egress *egress = body;
	int rc;

	(void)length;
	for (uint32_t i = 0; i < egress->address_count; i++)
		if (sp_address_is_martian(egress->addresses_be[i]))
			return -EINVAL;
	if (!is_zero((const uint8_t *)&egress->addresses_be[egress->address_count],
	             (IPC_EGRESS_ADDRESSES_MAX - egress->address_count) * sizeof(uint32_t)))
		return -EBADMSG;
	if (egress->environment[0] && egress->allow_count)
		return -EINVAL;
	rc = check_prefixes(egress->sources, egress->source_count);
	return rc ? rc : check_prefixes(egress->allow, egress->allow_count);
}

static const struct field inbound_fields[] = {
	FIELD(FIELD_OPTIONAL_HOST, struct ipc_inbound, address_be),
	FIELD(FIELD_HOST, struct ipc_inbound, to_address_be),
	FIELD(FIELD_NONZERO, struct ipc_inbound, to_port_be),
	FIELD(FIELD_NONZERO, struct ipc_inbound, port_be),
	FIELD(FIELD_PAD, struct ipc_inbound, pad),
	{ 0 },
};

static int check_inbound(const void *body, size_t length)
{
	const struct ipc_inbound *inbound = body;
	size_t count = length / sizeof(*inbound);

	if (length % sizeof(*inbound) != 0 || count < 1 || count > IPC_INBOUND_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < count; i++) {
		int rc = check_fields(inbound_fields, (const uint8_t *)&inbound[i]);

		if (rc != 0)
			return rc;
		if (inbound[i].protocol != 6 && inbound[i].protocol != 17)
			return -EINVAL;
	}
	return 0;
}

static const struct field peer_fields[] = {
	FIELD(FIELD_NAME, struct ipc_peer, id.environment),
	FIELD(FIELD_NAME, struct ipc_peer, id.server),
	FIELD(FIELD_OPTIONAL_HOST, struct ipc_peer, remote_be),
	FIELD(FIELD_PAD, struct ipc_peer, pad),
	{ 0 },
};

static int check_peer(const void *body, size_t length)
{
	const struct ipc_peer *peer = body;

	(void)length;
	if (!peer->remote_be)
		return 0;
	if (peer->openvpn_port_be)
		return peer->remote_port_be && !peer->ike_port_be && !peer->natt_port_be ? 0
		                                                                         : -EINVAL;
	return peer->ike_port_be && peer->natt_port_be && !peer->remote_port_be ? 0 : -EINVAL;
}

static const struct field tunnel_state_fields[] = {
	FIELD(FIELD_NAME, struct ipc_tunnel_state, id.environment),
	FIELD(FIELD_NAME, struct ipc_tunnel_state, id.server),
	FIELD(FIELD_OPTIONAL_HOST, struct ipc_tunnel_state, inner_address_be),
	RANGE(struct ipc_tunnel_state, is_up, 0, 1),
	FIELD(FIELD_PAD, struct ipc_tunnel_state, pad),
	{ 0 },
};

static int check_tunnel_state(const void *body, size_t length)
{
	const struct ipc_tunnel_state *state = body;

	(void)length;
	return (state->inner_address_be != 0) == (state->is_up != 0) ? 0 : -EINVAL;
}

static const struct field tunnel_fields[] = {
	FIELD(FIELD_NAME, struct ipc_tunnel, environment),
	FIELD(FIELD_NAME, struct ipc_tunnel, server),
	{ 0 },
};

#define SPI_RESERVED_LAST 255u /* RFC 4303 section 2.1 */

static int check_spi(uint32_t spi_be)
{
	return ntohl(spi_be) > SPI_RESERVED_LAST ? 0 : -EINVAL;
}

static const struct field spi_fields[] = {
	FIELD(FIELD_PAD, struct ipc_spi, pad),
	{ 0 },
};

static int check_spi_body(const void *body, size_t length)
{
	const struct ipc_spi *spi = body;

	(void)length;
	return check_spi(spi->spi_be);
}

#define SA_ID_FIELDS(type, prefix)                      \
	FIELD(FIELD_HOST, type, prefix destination_be), \
		RANGE(type, prefix direction, IPC_IN, IPC_OUT), FIELD(FIELD_PAD, type, prefix pad)

static const struct field sa_id_fields[] = {
	SA_ID_FIELDS(struct ipc_sa_id, ),
	{ 0 },
};

static int check_sa_id(const void *body, size_t length)
{
	const struct ipc_sa_id *id = body;

	(void)length;
	return check_spi(id->spi_be);
}

static const struct field sa_add_fields[] = {
	FIELD(FIELD_NAME, struct ipc_sa_add, tunnel.environment),
	FIELD(FIELD_NAME, struct ipc_sa_add, tunnel.server),
	SA_ID_FIELDS(struct ipc_sa_add, id.),
	FIELD(FIELD_HOST, struct ipc_sa_add, local_be),
	FIELD(FIELD_HOST, struct ipc_sa_add, remote_be),
	RANGE(struct ipc_sa_add, flags, 0,
	      IPC_SA_ESN | IPC_SA_UDP | IPC_SA_EARLY | IPC_SA_OPENVPN | IPC_SA_STREAM),
	RANGE(struct ipc_sa_add, algorithm, IPC_AES128_GCM16, IPC_AES256_CBC_SHA512_512),
	FIELD(FIELD_PAD, struct ipc_sa_add, pad),
	RANGE(struct ipc_sa_add, openvpn.key_id, 0, IPC_OPENVPN_KEY_IDS - 1),
	RANGE(struct ipc_sa_add, openvpn.format, IPC_OPENVPN_FORMAT_DEFAULT,
	      IPC_OPENVPN_FORMAT_EPOCH),
	RANGE(struct ipc_sa_add, openvpn.framing, IPC_OPENVPN_FRAMING_NONE,
	      IPC_OPENVPN_FRAMING_STUB_V2),
	RANGE(struct ipc_sa_add, openvpn.flags, 0, IPC_OPENVPN_FLOAT | IPC_OPENVPN_LZ4),
	FIELD(FIELD_PAD, struct ipc_sa_add, openvpn.pad),
	{ 0 },
};

/* Bytes of key[], 0: the algorithm is not ESP's. */
static uint16_t esp_key_length(const struct ipc_sa_add *add)
{
	static const uint16_t lengths[] = {
		[IPC_AES128_GCM16] = 20,
		[IPC_AES192_GCM16] = 28,
		[IPC_AES256_GCM16] = 36,
		[IPC_CHACHA20_POLY1305] = 36,
		[IPC_AES128_CBC_SHA1_96] = 16 + 20,
		[IPC_AES128_CBC_SHA256_128] = 16 + 32,
		[IPC_AES128_CBC_SHA384_192] = 16 + 48,
		[IPC_AES128_CBC_SHA512_256] = 16 + 64,
		[IPC_AES192_CBC_SHA1_96] = 24 + 20,
		[IPC_AES192_CBC_SHA256_128] = 24 + 32,
		[IPC_AES192_CBC_SHA384_192] = 24 + 48,
		[IPC_AES192_CBC_SHA512_256] = 24 + 64,
		[IPC_AES256_CBC_SHA1_96] = 32 + 20,
		[IPC_AES256_CBC_SHA256_128] = 32 + 32,
		[IPC_AES256_CBC_SHA384_192] = 32 + 48,
		[IPC_AES256_CBC_SHA512_256] = 32 + 64,
		[IPC_AES256_CBC_SHA512_512] = 0,
	};

	return lengths[add->algorithm];
}

/* The same for OpenVPN. */
static uint16_t openvpn_key_length(const struct ipc_sa_add *add)
{
	static const uint16_t lengths[] = {
		[IPC_AES128_GCM16] = 16 + 8,           [IPC_AES192_GCM16] = 24 + 8,
		[IPC_AES256_GCM16] = 32 + 8,           [IPC_CHACHA20_POLY1305] = 32 + 8,
		[IPC_AES128_CBC_SHA1_160] = 16 + 20,   [IPC_AES128_CBC_SHA256_256] = 16 + 32,
		[IPC_AES128_CBC_SHA512_512] = 16 + 64, [IPC_AES192_CBC_SHA1_160] = 24 + 20,
		[IPC_AES192_CBC_SHA256_256] = 24 + 32, [IPC_AES192_CBC_SHA512_512] = 24 + 64,
		[IPC_AES256_CBC_SHA1_160] = 32 + 20,   [IPC_AES256_CBC_SHA256_256] = 32 + 32,
		[IPC_AES256_CBC_SHA512_512] = 32 + 64,
	};

	if (add->openvpn.format == IPC_OPENVPN_FORMAT_EPOCH)
		return add->algorithm <= IPC_CHACHA20_POLY1305 ? 32 : 0;
	return lengths[add->algorithm];
}

static int check_esp_sa(const struct ipc_sa_add *add)
{
	if (!is_zero((const uint8_t *)&add->openvpn, sizeof(add->openvpn)))
		return -EBADMSG;
	if (add->flags & IPC_SA_STREAM)
		return -EINVAL;
	if ((add->flags & IPC_SA_UDP) && (!add->local_port_be || !add->remote_port_be))
		return -EINVAL;
	return 0;
}

static int check_openvpn_sa(const struct ipc_sa_add *add)
{
	const struct ipc_openvpn *openvpn = &add->openvpn;
	bool has_peer = openvpn->peer_id != IPC_OPENVPN_NO_PEER;

	if (add->flags & (IPC_SA_ESN | IPC_SA_UDP | IPC_SA_EARLY))
		return -EINVAL;
	if (has_peer && openvpn->peer_id > IPC_OPENVPN_PEER_MAX)
		return -EINVAL;
	if (openvpn->format == IPC_OPENVPN_FORMAT_EPOCH && !has_peer)
		return -EINVAL;
	if (!add->local_port_be || !add->remote_port_be)
		return -EINVAL;
	return 0;
}

static int check_sa_add(const void *body, size_t length)
{
	const struct ipc_sa_add *add = body;
	bool is_openvpn = add->flags & IPC_SA_OPENVPN;
	uint16_t key_length = is_openvpn ? openvpn_key_length(add) : esp_key_length(add);
	uint32_t destination_be = add->id.direction == IPC_IN ? add->local_be : add->remote_be;
	int rc = is_openvpn ? check_openvpn_sa(add) : check_esp_sa(add);

	(void)length;
	if (rc != 0)
		return rc;
	if (check_spi(add->id.spi_be) != 0 || add->id.destination_be != destination_be)
		return -EINVAL;
	if ((add->flags & IPC_SA_EARLY) && add->id.direction != IPC_IN)
		return -EINVAL;
	if (key_length == 0 || add->key_length != key_length)
		return -EINVAL;
	if (add->id.direction == IPC_IN && (add->replay_window < 32 || add->replay_window > 4096))
		return -EINVAL;
	return is_zero(add->key + add->key_length, sizeof(add->key) - add->key_length) ? 0
	                                                                               : -EBADMSG;
}

static const struct field keepsake_fields[] = {
	FIELD(FIELD_NAME, struct ipc_keepsake, id.environment),
	FIELD(FIELD_NAME, struct ipc_keepsake, id.server),
	RANGE(struct ipc_keepsake, length, 0, IPC_KEEPSAKE_MAX),
	FIELD(FIELD_PAD, struct ipc_keepsake, pad),
	{ 0 },
};

static int check_keepsake(const void *body, size_t length)
{
	const struct ipc_keepsake *keepsake = body;

	(void)length;
	return is_zero(keepsake->data + keepsake->length, sizeof(keepsake->data) - keepsake->length)
	               ? 0
	               : -EBADMSG;
}

static const struct field sa_update_fields[] = {
	SA_ID_FIELDS(struct ipc_sa_update, id.),
	FIELD(FIELD_HOST, struct ipc_sa_update, local_be),
	FIELD(FIELD_HOST, struct ipc_sa_update, remote_be),
	{ 0 },
};

static int check_sa_update(const void *body, size_t length)
{
	const struct ipc_sa_update *update = body;

	(void)length;
	if (check_spi(update->id.spi_be) != 0 || (update->flags & ~(IPC_SA_UDP | IPC_SA_OPENVPN)))
		return -EINVAL;
	return update->flags && (!update->local_port_be || !update->remote_port_be) ? -EINVAL : 0;
}

static const struct field session_query_fields[] = {
	FIELD(FIELD_OPTIONAL_NAME, struct ipc_session_query, environment),
	FIELD(FIELD_PAD, struct ipc_session_query, pad),
	{ 0 },
};

static const struct field move_fields[] = {
	FIELD(FIELD_NAME, struct ipc_move, environment),
	FIELD(FIELD_NAME, struct ipc_move, server),
	RANGE(struct ipc_move, reason, IPC_MOVE_DEAD, IPC_MOVE_BACK),
	FIELD(FIELD_PAD, struct ipc_move, pad),
	{ 0 },
};

static const struct field move_reply_fields[] = {
	FIELD(FIELD_NAME, struct ipc_move, environment),
	FIELD(FIELD_OPTIONAL_NAME, struct ipc_move, server),
	FIELD(FIELD_PAD, struct ipc_move, pad),
	{ 0 },
};

static int check_move(const void *body, size_t length)
{
	(void)length;
	return ((const struct ipc_move *)body)->reason != IPC_MOVE_REMOVED ? 0 : -EINVAL;
}

static int check_punt(const void *body, size_t length)
{
	const struct ipc_punt *punt = body;

	return punt->length == length - sizeof(*punt) && punt->length <= IPC_PUNT_MAX ? 0
	                                                                              : -EBADMSG;
}

static const struct field punt_fields[] = {
	FIELD(FIELD_HOST, struct ipc_punt, source_be),
	FIELD(FIELD_HOST, struct ipc_punt, destination_be),
	FIELD(FIELD_NONZERO, struct ipc_punt, source_port_be),
	FIELD(FIELD_NONZERO, struct ipc_punt, destination_port_be),
	{ 0 },
};

static const struct field flow_fields[] = {
	FIELD(FIELD_HOST, struct ipc_flow, remote_be),
	FIELD(FIELD_NONZERO, struct ipc_flow, remote_port_be),
	FIELD(FIELD_NONZERO, struct ipc_flow, local_port_be),
	RANGE(struct ipc_flow, protocol, 6, 6),
	FIELD(FIELD_PAD, struct ipc_flow, pad),
	{ 0 },
};

/* Whose port is still to be chosen. */
static const struct field new_flow_fields[] = {
	FIELD(FIELD_HOST, struct ipc_flow, remote_be),
	FIELD(FIELD_NONZERO, struct ipc_flow, remote_port_be),
	FIELD(FIELD_PAD, struct ipc_flow, local_port_be),
	RANGE(struct ipc_flow, protocol, 6, 6),
	FIELD(FIELD_PAD, struct ipc_flow, pad),
	{ 0 },
};

static const struct field event_fields[] = {
	FIELD(FIELD_NONZERO, struct ipc_event, changed),
	{ 0 },
};

static const struct field no_fields[] = { { 0 } };

/* ---- entries of lists in replies ---- */

static const struct field sa_info_fields[] = {
	FIELD(FIELD_NAME, struct ipc_sa_info, tunnel.environment),
	FIELD(FIELD_NAME, struct ipc_sa_info, tunnel.server),
	RANGE(struct ipc_sa_info, id.direction, IPC_IN, IPC_OUT),
	FIELD(FIELD_PAD, struct ipc_sa_info, id.pad),
	FIELD(FIELD_PAD, struct ipc_sa_info, pad0),
	FIELD(FIELD_PAD, struct ipc_sa_info, pad1),
	FIELD(FIELD_PAD, struct ipc_sa_info, pad2),
	{ 0 },
};

static const struct field environment_state_fields[] = {
	FIELD(FIELD_NAME, struct ipc_environment_state, name),
	FIELD(FIELD_OPTIONAL_NAME, struct ipc_environment_state, active),
	FIELD(FIELD_OPTIONAL_NAME, struct ipc_environment_state, moved_from),
	RANGE(struct ipc_environment_state, is_settled, 0, 1),
	RANGE(struct ipc_environment_state, is_lost, 0, 1),
	FIELD(FIELD_PAD, struct ipc_environment_state, pad),
	{ 0 },
};

static const struct field tunnel_info_fields[] = {
	FIELD(FIELD_NAME, struct ipc_tunnel_info, id.environment),
	FIELD(FIELD_NAME, struct ipc_tunnel_info, id.server),
	RANGE(struct ipc_tunnel_info, is_up, 0, 1),
	RANGE(struct ipc_tunnel_info, is_active, 0, 1),
	FIELD(FIELD_PAD, struct ipc_tunnel_info, pad),
	FIELD(FIELD_PAD, struct ipc_tunnel_info, pad1),
	{ 0 },
};

/* Protocols and states of later minor versions are let through: a reader prints what it does not
 * know as a number. */
static const struct field session_fields[] = {
	FIELD(FIELD_OPTIONAL_NAME, struct ipc_session, tunnel.environment),
	FIELD(FIELD_OPTIONAL_NAME, struct ipc_session, tunnel.server),
	FIELD(FIELD_PAD, struct ipc_session, pad),
	FIELD(FIELD_PAD, struct ipc_session, pad1),
	{ 0 },
};

static const struct field egress_use_fields[] = {
	FIELD(FIELD_PAD, struct ipc_egress_use, pad),
	{ 0 },
};

/* ---- types ---- */

enum size_rule { SIZE_EXACT = 0, SIZE_AT_LEAST, SIZE_LIST };

struct body {
	enum size_rule rule;
	uint32_t size;                                 /* of the body; SIZE_LIST: of one entry */
	const struct field *fields;                    /* of the body; SIZE_LIST: of one entry */
	int (*check)(const void *body, size_t length); /* after the fields; NULL: nothing more */
};

enum type_class { CLASS_NONE = 0, CLASS_REQUEST, CLASS_ONE_WAY };

struct type {
	const char *name;
	enum type_class class;
	struct body body;
	struct body reply; /* with status 0 */
};

#define BODY(type, fields, check)                                 \
	{                                                         \
		SIZE_EXACT, (uint32_t)sizeof(type), fields, check \
	}
#define OPEN_BODY(type, fields, check)                               \
	{                                                            \
		SIZE_AT_LEAST, (uint32_t)sizeof(type), fields, check \
	}
#define LIST(type, fields)                                      \
	{                                                       \
		SIZE_LIST, (uint32_t)sizeof(type), fields, NULL \
	}
#define EMPTY                                  \
	{                                      \
		SIZE_EXACT, 0, no_fields, NULL \
	}
#define HELLO_BODY OPEN_BODY(struct ipc_hello, hello_fields, NULL)

static const struct type types[] = {
	[IPC_HELLO] = { "HELLO", CLASS_REQUEST, HELLO_BODY, HELLO_BODY },
	[IPC_NODE] = { "NODE", CLASS_REQUEST, BODY(struct ipc_node, node_fields, check_node),
	               EMPTY },
	[IPC_CONFIG_BEGIN] = { "CONFIG_BEGIN", CLASS_REQUEST,
	                       BODY(struct ipc_generation, generation_fields, NULL), EMPTY },
	[IPC_CONFIG_ENVIRONMENT] = { "CONFIG_ENVIRONMENT", CLASS_REQUEST,
	                             BODY(struct ipc_environment, environment_fields,
	                                  check_environment),
	                             EMPTY },
	[IPC_CONFIG_SERVER] = { "CONFIG_SERVER", CLASS_REQUEST,
	                        BODY(struct ipc_server, server_fields, NULL), EMPTY },
	[IPC_CONFIG_FORWARDS] = { "CONFIG_FORWARDS", CLASS_REQUEST,
	                          OPEN_BODY(struct ipc_forward, no_fields, check_forwards), EMPTY },
	[IPC_CONFIG_COMMIT] = { "CONFIG_COMMIT", CLASS_REQUEST,
	                        BODY(struct ipc_generation, generation_fields, NULL), EMPTY },
	[IPC_CONFIG_EGRESS] = { "CONFIG_EGRESS", CLASS_REQUEST,
	                        BODY(struct ipc_egress, egress_fields, check_egress), EMPTY },
	[IPC_CONFIG_INBOUND] = { "CONFIG_INBOUND", CLASS_REQUEST,
	                         OPEN_BODY(struct ipc_inbound, no_fields, check_inbound), EMPTY },
	[IPC_PEER_SET] = { "PEER_SET", CLASS_REQUEST,
	                   BODY(struct ipc_peer, peer_fields, check_peer), EMPTY },
	[IPC_TUNNEL_SET] = { "TUNNEL_SET", CLASS_REQUEST,
	                     BODY(struct ipc_tunnel_state, tunnel_state_fields, check_tunnel_state),
	                     EMPTY },
	[IPC_SPI_ALLOC] = { "SPI_ALLOC", CLASS_REQUEST,
	                    BODY(struct ipc_tunnel, tunnel_fields, NULL),
	                    BODY(struct ipc_spi, spi_fields, check_spi_body) },
	[IPC_SA_ADD] = { "SA_ADD", CLASS_REQUEST,
	                 BODY(struct ipc_sa_add, sa_add_fields, check_sa_add), EMPTY },
	[IPC_SA_UPDATE] = { "SA_UPDATE", CLASS_REQUEST,
	                    BODY(struct ipc_sa_update, sa_update_fields, check_sa_update), EMPTY },
	[IPC_SA_DEL] = { "SA_DEL", CLASS_REQUEST, BODY(struct ipc_sa_id, sa_id_fields, check_sa_id),
	                 EMPTY },
	[IPC_SA_QUERY] = { "SA_QUERY", CLASS_REQUEST,
	                   BODY(struct ipc_sa_id, sa_id_fields, check_sa_id),
	                   BODY(struct ipc_sa_info, sa_info_fields, NULL) },
	[IPC_SA_LIST] = { "SA_LIST", CLASS_REQUEST, BODY(struct ipc_cursor, no_fields, NULL),
	                  LIST(struct ipc_sa_info, sa_info_fields) },
	[IPC_KEEPSAKE_SET] = { "KEEPSAKE_SET", CLASS_REQUEST,
	                       BODY(struct ipc_keepsake, keepsake_fields, check_keepsake), EMPTY },
	[IPC_KEEPSAKE_GET] = { "KEEPSAKE_GET", CLASS_REQUEST,
	                       BODY(struct ipc_tunnel, tunnel_fields, NULL),
	                       BODY(struct ipc_keepsake, keepsake_fields, check_keepsake) },
	[IPC_STATE] = { "STATE", CLASS_REQUEST, BODY(struct ipc_cursor, no_fields, NULL),
	                LIST(struct ipc_environment_state, environment_state_fields) },
	[IPC_TUNNELS] = { "TUNNELS", CLASS_REQUEST, BODY(struct ipc_cursor, no_fields, NULL),
	                  LIST(struct ipc_tunnel_info, tunnel_info_fields) },
	[IPC_SESSIONS] = { "SESSIONS", CLASS_REQUEST,
	                   BODY(struct ipc_session_query, session_query_fields, NULL),
	                   LIST(struct ipc_session, session_fields) },
	[IPC_MOVE] = { "MOVE", CLASS_REQUEST, BODY(struct ipc_move, move_fields, check_move),
	               BODY(struct ipc_move, move_reply_fields, NULL) },
	[IPC_EGRESS] = { "EGRESS", CLASS_REQUEST, BODY(struct ipc_cursor, no_fields, NULL),
	                 LIST(struct ipc_egress_use, egress_use_fields) },
	[IPC_FLOW_SET] = { "FLOW_SET", CLASS_REQUEST, BODY(struct ipc_flow, new_flow_fields, NULL),
	                   BODY(struct ipc_flow, flow_fields, NULL) },
	[IPC_FLOW_DEL] = { "FLOW_DEL", CLASS_REQUEST, BODY(struct ipc_flow, flow_fields, NULL),
	                   EMPTY },
	[IPC_PUNT_TX] = { "PUNT_TX", CLASS_ONE_WAY,
	                  OPEN_BODY(struct ipc_punt, punt_fields, check_punt), EMPTY },
	[IPC_PUNT_RX] = { "PUNT_RX", CLASS_ONE_WAY,
	                  OPEN_BODY(struct ipc_punt, punt_fields, check_punt), EMPTY },
	[IPC_EVENT] = { "EVENT", CLASS_ONE_WAY, BODY(struct ipc_event, event_fields, NULL), EMPTY },
	[IPC_STREAM_RX] = { "STREAM_RX", CLASS_ONE_WAY,
	                    OPEN_BODY(struct ipc_punt, punt_fields, check_punt), EMPTY },
	[IPC_STREAM_TX] = { "STREAM_TX", CLASS_ONE_WAY,
	                    OPEN_BODY(struct ipc_punt, punt_fields, check_punt), EMPTY },
};

static const struct body refusal_body = BODY(struct ipc_refusal, refusal_fields, NULL);
static const struct body empty_body = EMPTY;

static const struct type *find_type(uint16_t type)
{
	if (type >= sizeof(types) / sizeof(types[0]) || types[type].class == CLASS_NONE)
		return NULL;
	return &types[type];
}

static int check_list(const struct body *kind, const struct ipc_header *header,
                      const struct ipc_list *list)
{
	int rc, count = ipc_list_check(header, list, kind->size);

	if (count < 0)
		return count;
	for (int i = 0; i < count; i++) {
		rc = check_fields(kind->fields,
		                  (const uint8_t *)(list + 1) + (size_t)i * list->entry_size);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int check_body(const struct body *kind, const struct ipc_header *header, const void *body)
{
	size_t length = ipc_body_length(header);
	int rc;

	if (kind->rule == SIZE_LIST)
		return check_list(kind, header, body);
	if (length < kind->size || (kind->rule == SIZE_EXACT && length != kind->size))
		return -EBADMSG;
	rc = check_fields(kind->fields, body);
	return rc == 0 && kind->check ? kind->check(body, length) : rc;
}

#define ERRNO_MAX 4095

static int check_header(const struct ipc_header *header, size_t length, const struct type *type)
{
	bool is_reply = header->flags & IPC_REPLY;

	if (header->length != length || (header->flags & ~IPC_REPLY))
		return -EBADMSG;
	if (is_reply && type->class != CLASS_REQUEST)
		return -EBADMSG;
	if (type->class == CLASS_ONE_WAY && header->seq != 0)
		return -EBADMSG;
	if (is_reply ? header->status > 0 || header->status < -ERRNO_MAX : header->status != 0)
		return -EBADMSG;
	return 0;
}

/* ---- public ---- */

int ipc_decode(const void *message, size_t length, const struct ipc_header **header,
               const void **body)
{
	const struct ipc_header *h = message;
	const struct body *kind;
	const struct type *type;
	int rc;

	if (length < sizeof(*h) || length > IPC_MSG_MAX)
		return -EBADMSG;
	type = find_type(h->type);
	if (!type)
		return -EPROTO;
	rc = check_header(h, length, type);
	if (rc != 0)
		return rc;
	if (!(h->flags & IPC_REPLY))
		kind = &type->body;
	else if (h->status == 0 || h->type == IPC_HELLO)
		kind = &type->reply; /* a refused HELLO is answered with ours: the peer tells why
		                        from it */
	else
		kind = length == sizeof(*h) ? &empty_body : &refusal_body;
	rc = check_body(kind, h, h + 1);
	if (rc != 0)
		return rc;
	*header = h;
	*body = h + 1;
	return 0;
}

size_t ipc_body_length(const struct ipc_header *header)
{
	return header->length - sizeof(*header);
}

int ipc_list_check(const struct ipc_header *header, const struct ipc_list *list, size_t entry_size)
{
	size_t length = ipc_body_length(header);

	/* Entries hold 8-byte integers and are read in place. */
	if (length < sizeof(*list) || list->entry_size < entry_size || list->entry_size % 8 != 0 ||
	    (uint64_t)list->count * list->entry_size != length - sizeof(*list))
		return -EBADMSG;
	return (int)list->count;
}

int ipc_hello_check(const struct ipc_hello *hello, const char *instance)
{
	if (hello->magic != IPC_MAGIC)
		return -EPROTO;
	if (hello->major != IPC_VERSION_MAJOR)
		return -EPROTONOSUPPORT;
	return strcmp(hello->instance, instance) == 0 ? 0 : -EXDEV;
}

const char *ipc_type_name(uint16_t type)
{
	const struct type *known = find_type(type);

	return known ? known->name : "unknown";
}

int ipc_name_check(const char *name)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	static const char rest[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
	size_t length = strnlen(name, IPC_NAME_LEN);

	if (length < 1 || length >= IPC_NAME_LEN || !strchr(first, name[0]) ||
	    strspn(name, rest) != length)
		return -EINVAL;
	return 0;
}
