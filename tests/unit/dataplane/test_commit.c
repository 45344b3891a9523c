/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From staged messages to the generation of two workers: what is refused, what stays, what is taken
 * down. */
#include "dataplane/commit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_lcore.h>
#include <rte_malloc.h>

#include "dataplane/crypto_mb.h"
#include "dataplane/larval.h"
#include "dataplane/failover.h"
#include "dataplane/nat_flow.h"
#include "dataplane/nat_forward.h"
#include "dataplane/nat_session.h"
#include "dataplane/nexthop.h"
#include "dataplane/path.h"
#include "dataplane/port.h"
#include "dataplane/portpool.h"
#include "dataplane/peers.h"
#include "dataplane/reassembly.h"
#include "dataplane/sa.h"
#include "dataplane/sa_list.h"
#include "dataplane/share.h"
#include "tests/unit/dataplane/link_world.h"
#include "tests/unit/dataplane/nat_packet.h"

#define WORKERS 2u
#define POD_A 0x0a000021u
#define POD_B 0x0a000022u
#define TARGET 0xc0a8641eu
#define INNER 0x0a030005u

struct commit_world {
	struct dp_core core;
	struct dp_worker workers[WORKERS];
	struct dp_counters counts[WORKERS];
	struct dp_batch batch;
	struct dp_staging *staging;
	uint64_t generation;
	char why[256];
};

static struct commit_world *create(void)
{
	struct commit_world *x =
		aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(sizeof(*x), RTE_CACHE_LINE_SIZE));

	assert_non_null(x);
	memset(x, 0, sizeof(*x));
	x->core.worker_count = WORKERS;
	x->core.ports[DP_PORT_CLUSTER].address_be = htonl(LINK_CLUSTER);
	x->core.tunnels =
		rte_zmalloc(NULL, DP_TUNNELS_MAX * sizeof(*x->core.tunnels), RTE_CACHE_LINE_SIZE);
	x->core.environments = rte_zmalloc(
		NULL, DP_ENVIRONMENTS_MAX * sizeof(*x->core.environments), RTE_CACHE_LINE_SIZE);
	assert_int_equal(dp_peers_create(&x->core.peers), 0);
	assert_true(x->core.tunnels && x->core.environments);
	for (unsigned i = 0; i < DP_TUNNELS_MAX; i++)
		x->core.tunnels[i].environment = DP_NONE_SLOT;
	for (unsigned i = 0; i < DP_ENVIRONMENTS_MAX; i++)
		x->core.environments[i].active = DP_NONE_SLOT;
	for (uint16_t i = 0; i < WORKERS; i++) {
		struct dp_worker *w = &x->workers[i];

		x->core.workers[i] = w;
		w->index = i;
		w->worker_count = WORKERS;
		w->lcore = rte_get_main_lcore(); /* requests run at once */
		w->count = &x->counts[i];
		w->tunnels = x->core.tunnels;
		w->environments = x->core.environments;
		w->peers = x->core.peers;
		w->ports = x->core.ports;
		w->now_s = 1000;
		w->now_ns = 1000 * 1000000000ull;
		assert_int_equal(dp_crypto_create(&w->crypto, true), 0);
		w->larval = dp_larval_create();
		assert_non_null(w->larval);
		assert_int_equal(dp_reassembly_create(&w->reassembly, 1, SOCKET_ID_ANY), 0);
		assert_int_equal(dp_sa_table_create(&w->sas, i, 64, SOCKET_ID_ANY), 0);
		assert_int_equal(dp_flow_table_create(&w->flows, 256, 1, SOCKET_ID_ANY), 0);
		assert_int_equal(dp_portpool_create(&w->portpool, w->flows, 1, SOCKET_ID_ANY), 0);
		assert_int_equal(dp_shares_create(&w->shares, SOCKET_ID_ANY), 0);
		w->workers = x->core.workers;
		nat_answers(w);
	}
	x->staging = dp_staging_create();
	assert_non_null(x->staging);
	return x;
}

static void destroy(struct commit_world *x)
{
	for (unsigned i = 0; i < WORKERS; i++) {
		dp_sa_table_destroy(x->workers[i].sas);
		dp_crypto_destroy(x->workers[i].crypto);
		dp_larval_destroy(x->workers[i].larval);
		dp_reassembly_destroy(x->workers[i].reassembly);
		dp_flow_table_destroy(x->workers[i].flows);
		dp_portpool_destroy(x->workers[i].portpool);
		rte_free(x->workers[i].shares);
	}
	dp_staging_destroy(x->staging);
	dp_generation_destroy(x->core.generation);
	rte_free(x->core.tunnels);
	rte_free(x->core.environments);
	dp_peers_destroy(x->core.peers);
	free(x);
	assert_int_equal(link_in_use(), 0);
}

/* ---- staging ---- */

static void begin(struct commit_world *x)
{
	dp_staging_begin(x->staging, ++x->generation);
}

static void environment(struct commit_world *x, const char *name, uint32_t pod)
{
	struct ipc_environment e = { .pod_address_be = htonl(pod),
		                     .session_quota = 1000,
		                     .source_count = 1,
		                     .sources = {
					     { .address_be = htonl(0x0a000000), .length = 16 } } };

	snprintf(e.name, sizeof(e.name), "%s", name);
	assert_int_equal(dp_staging_environment(x->staging, &e), 0);
}

