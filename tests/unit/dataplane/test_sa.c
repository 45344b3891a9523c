/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of leases: allocation, addition, update, removal, listing, lifetimes. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/sa_list.h"
#include "tests/unit/dataplane/esp_world.h"

#define GCM IPC_AES128_GCM16

static struct ipc_sa_id id_of(enum ipc_direction direction, uint32_t spi)
{
	return (struct ipc_sa_id){
		.spi_be = htonl(spi),
		.destination_be = htonl(direction == IPC_IN ? WORLD_LOCAL : WORLD_REMOTE),
		.direction = (uint8_t)direction,
	};
}

static int delete (struct world *x, enum ipc_direction direction, uint32_t spi)
{
	struct ipc_sa_id id = id_of(direction, spi);
	void *memory;
	int rc = dp_sa_delete(&x->w, &id, &memory);

	dp_sa_free(memory);
	return rc;
}

static void allocates_spis_that_name_the_worker(void **state)
{
	static const struct {
		uint16_t worker;
		uint32_t random, spi;
	} table[] = {
		{ 0, 0, 256 },
		{ 0, 255, 257 },
		{ 0, 256, 258 },
		{ 0, 0xfc000005, 259 },
		{ 0, 0x3ffffff, 0x3ffffff },
		{ 0, 0x3ffffff, 260 }, /* in use: the search goes round, past the reserved ones */
		{ 5, 0, 0x14000000 },
		{ 63, 0xffffffff, 0xffffffff },
		{ 63, 0xffffffff, 0xfc000000 },
	};
	struct world *x = NULL;
	uint32_t spi_be;

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(table); i++) {
		if (!x || x->w.index != table[i].worker) {
			if (x)
				world_destroy(x);
			x = world_create(table[i].worker, 16);
		}
		assert_int_equal(dp_sa_spi_alloc(&x->w, 1, table[i].random, &spi_be), 0);
		assert_int_equal(ntohl(spi_be), table[i].spi);
		assert_int_equal(dp_sa_spi_worker(spi_be), table[i].worker);
		assert_non_null(dp_sa_lookup(x->w.sas, spi_be));
		assert_null(dp_sa_lookup(x->w.sas, spi_be)->sa);
	}
	assert_null(dp_sa_lookup(x->w.sas, 0));
	world_destroy(x);
}

static void takes_an_inbound_key_for_its_spi_alone(void **state)
{
	struct world *x = world_create(3, 4);
	struct ipc_sa_add add;
	struct ipc_sa_info info;
	uint32_t spi_be;

	(void)state;
	add = world_add_request(IPC_IN, 0x0c000777, GCM, 0);
	assert_int_equal(world_add(x, &add, 1), -ENOENT);
	assert_int_equal(dp_sa_spi_alloc(&x->w, 1, 0x777, &spi_be), 0);
	assert_int_equal(spi_be, add.id.spi_be);
	assert_int_equal(dp_sa_query(&x->w, &add.id, &info), -ENOENT);
	assert_int_equal(world_add(x, &add, 2), -ENOENT); /* another tunnel's */
	assert_int_equal(world_add(x, &add, 1), 0);
	assert_int_equal(world_add(x, &add, 1), -EEXIST);
	assert_int_equal(delete (x, IPC_IN, 0x0c000777), 0);
	assert_int_equal(delete (x, IPC_IN, 0x0c000777), -ENOENT);
	assert_int_equal(world_add(x, &add, 1), -ENOENT); /* no second life */
	world_destroy(x);
}

