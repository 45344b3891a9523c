/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connection to the dataplane, over its real socket; the test plays the dataplane, one message
 * at a time.
 */
#include "tests/unit/common/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>

#include "common/ipc_codec.h"
#include "common/ipc_sock.h"
#include "common/log.h"
#include "controlplane/dp_client.h"

#define SOCKET "dataplane.sock"
#define PATIENCE_MS 10000
#define OUR_EPOCH 0x1111222233334444ull

/* What the callbacks saw; guarded by lock. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned ready;
	unsigned ready_new;
	unsigned lost;
	uint64_t events;
	size_t datagrams;
	char datagram[64];
} seen = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static struct cp_config config;
static struct cp_config pristine; /* as config was before the client's thread held it */
static struct cp_dp *client;
static int listener;
static int connection;
static _Alignas(8) uint8_t message[IPC_MSG_MAX];

static unsigned count_of(const unsigned *of)
{
	unsigned n;

	pthread_mutex_lock(&seen.lock);
	n = *of;
	pthread_mutex_unlock(&seen.lock);
	return n;
}

static void on_ready(void *context, bool is_new_epoch)
{
	(void)context;
	pthread_mutex_lock(&seen.lock);
	seen.ready++;
	seen.ready_new += is_new_epoch;
	pthread_cond_signal(&seen.changed);
	pthread_mutex_unlock(&seen.lock);
}

static void on_lost(void *context)
{
	(void)context;
	pthread_mutex_lock(&seen.lock);
	seen.lost++;
	pthread_cond_signal(&seen.changed);
	pthread_mutex_unlock(&seen.lock);
}

static void on_changed(void *context, uint64_t changed)
{
	(void)context;
	pthread_mutex_lock(&seen.lock);
	seen.events |= changed;
	pthread_cond_signal(&seen.changed);
	pthread_mutex_unlock(&seen.lock);
}

static void on_datagram(void *context, const struct ipc_punt *punt, const void *payload)
{
	(void)context;
	pthread_mutex_lock(&seen.lock);
	assert_true(punt->length < sizeof(seen.datagram));
	memcpy(seen.datagram, payload, punt->length);
	seen.datagrams++;
	pthread_cond_signal(&seen.changed);
	pthread_mutex_unlock(&seen.lock);
}

/* Waits until CONDITION, which the callbacks make true. */
#define WAIT_SEEN(condition)                                                             \
	do {                                                                             \
		struct timespec limit;                                                   \
		int rc_ = 0;                                                             \
		clock_gettime(CLOCK_REALTIME, &limit);                                   \
		limit.tv_sec += PATIENCE_MS / 1000;                                      \
		pthread_mutex_lock(&seen.lock);                                          \
		while (!(condition) && rc_ == 0)                                         \
			rc_ = pthread_cond_timedwait(&seen.changed, &seen.lock, &limit); \
		pthread_mutex_unlock(&seen.lock);                                        \
		assert_int_equal(rc_, 0);                                                \
	} while (0)

/* ---- the dataplane ---- */

static void await(int fd)
{
	struct pollfd input = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&input, 1, PATIENCE_MS), 1);
}

/* Takes the next message, which must be a valid one of TYPE. */
static const struct ipc_header *expect(uint16_t type, const void **body)
{
	const struct ipc_header *header;
	const void *unused;
	ssize_t length;

	await(connection);
	length = ipc_receive(connection, message, sizeof(message));
	assert_true(length > 0);
	assert_int_equal(ipc_decode(message, (size_t)length, &header, body ? body : &unused), 0);
	assert_string_equal(ipc_type_name(header->type), ipc_type_name(type));
	return header;
}

static void answer(const struct ipc_header *request, int status, const void *body, size_t length)
{
	assert_int_equal(ipc_send(connection, request->type, IPC_REPLY, request->seq, status, body,
	                          length, NULL, 0),
	                 0);
}

static void expect_and_accept(uint16_t type)
{
	answer(expect(type, NULL), 0, NULL, 0);
}