static void server(struct commit_world *x, const char *of, const char *name)
{
	struct ipc_server s = { .priority = 0 };

	snprintf(s.id.environment, sizeof(s.id.environment), "%s", of);
	snprintf(s.id.server, sizeof(s.id.server), "%s", name);
	assert_int_equal(dp_staging_server(x->staging, &s), 0);
}

static void forward(struct commit_world *x, const char *of, const char *through, uint16_t port,
                    uint32_t to)
{
	struct ipc_forward f = { .to_address_be = htonl(to),
		                 .to_port_be = htons(8080),
		                 .port_be = htons(port),
		                 .protocol = TCP };

	snprintf(f.environment, sizeof(f.environment), "%s", of);
	snprintf(f.server, sizeof(f.server), "%s", through);
	assert_int_equal(dp_staging_forwards(x->staging, &f, 1), 0);
}

static int commit(struct commit_world *x)
{
	x->why[0] = 0;
	return dp_staging_commit(x->staging, &x->core, x->generation, x->why);
}

/* Two environments with the same server names and ports. */
static void stage_two(struct commit_world *x)
{
	begin(x);
	environment(x, "a", POD_A);
	environment(x, "b", POD_B);
	server(x, "a", "one");
	server(x, "a", "two");
	server(x, "b", "one");
	forward(x, "a", "", 33000, TARGET);
	forward(x, "a", "two", 33001, TARGET);
	forward(x, "b", "one", 33000, TARGET + 1);
}

static void commit_two(struct commit_world *x)
{
	stage_two(x);
	if (commit(x) != 0)
		fail_msg("%s", x->why);
}

static uint16_t slot(struct commit_world *x, const char *name)
{
	return dp_core_find_environment(&x->core, name);
}

/* On all workers. */
static uint32_t sessions_of(struct commit_world *x, uint16_t environment)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < WORKERS; i++)
		sum += dp_share_in(x->workers[i].shares, environment)->sessions;
	return sum;
}

static uint16_t tunnel(struct commit_world *x, const char *of, const char *name)
{
	struct ipc_tunnel id = { .environment = "" };

	snprintf(id.environment, sizeof(id.environment), "%s", of);
	snprintf(id.server, sizeof(id.server), "%s", name);
	return dp_core_find_tunnel(&x->core, &id);
}

static struct dp_worker *home(struct commit_world *x, const char *name)
{
	return x->core.workers[dp_core_home(&x->core, slot(x, name))];
}

/* ---- leases and sessions ---- */

static int add_sa(struct commit_world *x, const char *of, const char *name,
                  enum ipc_direction direction, uint32_t number)
{
	struct ipc_sa_add add = {
		.id = { .direction = (uint8_t)direction,
		        .spi_be = htonl(number),
		        .destination_be = htonl(direction == IPC_IN ? LINK_UPLINK : LINK_SERVER) },
		.local_be = htonl(LINK_UPLINK),
		.remote_be = htonl(LINK_SERVER),
		.algorithm = IPC_AES128_GCM16,
		.key_length = 20,
		.replay_window = 64,
		.key = { 1 }
	};
	struct dp_worker *w = home(x, of);
	void *memory = dp_sa_alloc(w->sas, direction);
	int rc = 0;

	snprintf(add.tunnel.environment, IPC_NAME_LEN, "%s", of);
	snprintf(add.tunnel.server, IPC_NAME_LEN, "%s", name);
	assert_non_null(memory);
	if (direction == IPC_IN)
		rc = dp_sa_spi_alloc(w, tunnel(x, of, name), number, &add.id.spi_be);
	if (rc == 0)
		rc = dp_sa_add(w, &add, tunnel(x, of, name), slot(x, of), 7, 1500, memory);
	if (rc)
		dp_sa_free(memory);
	return rc;
}

static unsigned count_sas(struct commit_world *x, const char *of, const char *name)
{
	unsigned total = 0;

	for (unsigned i = 0; i < WORKERS; i++) {
		struct ipc_sa_info infos[64];
		uint64_t next;
		unsigned n = dp_sa_list(&x->workers[i], 0, infos, 64, &next);

		for (unsigned k = 0; k < n; k++)
			total += strcmp(infos[k].tunnel.environment, of) == 0 &&
			         strcmp(infos[k].tunnel.server, name) == 0;
	}
	return total;
}

static void bring_up(struct commit_world *x, const char *of, const char *name)
{
	struct dp_tunnel *t = &x->core.tunnels[tunnel(x, of, name)];

	assert_int_equal(add_sa(x, of, name, IPC_IN, 0x1000u + tunnel(x, of, name)), 0);
	assert_int_equal(add_sa(x, of, name, IPC_OUT, 0x2000u + tunnel(x, of, name)), 0);
	t->is_wanted = 1;
	t->inner_be = htonl(INNER);
	dp_failover_refresh(home(x, of), slot(x, of));
	assert_true(t->is_up);
}