static void fills_the_hot_part(void **state)
{
	struct world *x = world_create(0, 8);
	struct ipc_sa_add add;
	struct dp_sa_in *in;
	struct dp_sa_out *out;
	uint32_t spi_be;

	(void)state;
	assert_int_equal(dp_sa_spi_alloc(&x->w, 2, 4242, &spi_be), 0);
	add = world_add_request(IPC_IN, 4242, IPC_AES256_GCM16, IPC_SA_ESN | IPC_SA_UDP);
	add.replay_window = 1000;
	assert_int_equal(world_add(x, &add, 2), 0);
	in = dp_sa_lookup(x->w.sas, spi_be)->sa;
	assert_int_equal(in->spi_be, spi_be);
	assert_int_equal(in->tunnel, 2);
	assert_int_equal(in->environment, 102);
	assert_int_equal(in->is_esn, 1);
	assert_int_equal(in->outer_protocol, 17);
	assert_int_equal(in->replay.window, 1024);
	assert_int_equal(in->suite.aad_bytes, 12);
	assert_memory_equal(&in->salt, add.key + 32, 4);
	out = world_add_out(x, 2, 0xabcdef01, GCM, 0);
	assert_int_equal(out->suite.aad_bytes, 8);
	assert_int_equal(out->outer_bytes, 20);
	assert_true(out->limit == UINT32_MAX);
	assert_int_equal(out->environment, 102);
	out = world_add_out(x, 2, 0xabcdef02, GCM, IPC_SA_ESN | IPC_SA_UDP);
	assert_int_equal(out->outer_bytes, 28);
	assert_true(out->limit == UINT64_MAX);
	world_destroy(x);
}

static void refuses_bad_requests(void **state)
{
	struct world *x = world_create(0, 8);
	const struct ipc_sa_add good_out = world_add_request(IPC_OUT, 5000, GCM, IPC_SA_UDP);
	struct ipc_sa_add good_in, add;
	uint32_t spi_be;

	(void)state;
	assert_int_equal(dp_sa_spi_alloc(&x->w, 1, 6000, &spi_be), 0);
	good_in = world_add_request(IPC_IN, 6000, GCM, IPC_SA_UDP);
#define REFUSED(from, change, error)                            \
	do {                                                    \
		add = from;                                     \
		change;                                         \
		assert_int_equal(world_add(x, &add, 1), error); \
	} while (0)
	REFUSED(good_out, add.algorithm = 0, -ENOTSUP);
	REFUSED(good_out, add.algorithm = 17, -ENOTSUP);
	REFUSED(good_out, add.algorithm = IPC_AES256_CBC_SHA512_256, -EINVAL);
	REFUSED(good_out, add.key_length = 16, -EINVAL);
	REFUSED(good_out, add.key_length = 24, -EINVAL);
	REFUSED(good_out, add.local_be = 0, -EINVAL);
	REFUSED(good_out, add.remote_be = add.id.destination_be = 0, -EINVAL);
	REFUSED(good_out, add.local_port_be = 0, -EINVAL);
	REFUSED(good_out, add.remote_port_be = 0, -EINVAL);
	REFUSED(good_out, add.id.spi_be = 0, -EINVAL);
	REFUSED(good_out, add.id.spi_be = htonl(255), -EINVAL);
	REFUSED(good_out, add.id.direction = 0, -EINVAL);
	REFUSED(good_out, add.id.direction = 3, -EINVAL);
	REFUSED(good_out, add.id.destination_be = add.local_be, -EINVAL);
	REFUSED(good_in, add.id.destination_be = add.remote_be, -EINVAL);
	REFUSED(good_in, add.replay_window = 4097, -EINVAL);
#undef REFUSED
	assert_int_equal(world_add(x, &good_in, 1), 0);
	assert_int_equal(world_add(x, &good_out, 1), 0);
	world_destroy(x);
}