static void greet(uint64_t epoch, const char *instance, uint32_t flags, uint64_t generation)
{
	struct ipc_hello hello = { .magic = IPC_MAGIC,
		                   .major = IPC_VERSION_MAJOR,
		                   .minor = IPC_VERSION_MINOR,
		                   .epoch = epoch,
		                   .pid = 77,
		                   .flags = flags,
		                   .generation = generation };
	const void *body;

	snprintf(hello.instance, sizeof(hello.instance), "%s", instance);
	await(listener);
	connection = ipc_accept(listener, (uid_t)-1);
	assert_true(connection >= 0);
	expect(IPC_HELLO, &body);
	assert_true(((const struct ipc_hello *)body)->epoch == OUR_EPOCH);
	assert_int_equal(ipc_send(connection, IPC_HELLO, 0, 0, 0, &hello, sizeof(hello), NULL, 0),
	                 0);
}

/* The whole way to a connection that serves requests. */
static void serve(uint64_t epoch, uint64_t generation)
{
	const unsigned before = count_of(&seen.ready);
	const void *body;

	greet(epoch, "lab", 0, generation);
	expect_and_accept(IPC_NODE);
	expect(IPC_CONFIG_BEGIN, &body);
	assert_true(((const struct ipc_generation *)body)->generation == generation + 1);
	answer((const struct ipc_header *)message, 0, NULL, 0);
	expect_and_accept(IPC_CONFIG_COMMIT);
	WAIT_SEEN(seen.ready == before + 1);
}

static void hang_up(void)
{
	close(connection);
}

/* A request on a thread of its own. */
struct call {
	pthread_t thread;
	uint16_t type;
	struct ipc_tunnel body;
	struct ipc_spi reply;
	int status;
};

static void *run_call(void *argument)
{
	struct call *call = argument;

	call->status = cp_dp_call(client, call->type, &call->body, sizeof(call->body), &call->reply,
	                          sizeof(call->reply));
	return NULL;
}

static void begin_call(struct call *call, const char *server)
{
	*call = (struct call){ .type = IPC_SPI_ALLOC };
	strcpy(call->body.environment, "production");
	strcpy(call->body.server, server);
	assert_int_equal(pthread_create(&call->thread, NULL, run_call, call), 0);
}

static int end_call(struct call *call)
{
	pthread_join(call->thread, NULL);
	return call->status;
}

/* ---- tests, in this order, with one client ---- */

static void test_nothing_is_served_before_ready(void **state)
{
	struct ipc_tunnel id = { .environment = "production", .server = "a" };
	struct cp_dp_state dp;

	(void)state;
	assert_int_equal(cp_dp_call(client, IPC_SPI_ALLOC, &id, sizeof(id), NULL, 0), -ENOTCONN);
	cp_dp_state(client, &dp);
	assert_false(dp.is_connected);
	assert_string_not_equal(dp.why, "");
}

static void test_other_instance_is_left_alone(void **state)
{
	struct cp_dp_state dp;

	(void)state;
	greet(5, "other", 0, 0);
	await(connection); /* it hangs up */
	assert_int_equal(ipc_receive(connection, message, sizeof(message)), 0);
	hang_up();
	await(listener); /* and knocks again */
	cp_dp_state(client, &dp);
	assert_non_null(strstr(dp.why, "belongs to instance other"));
}

static void test_refused_node_is_told_in_its_words(void **state)
{
	struct ipc_refusal refusal = { .reason = "there is no port uplink" };
	struct cp_dp_state dp;

	(void)state;
	greet(5, "lab", 0, 0);
	answer(expect(IPC_NODE, NULL), -ENODEV, &refusal, sizeof(refusal));
	await(connection);
	hang_up();
	await(listener);
	cp_dp_state(client, &dp);
	assert_string_equal(dp.why, "there is no port uplink");
}

static void test_serves_after_the_commit(void **state)
{
	struct cp_dp_state dp;

	(void)state;
	serve(5, 0);
	assert_int_equal(seen.ready_new, 1);
	cp_dp_state(client, &dp);
	assert_true(dp.is_connected);
	assert_int_equal(dp.epoch, 5);
	assert_int_equal(dp.generation, 1);
	assert_int_equal(dp.pid, 77);
}