/* A SYN from the client to a forward; returns its verdict. */
static enum dp_verdict call(struct commit_world *x, const char *of, uint32_t pod, uint16_t port,
                            uint16_t client_port)
{
	struct nat_packet tcp = { .protocol = TCP,
		                  .source = LINK_CLIENT,
		                  .destination = pod,
		                  .source_port = client_port,
		                  .destination_port = port,
		                  .flags = SYN,
		                  .window = 1000 };
	struct dp_pkt *p = &x->batch.p[0];
	uint8_t ip[64];
	unsigned length = nat_build(ip, &tcp);

	memset(p, 0, sizeof(*p));
	p->m = link_buffer(ip, length, LINK_HEADROOM);
	p->l3 = rte_pktmbuf_mtod(p->m, uint8_t *);
	p->l3_length = (uint16_t)length;
	p->l3_header = 20;
	p->protocol = TCP;
	p->port = DP_PORT_CLUSTER;
	p->environment = slot(x, of);
	x->batch.n = 1;
	dp_nat_forward_out(home(x, of), &x->batch);
	x->batch.n = 0;
	rte_pktmbuf_free(p->m);
	return p->verdict;
}

/* What a worker needs to take frames their whole way. */
static void open_path(struct commit_world *x, struct dp_worker *w)
{
	x->core.ports[DP_PORT_CLUSTER].mtu = x->core.ports[DP_PORT_UPLINK].mtu = 1500;
	assert_int_equal(dp_nexthops_create(&x->core.nexthops), 0);
	w->nexthops = x->core.nexthops;
	w->hold = dp_hold_create();
	w->answers_inside = rte_zmalloc(NULL, sizeof(*w->answers_inside), RTE_CACHE_LINE_SIZE);
	w->tx = rte_zmalloc(NULL, DP_PORT_COUNT * sizeof(*w->tx), RTE_CACHE_LINE_SIZE);
	assert_true(w->hold && w->answers_inside && w->tx);
}

static void close_path(struct commit_world *x, struct dp_worker *w)
{
	dp_hold_destroy(w->hold);
	rte_free(w->answers_inside);
	rte_free(w->tx);
	dp_nexthops_destroy(x->core.nexthops);
}

/* A frame as another worker puts it into the queue of a home. */
static struct rte_mbuf *crossing(uint32_t source, uint32_t pod, uint8_t flags)
{
	struct nat_packet tcp = { .protocol = TCP,
		                  .source = source,
		                  .destination = pod,
		                  .source_port = 4000,
		                  .destination_port = 33000,
		                  .flags = flags,
		                  .window = 1000,
		                  .payload = flags & SYN ? 0 : 10 };
	uint8_t frame[14 + 80] = { [6] = 2, [12] = 0x08, [13] = 0x00 };
	unsigned length = nat_build(frame + 14, &tcp);
	struct rte_mbuf *m = link_buffer(frame, 14 + length, LINK_HEADROOM);

	m->port = DP_PORT_CLUSTER;
	return m;
}

static void commit_b_and(struct commit_world *x, const char *name, uint32_t pod)
{
	begin(x);
	environment(x, "b", POD_B);
	server(x, "b", "one");
	forward(x, "b", "one", 33000, TARGET + 1);
	if (name) {
		environment(x, name, pod);
		server(x, name, "one");
		forward(x, name, "", 33000, TARGET);
	}
	assert_int_equal(commit(x), 0);
}

/* ---- tests ---- */

static void builds_what_the_workers_look_up(void **state)
{
	struct commit_world *x = create();
	const struct dp_generation *g;
	const struct dp_environment *a, *b;
	const struct dp_forward *f;

	(void)state;
	commit_two(x);
	g = x->core.generation;
	assert_int_equal(g->id, x->generation);
	assert_int_equal(g->environment_count, 2);
	assert_int_equal(g->forward_count, 3);
	for (unsigned i = 0; i < WORKERS; i++)
		assert_ptr_equal(x->workers[i].generation, g);
	a = dp_environment_lookup(g, htonl(POD_A));
	b = dp_environment_lookup(g, htonl(POD_B));
	assert_non_null(a);
	assert_non_null(b);
	assert_null(dp_environment_lookup(g, htonl(POD_B + 1)));
	assert_string_equal(a->name, "a");
	assert_int_equal(a->session_quota, 1000);
	assert_int_equal(a->source_count, 1);
	assert_ptr_equal(g->by_slot[a->slot], a);
	assert_int_equal(a->home, dp_core_home(&x->core, a->slot));
	assert_int_not_equal(a->home, b->home);
	assert_int_equal(a->tunnel_count, 2);
	assert_int_equal(a->tunnels[0], tunnel(x, "a", "one"));
	assert_int_equal(a->tunnels[1], tunnel(x, "a", "two"));
	assert_int_equal(b->tunnel_count, 1);
	assert_int_not_equal(b->tunnels[0],
	                     a->tunnels[0]); /* (environment, server), not the server's name */
	assert_int_equal(x->core.tunnels[a->tunnels[1]].environment, a->slot);
	f = dp_forward_lookup(g, dp_forward_key(htonl(POD_A), TCP, htons(33001)));
	assert_non_null(f);
	assert_int_equal(f->tunnel, a->tunnels[1]);
	assert_int_equal(f->environment, a->slot);
	assert_int_equal(f->to_address_be, htonl(TARGET));
	assert_int_equal(f->to_port_be, htons(8080));
	f = dp_forward_lookup(g, dp_forward_key(htonl(POD_A), TCP, htons(33000)));
	assert_int_equal(f->tunnel, DP_NONE_SLOT);
	assert_null(dp_forward_lookup(g, dp_forward_key(htonl(POD_A), UDP, htons(33000))));
	assert_null(dp_forward_lookup(g, dp_forward_key(htonl(POD_B), TCP, htons(33001))));
	/* the empty configuration is one too */
	begin(x);
	assert_int_equal(commit(x), 0);
	assert_int_equal(x->core.generation->environment_count, 0);
	assert_null(dp_environment_lookup(x->core.generation, htonl(POD_A)));
	assert_null(dp_forward_lookup(x->core.generation,
	                              dp_forward_key(htonl(POD_A), TCP, htons(33000))));
	destroy(x);
}