static void sends_on_the_newest(void **state)
{
	struct world *x = world_create(0, 8);
	struct dp_tunnel *t = &x->tunnels[4];
	struct dp_sa_out *first, *second, *third;
	struct ipc_sa_info info;
	struct ipc_sa_id id;

	(void)state;
	t->inner_be = htonl(WORLD_INNER);
	first = world_add_out(x, 4, 1001, GCM, IPC_SA_UDP);
	assert_ptr_equal(t->out, first);
	assert_int_equal(t->is_up, 1);
	assert_int_equal(t->inner_mtu, 1438);
	assert_int_equal(t->mss, 1398);
	second = world_add_out(x, 4, 1002, GCM, 0);
	assert_int_equal(t->inner_mtu, 1446);
	third = world_add_out(x, 4, 1003, GCM, IPC_SA_UDP);
	assert_ptr_equal(t->out, third);
	id = id_of(IPC_OUT, 1002);
	assert_int_equal(dp_sa_query(&x->w, &id, &info), 0);
	assert_int_equal(info.flags & IPC_SA_ACTIVE, 0);
	id = id_of(IPC_OUT, 1003);
	assert_int_equal(dp_sa_query(&x->w, &id, &info), 0);
	assert_int_equal(info.flags & IPC_SA_ACTIVE, IPC_SA_ACTIVE);

	assert_int_equal(delete (x, IPC_OUT, 1001), 0); /* one in the background */
	assert_ptr_equal(t->out, third);
	assert_int_equal(delete (x, IPC_OUT, 1003), 0); /* the current one */
	assert_ptr_equal(t->out, second);
	assert_int_equal(t->inner_mtu, 1446);
	assert_int_equal(t->is_up, 1);
	assert_int_equal(delete (x, IPC_OUT, 1002), 0);
	assert_null(t->out);
	assert_int_equal(t->is_up, 0);
	assert_int_equal(t->inner_mtu, 0);
	assert_int_equal(t->mss, 0);

	t->inner_be = 0; /* the control plane has not said that it is up */
	world_add_out(x, 4, 1004, GCM, 0);
	assert_int_equal(t->is_up, 0);
	world_destroy(x);
}

static void tells_destinations_apart(void **state)
{
	struct world *x = world_create(0, 8);
	struct ipc_sa_add add = world_add_request(IPC_OUT, 7777, GCM, 0), other = add;
	struct dp_sa_out *first;

	(void)state;
	other.remote_be = other.id.destination_be = htonl(WORLD_REMOTE + 1);
	assert_int_equal(world_add(x, &add, 0), 0);
	assert_int_equal(world_add(x, &add, 1), -EEXIST);
	assert_int_equal(world_add(x, &other, 1), 0);
	first = x->tunnels[0].out;
	assert_int_equal(delete (x, IPC_OUT, 7777), 0);
	assert_null(x->tunnels[0].out);
	assert_ptr_not_equal(x->tunnels[1].out, first);
	assert_non_null(x->tunnels[1].out);
	assert_int_equal(delete (x, IPC_IN, 7777), -ENOENT);
	world_destroy(x);
}

static void follows_the_peer(void **state)
{
	struct world *x = world_create(0, 8);
	struct dp_sa_in *in = world_add_in(x, 1, GCM, IPC_SA_ESN | IPC_SA_UDP);
	struct dp_sa_out *out = world_add_out(x, 1, 9001, GCM, IPC_SA_ESN);
	struct ipc_sa_update u = {
		.id = id_of(IPC_OUT, 9001),
		.local_be = htonl(WORLD_LOCAL + 9),
		.remote_be = htonl(WORLD_REMOTE + 9),
		.local_port_be = htons(4500),
		.remote_port_be = htons(61000),
		.flags = IPC_SA_UDP,
	};
	struct ipc_sa_add other = world_add_request(IPC_OUT, 9001, GCM, 0);
	struct ipc_sa_info info;

	(void)state;
	assert_int_equal(x->tunnels[1].inner_mtu, 1446);
	assert_int_equal(dp_sa_update(&x->w, &u, WORLD_LINK_MTU), 0);
	assert_int_equal(out->remote_be, u.remote_be);
	assert_int_equal(out->outer_bytes, 28);
	assert_int_equal(x->tunnels[1].inner_mtu, 1438);
	assert_int_equal(dp_sa_update(&x->w, &u, WORLD_LINK_MTU), -ENOENT); /* by its old name */
	u.id.destination_be = u.remote_be;
	assert_int_equal(dp_sa_query(&x->w, &u.id, &info), 0);
	assert_int_equal(info.remote_be, u.remote_be);
	assert_int_equal(info.remote_port_be, htons(61000));
	assert_int_equal(info.flags & (IPC_SA_UDP | IPC_SA_ESN), IPC_SA_UDP | IPC_SA_ESN);
	u.remote_port_be = 0;
	assert_int_equal(dp_sa_update(&x->w, &u, WORLD_LINK_MTU), -EINVAL);

	assert_int_equal(world_add(x, &other, 2), 0); /* at the old address */
	u.remote_port_be = htons(4500);
	u.remote_be = htonl(WORLD_REMOTE);
	assert_int_equal(dp_sa_update(&x->w, &u, WORLD_LINK_MTU), -EEXIST);

	u.id = (struct ipc_sa_id){ .spi_be = in->spi_be,
		                   .destination_be = htonl(WORLD_LOCAL),
		                   .direction = IPC_IN };
	u.flags = 0;
	assert_int_equal(dp_sa_update(&x->w, &u, WORLD_LINK_MTU), 0);
	assert_int_equal(in->outer_protocol, 50);
	u.id.destination_be = u.local_be;
	assert_int_equal(dp_sa_query(&x->w, &u.id, &info), 0);
	assert_int_equal(info.flags, IPC_SA_ESN);
	assert_int_equal(info.local_port_be, 0);
	world_destroy(x);
}

