/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Leases of one worker: how they come, change and go. */
#include "dataplane/sa.h"

#include "common/secret.h"
#include "dataplane/esp_out.h"
#include "dataplane/ipv4.h"
#include "dataplane/larval.h"
#include "dataplane/ovpn_sa.h"
#include "dataplane/port.h"
#include "dataplane/resync.h"
#include "dataplane/sa_list.h"
#include "dataplane/slab.h"
#include "dataplane/wire.h"
#include "dataplane/worker.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define SPI_RESERVED 255u /* RFC 4303 section 2.1 */
#define SPI_LOW_MASK ((1u << DP_SA_SPI_WORKER_SHIFT) - 1)
#define OUTER_TTL 64
#define TCP_IPV4_HEADERS 40

void *dp_sa_alloc(struct dp_sa_table *table, enum ipc_direction direction)
{
	void *memory = dp_slab_take(direction == IPC_IN ? table->memory_in : table->memory_out);
	uint8_t *seed;

	if (!memory)
		return NULL;
	seed = direction == IPC_IN ? ((struct dp_sa_in *)memory)->seed
	                           : ((struct dp_sa_out *)memory)->seed;
	if (getrandom(seed, DP_CRYPTO_SEED, 0) != (ssize_t)DP_CRYPTO_SEED) {
		dp_sa_free(memory);
		return NULL;
	}
	return memory;
}

size_t dp_sa_pair_bytes(void)
{
	return dp_slab_bytes(sizeof(struct dp_sa_in)) + dp_slab_bytes(sizeof(struct dp_sa_out));
}

void dp_sa_wipe(void *memory)
{
	dp_slab_wipe(memory);
}

void dp_sa_free(void *memory)
{
	if (memory)
		dp_slab_give_back(memory);
}

int dp_sa_spi_alloc(struct dp_worker *w, uint16_t tunnel, uint32_t random, uint32_t *spi_be)
{
	struct dp_sa_table *t = w->sas;
	struct dp_sa_entry *e = dp_sa_entry_take(t);
	struct dp_sa_place place = { 0 };
	uint32_t spi;

	if (!e)
		return -ENOSPC;
	/* 2^26 numbers for at most 2^24 entries: a free one is always found, as a rule the first.
	 */
	for (;; random++) {
		spi = (uint32_t)t->worker << DP_SA_SPI_WORKER_SHIFT | (random & SPI_LOW_MASK);
		place.spi_be = rte_cpu_to_be_32(spi);
		if (spi > SPI_RESERVED && !dp_sa_lookup(t, place.spi_be))
			break;
	}
	e->kind = DP_SA_LARVAL;
	e->spi_be = place.spi_be;
	e->tunnel = tunnel;
	dp_sa_entry_set_deadline(t, e, w->now_s, DP_SA_LARVAL_SECONDS);
	place.entry = (uint32_t)(e - t->entries);
	dp_sa_place_add(t, t->in, &place);
	w->count->sas_now++;
	*spi_be = place.spi_be;
	return 0;
}

void dp_sa_disown_larval(struct dp_worker *w, uint16_t tunnel)
{
	struct dp_sa_table *t = w->sas;

	for (uint32_t i = 0; i < t->capacity; i++)
		if (t->entries[i].kind == DP_SA_LARVAL && t->entries[i].tunnel == tunnel)
			t->entries[i].tunnel = DP_NONE_SLOT;
}

/* Follows a change of the tunnel's current SA. An inner address is there if the control plane says
 * the tunnel is up. */
static void refresh_tunnel(struct dp_worker *w, uint16_t tunnel)
{
	struct dp_tunnel *t = &w->tunnels[tunnel];

	t->inner_mtu = t->out ? t->out->inner_mtu : 0;
	t->mss = t->inner_mtu > TCP_IPV4_HEADERS ? t->inner_mtu - TCP_IPV4_HEADERS : 0;
	t->is_up = t->out && t->inner_be != 0;
	if (!t->is_up)
		t->is_usable = 0;
}

static void tunnel_push(struct dp_worker *w, struct dp_sa_out *sa)
{
	sa->older = w->tunnels[sa->tunnel].out;
	w->tunnels[sa->tunnel].out = sa;
	refresh_tunnel(w, sa->tunnel);
}