static void finds_all_of_many(void **state)
{
	struct commit_world *x = create();

	(void)state;
	begin(x);
	for (unsigned i = 0; i < 300; i++) {
		char name[16];

		snprintf(name, sizeof(name), "e%u", i);
		environment(x, name, 0x0a100000 + i);
		for (unsigned k = 0; k < 3; k++) {
			char other[16];

			snprintf(other, sizeof(other), "s%u", k);
			server(x, name, other);
		}
		for (unsigned k = 1; k <= 7; k++)
			forward(x, name, "s1", (uint16_t)(1000 * k), TARGET + i);
	}
	assert_int_equal(commit(x), 0);
	for (unsigned i = 0; i < 300; i++) {
		const struct dp_environment *e =
			dp_environment_lookup(x->core.generation, htonl(0x0a100000 + i));

		assert_non_null(e);
		for (unsigned k = 1; k <= 7; k++) {
			const struct dp_forward *f = dp_forward_lookup(
				x->core.generation, dp_forward_key(e->pod_address_be, TCP,
			                                           htons((uint16_t)(1000 * k))));

			assert_non_null(f);
			assert_int_equal(f->environment, e->slot);
			assert_int_equal(f->tunnel, e->tunnels[1]);
		}
	}
	destroy(x);
}

enum mistake {
	ENVIRONMENT_TWICE,
	SAME_ADDRESS,
	PORT_ADDRESS,
	SERVER_OF_NOBODY,
	SERVER_TWICE,
	SEVENTEEN_SERVERS,
	FORWARD_OF_NOBODY,
	FORWARD_WITHOUT_SERVER,
	FORWARD_OF_OTHERS_SERVER,
	FORWARD_TWICE,
	MISTAKES
};

static void make(struct commit_world *x, enum mistake mistake)
{
	switch (mistake) {
	case ENVIRONMENT_TWICE:
		environment(x, "a", POD_B + 10);
		break;
	case SAME_ADDRESS:
		environment(x, "d", POD_A);
		break;
	case PORT_ADDRESS:
		environment(x, "d", LINK_CLUSTER);
		break;
	case SERVER_OF_NOBODY:
		server(x, "nobody", "one");
		break;
	case SERVER_TWICE:
		server(x, "a", "two");
		break;
	case SEVENTEEN_SERVERS:
		for (unsigned i = 0; i < 16; i++) {
			char name[16];

			snprintf(name, sizeof(name), "more%u", i);
			server(x, "b", name);
		}
		break;
	case FORWARD_OF_NOBODY:
		forward(x, "nobody", "", 1, TARGET);
		break;
	case FORWARD_WITHOUT_SERVER:
		forward(x, "a", "three", 1, TARGET);
		break;
	case FORWARD_OF_OTHERS_SERVER: /* only "a" has it */
		forward(x, "b", "two", 1, TARGET);
		break;
	case FORWARD_TWICE:
		forward(x, "a", "", 33001, TARGET + 9);
		break;
	case MISTAKES:
		break;
	}
}