static void ends_at_its_capacity(void **state)
{
	struct world *x = world_create(0, 3);
	struct ipc_sa_add add = world_add_request(IPC_OUT, 3000, GCM, 0);
	uint32_t spi_be;

	(void)state;
	world_add_in(x, 0, GCM, 0);
	assert_int_equal(dp_sa_spi_alloc(&x->w, 0, 1, &spi_be), 0);
	assert_int_equal(world_add(x, &add, 0), 0);
	add.id.spi_be = htonl(3001);
	assert_int_equal(world_add(x, &add, 0), -ENOSPC);
	assert_int_equal(dp_sa_spi_alloc(&x->w, 0, 1, &add.id.spi_be), -ENOSPC);
	assert_int_equal(x->w.count->sas_now, 3);
	assert_int_equal(delete (x, IPC_IN, ntohl(spi_be)), 0); /* a larval one */
	assert_null(dp_sa_lookup(x->w.sas, spi_be));
	assert_int_equal(x->w.count->sas_now, 2);
	add.id.spi_be = htonl(3001);
	assert_int_equal(world_add(x, &add, 0), 0);
	assert_int_equal(x->w.count->sas_now, 3);
	world_destroy(x);
	{
		struct dp_sa_table *t;

		assert_int_equal(dp_sa_table_create(&t, 64, 8, SOCKET_ID_ANY), -EINVAL);
		assert_int_equal(dp_sa_table_create(&t, 0, 0, SOCKET_ID_ANY), -EINVAL);
		assert_int_equal(dp_sa_table_create(&t, 0, 1u << 30, SOCKET_ID_ANY), -EINVAL);
	}
}

/* A tunnel that is gone leaves no SPI that its slot's next owner could be given a key for. */
static void disowns_the_spis_of_a_tunnel_that_is_gone(void **state)
{
	struct world *x = world_create(0, 8);
	struct ipc_sa_add mine, others;
	uint32_t spi_be;

	(void)state;
	assert_int_equal(dp_sa_spi_alloc(&x->w, 1, 900, &spi_be), 0);
	assert_int_equal(dp_sa_spi_alloc(&x->w, 2, 901, &spi_be), 0);
	dp_sa_disown_larval(&x->w, 1);
	mine = world_add_request(IPC_IN, 900, GCM, 0);
	others = world_add_request(IPC_IN, 901, GCM, 0);
	assert_int_equal(world_add(x, &mine, 1), -ENOENT);
	assert_int_equal(world_add(x, &others, 2), 0);
	world_destroy(x);
}