static void test_replies_find_their_requests(void **state)
{
	const struct ipc_spi first = { .spi_be = 0x11111111 }, second = { .spi_be = 0x22222222 };
	const struct ipc_event event = { .changed = IPC_CHANGED_SAS };
	struct ipc_header request_a;
	struct call a, b;

	(void)state;
	begin_call(&a, "a");
	request_a = *expect(IPC_SPI_ALLOC, NULL);
	begin_call(&b, "b");
	answer(expect(IPC_SPI_ALLOC, NULL), 0, &second, sizeof(second));
	assert_int_equal(ipc_send(connection, IPC_EVENT, 0, 0, 0, &event, sizeof(event), NULL, 0),
	                 0);
	answer(&request_a, 0, &first, sizeof(first));
	assert_int_equal(end_call(&a), 0);
	assert_int_equal(end_call(&b), 0);
	assert_int_equal(a.reply.spi_be, first.spi_be);
	assert_int_equal(b.reply.spi_be, second.spi_be);
	WAIT_SEEN(seen.events == IPC_CHANGED_SAS);
}

static void test_refusal_is_the_callers(void **state)
{
	struct call call;

	(void)state;
	begin_call(&call, "a");
	answer(expect(IPC_SPI_ALLOC, NULL), -ENOSPC, NULL, 0);
	assert_int_equal(end_call(&call), -ENOSPC);
}

struct flow_call {
	pthread_t thread;
	struct ipc_flow flow;
	int result;
};

static void *run_flow_call(void *argument)
{
	struct flow_call *call = argument;

	call->result = cp_dp_open_flow(client, &call->flow);
	return NULL;
}

/* The flow's socket comes with the reply; a refusal, or a reply without one, brings none. */
static void test_socket_of_a_flow(void **state)
{
	struct flow_call call = { .flow = { .remote_be = 0x0a00000a, .remote_port_be = 443 } };
	struct ipc_flow reply = {
		.remote_be = 0x0a00000a, .remote_port_be = 443, .local_port_be = 77, .protocol = 6
	};
	int pipes[2];
	char byte = 0;

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	for (unsigned i = 0; i < 3; i++) {
		const struct ipc_header *request;
		const void *body;

		assert_int_equal(pthread_create(&call.thread, NULL, run_flow_call, &call), 0);
		request = expect(IPC_FLOW_SET, &body);
		assert_int_equal(((const struct ipc_flow *)body)->local_port_be, 0);
		if (i == 0)
			answer(request, -ENOSPC, NULL, 0);
		else if (i == 1)
			answer(request, 0, &reply, sizeof(reply));
		else
			assert_int_equal(ipc_send_descriptor(connection, IPC_FLOW_SET, IPC_REPLY,
			                                     request->seq, &reply, sizeof(reply),
			                                     pipes[1]),
			                 0);
		pthread_join(call.thread, NULL);
		if (i < 2)
			assert_int_equal(call.result, i ? -EPROTO : -ENOSPC);
	}
	assert_true(call.result >= 0);
	assert_int_equal(call.flow.local_port_be, 77);
	assert_int_equal(write(call.result, "x", 1), 1);
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	assert_int_equal(byte, 'x');
	close(call.result);
	close(pipes[0]);
	close(pipes[1]);
}

static void test_datagrams_pass_both_ways(void **state)
{
	const struct ipc_punt punt = { .source_be = 0x0100000a,
		                       .destination_be = 0x0200000a,
		                       .source_port_be = 500,
		                       .destination_port_be = 500,
		                       .length = 6 };
	const void *body;

	(void)state;
	assert_int_equal(
		ipc_send(connection, IPC_PUNT_RX, 0, 0, 0, &punt, sizeof(punt), "hello", 6), 0);
	WAIT_SEEN(seen.datagrams == 1);
	assert_string_equal(seen.datagram, "hello");
	assert_int_equal(cp_dp_send_datagram(client, &punt, "world"), 0);
	expect(IPC_PUNT_TX, &body);
	assert_memory_equal(body, &punt, sizeof(punt));
	assert_string_equal((const char *)body + sizeof(punt), "world");
}