static void changes_nothing_when_it_refuses(void **state)
{
	static const struct {
		int rc;
		const char *words;
	} said[MISTAKES] = {
		[ENVIRONMENT_TWICE] = { -EEXIST, "environment \"a\" is there twice" },
		[SAME_ADDRESS] = { -EADDRINUSE,
		                   "environments \"d\" and \"a\" have the same pod address" },
		[PORT_ADDRESS] = { -EADDRINUSE,
		                   "environment \"d\" has the cluster port's own address" },
		[SERVER_OF_NOBODY] = { -ENOENT,
		                       "server \"one\": there is no environment \"nobody\"" },
		[SERVER_TWICE] = { -EEXIST, "server \"two\" of \"a\" is there twice" },
		[SEVENTEEN_SERVERS] = { -ENOSPC, "environment \"b\" has more than 16 servers" },
		[FORWARD_OF_NOBODY] = { -ENOENT, "forward 1: there is no environment \"nobody\"" },
		[FORWARD_WITHOUT_SERVER] = { -ENOENT,
		                             "forward 1 of \"a\": there is no server \"three\"" },
		[FORWARD_OF_OTHERS_SERVER] = { -ENOENT,
		                               "forward 1 of \"b\": there is no server \"two\"" },
		[FORWARD_TWICE] = { -EEXIST, "forward 33001 of \"a\" is there twice" },
	};
	struct commit_world *x = create();
	struct dp_core *before = malloc(sizeof(*before));

	(void)state;
	assert_non_null(before);
	for (unsigned first = 0; first < 2;
	     first++) { /* over nothing, then over a configuration in use */
		for (unsigned m = 0; m < MISTAKES; m++) {
			/* "b" goes, "c" and a server of "a" are new: all that must not happen */
			*before = x->core;
			begin(x);
			environment(x, "c", POD_B + 5);
			environment(x, "a", POD_A);
			server(x, "a", "two");
			server(x, "a", "new");
			server(x, "c", "one");
			forward(x, "a", "new", 33001, TARGET + 1);
			if (m == FORWARD_OF_OTHERS_SERVER || m == SEVENTEEN_SERVERS) {
				environment(x, "b", POD_B);
				server(x, "b", "one");
			}
			make(x, (enum mistake)m);
			if (commit(x) != said[m].rc || strcmp(x->why, said[m].words) != 0)
				fail_msg("mistake %u: \"%s\"", m, x->why);
			before->next_environment_slot =
				x->core.next_environment_slot; /* only where a search begins */
			before->next_tunnel_slot = x->core.next_tunnel_slot;
			assert_memory_equal(&x->core, before, sizeof(*before));
			for (unsigned i = 0; i < WORKERS; i++)
				assert_ptr_equal(x->workers[i].generation, x->core.generation);
			/* nothing is staged any more */
			assert_int_equal(commit(x), -EPROTO);
		}
		if (first == 0) {
			commit_two(x);
			bring_up(x, "a", "one");
			bring_up(x, "b", "one");
			assert_int_equal(call(x, "b", POD_B, 33000, 4000), DP_OK);
		}
	}
	assert_int_equal(count_sas(x, "b", "one"), 2);
	assert_int_equal(sessions_of(x, slot(x, "b")), 1);
	free(before);
	destroy(x);
}

static void guards_the_staging(void **state)
{
	struct commit_world *x = create();
	struct ipc_environment e = { .name = "a", .pod_address_be = htonl(POD_A) };
	struct ipc_server s = { .id = { "a", "one" } };
	struct ipc_forward f = { .environment = "a", .port_be = htons(1), .protocol = TCP };

	(void)state;
	/* nothing before BEGIN */
	assert_int_equal(dp_staging_environment(x->staging, &e), -EPROTO);
	assert_int_equal(dp_staging_server(x->staging, &s), -EPROTO);
	assert_int_equal(dp_staging_forwards(x->staging, &f, 1), -EPROTO);
	assert_int_equal(commit(x), -EPROTO);
	assert_non_null(strstr(x->why, "was not staged"));
	/* another generation is committed than was begun: what is staged stays */
	stage_two(x);
	assert_int_equal(dp_staging_commit(x->staging, &x->core, x->generation + 1, x->why),
	                 -EPROTO);
	assert_null(x->core.generation);
	assert_int_equal(commit(x), 0);
	assert_int_equal(commit(x), -EPROTO); /* once */
	/* BEGIN drops what was there */
	begin(x);
	environment(x, "a", POD_A);
	environment(x, "a", POD_A);
	stage_two(x);
	assert_int_equal(commit(x), 0);
	/* limits */
	begin(x);
	for (unsigned i = 0; i < DP_ENVIRONMENTS_MAX; i++)
		assert_int_equal(dp_staging_environment(x->staging, &e), 0);
	assert_int_equal(dp_staging_environment(x->staging, &e), -E2BIG);
	for (unsigned i = 0; i < DP_TUNNELS_MAX; i++)
		assert_int_equal(dp_staging_server(x->staging, &s), 0);
	assert_int_equal(dp_staging_server(x->staging, &s), -E2BIG);
	assert_int_equal(commit(x), -EEXIST);
	dp_staging_destroy(NULL);
	destroy(x);
}

static void keeps_slots_over_generations(void **state)
{
	struct commit_world *x = create();
	uint16_t a, b, a_one, a_two, b_one, c;

	(void)state;
	commit_two(x);
	a = slot(x, "a");
	b = slot(x, "b");
	a_one = tunnel(x, "a", "one");
	a_two = tunnel(x, "a", "two");
	b_one = tunnel(x, "b", "one");
	/* another order, one more in front, "two" preferred */
	begin(x);
	environment(x, "c", POD_B + 1);
	environment(x, "b", POD_B);
	environment(x, "a", POD_A + 100); /* a new address */
	server(x, "c", "one");
	server(x, "a", "two");
	server(x, "a", "one");
	server(x, "b", "one");
	assert_int_equal(commit(x), 0);
	c = slot(x, "c");
	assert_true(slot(x, "a") == a && slot(x, "b") == b && c != a && c != b);
	assert_true(tunnel(x, "a", "one") == a_one && tunnel(x, "a", "two") == a_two &&
	            tunnel(x, "b", "one") == b_one);
	assert_int_equal(x->core.generation->by_slot[a]->tunnels[0], a_two);
	assert_null(dp_environment_lookup(x->core.generation, htonl(POD_A)));
	assert_int_equal(dp_environment_lookup(x->core.generation, htonl(POD_A + 100))->slot, a);
	/* "b" goes: its slots are free, and reused as late as possible */
	begin(x);
	environment(x, "a", POD_A);
	server(x, "a", "one");
	assert_int_equal(commit(x), 0);
	assert_int_equal(slot(x, "b"), DP_NONE_SLOT);
	assert_int_equal(tunnel(x, "a", "two"), DP_NONE_SLOT);
	assert_int_equal(x->core.environment_slots[b].environment[0], 0);
	assert_int_equal(x->core.tunnel_slots[b_one].environment[0], 0);
	assert_int_equal(x->core.tunnel_slots[a_two].environment[0], 0);
	assert_int_equal(x->core.tunnels[b_one].environment, DP_NONE_SLOT);
	commit_two(x);
	assert_int_equal(slot(x, "a"), a);
	assert_int_equal(tunnel(x, "a", "one"), a_one);
	assert_true(slot(x, "b") != b && slot(x, "b") != c);
	assert_true(tunnel(x, "a", "two") != a_two && tunnel(x, "b", "one") != b_one);
	destroy(x);
}