static void tunnel_unlink(struct dp_worker *w, struct dp_sa_out *sa)
{
	struct dp_sa_out **link = &w->tunnels[sa->tunnel].out;

	while (*link && *link != sa)
		link = &(*link)->older;
	assert(*link == sa);
	*link = sa->older;
	sa->older = NULL;
	refresh_tunnel(w, sa->tunnel);
}

static bool has_ports(uint32_t flags)
{
	return (flags & (IPC_SA_UDP | IPC_SA_OPENVPN)) != 0;
}

/* Both directions' lease and outer addresses, from an addition or an update. */
static void set_addresses(struct dp_sa_lease *lease, uint32_t local_be, uint32_t remote_be,
                          uint16_t local_port_be, uint16_t remote_port_be, uint32_t flags)
{
	bool is_udp = has_ports(flags);

	lease->local_be = local_be;
	lease->remote_be = remote_be;
	lease->local_port_be = is_udp ? local_port_be : 0;
	lease->remote_port_be = is_udp ? remote_port_be : 0;
	lease->flags = (lease->flags & (IPC_SA_ESN | IPC_SA_OPENVPN | IPC_SA_STREAM)) |
	               (flags & IPC_SA_UDP);
}

static void apply_in(struct dp_sa_in *sa)
{
	const struct dp_sa_lease *lease = &sa->lease;
	uint32_t addresses[2] = { lease->remote_be, lease->local_be };
	uint16_t ports[2] = { lease->remote_port_be, lease->local_port_be };

	memcpy(&sa->addresses_be, addresses, sizeof(addresses));
	memcpy(&sa->ports_be, ports, sizeof(ports));
	if (lease->flags & IPC_SA_OPENVPN)
		sa->outer_protocol = 0;
	else
		sa->outer_protocol = lease->flags & IPC_SA_UDP ? IPPROTO_UDP : IPPROTO_ESP;
}

static uint16_t inner_mtu(const struct dp_sa_out *sa, uint16_t link_mtu)
{
	return sa->lease.flags & IPC_SA_OPENVPN ? dp_ovpn_inner_mtu(sa, link_mtu)
	                                        : dp_esp_inner_mtu(sa, link_mtu);
}

static bool has_no_quotable_number(const struct dp_sa_out *sa)
{
	return (sa->lease.flags & IPC_SA_OPENVPN) &&
	       (sa->openvpn.shape == DP_OVPN_CBC || sa->openvpn.shape == DP_OVPN_EPOCH);
}

static void apply_out(struct dp_sa_out *sa, uint16_t link_mtu)
{
	const struct dp_sa_lease *lease = &sa->lease;
	bool is_udp = has_ports(lease->flags);
	uint8_t *ip = sa->header;

	memset(sa->header, 0, sizeof(sa->header));
	dp_ipv4_write(ip, 0, OUTER_TTL, is_udp ? IPPROTO_UDP : IPPROTO_ESP, lease->local_be,
	              lease->remote_be);
	ip[0] = 0;
	if (has_no_quotable_number(sa)) /* no path MTU discovery (dataplane/pmtu.h) */
		dp_store16(ip + 6, 0);
	dp_store16(ip + 10, 0);
	sa->header_sum = dp_ipv4_sum(ip);
	if (is_udp) {
		dp_store16(ip + 20, lease->local_port_be);
		dp_store16(ip + 22, lease->remote_port_be);
	}
	sa->outer_bytes = is_udp ? 28 : 20;
	sa->before = (uint8_t)(sa->outer_bytes + sa->suite.text_at);
	sa->around = (uint8_t)(sa->before + DP_ESP_TRAILER + sa->suite.icv_bytes);
	sa->remote_be = lease->remote_be;
	sa->inner_mtu = inner_mtu(sa, link_mtu);
}

/* What the tunnel's path is known to take, else what the link does. */
static uint16_t path_mtu(const struct dp_worker *w, uint16_t tunnel, uint16_t link_mtu)
{
	uint16_t learned = w->tunnels[tunnel].path_mtu;

	return learned && learned < link_mtu ? learned : link_mtu;
}

static bool are_addresses_valid(uint32_t local_be, uint32_t remote_be, uint16_t local_port_be,
                                uint16_t remote_port_be, uint32_t flags)
{
	if (local_be == 0 || remote_be == 0)
		return false;
	return !has_ports(flags) || (local_port_be != 0 && remote_port_be != 0);
}

