/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Data keys of an OpenVPN session in the dataplane: a pair of SAs each, under one SPI.
 */
#include "controlplane/ovpn_leases.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"

/* ---- one request each ---- */

static struct ipc_sa_id inbound_id(const struct cp_ovpn_leases *leases, uint32_t spi_be)
{
	return (struct ipc_sa_id){ .spi_be = spi_be,
		                   .destination_be = leases->path.local_be,
		                   .direction = IPC_IN };
}

static struct ipc_sa_id outbound_id(uint32_t spi_be, uint32_t destination_be)
{
	return (struct ipc_sa_id){ .spi_be = spi_be,
		                   .destination_be = destination_be,
		                   .direction = IPC_OUT };
}

/* One that is not there is as good as removed; if the connection is gone as well, strays.h does it
 * later. */
static void remove_sa(struct cp_ovpn_leases *leases, const struct ipc_sa_id *id)
{
	int rc;

	cp_ike_sas_del(leases->known, id);
	rc = cp_dp_call(leases->dp, IPC_SA_DEL, id, sizeof(*id), NULL, 0);
	if (rc != 0 && rc != -ENOENT)
		sp_log(SP_LOG_DEBUG, "ovpn: an SA was not deleted spi=%08x error=%s",
		       ntohl(id->spi_be), strerror(-rc));
}

static int add_sa(struct cp_ovpn_leases *leases, const struct ipc_sa_add *add)
{
	int rc = cp_dp_call(leases->dp, IPC_SA_ADD, add, sizeof(*add), NULL, 0);

	if (rc == 0)
		rc = cp_ike_sas_add(leases->known, &add->id, leases->tunnel, 0);
	sp_log(rc == 0 || rc == -EEXIST || rc == -ENOSPC ? SP_LOG_DEBUG : SP_LOG_WARN,
	       "ovpn: added an SA environment=%s server=%s spi=%08x direction=%s key_id=%u algorithm=%u result=%s",
	       add->tunnel.environment, add->tunnel.server, ntohl(add->id.spi_be),
	       add->id.direction == IPC_IN ? "in" : "out", add->openvpn.key_id, add->algorithm,
	       strerror(-rc));
	if (rc != 0 && rc != -EEXIST && rc != -ENOSPC)
		remove_sa(leases, &add->id);
	return rc;
}

/* ---- keys of others ---- */

struct search {
	const struct cp_ovpn_leases *leases;
	int key_id; /* -1: any */
	struct ipc_sa_id oldest;
	uint64_t oldest_ns; /* UINT64_MAX: none was found */
};

static void look_at(void *context, const void *entry)
{
	const struct ipc_sa_info *info = entry;
	struct search *search = context;
	const struct cp_ovpn_leases *leases = search->leases;

	if (!(info->flags & IPC_SA_OPENVPN) || info->id.direction != IPC_IN ||
	    memcmp(&info->tunnel, &leases->path.tunnel, sizeof(info->tunnel)) != 0 ||
	    (search->key_id >= 0 && info->key_id != search->key_id))
		return;
	for (size_t i = 0; i < CP_OVPN_LEASES_MAX; i++)
		if (leases->keys[i].spi_be == info->id.spi_be)
			return;
	if (info->added_ns < search->oldest_ns) {
		search->oldest_ns = info->added_ns;
		search->oldest = info->id;
	}
}

/* The oldest key, of KEY_ID or any (-1), that another session of ours or a predecessor has. A
 * server knows one session for an address and port, and two keys of it, so it has forgotten that
 * one. */
static void make_room(struct cp_ovpn_leases *leases, int key_id)
{
	struct search search = { .leases = leases, .key_id = key_id, .oldest_ns = UINT64_MAX };

	cp_dp_list(leases->dp, IPC_SA_LIST, sizeof(struct ipc_sa_info), look_at, &search);
	if (search.oldest_ns != UINT64_MAX)
		remove_sa(leases, &search.oldest);
}

/* ---- public ---- */

static void fill(const struct cp_ovpn_leases *leases, const struct cp_ovpn_key *key,
                 uint32_t spi_be, enum ipc_direction direction, struct ipc_sa_add *add)
{
	const struct cp_ovpn_path *path = &leases->path;
	const bool is_to_stream = path->stream_port_be && direction == IPC_OUT;

	*add = (struct ipc_sa_add){
		.tunnel = path->tunnel,
		.id = direction == IPC_IN ? inbound_id(leases, spi_be)
		                          : outbound_id(spi_be, path->remote_be),
		.local_be = path->local_be,
		.remote_be = path->remote_be,
		.local_port_be = is_to_stream ? path->stream_port_be : path->local_port_be,
		.remote_port_be = path->remote_port_be,
		.flags = IPC_SA_OPENVPN | (path->stream_port_be ? IPC_SA_STREAM : 0),
		.algorithm = key->algorithm,
		.key_length = key->length,
		.replay_window = direction == IPC_IN ? path->replay_window : 0,
		.hard_seconds = path->hard_seconds,
		.openvpn = { .peer_id = key->peer_id,
		             .key_id = key->key_id,
		             .format = key->format,
		             .framing = key->framing,
		             .flags = direction == IPC_IN ? key->flags : 0,
		             .ping_s = direction == IPC_OUT ? path->ping_s : 0 },
	};
	memcpy(add->key, direction == IPC_IN ? key->receive : key->send, key->length);
}

static int add_inbound(struct cp_ovpn_leases *leases, const struct cp_ovpn_key *key,
                       uint32_t spi_be)
{
	struct ipc_sa_add add;
	int rc;

	fill(leases, key, spi_be, IPC_IN, &add);
	rc = add_sa(leases, &add);
	for (int i = 0; i < 2 && (rc == -EEXIST || rc == -ENOSPC); i++) {
		make_room(leases, rc == -EEXIST ? key->key_id : -1);
		rc = add_sa(leases, &add);
	}
	sp_wipe(&add, sizeof(add));
	return rc;
}