static void uses_every_slot(void **state)
{
	struct commit_world *x = create();

	(void)state;
	x->core.next_environment_slot = DP_ENVIRONMENTS_MAX - 1; /* round the end */
	x->core.next_tunnel_slot = DP_TUNNELS_MAX - 1;
	commit_two(x);
	assert_int_equal(slot(x, "a"), DP_ENVIRONMENTS_MAX - 1);
	assert_int_equal(slot(x, "b"), 0);
	assert_int_equal(tunnel(x, "a", "one"), DP_TUNNELS_MAX - 1);
	assert_int_equal(tunnel(x, "a", "two"), 0);
	/* all environments there can be; then one is exchanged for another, and for a moment there
	 * is one too many */
	for (unsigned last = 0; last < 2; last++) {
		begin(x);
		for (unsigned i = 0; i < DP_ENVIRONMENTS_MAX; i++) {
			char name[16];

			snprintf(name, sizeof(name), "e%u",
			         i + (i == DP_ENVIRONMENTS_MAX - 1 ? last : 0));
			environment(x, name, 0x0a100000 + i);
		}
		if (last == 0) {
			assert_int_equal(commit(x), -ENOSPC); /* "a" and "b" still have theirs */
			assert_int_not_equal(slot(x, "a"), DP_NONE_SLOT);
			begin(x);
			assert_int_equal(commit(x), 0);
			begin(x);
			for (unsigned i = 0; i < DP_ENVIRONMENTS_MAX; i++) {
				char name[16];

				snprintf(name, sizeof(name), "e%u", i);
				environment(x, name, 0x0a100000 + i);
			}
			assert_int_equal(commit(x), 0);
		} else {
			assert_int_equal(commit(x), -ENOSPC);
			assert_int_not_equal(slot(x, "e4095"), DP_NONE_SLOT);
		}
	}
	destroy(x);
}

static void takes_down_a_server_with_all_it_had(void **state)
{
	struct commit_world *x = create();
	struct dp_environment_state *s;
	uint16_t one, two;

	(void)state;
	commit_two(x);
	one = tunnel(x, "a", "one");
	two = tunnel(x, "a", "two");
	bring_up(x, "a", "one");
	bring_up(x, "a", "two");
	bring_up(x, "b", "one");
	s = &x->core.environments[slot(x, "a")];
	assert_int_equal(s->active, one);
	assert_int_equal(call(x, "a", POD_A, 33000, 4000), DP_OK); /* through "one" */
	assert_int_equal(call(x, "a", POD_A, 33001, 4001), DP_OK); /* through "two" */
	assert_int_equal(call(x, "b", POD_B, 33000, 4000), DP_OK);
	assert_int_equal(sessions_of(x, slot(x, "a")), 2);
	/* many SAs: more than one call takes */
	for (uint32_t i = 0; i < 40; i++)
		assert_int_equal(add_sa(x, "a", "one", IPC_OUT, 0x5000 + i), 0);
	begin(x);
	environment(x, "a", POD_A);
	environment(x, "b", POD_B);
	server(x, "a", "two");
	server(x, "b", "one");
	forward(x, "a", "", 33000, TARGET);
	forward(x, "a", "two", 33001, TARGET);
	forward(x, "b", "one", 33000, TARGET + 1);
	assert_int_equal(commit(x), 0);
	assert_int_equal(s->active, two);
	assert_int_equal(s->move_counter, 2);
	assert_int_equal(sessions_of(x, slot(x, "a")), 1);
	assert_int_equal(count_sas(x, "a", "one"), 0);
	assert_int_equal(count_sas(x, "a", "two"), 2);
	assert_int_equal(count_sas(x, "b", "one"), 2);
	assert_null(x->core.tunnels[one].out);
	assert_int_equal(x->core.tunnels[one].is_up, 0);
	assert_int_equal(x->core.tunnels[one].environment, DP_NONE_SLOT);
	assert_true(x->core.tunnels[two].is_up);
	assert_int_equal(sessions_of(x, slot(x, "b")), 1);
	destroy(x);
}