static void count_entry(void *context, const void *entry)
{
	const struct ipc_environment_state *environment = entry;
	size_t *count = context;

	assert_string_equal(environment->name, *count ? "second" : "first");
	++*count;
}

struct listing {
	pthread_t thread;
	size_t count;
	int status;
};

static void *run_listing(void *argument)
{
	struct listing *listing = argument;

	listing->status = cp_dp_list(client, IPC_STATE, sizeof(struct ipc_environment_state),
	                             count_entry, &listing->count);
	return NULL;
}

static void answer_part(const char *name, uint64_t expected_cursor, uint64_t next)
{
	struct {
		struct ipc_list list;
		struct ipc_environment_state entry;
	} part = { .list = { .next = next, .count = 1, .entry_size = sizeof(part.entry) } };
	const void *body;

	strcpy(part.entry.name, name);
	expect(IPC_STATE, &body);
	assert_int_equal(((const struct ipc_cursor *)body)->cursor, expected_cursor);
	answer((const struct ipc_header *)message, 0, &part, sizeof(part));
}

static void test_lists_are_read_to_their_end(void **state)
{
	struct listing listing = { 0 };

	(void)state;
	assert_int_equal(pthread_create(&listing.thread, NULL, run_listing, &listing), 0);
	answer_part("first", 0, 9);
	answer_part("second", 9, 0);
	pthread_join(listing.thread, NULL);
	assert_int_equal(listing.status, 0);
	assert_int_equal(listing.count, 2);
}

static void test_end_of_connection_ends_requests(void **state)
{
	struct call call;

	(void)state;
	begin_call(&call, "a");
	expect(IPC_SPI_ALLOC, NULL);
	hang_up();
	assert_int_equal(end_call(&call), -ECONNRESET);
	WAIT_SEEN(seen.lost == 1);
}

static void test_same_epoch_again_is_not_new(void **state)
{
	(void)state;
	serve(5, 1);
	assert_int_equal(seen.ready_new, 1);
	hang_up();
	WAIT_SEEN(seen.lost == 2);
}

static void test_other_epoch_is_new(void **state)
{
	(void)state;
	serve(6, 0);
	assert_int_equal(seen.ready_new, 2);
	hang_up();
	WAIT_SEEN(seen.lost == 3);
}

static void test_running_dataplane_with_another_node_is_used(void **state)
{
	struct ipc_refusal refusal = { .reason = "another node" };
	const unsigned before = count_of(&seen.ready);
	struct cp_dp_state dp;

	(void)state;
	greet(6, "lab", IPC_HELLO_STARTED, 4);
	answer(expect(IPC_NODE, NULL), -EBUSY, &refusal, sizeof(refusal));
	expect_and_accept(IPC_CONFIG_BEGIN);
	expect_and_accept(IPC_CONFIG_COMMIT);
	WAIT_SEEN(seen.ready == before + 1);
	cp_dp_state(client, &dp);
	assert_string_equal(dp.warning, "another node");
	hang_up();
	WAIT_SEEN(seen.lost == 4);
}

static void test_refused_generation_leaves_the_old_one(void **state)
{
	struct ipc_refusal refusal = { .reason = "no room" };
	const unsigned before = count_of(&seen.ready);
	struct cp_dp_state dp;

	(void)state;
	greet(6, "lab", IPC_HELLO_STARTED, 4);
	expect_and_accept(IPC_NODE);
	expect_and_accept(IPC_CONFIG_BEGIN);
	answer(expect(IPC_CONFIG_COMMIT, NULL), -ENOSPC, &refusal, sizeof(refusal));
	WAIT_SEEN(seen.ready == before + 1);
	cp_dp_state(client, &dp);
	assert_string_equal(dp.warning, "no room");
	hang_up();
	WAIT_SEEN(seen.lost == 5);
}

static void test_bytes_that_are_no_message_end_the_connection(void **state)
{
	(void)state;
	serve(6, 4);
	assert_int_equal(write(connection, "garbage", 7), 7);
	await(connection);
	assert_int_equal(ipc_receive(connection, message, sizeof(message)), 0);
	hang_up();
	WAIT_SEEN(seen.lost == 6);
	await(listener);
}