static struct cp_ovpn_lease *find_place(struct cp_ovpn_leases *leases)
{
	for (size_t i = 0; i < CP_OVPN_LEASES_MAX; i++)
		if (!leases->keys[i].spi_be)
			return &leases->keys[i];
	return NULL;
}

int cp_ovpn_leases_add(struct cp_ovpn_leases *leases, const struct cp_ovpn_key *key, uint32_t child,
                       struct cp_ovpn_lease **lease, char why[CP_WHY_LEN])
{
	struct cp_ovpn_lease *place = find_place(leases);
	struct sp_secret *outbound = sp_secret_create();
	struct ipc_spi spi;
	int rc = !place || !outbound || key->length > IPC_KEY_MAX ? -ENOMEM : 0;

	_Static_assert(sizeof(struct ipc_sa_add) <= SP_SECRET_MAX, "an SA fits into a secret");
	if (rc == 0)
		rc = cp_dp_call(leases->dp, IPC_SPI_ALLOC, &leases->path.tunnel,
		                sizeof(leases->path.tunnel), &spi, sizeof(spi));
	if (rc == 0)
		rc = add_inbound(leases, key, spi.spi_be);
	if (rc != 0) {
		snprintf(why, CP_WHY_LEN, "the dataplane did not take a data key: %s",
		         strerror(-rc));
		sp_secret_destroy(outbound);
		return rc;
	}
	outbound->length = sizeof(struct ipc_sa_add);
	fill(leases, key, spi.spi_be, IPC_OUT, (struct ipc_sa_add *)(void *)outbound->data);
	*place = (struct cp_ovpn_lease){
		.spi_be = spi.spi_be, .child = child, .key_id = key->key_id, .outbound = outbound
	};
	memcpy(place->cipher, key->cipher, sizeof(place->cipher));
	*lease = place;
	return 0;
}

int cp_ovpn_leases_use(struct cp_ovpn_leases *leases, struct cp_ovpn_lease *lease)
{
	struct ipc_sa_add *add;
	int rc;

	if (!lease->outbound)
		return lease->is_sending ? 0 : -ENOKEY;
	add = (struct ipc_sa_add *)(void *)lease->outbound->data;
	add->remote_be = add->id.destination_be = leases->path.remote_be; /* it may float */
	add->remote_port_be = leases->path.remote_port_be;
	lease->destination_be = add->remote_be;
	rc = add_sa(leases, add);
	sp_secret_destroy(lease->outbound);
	lease->outbound = NULL;
	lease->is_sending = rc == 0;
	return rc;
}

void cp_ovpn_leases_remove(struct cp_ovpn_leases *leases, struct cp_ovpn_lease *lease)
{
	const struct ipc_sa_id in = inbound_id(leases, lease->spi_be);
	const struct ipc_sa_id out = outbound_id(lease->spi_be, lease->destination_be);

	if (!lease->spi_be)
		return;
	if (lease->is_sending)
		remove_sa(leases, &out);
	remove_sa(leases, &in);
	sp_secret_destroy(lease->outbound);
	*lease = (struct cp_ovpn_lease){ 0 };
}

void cp_ovpn_leases_remove_all(struct cp_ovpn_leases *leases)
{
	for (size_t i = 0; i < CP_OVPN_LEASES_MAX; i++)
		cp_ovpn_leases_remove(leases, &leases->keys[i]);
}

void cp_ovpn_leases_forget(struct cp_ovpn_leases *leases)
{
	for (size_t i = 0; i < CP_OVPN_LEASES_MAX; i++) {
		sp_secret_destroy(leases->keys[i].outbound);
		leases->keys[i] = (struct cp_ovpn_lease){ 0 };
	}
}

struct cp_ovpn_lease *cp_ovpn_leases_find(struct cp_ovpn_leases *leases, uint8_t key_id)
{
	for (size_t i = 0; i < CP_OVPN_LEASES_MAX; i++)
		if (leases->keys[i].spi_be && leases->keys[i].key_id == key_id)
			return &leases->keys[i];
	return NULL;
}

bool cp_ovpn_leases_is_spent(const struct cp_ovpn_leases *leases, const struct cp_ovpn_lease *lease)
{
	const uint32_t spent = IPC_SA_ACTIVE | IPC_SA_SPENT;
	const struct ipc_sa_id id = outbound_id(lease->spi_be, lease->destination_be);
	struct ipc_sa_info info;

	return lease->is_sending &&
	       cp_dp_call(leases->dp, IPC_SA_QUERY, &id, sizeof(id), &info, sizeof(info)) == 0 &&
	       (info.flags & spent) == spent;
}

bool cp_ovpn_leases_look(struct cp_ovpn_leases *leases, struct cp_ovpn_lease *lease)
{
	const struct ipc_sa_id id = inbound_id(leases, lease->spi_be);
	struct ipc_sa_info info;
	bool is_news;
	int rc = cp_dp_call(leases->dp, IPC_SA_QUERY, &id, sizeof(id), &info, sizeof(info));

	if (rc == -ENOENT)
		cp_ovpn_leases_remove(leases, lease);
	if (rc != 0)
		return false;
	is_news = info.used_ns > lease->heard_ns;
	lease->heard_ns = info.used_ns;
	lease->is_heard |= is_news;
	lease->is_exited = info.flags & IPC_SA_EXITED;
	if (is_news) { /* a key of which nothing was heard knows less than we do */
		leases->path.remote_be = info.remote_be;
		leases->path.remote_port_be = info.remote_port_be;
	}
	return is_news;
}