static int check_add(const struct ipc_sa_add *add)
{
	const struct dp_crypto_suite *suite = dp_crypto_suite(add->algorithm);

	if (!suite)
		return -ENOTSUP;
	if (add->flags & IPC_SA_OPENVPN) {
		int rc = dp_ovpn_check(add);

		if (rc != 0)
			return rc;
	} else if (add->algorithm > IPC_AES256_CBC_SHA512_256) {
		return -ENOTSUP; /* OpenVPN's */
	} else if (add->key_length !=
	           suite->key_bytes + suite->salt_bytes + suite->integrity_bytes) {
		return -EINVAL;
	}
	if (!are_addresses_valid(add->local_be, add->remote_be, add->local_port_be,
	                         add->remote_port_be, add->flags))
		return -EINVAL;
	if (rte_be_to_cpu_32(add->id.spi_be) <= SPI_RESERVED)
		return -EINVAL;
	switch (add->id.direction) {
	case IPC_IN:
		if (add->replay_window > DP_REPLAY_WINDOW_MAX ||
		    add->id.destination_be != add->local_be)
			return -EINVAL;
		return 0;
	case IPC_OUT:
		return add->id.destination_be == add->remote_be && !(add->flags & IPC_SA_EARLY)
		               ? 0
		               : -EINVAL;
	default:
		return -EINVAL;
	}
}

static void fill_lease(struct dp_sa_lease *lease, const struct dp_worker *w,
                       const struct ipc_sa_add *add, uint64_t control_epoch, uint32_t entry)
{
	lease->names = add->tunnel;
	lease->control_epoch = control_epoch;
	lease->added_ns = w->now_ns;
	lease->entry = entry;
	lease->destination_be = add->id.destination_be;
	lease->flags = add->flags & (IPC_SA_ESN | IPC_SA_OPENVPN | IPC_SA_STREAM);
	set_addresses(lease, add->local_be, add->remote_be, add->local_port_be, add->remote_port_be,
	              add->flags);
}

static struct dp_crypto_suite suite_for(const struct ipc_sa_add *add)
{
	struct dp_crypto_suite suite = *dp_crypto_suite(add->algorithm);

	if (add->flags & IPC_SA_OPENVPN)
		return dp_ovpn_suite(add);
	if (add->flags & IPC_SA_ESN)
		suite.aad_bytes = 12; /* RFC 4106 section 5 */
	return suite;
}

/* SUITE's lengths tell what of the key is the cipher's and the HMAC's. */
static int init_key(struct dp_worker *w, struct dp_crypto_key *schedule,
                    struct dp_ovpn_epoch *epoch, const struct dp_crypto_suite *suite,
                    const struct ipc_sa_add *add, const uint8_t *seed)
{
	if (add->openvpn.format == IPC_OPENVPN_FORMAT_EPOCH)
		return dp_ovpn_epoch_begin(w, epoch, schedule, suite, add->key);
	return dp_crypto_key_init(
		w->crypto, schedule, add->algorithm, add->key,
		(size_t)suite->key_bytes + suite->salt_bytes + suite->integrity_bytes, seed);
}