/* Thousands of random additions and removals against a plain list. */
static void retires_the_sas_of_one_tunnel(void **state)
{
	struct world *x = world_create(0, 16);
	struct ipc_sa_add add;
	struct ipc_sa_info info;
	void *memory[4];
	uint32_t spi_be;

	(void)state;
	for (uint16_t tunnel = 1; tunnel <= 2; tunnel++) {
		for (uint32_t i = 0; i < 3; i++) {
			uint32_t spi = 1000u * tunnel + i;

			assert_int_equal(dp_sa_spi_alloc(&x->w, tunnel, spi, &spi_be), 0);
			if (i == 2)
				continue; /* stays larval */
			add = world_add_request(IPC_IN, spi, GCM, 0);
			assert_int_equal(world_add(x, &add, tunnel), 0);
			add = world_add_request(IPC_OUT, spi, GCM, 0);
			assert_int_equal(world_add(x, &add, tunnel), 0);
		}
	}
	assert_int_equal(dp_sa_retire(&x->w, 3, memory, 4), 0);
	assert_int_equal(dp_sa_retire(&x->w, 1, memory, 3), 3);
	assert_int_equal(dp_sa_retire(&x->w, 1, &memory[3], 1), 1);
	for (unsigned i = 0; i < RTE_DIM(memory); i++) {
		assert_non_null(memory[i]);
		dp_sa_free(memory[i]);
	}
	assert_int_equal(dp_sa_retire(&x->w, 1, memory, 4), 0);
	assert_null(x->w.tunnels[1].out);
	assert_non_null(dp_sa_lookup(x->w.sas, htonl(1002)));
	for (uint32_t spi = 2000; spi < 2002; spi++) {
		struct ipc_sa_id in = id_of(IPC_IN, spi), out = id_of(IPC_OUT, spi);

		assert_int_equal(dp_sa_query(&x->w, &in, &info), 0);
		assert_int_equal(dp_sa_query(&x->w, &out, &info), 0);
	}
	world_destroy(x);
}

static void finds_what_is_there_and_nothing_else(void **state)
{
	enum { CAPACITY = 500, STEPS = 20000 };
	struct world *x = world_create(9, CAPACITY);
	uint32_t there[CAPACITY], spi_be;
	unsigned n = 0;
	uint64_t seed = 99;

	(void)state;
	for (unsigned step = 0; step < STEPS; step++) {
		uint64_t dice = peer_random(&seed) >> 16;

		if (n < CAPACITY && dice % 100 < (step / 2000 % 2 ? 40 : 60)) {
			/* few low bits: collisions and SPIs in use are common */
			assert_int_equal(
				dp_sa_spi_alloc(&x->w, 0, (uint32_t)(dice >> 8) & 0x3ff, &spi_be),
				0);
			for (unsigned i = 0; i < n; i++)
				assert_int_not_equal(there[i], spi_be);
			there[n++] = spi_be;
		} else if (n > 0) {
			unsigned victim = (unsigned)(dice >> 8) % n;

			assert_int_equal(delete (x, IPC_IN, ntohl(there[victim])), 0);
			assert_null(dp_sa_lookup(x->w.sas, there[victim]));
			there[victim] = there[--n];
		}
		if (step % 50 == 0) {
			for (unsigned i = 0; i < n; i++) {
				const struct dp_sa_place *place = dp_sa_lookup(x->w.sas, there[i]);

				assert_non_null(place);
				assert_int_equal(place->spi_be, there[i]);
				assert_int_equal(x->w.sas->entries[place->entry].spi_be, there[i]);
			}
		}
	}
	world_destroy(x);
}

static void finds_outbound_after_removals(void **state)
{
	struct world *x = world_create(0, 600);

	(void)state;
	for (uint32_t i = 0; i < 300; i++)
		world_add_out(x, (uint16_t)(i % WORLD_TUNNELS), 5000 + i, GCM, 0);
	for (uint32_t i = 0; i < 300; i += 3)
		assert_int_equal(delete (x, IPC_OUT, 5000 + i), 0);
	for (uint32_t i = 0; i < 300; i++) {
		struct ipc_sa_id id = id_of(IPC_OUT, 5000 + i);
		struct ipc_sa_info info;

		assert_int_equal(dp_sa_query(&x->w, &id, &info), i % 3 == 0 ? -ENOENT : 0);
		if (i % 3)
			assert_int_equal(info.id.spi_be, id.spi_be);
	}
	/* each tunnel's chain: newest first, nothing lost */
	for (uint16_t t = 0; t < WORLD_TUNNELS; t++) {
		uint32_t last = UINT32_MAX;
		unsigned n = 0;

		for (struct dp_sa_out *sa = x->tunnels[t].out; sa; sa = sa->older, n++) {
			assert_true(ntohl(sa->spi_be) < last);
			last = ntohl(sa->spi_be);
		}
		assert_in_range(n, 24, 26);
	}
	world_destroy(x);
}