/* While a successor has the dataplane nobody knocks there. */
static void test_paused_until_resumed(void **state)
{
	struct ipc_tunnel id = { .environment = "production", .server = "a" };
	struct pollfd knock = { .fd = listener, .events = POLLIN };
	const unsigned lost = count_of(&seen.lost);
	struct cp_dp_state dp;

	(void)state;
	serve(9, 1);
	cp_dp_pause(client, "a successor is taking over");
	WAIT_SEEN(seen.lost > lost);
	await(connection);
	assert_int_equal(ipc_receive(connection, message, sizeof(message)), 0);
	hang_up();
	assert_int_equal(cp_dp_call(client, IPC_SPI_ALLOC, &id, sizeof(id), NULL, 0), -ENOTCONN);
	cp_dp_state(client, &dp);
	assert_false(dp.is_connected);
	assert_string_equal(dp.why, "a successor is taking over");
	assert_int_equal(poll(&knock, 1, 300), 0); /* longer than it would wait */
	cp_dp_resume(client);
	serve(9, 1);
}

static int set_up(void **state)
{
	const struct cp_dp_options options = {
		.socket_path = SOCKET, .instance = "lab", .epoch = OUR_EPOCH, .config = &config
	};
	const struct cp_dp_callbacks callbacks = { on_ready,    on_lost,     on_changed,
		                                   on_datagram, on_datagram, NULL };

	if (unit_enter_directory(state) != 0)
		return -1;
	sp_log_init("test", SP_LOG_ERR);
	strcpy(config.name, "gw-a");
	strcpy(config.uplink.device, "vdev:a");
	strcpy(config.cluster.device, "vdev:b");
	config.uplink.address_be = 0x0100000a;
	config.cluster.address_be = 0x0200000a;
	config.holders = 1;
	config.uplink.prefix_length = config.cluster.prefix_length = 24;
	config.uplink.mtu = config.cluster.mtu = 1500;
	config.sessions = 65536;
	strcpy(config.cores, "auto");
	pristine = config;
	listener = ipc_listen(SOCKET, (gid_t)-1);
	return listener >= 0 && cp_dp_create(&options, &client) == 0 &&
	                       cp_dp_start(client, &callbacks) == 0
	               ? 0
	               : -1;
}

static int tear_down(void **state)
{
	close(listener);
	unlink(SOCKET);
	return unit_leave_directory(state);
}

/* ---- another configuration ---- */

struct configure {
	pthread_t thread;
	struct cp_config config;
	char why[CP_DP_WHY_LEN];
	int status;
};

static void *run_configure(void *argument)
{
	struct configure *configure = argument;

	configure->status = cp_dp_configure(client, &configure->config, configure->why);
	return NULL;
}

static void begin_configure(struct configure *configure, const char *node)
{
	configure->config = pristine;
	strcpy(configure->config.name, node);
	assert_int_equal(pthread_create(&configure->thread, NULL, run_configure, configure), 0);
}

static int end_configure(struct configure *configure)
{
	pthread_join(configure->thread, NULL);
	return configure->status;
}

/* Reconnects; the node that it brings tells which configuration is in force. */
static void require_node(const char *node)
{
	const unsigned before = count_of(&seen.ready);
	const void *body;

	hang_up();
	greet(6, "lab", 0, 0);
	expect(IPC_NODE, &body);
	assert_string_equal(((const struct ipc_node *)body)->name, node);
	answer((const struct ipc_header *)message, 0, NULL, 0);
	expect_and_accept(IPC_CONFIG_BEGIN);
	expect_and_accept(IPC_CONFIG_COMMIT);
	WAIT_SEEN(seen.ready == before + 1);
}

static void test_other_configuration_is_committed(void **state)
{
	static struct configure other;
	struct cp_dp_state dp;
	uint64_t generation;

	(void)state;
	cp_dp_state(client, &dp);
	generation = dp.generation;
	begin_configure(&other, "other");
	expect_and_accept(IPC_CONFIG_BEGIN);
	expect_and_accept(IPC_CONFIG_COMMIT);
	assert_int_equal(end_configure(&other), 0);
	cp_dp_state(client, &dp);
	assert_int_equal(dp.generation, generation + 1);
	require_node("other");
}