static int add_in(struct dp_worker *w, const struct ipc_sa_add *add, uint16_t tunnel,
                  uint16_t environment, uint64_t control_epoch, struct dp_sa_in *sa)
{
	struct dp_sa_place *place = (struct dp_sa_place *)dp_sa_lookup(w->sas, add->id.spi_be);
	struct dp_sa_entry *e;
	int rc;

	if (!place)
		return -ENOENT;
	if (place->sa)
		return -EEXIST;
	e = &w->sas->entries[place->entry];
	if (e->tunnel != tunnel)
		return -ENOENT;
	rc = add->flags & IPC_SA_OPENVPN ? dp_ovpn_find_room(&w->tunnels[tunnel], add) : 0;
	if (rc != 0)
		return rc;
	memset(sa, 0, offsetof(struct dp_sa_in, seed));
	sa->suite = suite_for(add);
	rc = init_key(w, &sa->key, &sa->epoch, &sa->suite, add, sa->seed);
	if (rc != 0)
		return rc;
	memcpy(&sa->salt, add->key + sa->suite.key_bytes, sa->suite.salt_bytes);
	if (add->flags & IPC_SA_OPENVPN)
		dp_ovpn_begin_in(sa, add);
	sa->spi_be = add->id.spi_be;
	sa->environment = environment;
	sa->tunnel = tunnel;
	sa->is_esn = (add->flags & IPC_SA_ESN) != 0;
	sa->is_early = (add->flags & IPC_SA_EARLY) != 0;
	dp_replay_init(&sa->replay, add->replay_window);
	sa->resync_limit.per_second =
		sa->epoch.number ? DP_OVPN_EPOCH_PACKETS_PER_SECOND : DP_RESYNC_PACKETS_PER_SECOND;
	fill_lease(&sa->lease, w, add, control_epoch, place->entry);
	apply_in(sa);
	e->kind = DP_SA_IN;
	e->in = sa;
	dp_sa_entry_set_deadline(w->sas, e, w->now_s, add->hard_seconds);
	place->sa = sa;
	if (add->flags & IPC_SA_OPENVPN)
		dp_ovpn_link(&w->tunnels[tunnel], sa);
	dp_larval_release(w, sa->spi_be);
	return 0;
}

static int add_out(struct dp_worker *w, const struct ipc_sa_add *add, uint16_t tunnel,
                   uint16_t environment, uint64_t control_epoch, uint16_t link_mtu,
                   struct dp_sa_out *sa)
{
	struct dp_sa_table *t = w->sas;
	struct dp_sa_place place = { .spi_be = add->id.spi_be };
	struct dp_sa_entry *e;
	int rc;

	if (dp_sa_out_lookup(t, add->id.spi_be, add->id.destination_be))
		return -EEXIST;
	if (t->free == DP_SA_NO_ENTRY)
		return -ENOSPC;
	memset(sa, 0, offsetof(struct dp_sa_out, seed));
	sa->suite = suite_for(add);
	rc = init_key(w, &sa->key, &sa->epoch, &sa->suite, add, sa->seed);
	if (rc != 0)
		return rc;
	memcpy(&sa->salt, add->key + sa->suite.key_bytes, sa->suite.salt_bytes);
	e = dp_sa_entry_take(t);
	place.entry = (uint32_t)(e - t->entries);
	sa->spi_be = add->id.spi_be;
	sa->environment = environment;
	sa->tunnel = tunnel;
	sa->is_esn = (add->flags & IPC_SA_ESN) != 0;
	sa->limit = sa->is_esn ? UINT64_MAX : UINT32_MAX;
	sa->mark = sa->limit / 4 * 3;
	if (add->flags & IPC_SA_OPENVPN) {
		dp_ovpn_begin_out(sa, add);
		w->sas->openvpn_out++;
		w->sas->stream_out += (add->flags & IPC_SA_STREAM) != 0;
	}
	fill_lease(&sa->lease, w, add, control_epoch, place.entry);
	apply_out(sa, path_mtu(w, tunnel, link_mtu));
	e->kind = DP_SA_OUT;
	e->tunnel = tunnel;
	e->out = sa;
	e->spi_be = sa->spi_be;
	dp_sa_entry_set_deadline(t, e, w->now_s, add->hard_seconds);
	dp_sa_place_add(t, t->out, &place);
	w->count->sas_now++;
	tunnel_push(w, sa);
	return 0;
}

int dp_sa_add(struct dp_worker *w, const struct ipc_sa_add *add, uint16_t tunnel,
              uint16_t environment, uint64_t control_epoch, uint16_t link_mtu, void *memory)
{
	int rc = check_add(add);

	if (rc != 0)
		return rc;
	if (add->id.direction == IPC_IN)
		return add_in(w, add, tunnel, environment, control_epoch, memory);
	return add_out(w, add, tunnel, environment, control_epoch, link_mtu, memory);
}

/* Whether what ADD brings is the algorithm, and so the key, that SA has. */
static bool is_as_expected(const struct dp_sa_in *sa, const struct ipc_sa_add *add)
{
	return sa->suite.algorithm == add->algorithm &&
	       sa->is_esn == ((add->flags & IPC_SA_ESN) != 0);
}