static void lists_everything_once(void **state)
{
	struct world *x = world_create(0, 64);
	struct ipc_sa_info infos[7];
	uint8_t seen[64] = { 0 };
	uint64_t cursor = 0;
	unsigned total = 0;
	uint32_t spi_be;

	(void)state;
	for (uint32_t i = 0; i < 40; i++)
		world_add_out(x, 0, 1000 + i, GCM, 0);
	assert_int_equal(dp_sa_spi_alloc(&x->w, 0, 5, &spi_be), 0);
	world_add_in(x, 1, GCM, IPC_SA_UDP);
	do {
		unsigned n = dp_sa_list(&x->w, cursor, infos, RTE_DIM(infos), &cursor);

		assert_true(n <= RTE_DIM(infos));
		for (unsigned i = 0; i < n; i++) {
			total++;
			if (infos[i].id.direction == IPC_IN) {
				assert_int_equal(infos[i].flags, IPC_SA_UDP);
				continue;
			}
			assert_int_equal(seen[ntohl(infos[i].id.spi_be) - 1000]++, 0);
			assert_string_equal(infos[i].tunnel.server, "a");
			assert_int_equal(infos[i].control_epoch, WORLD_EPOCH);
			assert_int_equal(infos[i].added_ns, x->w.now_ns);
		}
		/* one that was listed goes: the others keep their place */
		if (n && infos[0].id.direction == IPC_OUT)
			assert_int_equal(delete (x, IPC_OUT, ntohl(infos[0].id.spi_be)), 0);
	} while (cursor);
	assert_int_equal(total, 41);
	assert_int_equal(dp_sa_list(&x->w, 1u << 20, infos, RTE_DIM(infos), &cursor), 0);
	assert_int_equal(cursor, 0);
	world_destroy(x);
}

static unsigned expire(struct world *x, unsigned max)
{
	void *memories[8];
	unsigned n = dp_sa_expire(&x->w, memories, max);

	for (unsigned i = 0; i < n; i++)
		dp_sa_free(memories[i]);
	return n;
}

static void ends_lifetimes(void **state)
{
	struct world *x = world_create(0, 32);
	struct ipc_sa_add add;
	uint32_t larval_be, spi_be;

	(void)state;
	assert_int_equal(expire(x, 8), 0);
	assert_int_equal(dp_sa_spi_alloc(&x->w, 1, 800, &larval_be), 0);
	assert_int_equal(dp_sa_spi_alloc(&x->w, 1, 900, &spi_be), 0);
	add = world_add_request(IPC_IN, 900, GCM, 0);
	add.hard_seconds = 100;
	assert_int_equal(world_add(x, &add, 1), 0);
	for (uint32_t i = 0; i < 5; i++) {
		add = world_add_request(IPC_OUT, 2000 + i, GCM, 0);
		add.hard_seconds = i < 3 ? 100 : 0;
		assert_int_equal(world_add(x, &add, 1), 0);
	}
	x->w.now_s += DP_SA_LARVAL_SECONDS - 1;
	assert_int_equal(expire(x, 8), 0);
	assert_non_null(dp_sa_lookup(x->w.sas, larval_be));
	x->w.now_s += 1;
	assert_int_equal(expire(x, 8), 0); /* no memory comes back */
	assert_null(dp_sa_lookup(x->w.sas, larval_be));
	assert_non_null(
		dp_sa_lookup(x->w.sas, spi_be)); /* its own deadline counts, not the larval one */
	x->w.now_s += 39;
	assert_int_equal(expire(x, 8), 0);
	x->w.now_s += 1;
	assert_int_equal(expire(x, 3), 3);
	assert_int_equal(expire(x, 3), 1);
	assert_int_equal(expire(x, 3), 0);
	assert_null(dp_sa_lookup(x->w.sas, spi_be));
	assert_int_equal(ntohl(x->tunnels[1].out->spi_be), 2004);
	assert_int_equal(ntohl(x->tunnels[1].out->older->spi_be), 2003);
	x->w.now_s = UINT32_MAX;
	assert_int_equal(expire(x, 8), 0);
	add = world_add_request(IPC_OUT, 2100, GCM, 0);
	add.hard_seconds = UINT32_MAX; /* does not wrap */
	x->w.now_s = 1000;
	assert_int_equal(world_add(x, &add, 1), 0);
	assert_int_equal(expire(x, 8), 0);
	world_destroy(x);
}