static void takes_down_an_environment_with_all_it_had(void **state)
{
	struct commit_world *x = create();
	const struct ipc_peer peer_a = { .remote_be = htonl(LINK_SERVER),
		                         .ike_port_be = htons(500),
		                         .natt_port_be = htons(4500) },
			      peer_b = { .remote_be = htonl(LINK_SERVER + 1),
		                         .ike_port_be = htons(500),
		                         .natt_port_be = htons(4600) };
	uint16_t a, one;

	(void)state;
	commit_two(x);
	a = slot(x, "a");
	one = tunnel(x, "a", "one");
	bring_up(x, "a", "one");
	bring_up(x, "b", "one");
	assert_int_equal(call(x, "a", POD_A, 33000, 4000), DP_OK);
	assert_int_equal(call(x, "b", POD_B, 33000, 4000), DP_OK);
	dp_core_set_peer(&x->core, one, &peer_b); /* and then another one */
	dp_core_set_peer(&x->core, one, &peer_a);
	dp_core_set_peer(&x->core, tunnel(x, "b", "one"), &peer_b);
	assert_int_equal(dp_peers_port(x->core.peers, htons(4500)), DP_PEER_PORT_NATT);
	x->core.peers->removed = DP_PEERS_MAX; /* worn: the next change brings a fresh set */
	dp_core_set_peer(&x->core, one, &peer_a);
	assert_int_equal(x->core.peers->removed, 0);
	assert_ptr_equal(x->workers[0].peers, x->core.peers);
	assert_true(dp_peers_has(x->core.peers, peer_a.remote_be));
	assert_true(dp_peers_has(x->core.peers, peer_b.remote_be));
	begin(x);
	environment(x, "b", POD_B);
	server(x, "b", "one");
	forward(x, "b", "one", 33000, TARGET + 1);
	assert_int_equal(commit(x), 0);
	assert_int_equal(slot(x, "a"), DP_NONE_SLOT);
	assert_int_equal(count_sas(x, "a", "one"), 0);
	assert_int_equal(sessions_of(x, a), 0);
	assert_int_equal(x->core.environments[a].active, DP_NONE_SLOT);
	assert_int_equal(x->core.environments[a].move_counter, 0);
	assert_int_equal(x->workers[dp_core_home(&x->core, a)].flows->count, 0);
	/* its server may not send IKE any more; that of "b" may */
	assert_int_equal(x->core.peers->count, 1);
	assert_int_equal(dp_peers_port(x->core.peers, htons(4500)), DP_PEER_PORT_NONE);
	assert_int_equal(dp_peers_port(x->core.peers, htons(4600)), DP_PEER_PORT_NATT);
	/* the other one did not notice */
	assert_int_equal(sessions_of(x, slot(x, "b")), 1);
	assert_int_equal(count_sas(x, "b", "one"), 2);
	assert_int_equal(x->core.environments[slot(x, "b")].active, tunnel(x, "b", "one"));
	destroy(x);
}

/*
 * Frames wait in the queue of a home while their environment goes and another one gets its slot,
 * its tunnel's slot, its forward and, the second time, its address: none becomes that one's packet
 * by what was known of it before.
 */
static void believes_nothing_that_waited_in_a_queue(void **state)
{
	static const uint32_t pods[] = { POD_A + 0x100, POD_A };

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(pods); i++) {
		struct commit_world *x = create();
		const bool has_its_address = pods[i] == POD_A;
		struct rte_mbuf *queue[2];
		struct dp_worker *w;
		uint16_t a, one;

		commit_two(x);
		a = slot(x, "a");
		one = tunnel(x, "a", "one");
		w = home(x, "a");
		open_path(x, w);
		bring_up(x, "a", "one");
		assert_int_equal(call(x, "a", POD_A, 33000, 4000), DP_OK);
		queue[0] = crossing(LINK_CLIENT, POD_A, ACK);
		queue[1] = crossing(0x0b000105, POD_A, SYN); /* who may call neither */
		commit_b_and(x, NULL, 0);
		x->core.next_environment_slot =
			a; /* as late as can be, but once all others had a turn */
		x->core.next_tunnel_slot = one;
		commit_b_and(x, "c", pods[i]);
		assert_int_equal(slot(x, "c"), a);
		assert_int_equal(tunnel(x, "c", "one"), one);
		assert_ptr_equal(home(x, "c"), w);
		bring_up(x, "c", "one");
		dp_path_handed(w, DP_PORT_CLUSTER, queue, 2);
		assert_int_equal(w->count->drop[DP_NO_SESSION], has_its_address ? 1 : 0);
		assert_int_equal(w->count->drop[DP_SOURCE_REFUSED], has_its_address ? 1 : 0);
		assert_int_equal(w->count->drop[DP_NO_EGRESS], has_its_address ? 0 : 2);
		assert_int_equal(sessions_of(x, a), 0);
		assert_int_equal(x->core.environments[a].packets_out, 0);
		assert_int_equal(w->count->esp_out_packets, 0);
		close_path(x, w);
		destroy(x);
	}
}