int dp_sa_confirm(struct dp_worker *w, const struct ipc_sa_add *add, uint16_t tunnel,
                  uint64_t control_epoch)
{
	struct dp_sa_place *place = dp_sa_find(w->sas, &add->id);
	struct dp_sa_in *sa = place ? place->sa : NULL;
	struct dp_sa_entry *e;
	int rc;

	if (add->id.direction != IPC_IN || !sa || !sa->is_early || sa->tunnel != tunnel ||
	    add->flags & IPC_SA_EARLY)
		return -ENOENT;
	rc = check_add(add);
	if (rc != 0)
		return rc;
	rc = dp_crypto_key_init(w->crypto, &sa->key, add->algorithm, add->key, add->key_length,
	                        sa->seed);
	if (rc != 0)
		return rc;
	if (!is_as_expected(sa, add)) {
		dp_replay_init(&sa->replay, add->replay_window);
		sa->packets = sa->bytes = sa->used_ns = 0;
	}
	sa->suite = suite_for(add);
	sa->salt = 0;
	memcpy(&sa->salt, add->key + sa->suite.key_bytes, sa->suite.salt_bytes);
	sa->is_esn = (add->flags & IPC_SA_ESN) != 0;
	sa->is_early = 0;
	sa->failures = 0;
	e = &w->sas->entries[place->entry];
	fill_lease(&sa->lease, w, add, control_epoch, place->entry);
	apply_in(sa);
	dp_sa_entry_set_deadline(w->sas, e, w->now_s, add->hard_seconds);
	return 0;
}

static const struct dp_sa_lease *lease_of(const struct dp_sa_entry *e)
{
	return e->kind == DP_SA_IN ? &e->in->lease : &e->out->lease;
}

int dp_sa_update(struct dp_worker *w, const struct ipc_sa_update *u, uint16_t link_mtu)
{
	struct dp_sa_place *place = dp_sa_find(w->sas, &u->id);
	struct dp_sa_entry *e;

	if (!place)
		return -ENOENT;
	e = &w->sas->entries[place->entry];
	if (e->kind == DP_SA_LARVAL)
		return -ENOENT;
	if ((u->flags & IPC_SA_OPENVPN) != (lease_of(e)->flags & IPC_SA_OPENVPN))
		return -EINVAL;
	if (!are_addresses_valid(u->local_be, u->remote_be, u->local_port_be, u->remote_port_be,
	                         u->flags))
		return -EINVAL;
	if (e->kind == DP_SA_IN) {
		set_addresses(&e->in->lease, u->local_be, u->remote_be, u->local_port_be,
		              u->remote_port_be, u->flags);
		apply_in(e->in);
		return 0;
	}
	if (u->remote_be != e->out->lease.destination_be &&
	    dp_sa_out_lookup(w->sas, u->id.spi_be, u->remote_be))
		return -EEXIST;
	e->out->lease.destination_be = u->remote_be;
	set_addresses(&e->out->lease, u->local_be, u->remote_be, u->local_port_be,
	              u->remote_port_be, u->flags);
	apply_out(e->out, path_mtu(w, e->out->tunnel, link_mtu));
	refresh_tunnel(w, e->out->tunnel);
	return 0;
}

/* Returns the memory, NULL for a larval entry. */
static void *remove_at(struct dp_worker *w, struct dp_sa_place *place)
{
	struct dp_sa_table *t = w->sas;
	struct dp_sa_entry *e = &t->entries[place->entry];
	void *memory = e->memory;

	if (e->kind == DP_SA_OUT) {
		t->openvpn_out -= (e->out->lease.flags & IPC_SA_OPENVPN) != 0;
		t->stream_out -= (e->out->lease.flags & IPC_SA_STREAM) != 0;
		tunnel_unlink(w, e->out);
		dp_sa_place_remove(t, t->out, place);
	} else {
		if (e->kind == DP_SA_IN && (e->in->lease.flags & IPC_SA_OPENVPN))
			dp_ovpn_unlink(&w->tunnels[e->in->tunnel], e->in);
		dp_sa_place_remove(t, t->in, place);
	}
	dp_sa_entry_give_back(t, e);
	w->count->sas_now--;
	return memory;
}