static int is_zero(const void *memory, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (((const uint8_t *)memory)[i])
			return 0;
	}
	return 1;
}

static void leaves_no_keys_behind(void **state)
{
	struct world *x = world_create(0, 8);
	struct dp_sa_in *in = world_add_in(x, 1, IPC_AES256_GCM16, 0);
	struct ipc_sa_id id = { .spi_be = in->spi_be,
		                .destination_be = htonl(WORLD_LOCAL),
		                .direction = IPC_IN };
	struct dp_sa_out *out = world_add_out(x, 1, 5005, IPC_AES256_GCM16, 0);
	void *memory;

	(void)state;
	assert_int_equal(dp_sa_delete(&x->w, &id, &memory), 0);
	assert_ptr_equal(memory, in);
	assert_false(is_zero(&in->key, sizeof(in->key)));
	dp_sa_wipe(memory);
	assert_true(is_zero(memory, sizeof(struct dp_sa_in)));
	dp_sa_free(memory);
	id = id_of(IPC_OUT, 5005);
	assert_int_equal(dp_sa_delete(&x->w, &id, &memory), 0);
	assert_ptr_equal(memory, out);
	assert_int_not_equal(out->salt, 0);
	dp_sa_wipe(memory);
	assert_true(is_zero(memory, sizeof(struct dp_sa_out)));
	dp_sa_free(memory);
	dp_sa_free(NULL);
	world_destroy(x);
}

static void warns_once_when_numbers_run_out(void **state)
{
	struct world *x = world_create(0, 8);
	struct dp_sa_out *out = world_add_out(x, 1, 5005, GCM, 0);
	struct ipc_sa_id id = id_of(IPC_OUT, 5005);
	struct ipc_sa_info info;

	(void)state;
	assert_false(dp_sa_take_changed(&x->w));
	out->sequence = out->mark - 1;
	assert_int_equal(dp_sa_query(&x->w, &id, &info), 0);
	assert_int_equal(info.flags & IPC_SA_EXPIRING, 0);
	out->sequence = out->mark;
	assert_true(dp_sa_out_at_mark(&x->w, out));
	assert_true(dp_sa_take_changed(&x->w));
	assert_false(dp_sa_take_changed(&x->w));
	assert_int_equal(dp_sa_query(&x->w, &id, &info), 0);
	assert_int_equal(info.flags & IPC_SA_EXPIRING, IPC_SA_EXPIRING);
	assert_true(out->mark == UINT32_MAX);
	out->sequence = UINT32_MAX;
	assert_false(dp_sa_out_at_mark(&x->w, out));
	world_destroy(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(allocates_spis_that_name_the_worker),
		cmocka_unit_test(takes_an_inbound_key_for_its_spi_alone),
		cmocka_unit_test(fills_the_hot_part),
		cmocka_unit_test(refuses_bad_requests),
		cmocka_unit_test(sends_on_the_newest),
		cmocka_unit_test(tells_destinations_apart),
		cmocka_unit_test(follows_the_peer),
		cmocka_unit_test(ends_at_its_capacity),
		cmocka_unit_test(retires_the_sas_of_one_tunnel),
		cmocka_unit_test(disowns_the_spis_of_a_tunnel_that_is_gone),
		cmocka_unit_test(finds_what_is_there_and_nothing_else),
		cmocka_unit_test(finds_outbound_after_removals),
		cmocka_unit_test(lists_everything_once),
		cmocka_unit_test(ends_lifetimes),
		cmocka_unit_test(leaves_no_keys_behind),
		cmocka_unit_test(warns_once_when_numbers_run_out),
	};

	return cmocka_run_group_tests_name("sa", tests, world_eal, NULL);
}