/* More sessions than one step ends: until the last one is over, nobody gets the slots. */
static void keeps_the_slots_of_sessions(void **state)
{
	enum { COUNT = 1500 };
	struct commit_world *x = create();
	uint16_t a, one, a2;
	struct dp_worker *w;

	(void)state;
	commit_two(x);
	a = slot(x, "a");
	one = tunnel(x, "a", "one");
	w = home(x, "a");
	dp_flow_table_destroy(w->flows);
	dp_portpool_destroy(w->portpool);
	assert_int_equal(dp_flow_table_create(&w->flows, 2 * COUNT, 1, SOCKET_ID_ANY), 0);
	assert_int_equal(dp_portpool_create(&w->portpool, w->flows, 1, SOCKET_ID_ANY), 0);
	x->core.generation->by_slot[a]->session_quota = COUNT;
	dp_shares_configure(w);
	bring_up(x, "a", "one");
	bring_up(x, "b", "one");
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(call(x, "a", POD_A, 33000, (uint16_t)(1024 + i)), DP_OK);
	assert_int_equal(call(x, "b", POD_B, 33000, 4000), DP_OK);
	begin(x);
	environment(x, "b", POD_B);
	server(x, "b", "one");
	forward(x, "b", "one", 33000, TARGET + 1);
	assert_int_equal(commit(x), 0);
	/* its SAs are gone and nothing finds it; its sessions end one after another */
	assert_true(x->core.is_settling);
	assert_int_equal(slot(x, "a"), DP_NONE_SLOT);
	assert_int_equal(count_sas(x, "a", "one"), 0);
	assert_false(dp_core_has_tunnel(&x->core, one));
	assert_int_equal(x->core.tunnels[one].environment, DP_NONE_SLOT);
	assert_in_range(sessions_of(x, a), COUNT / 2, COUNT - 1);
	assert_string_equal(x->core.environment_slots[a].environment, "a");
	assert_string_equal(x->core.tunnel_slots[one].server, "one");
	/* at the next commit they are over, and another "a" may have the slots */
	x->core.next_environment_slot = a;
	x->core.next_tunnel_slot = one;
	begin(x);
	environment(x, "a", POD_A);
	environment(x, "b", POD_B);
	server(x, "a", "one");
	server(x, "b", "one");
	forward(x, "a", "one", 33000, TARGET);
	forward(x, "b", "one", 33000, TARGET + 1);
	assert_int_equal(commit(x), 0);
	assert_false(x->core.is_settling);
	a2 = slot(x, "a");
	assert_int_equal(a2, a);
	assert_int_equal(tunnel(x, "a", "one"), one);
	assert_int_equal(sessions_of(x, a2), 0);
	assert_int_equal(sessions_of(x, slot(x, "b")), 1);
	assert_int_equal(w->flows->count, home(x, "b") == w ? 1 : 0);
	assert_int_equal(call(x, "a", POD_A, 33000, 1024), DP_NO_TUNNEL);
	destroy(x);
}

/* Classes of state: a resync reverts no move, touches no lease, ends no session. */
static void does_not_touch_what_stays(void **state)
{
	struct commit_world *x = create();
	struct dp_environment_state *s;
	uint16_t two;

	(void)state;
	commit_two(x);
	two = tunnel(x, "a", "two");
	s = &x->core.environments[slot(x, "a")];
	bring_up(x, "a", "one");
	bring_up(x, "a", "two");
	assert_int_equal(dp_failover_move(home(x, "a"), slot(x, "a"), two, 1, IPC_MOVE_BY_HAND), 0);
	assert_int_equal(call(x, "a", POD_A, 33000, 4000), DP_OK);
	for (unsigned i = 0; i < 3; i++) {
		commit_two(x);
		assert_int_equal(s->active, two);
		assert_int_equal(s->move_counter, 2);
		assert_int_equal(sessions_of(x, slot(x, "a")), 1);
		assert_int_equal(count_sas(x, "a", "one") + count_sas(x, "a", "two"), 4);
		assert_true(x->core.tunnels[two].is_up);
		assert_int_equal(x->core.tunnels[two].inner_be, htonl(INNER));
	}
	/* a forward that goes takes its sessions along */
	assert_int_equal(call(x, "a", POD_A, 33001, 4001), DP_OK);
	assert_int_equal(sessions_of(x, slot(x, "a")), 2);
	begin(x);
	environment(x, "a", POD_A);
	server(x, "a", "one");
	server(x, "a", "two");
	forward(x, "a", "", 33000, TARGET);
	assert_int_equal(commit(x), 0);
	assert_int_equal(sessions_of(x, slot(x, "a")), 1);
	assert_int_equal(call(x, "a", POD_A, 33001, 4001), DP_NO_FORWARD);
	destroy(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(builds_what_the_workers_look_up),
		cmocka_unit_test(finds_all_of_many),
		cmocka_unit_test(changes_nothing_when_it_refuses),
		cmocka_unit_test(guards_the_staging),
		cmocka_unit_test(keeps_slots_over_generations),
		cmocka_unit_test(uses_every_slot),
		cmocka_unit_test(takes_down_a_server_with_all_it_had),
		cmocka_unit_test(takes_down_an_environment_with_all_it_had),
		cmocka_unit_test(believes_nothing_that_waited_in_a_queue),
		cmocka_unit_test(keeps_the_slots_of_sessions),
		cmocka_unit_test(does_not_touch_what_stays),
	};

	return cmocka_run_group_tests_name("commit", tests, link_eal, NULL);
}