static void test_refused_configuration_changes_nothing(void **state)
{
	static struct configure refused;
	struct ipc_refusal refusal = { .reason = "no slot left" };
	struct cp_dp_state dp;
	uint64_t generation;

	(void)state;
	cp_dp_state(client, &dp);
	generation = dp.generation;
	begin_configure(&refused, "refused");
	expect_and_accept(IPC_CONFIG_BEGIN);
	answer(expect(IPC_CONFIG_COMMIT, NULL), -ENOSPC, &refusal, sizeof(refusal));
	assert_int_equal(end_configure(&refused), -ENOSPC);
	assert_string_equal(refused.why, "no slot left");
	cp_dp_state(client, &dp);
	assert_int_equal(dp.generation, generation);
	require_node("other");
}

/* Nobody knows whether the commit was done: the next connection brings what was before. */
static void test_connection_that_breaks_in_a_commit(void **state)
{
	static struct configure broken;

	(void)state;
	begin_configure(&broken, "broken");
	expect_and_accept(IPC_CONFIG_BEGIN);
	expect(IPC_CONFIG_COMMIT, NULL);
	hang_up();
	assert_int_equal(end_configure(&broken), -ECONNRESET);
	connection = open("/dev/null", O_RDONLY | O_CLOEXEC); /* what require_node() closes */
	require_node("other");
}

static void test_configuration_while_away_is_brought_later(void **state)
{
	static struct configure away;
	const unsigned lost = count_of(&seen.lost);

	(void)state;
	hang_up();
	WAIT_SEEN(seen.lost > lost);
	begin_configure(&away, "away");
	assert_int_equal(end_configure(&away), 0);
	connection = open("/dev/null", O_RDONLY | O_CLOEXEC);
	require_node("away");
}

/* It is replaced while a connection is brought up: that one brings the new one, too. */
static void test_configuration_that_comes_meanwhile(void **state)
{
	static struct configure late;
	const unsigned ready = count_of(&seen.ready);

	(void)state;
	hang_up();
	greet(6, "lab", 0, 0);
	expect(IPC_NODE, NULL);
	begin_configure(&late, "late");
	assert_int_equal(end_configure(&late), 0);
	answer((const struct ipc_header *)message, 0, NULL, 0);
	for (unsigned round = 0; round < 2; round++) {
		expect_and_accept(IPC_CONFIG_BEGIN);
		expect_and_accept(IPC_CONFIG_COMMIT);
		if (round == 0)
			expect_and_accept(IPC_NODE);
	}
	WAIT_SEEN(seen.ready == ready + 1);
	require_node("late");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_served_before_ready),
		cmocka_unit_test(test_other_instance_is_left_alone),
		cmocka_unit_test(test_refused_node_is_told_in_its_words),
		cmocka_unit_test(test_serves_after_the_commit),
		cmocka_unit_test(test_replies_find_their_requests),
		cmocka_unit_test(test_refusal_is_the_callers),
		cmocka_unit_test(test_socket_of_a_flow),
		cmocka_unit_test(test_datagrams_pass_both_ways),
		cmocka_unit_test(test_lists_are_read_to_their_end),
		cmocka_unit_test(test_end_of_connection_ends_requests),
		cmocka_unit_test(test_same_epoch_again_is_not_new),
		cmocka_unit_test(test_other_epoch_is_new),
		cmocka_unit_test(test_running_dataplane_with_another_node_is_used),
		cmocka_unit_test(test_refused_generation_leaves_the_old_one),
		cmocka_unit_test(test_bytes_that_are_no_message_end_the_connection),
		cmocka_unit_test(test_paused_until_resumed),
		cmocka_unit_test(test_other_configuration_is_committed),
		cmocka_unit_test(test_refused_configuration_changes_nothing),
		cmocka_unit_test(test_connection_that_breaks_in_a_commit),
		cmocka_unit_test(test_configuration_while_away_is_brought_later),
		cmocka_unit_test(test_configuration_that_comes_meanwhile),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
