/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A dataplane for the tests of OpenVPN's logins and keys, in place of the connection to one.
 */
#include "tests/unit/controlplane/ovpn_dataplane.h"

#include <arpa/inet.h>
#include <errno.h>

struct fake_dataplane fake;

struct ipc_sa_info *fake_find(uint32_t spi_be, enum ipc_direction direction)
{
	for (size_t i = 0; i < fake.count; i++)
		if (fake.sas[i].id.spi_be == spi_be && fake.sas[i].id.direction == direction)
			return &fake.sas[i];
	return NULL;
}

size_t fake_count(enum ipc_direction direction)
{
	size_t count = 0;

	for (size_t i = 0; i < fake.count; i++)
		count += fake.sas[i].id.direction == direction;
	return count;
}

void fake_hear(uint32_t spi_be, uint32_t remote_be, uint16_t remote_port_be)
{
	struct ipc_sa_info *in = fake_find(spi_be, IPC_IN);

	assert_non_null(in);
	in->used_ns = ++fake.now_ns;
	for (size_t i = 0; i < fake.count; i++) { /* all keys of the tunnel follow */
		fake.sas[i].remote_be = remote_be;
		fake.sas[i].remote_port_be = remote_port_be;
	}
}

static int take_sa(const struct ipc_sa_add *add)
{
	size_t inbound = fake_count(IPC_IN);
	int status = fake.add_status;

	fake.add_status = 0;
	if (status != 0)
		return status;
	for (size_t i = 0; i < fake.count && add->id.direction == IPC_IN; i++)
		if (fake.sas[i].id.direction == IPC_IN && fake.sas[i].key_id == add->openvpn.key_id)
			return -EEXIST;
	if (add->id.direction == IPC_IN && inbound == 2)
		return -ENOSPC;
	assert_true(fake.count < sizeof(fake.sas) / sizeof(fake.sas[0]));
	fake.adds[fake.count] = *add;
	fake.sas[fake.count++] = (struct ipc_sa_info){
		.tunnel = add->tunnel,
		.id = add->id,
		.added_ns = ++fake.now_ns,
		.flags = add->flags,
		.remote_be = add->remote_be,
		.remote_port_be = add->remote_port_be,
		.key_id = add->openvpn.key_id,
	};
	return 0;
}

static int drop_sa(const struct ipc_sa_id *id)
{
	fake.deletes++;
	for (size_t i = 0; i < fake.count; i++) {
		if (memcmp(&fake.sas[i].id, id, sizeof(*id)) != 0)
			continue;
		fake.sas[i] = fake.sas[--fake.count];
		fake.adds[i] = fake.adds[fake.count];
		return 0;
	}
	return -ENOENT;
}

/* The newest outbound SA is the one that is sent with. */
static bool is_followed(const struct ipc_sa_info *info)
{
	for (size_t i = 0; i < fake.count; i++)
		if (fake.sas[i].id.direction == IPC_OUT && fake.sas[i].added_ns > info->added_ns)
			return true;
	return false;
}

static int query(const struct ipc_sa_id *id, struct ipc_sa_info *info)
{
	const struct ipc_sa_info *found = fake_find(id->spi_be, id->direction);

	if (!found || memcmp(&found->id, id, sizeof(*id)) != 0)
		return -ENOENT;
	*info = *found;
	if (id->direction == IPC_OUT && !is_followed(found))
		info->flags |= IPC_SA_ACTIVE;
	return 0;
}

int cp_dp_call(struct cp_dp *client, uint16_t type, const void *body, size_t body_length,
               void *reply, size_t reply_size)
{
	(void)client;
	(void)body_length;
	(void)reply_size;
	switch (type) {
	case IPC_SPI_ALLOC:
		((struct ipc_spi *)reply)->spi_be = htonl(++fake.spis);
		return 0;
	case IPC_SA_ADD:
		return take_sa(body);
	case IPC_SA_DEL:
		return drop_sa(body);
	case IPC_SA_QUERY:
		return query(body, reply);
	case IPC_KEEPSAKE_SET:
		memcpy(&fake.keepsake, body, sizeof(fake.keepsake));
		fake.saves++;
		return 0;
	case IPC_KEEPSAKE_GET:
		memcpy(reply, &fake.keepsake, sizeof(fake.keepsake));
		return 0;
	default:
		fail_msg("a request that nobody knows: %u", type);
		return -EINVAL;
	}
}

int cp_dp_list(struct cp_dp *client, uint16_t type, size_t entry_size,
               void (*each)(void *context, const void *entry), void *context)
{
	(void)client;
	assert_int_equal(type, IPC_SA_LIST);
	assert_int_equal(entry_size, sizeof(struct ipc_sa_info));
	for (size_t i = 0; i < fake.count; i++)
		each(context, &fake.sas[i]);
	return 0;
}

int cp_dp_send_datagram(struct cp_dp *client, const struct ipc_punt *punt, const void *payload)
{
	(void)client;
	(void)payload;
	fake.punt = *punt;
	fake.datagrams++;
	return 0;
}

int cp_dp_open_flow(struct cp_dp *client, struct ipc_flow *flow)
{
	(void)client;
	fake.flows++;
	flow->local_port_be = htons(30001);
	return 5; /* no socket: whoever connects it is played, too */
}

void cp_dp_close_flow(struct cp_dp *client, const struct ipc_flow *flow)
{
	(void)client;
	assert_int_equal(flow->local_port_be, htons(30001));
	fake.flows--;
}