int dp_sa_delete(struct dp_worker *w, const struct ipc_sa_id *id, void **to_free)
{
	struct dp_sa_place *place = dp_sa_find(w->sas, id);

	*to_free = NULL;
	if (!place)
		return -ENOENT;
	*to_free = remove_at(w, place);
	return 0;
}

int dp_sa_query(struct dp_worker *w, const struct ipc_sa_id *id, struct ipc_sa_info *info)
{
	const struct dp_sa_place *place = dp_sa_find(w->sas, id);

	if (!place || !dp_sa_describe(w, &w->sas->entries[place->entry], info))
		return -ENOENT;
	return 0;
}

unsigned dp_sa_retire(struct dp_worker *w, uint16_t tunnel, void **to_free, unsigned max)
{
	struct dp_sa_table *t = w->sas;
	unsigned n = 0;

	for (uint32_t i = 0; i < t->capacity && n < max; i++) {
		const struct dp_sa_entry *e = &t->entries[i];

		if ((e->kind == DP_SA_IN || e->kind == DP_SA_OUT) && e->tunnel == tunnel)
			to_free[n++] = remove_at(w, dp_sa_place_of(t, e));
	}
	return n;
}

unsigned dp_sa_expire(struct dp_worker *w, void **to_free, unsigned max)
{
	struct dp_sa_table *t = w->sas;
	uint32_t earliest_s = 0;
	unsigned n = 0;

	if (t->earliest_s == 0 || w->now_s < t->earliest_s)
		return 0;
	for (uint32_t i = 0; i < t->capacity; i++) {
		struct dp_sa_entry *e = &t->entries[i];

		if (e->deadline_s == 0)
			continue;
		if (e->deadline_s <= w->now_s && (e->kind == DP_SA_LARVAL || n < max)) {
			void *memory = remove_at(w, dp_sa_place_of(t, e));

			if (memory)
				to_free[n++] = memory;
		} else if (earliest_s == 0 || e->deadline_s < earliest_s) {
			earliest_s = e->deadline_s;
		}
	}
	t->earliest_s = earliest_s;
	return n;
}

bool dp_sa_take_changed(struct dp_worker *w)
{
	bool is_changed = w->sas->is_changed;

	w->sas->is_changed = false;
	return is_changed;
}

void dp_sa_set_link_mtu(struct dp_worker *w, uint16_t tunnel, uint16_t link_mtu)
{
	for (struct dp_sa_out *sa = w->tunnels[tunnel].out; sa; sa = sa->older)
		sa->inner_mtu = inner_mtu(sa, link_mtu);
	refresh_tunnel(w, tunnel);
}

void dp_sa_float(struct dp_worker *w, uint16_t tunnel, uint32_t remote_be, uint16_t remote_port_be)
{
	struct dp_tunnel *t = &w->tunnels[tunnel];

	for (unsigned i = 0; i < DP_TUNNEL_KEYS; i++) {
		if (!t->keys[i])
			continue;
		t->keys[i]->lease.remote_be = remote_be;
		t->keys[i]->lease.remote_port_be = remote_port_be;
		t->keys[i]->lease.floated_ns = w->now_ns;
		apply_in(t->keys[i]);
	}
	for (struct dp_sa_out *sa = t->out; sa; sa = sa->older) {
		if (!(sa->lease.flags & IPC_SA_OPENVPN))
			continue;
		sa->lease.remote_be = remote_be;
		sa->lease.remote_port_be = remote_port_be;
		apply_out(sa, path_mtu(w, tunnel, w->ports[DP_PORT_UPLINK].mtu));
	}
	w->sas->is_changed = true;
}

void dp_sa_out_at_volume(struct dp_worker *w, struct dp_sa_out *sa)
{
	if (sa->epoch.number && dp_ovpn_epoch_send(w, sa, sa->epoch.number + 1u))
		return;
	if (sa->openvpn.volume >= DP_OVPN_VOLUME_MAX || sa->epoch.number)
		sa->limit = sa->mark = sa->sequence;
	sa->openvpn.volume_mark = DP_OVPN_VOLUME_MAX;
	w->sas->is_changed = true;
}

bool dp_sa_out_at_mark(struct dp_worker *w, struct dp_sa_out *sa)
{
	if (sa->sequence >= sa->limit)
		return false;
	sa->mark = sa->limit;
	w->sas->is_changed = true;
	return true;
}
