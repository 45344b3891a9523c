/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The contract's checks: every type is taken once as it should be, and refused for each kind of
 * fault.
 */
#include "common/ipc_codec.h"

#include <arpa/inet.h>
#include <errno.h>

#include "tests/unit/common/unit.h"

#define ADDRESS(a, b, c, d) htonl((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))
#define HERE ADDRESS(203, 0, 113, 10)
#define THERE ADDRESS(198, 51, 100, 101)

/* One message under construction. */
struct message {
	struct ipc_header header;
	union {
		uint8_t bytes[IPC_MSG_MAX - sizeof(struct ipc_header)];
		struct ipc_hello hello;
		struct ipc_node node;
		struct ipc_generation generation;
		struct ipc_environment environment;
		struct ipc_server server;
		struct ipc_forward forwards[IPC_FORWARDS_MAX + 1];
		struct ipc_egress egress;
		struct ipc_inbound inbound[IPC_INBOUND_MAX + 1];
		struct ipc_peer peer;
		struct ipc_flow flow;
		struct ipc_tunnel_state tunnel_state;
		struct ipc_tunnel tunnel;
		struct ipc_spi spi;
		struct ipc_sa_add sa_add;
		struct ipc_keepsake keepsake;
		struct ipc_sa_update sa_update;
		struct ipc_sa_id sa_id;
		struct ipc_sa_info sa_info;
		struct ipc_session_query session_query;
		struct ipc_move move;
		struct ipc_punt punt;
		struct ipc_event event;
		struct ipc_refusal refusal;
		struct ipc_list list;
	};
};

static struct message m;

static int decode(void)
{
	const struct ipc_header *header;
	const void *body;
	int rc = ipc_decode(&m, m.header.length, &header, &body);

	if (rc == 0) {
		assert_ptr_equal(header, &m.header);
		assert_ptr_equal(body, m.bytes);
		assert_int_equal(ipc_body_length(header), m.header.length - sizeof(m.header));
	}
	return rc;
}

static void begin(uint16_t type, size_t body_length)
{
	memset(&m, 0, sizeof(m));
	m.header.type = type;
	m.header.length = (uint32_t)(sizeof(m.header) + body_length);
}

static void fill_tunnel(struct ipc_tunnel *tunnel)
{
	strcpy(tunnel->environment, "production");
	strcpy(tunnel->server, "a");
}

static void fill_port(struct ipc_port *port, const char *device, uint32_t address_be)
{
	strcpy(port->device, device);
	port->address_be = address_be;
	port->prefix_length = 24;
	port->mtu = 1500;
}

static void fill_sa_id(struct ipc_sa_id *id)
{
	id->spi_be = htonl(0xc0000001);
	id->destination_be = HERE;
	id->direction = IPC_IN;
}

/* A good message of each type. */
static void fill(uint16_t type)
{
	switch (type) {
	case IPC_HELLO:
		begin(type, sizeof(m.hello));
		m.hello = (struct ipc_hello){ .magic = IPC_MAGIC,
			                      .major = IPC_VERSION_MAJOR,
			                      .epoch = 1,
			                      .instance = "edge" };
		break;
	case IPC_NODE:
		begin(type, sizeof(m.node));
		strcpy(m.node.name, "gw-a");
		fill_port(&m.node.uplink, "af_packet:up", HERE);
		fill_port(&m.node.cluster, "memif:/run/x,role=client", ADDRESS(10, 0, 0, 2));
		strcpy(m.node.cores, "auto");
		m.node.sessions = 1024;
		m.node.route_count = 1;
		m.node.routes[0] =
			(struct ipc_prefix){ .address_be = ADDRESS(10, 0, 0, 0), .length = 16 };
		break;
	case IPC_CONFIG_BEGIN:
	case IPC_CONFIG_COMMIT:
		begin(type, sizeof(m.generation));
		m.generation.generation = 1;
		break;
	case IPC_CONFIG_ENVIRONMENT:
		begin(type, sizeof(m.environment));
		strcpy(m.environment.name, "production");
		m.environment.pod_address_be = ADDRESS(10, 0, 0, 33);
		m.environment.source_count = IPC_PREFIXES_MAX;
		for (size_t i = 0; i < IPC_PREFIXES_MAX; i++)
			m.environment.sources[i] =
				(struct ipc_prefix){ .address_be = ADDRESS(10, 0, 1, i),
				                     .length = 32 };
		break;
	case IPC_CONFIG_SERVER:
		begin(type, sizeof(m.server));
		fill_tunnel(&m.server.id);
		break;
	case IPC_CONFIG_FORWARDS:
		begin(type, 2 * sizeof(m.forwards[0]));
		for (size_t i = 0; i < 2; i++) {
			strcpy(m.forwards[i].environment, "production");
			m.forwards[i].to_address_be = ADDRESS(192, 168, 100, 30);
			m.forwards[i].to_port_be = htons(8080);
			m.forwards[i].port_be = htons(33000);
			m.forwards[i].protocol = i == 0 ? 6 : 17;
		}
		break;
	case IPC_CONFIG_EGRESS:
		begin(type, sizeof(m.egress));
		strcpy(m.egress.environment, "production");
		m.egress.address_count = 2;
		m.egress.addresses_be[0] = HERE;
		m.egress.addresses_be[1] = THERE;
		m.egress.source_count = 1;
		m.egress.sources[0] =
			(struct ipc_prefix){ .address_be = ADDRESS(10, 0, 1, 0), .length = 24 };
		break;
	case IPC_CONFIG_INBOUND:
		begin(type, 2 * sizeof(m.inbound[0]));
		for (size_t i = 0; i < 2; i++) {
			m.inbound[i].to_address_be = ADDRESS(10, 0, 1, 20);
			m.inbound[i].to_port_be = htons(8443);
			m.inbound[i].port_be = htons(443);
			m.inbound[i].protocol = i == 0 ? 6 : 17;
		}
		break;
	case IPC_PEER_SET:
		begin(type, sizeof(m.peer));
		fill_tunnel(&m.peer.id);
		m.peer.remote_be = THERE;
		m.peer.ike_port_be = htons(500);
		m.peer.natt_port_be = htons(4500);
		break;
	case IPC_TUNNEL_SET:
		begin(type, sizeof(m.tunnel_state));
		fill_tunnel(&m.tunnel_state.id);
		m.tunnel_state.inner_address_be = ADDRESS(10, 99, 0, 1);
		m.tunnel_state.is_up = 1;
		break;
	case IPC_SPI_ALLOC:
		begin(type, sizeof(m.tunnel));
		fill_tunnel(&m.tunnel);
		break;
	case IPC_KEEPSAKE_SET:
		begin(type, sizeof(m.keepsake));
		fill_tunnel(&m.keepsake.id);
		m.keepsake.length = 3;
		memset(m.keepsake.data, 0x55, 3);
		break;
	case IPC_KEEPSAKE_GET:
		begin(type, sizeof(m.tunnel));
		fill_tunnel(&m.tunnel);
		break;
	case IPC_SA_ADD:
		begin(type, sizeof(m.sa_add));
		fill_tunnel(&m.sa_add.tunnel);
		fill_sa_id(&m.sa_add.id);
		m.sa_add.local_be = HERE;
		m.sa_add.remote_be = THERE;
		m.sa_add.local_port_be = m.sa_add.remote_port_be = htons(4500);
		m.sa_add.flags = IPC_SA_ESN | IPC_SA_UDP;
		m.sa_add.algorithm = IPC_AES256_GCM16;
		m.sa_add.key_length = 36;
		m.sa_add.replay_window = 1024;
		memset(m.sa_add.key, 0x55, 36);
		break;
	case IPC_SA_UPDATE:
		begin(type, sizeof(m.sa_update));
		fill_sa_id(&m.sa_update.id);
		m.sa_update.local_be = HERE;
		m.sa_update.remote_be = THERE;
		m.sa_update.local_port_be = m.sa_update.remote_port_be = htons(4500);
		m.sa_update.flags = IPC_SA_UDP;
		break;
	case IPC_SA_DEL:
	case IPC_SA_QUERY:
		begin(type, sizeof(m.sa_id));
		fill_sa_id(&m.sa_id);
		break;
	case IPC_SA_LIST:
	case IPC_STATE:
	case IPC_TUNNELS:
	case IPC_EGRESS:
		begin(type, sizeof(struct ipc_cursor));
		break;
	case IPC_SESSIONS:
		begin(type, sizeof(m.session_query));
		break;
	case IPC_MOVE:
		begin(type, sizeof(m.move));
		strcpy(m.move.environment, "production");
		strcpy(m.move.server, "a");
		m.move.reason = IPC_MOVE_BY_HAND;
		break;
	case IPC_PUNT_TX:
	case IPC_PUNT_RX:
	case IPC_STREAM_TX:
	case IPC_STREAM_RX:
		begin(type, sizeof(m.punt) + 28);
		m.punt = (struct ipc_punt){ HERE, THERE, htons(500), htons(500), 28 };
		break;
	case IPC_FLOW_SET:
	case IPC_FLOW_DEL:
		begin(type, sizeof(m.flow));
		m.flow = (struct ipc_flow){
			THERE, htons(443), type == IPC_FLOW_SET ? 0 : htons(50000), 6, { 0 }
		};
		break;
	case IPC_EVENT:
		begin(type, sizeof(m.event));
		m.event.changed = IPC_CHANGED_SAS;
		break;
	default:
		fail();
	}
}

static const uint16_t requests[] = {
	IPC_HELLO,          IPC_NODE,
	IPC_CONFIG_BEGIN,   IPC_CONFIG_ENVIRONMENT,
	IPC_CONFIG_SERVER,  IPC_CONFIG_FORWARDS,
	IPC_CONFIG_COMMIT,  IPC_PEER_SET,
	IPC_TUNNEL_SET,     IPC_SPI_ALLOC,
	IPC_SA_ADD,         IPC_SA_UPDATE,
	IPC_SA_DEL,         IPC_SA_QUERY,
	IPC_KEEPSAKE_SET,   IPC_KEEPSAKE_GET,
	IPC_SA_LIST,        IPC_STATE,
	IPC_TUNNELS,        IPC_SESSIONS,
	IPC_MOVE,           IPC_CONFIG_EGRESS,
	IPC_CONFIG_INBOUND, IPC_EGRESS,
};
static const uint16_t one_way[] = { IPC_PUNT_TX, IPC_PUNT_RX, IPC_EVENT };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool is_request(uint16_t type)
{
	return type != IPC_PUNT_TX && type != IPC_PUNT_RX && type != IPC_EVENT;
}

/* What is refused in a message of any type. */
static void check_framing(uint16_t type)
{
	const struct ipc_header *header;
	const void *body;
	uint32_t length;

	fill(type);
	assert_int_equal(decode(), 0);
	assert_string_not_equal(ipc_type_name(type), "unknown");

	m.header.seq = 1;
	assert_int_equal(decode(), is_request(type) ? 0 : -EBADMSG);
	m.header.seq = 0;
	m.header.status = -1;
	assert_int_equal(decode(), -EBADMSG);
	m.header.status = 1;
	assert_int_equal(decode(), -EBADMSG);
	m.header.status = 0;
	m.header.flags = 2;
	assert_int_equal(decode(), -EBADMSG);
	m.header.flags = 0;

	/* Every length but the right one. */
	length = m.header.length;
	for (uint32_t shorter = 0; shorter < length; shorter++) {
		int rc;

		assert_int_equal(ipc_decode(&m, shorter, &header, &body), -EBADMSG);
		if (shorter < sizeof(m.header))
			continue;
		m.header.length = shorter;
		rc = decode();
		if (rc == 0 &&
		    !(type == IPC_CONFIG_FORWARDS &&
		      ipc_body_length(&m.header) == sizeof(m.forwards[0])) &&
		    !(type == IPC_CONFIG_INBOUND &&
		      ipc_body_length(&m.header) % sizeof(m.inbound[0]) == 0))
			fail_msg("%s of %u bytes was taken", ipc_type_name(type), shorter);
	}
	m.header.length = length + 8;
	assert_int_equal(decode(), type == IPC_HELLO ? 0 : -EBADMSG);
	m.header.length = IPC_MSG_MAX + 8;
	assert_int_equal(ipc_decode(&m, m.header.length, &header, &body), -EBADMSG);
	m.header.length = length;
	assert_int_equal(ipc_decode(&m, length + 1, &header, &body), -EBADMSG);
}

static void test_every_type(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(requests); i++)
		check_framing(requests[i]);
	for (size_t i = 0; i < COUNT(one_way); i++)
		check_framing(one_way[i]);
}

static void test_unknown_types(void **state)
{
	unsigned known = 0;

	(void)state;
	for (unsigned type = 0; type <= UINT16_MAX; type++) {
		begin((uint16_t)type, 0);
		known += decode() != -EPROTO;
		known -= strcmp(ipc_type_name((uint16_t)type), "unknown") != 0;
	}
	assert_int_equal(known, 0);
	assert_string_equal(ipc_type_name(IPC_HELLO), "HELLO");
	assert_string_equal(ipc_type_name(IPC_CONFIG_ENVIRONMENT), "CONFIG_ENVIRONMENT");
}

#define REFUSED(type, code, statement)           \
	do {                                     \
		fill(type);                      \
		statement;                       \
		expect(code, #type, #statement); \
	} while (0)
#define TAKEN(type, statement) REFUSED(type, 0, statement)

static void expect(int code, const char *type, const char *statement)
{
	int rc = decode();

	if (rc != code)
		fail_msg("%s with %s: %d instead of %d", type, statement, rc, code);
}

/* Of a name: what follows its end, no end, no name. */
#define NAME_FAULTS(type, field)                                       \
	REFUSED(type, -EINVAL, m.field[30] = 'x');                     \
	REFUSED(type, -EINVAL, memset(m.field, 'x', sizeof(m.field))); \
	REFUSED(type, -EINVAL, strcpy(m.field, "A b"));                \
	REFUSED(type, -EINVAL, strcpy(m.field, "-x"));                 \
	TAKEN(type, memset(m.field, 'x', 31))
#define REQUIRED_NAME_FAULTS(type, field) \
	NAME_FAULTS(type, field);         \
	REFUSED(type, -EINVAL, memset(m.field, 0, sizeof(m.field)))
#define OPTIONAL_NAME_FAULTS(type, field)                                                \
	NAME_FAULTS(type, field);                                                        \
	REFUSED(type, -EINVAL, (memset(m.field, 0, sizeof(m.field)), m.field[1] = 'x')); \
	TAKEN(type, memset(m.field, 0, sizeof(m.field)))
#define HOST_FAULTS(type, field)                                 \
	REFUSED(type, -EINVAL, m.field = ADDRESS(127, 0, 0, 1)); \
	REFUSED(type, -EINVAL, m.field = ADDRESS(224, 0, 0, 1)); \
	REFUSED(type, -EINVAL, m.field = UINT32_MAX)
#define TUNNEL_FAULTS(type, field)                     \
	REQUIRED_NAME_FAULTS(type, field.environment); \
	REQUIRED_NAME_FAULTS(type, field.server)

static void test_hello(void **state)
{
	(void)state;
	REQUIRED_NAME_FAULTS(IPC_HELLO, hello.instance);
	REFUSED(IPC_HELLO, -EINVAL, m.hello.epoch = 0);
	TAKEN(IPC_HELLO, m.hello.major = 9);

	fill(IPC_HELLO);
	assert_int_equal(ipc_hello_check(&m.hello, "edge"), 0);
	assert_int_equal(ipc_hello_check(&m.hello, "other"), -EXDEV);
	m.hello.minor = 200;
	assert_int_equal(ipc_hello_check(&m.hello, "edge"), 0);
	m.hello.major++;
	assert_int_equal(ipc_hello_check(&m.hello, "edge"), -EPROTONOSUPPORT);
	m.hello.magic++;
	assert_int_equal(ipc_hello_check(&m.hello, "edge"), -EPROTO);
}

static void check_node_port(struct ipc_port *port)
{
	REFUSED(IPC_NODE, -EINVAL, port->device[0] = 0);
	REFUSED(IPC_NODE, -EINVAL, port->device[IPC_DEVICE_LEN - 1] = 'x');
	REFUSED(IPC_NODE, -EINVAL, memset(port->device, 0, sizeof(port->device)));
	REFUSED(IPC_NODE, -EINVAL, port->address_be = 0);
	REFUSED(IPC_NODE, -EINVAL, port->router_be = UINT32_MAX);
	REFUSED(IPC_NODE, -EINVAL, port->prefix_length = 33);
	REFUSED(IPC_NODE, -EBADMSG, port->pad0 = 1);
	REFUSED(IPC_NODE, -EBADMSG, port->pad1 = 1);
	REFUSED(IPC_NODE, -EINVAL, port->mtu = 575);
	REFUSED(IPC_NODE, -EINVAL, port->mtu = 9001);
	REFUSED(IPC_NODE, -EINVAL, port->queues = 257);
	TAKEN(IPC_NODE, port->router_be = ADDRESS(192, 0, 2, 1));
}

static void test_node(void **state)
{
	(void)state;
	REQUIRED_NAME_FAULTS(IPC_NODE, node.name);
	check_node_port(&m.node.uplink);
	check_node_port(&m.node.cluster);
	REFUSED(IPC_NODE, -EINVAL, memset(m.node.cores, 0, sizeof(m.node.cores)));
	REFUSED(IPC_NODE, -EINVAL, memset(m.node.cores, '1', sizeof(m.node.cores)));
	REFUSED(IPC_NODE, -EINVAL, m.node.workers = 65);
	REFUSED(IPC_NODE, -EINVAL, m.node.sessions = 0);
	REFUSED(IPC_NODE, -EINVAL, m.node.flags = 2);
	REFUSED(IPC_NODE, -EINVAL, m.node.idle = 2);
	REFUSED(IPC_NODE, -EINVAL, m.node.hugepages = 3);
	REFUSED(IPC_NODE, -EBADMSG, m.node.pad0 = 1);
	REFUSED(IPC_NODE, -EBADMSG, m.node.pad1 = 1);
	REFUSED(IPC_NODE, -EINVAL, m.node.route_count = IPC_PREFIXES_MAX + 1);
	REFUSED(IPC_NODE, -EINVAL, m.node.route_count = UINT32_MAX);
	REFUSED(IPC_NODE, -EINVAL, m.node.routes[0].length = 33);
	REFUSED(IPC_NODE, -EINVAL, m.node.routes[0].address_be = ADDRESS(10, 0, 0, 1));
	REFUSED(IPC_NODE, -EBADMSG, m.node.routes[0].pad[2] = 1);
	REFUSED(IPC_NODE, -EBADMSG, m.node.routes[1].length = 1);
	REFUSED(IPC_NODE, -EBADMSG, m.node.route_count = 0);
	TAKEN(IPC_NODE, m.node.flags = IPC_NODE_ALLOW_SLOW_CRYPTO);
}

static void test_configuration(void **state)
{
	(void)state;
	REFUSED(IPC_CONFIG_BEGIN, -EINVAL, m.generation.generation = 0);
	REFUSED(IPC_CONFIG_COMMIT, -EINVAL, m.generation.generation = 0);

	REQUIRED_NAME_FAULTS(IPC_CONFIG_ENVIRONMENT, environment.name);
	HOST_FAULTS(IPC_CONFIG_ENVIRONMENT, environment.pod_address_be);
	REFUSED(IPC_CONFIG_ENVIRONMENT, -EINVAL, m.environment.pod_address_be = 0);
	REFUSED(IPC_CONFIG_ENVIRONMENT, -EINVAL, m.environment.source_count = IPC_PREFIXES_MAX + 1);
	REFUSED(IPC_CONFIG_ENVIRONMENT, -EBADMSG, m.environment.source_count--);
	REFUSED(IPC_CONFIG_ENVIRONMENT, -EBADMSG, m.environment.pad = 1);
	REFUSED(IPC_CONFIG_ENVIRONMENT, -EINVAL, m.environment.flags = 8);
	REFUSED(IPC_CONFIG_ENVIRONMENT, -EINVAL,
	        m.environment.probe_target_be = ADDRESS(224, 0, 0, 1));
	REFUSED(IPC_CONFIG_ENVIRONMENT, -EINVAL, m.environment.sources[31].length = 31);
	REFUSED(IPC_CONFIG_ENVIRONMENT, -EINVAL, m.environment.port_quota = 65537);
	REFUSED(IPC_CONFIG_ENVIRONMENT, -EBADMSG, m.environment.pad1 = 1);
	REFUSED(IPC_CONFIG_ENVIRONMENT, -EINVAL, m.environment.rate_bps = IPC_RATE_MIN - 1);
	REFUSED(IPC_CONFIG_ENVIRONMENT, -EINVAL, m.environment.rate_bps = IPC_RATE_MAX + 1);
	TAKEN(IPC_CONFIG_ENVIRONMENT, m.environment.rate_bps = IPC_RATE_MAX);

	TUNNEL_FAULTS(IPC_CONFIG_SERVER, server.id);
	REFUSED(IPC_CONFIG_SERVER, -EBADMSG, m.server.pad[2] = 1);
	REFUSED(IPC_CONFIG_SERVER, -EBADMSG, m.server.pad1 = 1);

	OPTIONAL_NAME_FAULTS(IPC_CONFIG_EGRESS, egress.environment);
	REFUSED(IPC_CONFIG_EGRESS, -EINVAL, m.egress.address_count = 0);
	REFUSED(IPC_CONFIG_EGRESS, -EINVAL, m.egress.address_count = IPC_EGRESS_ADDRESSES_MAX + 1);
	REFUSED(IPC_CONFIG_EGRESS, -EBADMSG, m.egress.address_count--);
	REFUSED(IPC_CONFIG_EGRESS, -EINVAL, m.egress.addresses_be[1] = ADDRESS(127, 0, 0, 1));
	REFUSED(IPC_CONFIG_EGRESS, -EINVAL, m.egress.source_count = IPC_PREFIXES_MAX + 1);
	REFUSED(IPC_CONFIG_EGRESS, -EBADMSG, m.egress.source_count--);
	REFUSED(IPC_CONFIG_EGRESS, -EINVAL, m.egress.sources[0].length = 23);
	REFUSED(IPC_CONFIG_EGRESS, -EBADMSG, m.egress.allow[0].length = 8);
	REFUSED(IPC_CONFIG_EGRESS, -EINVAL, m.egress.allow_count = 1); /* of an environment */
	REFUSED(IPC_CONFIG_EGRESS, -EBADMSG, m.egress.pad = 1);

	REFUSED(IPC_CONFIG_INBOUND, -EINVAL, m.inbound[1].to_address_be = 0);
	REFUSED(IPC_CONFIG_INBOUND, -EINVAL, m.inbound[1].address_be = ADDRESS(224, 0, 0, 1));
	REFUSED(IPC_CONFIG_INBOUND, -EINVAL, m.inbound[1].to_port_be = 0);
	REFUSED(IPC_CONFIG_INBOUND, -EINVAL, m.inbound[1].port_be = 0);
	REFUSED(IPC_CONFIG_INBOUND, -EINVAL, m.inbound[1].protocol = 1);
	REFUSED(IPC_CONFIG_INBOUND, -EBADMSG, m.inbound[1].pad[2] = 1);

	REQUIRED_NAME_FAULTS(IPC_CONFIG_FORWARDS, forwards[1].environment);
	OPTIONAL_NAME_FAULTS(IPC_CONFIG_FORWARDS, forwards[1].server);
	HOST_FAULTS(IPC_CONFIG_FORWARDS, forwards[1].to_address_be);
	REFUSED(IPC_CONFIG_FORWARDS, -EINVAL, m.forwards[1].to_port_be = 0);
	REFUSED(IPC_CONFIG_FORWARDS, -EINVAL, m.forwards[1].port_be = 0);
	REFUSED(IPC_CONFIG_FORWARDS, -EINVAL, m.forwards[1].protocol = 0);
	REFUSED(IPC_CONFIG_FORWARDS, -EINVAL, m.forwards[1].protocol = 132);
	REFUSED(IPC_CONFIG_FORWARDS, -EBADMSG, m.forwards[1].pad[6] = 1);
	fill(IPC_CONFIG_FORWARDS);
	for (size_t i = 2; i <= IPC_FORWARDS_MAX; i++)
		m.forwards[i] = m.forwards[0];
	m.header.length = sizeof(m.header) + IPC_FORWARDS_MAX * sizeof(m.forwards[0]);
	assert_int_equal(decode(), 0);
	m.header.length += sizeof(m.forwards[0]);
	assert_int_equal(decode(), -EBADMSG);
}

static void test_leases(void **state)
{
	(void)state;
	TUNNEL_FAULTS(IPC_PEER_SET, peer.id);
	HOST_FAULTS(IPC_PEER_SET, peer.remote_be);
	REFUSED(IPC_PEER_SET, -EINVAL, m.peer.ike_port_be = 0);
	REFUSED(IPC_PEER_SET, -EINVAL, m.peer.natt_port_be = 0);
	TAKEN(IPC_PEER_SET,
	      (m.peer.remote_be = 0, m.peer.ike_port_be = 0, m.peer.natt_port_be = 0));

	TUNNEL_FAULTS(IPC_TUNNEL_SET, tunnel_state.id);
	HOST_FAULTS(IPC_TUNNEL_SET, tunnel_state.inner_address_be);
	REFUSED(IPC_TUNNEL_SET, -EINVAL, m.tunnel_state.is_up = 2);
	REFUSED(IPC_TUNNEL_SET, -EINVAL, m.tunnel_state.is_up = 0);
	REFUSED(IPC_TUNNEL_SET, -EINVAL, m.tunnel_state.inner_address_be = 0);
	REFUSED(IPC_TUNNEL_SET, -EBADMSG, m.tunnel_state.pad[0] = 1);
	TAKEN(IPC_TUNNEL_SET, (m.tunnel_state.is_up = 0, m.tunnel_state.inner_address_be = 0));

	TUNNEL_FAULTS(IPC_SPI_ALLOC, tunnel);

	TUNNEL_FAULTS(IPC_KEEPSAKE_SET, keepsake.id);
	TUNNEL_FAULTS(IPC_KEEPSAKE_GET, tunnel);
	REFUSED(IPC_KEEPSAKE_SET, -EINVAL, m.keepsake.length = IPC_KEEPSAKE_MAX + 1);
	REFUSED(IPC_KEEPSAKE_SET, -EBADMSG, m.keepsake.data[m.keepsake.length] = 1);
	REFUSED(IPC_KEEPSAKE_SET, -EBADMSG, m.keepsake.pad = 1);
	TAKEN(IPC_KEEPSAKE_SET,
	      (m.keepsake.length = 0, memset(m.keepsake.data, 0, sizeof(m.keepsake.data))));
	TAKEN(IPC_KEEPSAKE_SET,
	      (m.keepsake.length = IPC_KEEPSAKE_MAX, m.keepsake.data[IPC_KEEPSAKE_MAX - 1] = 1));

	REFUSED(IPC_SA_UPDATE, -EINVAL, m.sa_update.flags = IPC_SA_UDP | IPC_SA_ESN);
	REFUSED(IPC_SA_UPDATE, -EINVAL, m.sa_update.flags = IPC_SA_UDP | IPC_SA_EARLY);
	REFUSED(IPC_SA_UPDATE, -EINVAL, m.sa_update.local_port_be = 0);
	REFUSED(IPC_SA_UPDATE, -EINVAL, m.sa_update.remote_port_be = 0);
	REFUSED(IPC_SA_UPDATE, -EINVAL, m.sa_update.id.spi_be = htonl(255));
	REFUSED(IPC_SA_UPDATE, -EINVAL, m.sa_update.local_be = 0);
	HOST_FAULTS(IPC_SA_UPDATE, sa_update.remote_be);
	TAKEN(IPC_SA_UPDATE, (m.sa_update.flags = 0, m.sa_update.local_port_be = 0,
	                      m.sa_update.remote_port_be = 0));

	REFUSED(IPC_SA_DEL, -EINVAL, m.sa_id.spi_be = 0);
	REFUSED(IPC_SA_DEL, -EINVAL, m.sa_id.destination_be = 0);
	REFUSED(IPC_SA_DEL, -EINVAL, m.sa_id.direction = 0);
	REFUSED(IPC_SA_DEL, -EINVAL, m.sa_id.direction = 3);
	REFUSED(IPC_SA_QUERY, -EBADMSG, m.sa_id.pad[6] = 1);
}

static void test_sa_add(void **state)
{
	static const struct {
		uint16_t algorithm, key_length;
	} keys[] = {
		{ IPC_AES128_GCM16, 20 },          { IPC_AES192_GCM16, 28 },
		{ IPC_AES256_GCM16, 36 },          { IPC_CHACHA20_POLY1305, 36 },
		{ IPC_AES128_CBC_SHA1_96, 36 },    { IPC_AES128_CBC_SHA256_128, 48 },
		{ IPC_AES128_CBC_SHA384_192, 64 }, { IPC_AES128_CBC_SHA512_256, 80 },
		{ IPC_AES192_CBC_SHA1_96, 44 },    { IPC_AES192_CBC_SHA256_128, 56 },
		{ IPC_AES192_CBC_SHA384_192, 72 }, { IPC_AES192_CBC_SHA512_256, 88 },
		{ IPC_AES256_CBC_SHA1_96, 52 },    { IPC_AES256_CBC_SHA256_128, 64 },
		{ IPC_AES256_CBC_SHA384_192, 80 }, { IPC_AES256_CBC_SHA512_256, 96 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(keys); i++) {
		for (uint16_t length = 0; length <= IPC_KEY_MAX + 4; length++) {
			fill(IPC_SA_ADD);
			memset(m.sa_add.key, 0, sizeof(m.sa_add.key));
			m.sa_add.algorithm = keys[i].algorithm;
			m.sa_add.key_length = length;
			assert_int_equal(decode(), length == keys[i].key_length ? 0 : -EINVAL);
		}
	}
	TUNNEL_FAULTS(IPC_SA_ADD, sa_add.tunnel);
	REFUSED(IPC_SA_ADD, -EINVAL, m.sa_add.algorithm = 0);
	REFUSED(IPC_SA_ADD, -EINVAL, m.sa_add.algorithm = 17);
	REFUSED(IPC_SA_ADD, -EINVAL, m.sa_add.algorithm = IPC_AES256_CBC_SHA1_96);
	REFUSED(IPC_SA_ADD, -EINVAL, m.sa_add.algorithm = UINT16_MAX);
	REFUSED(IPC_SA_ADD, -EBADMSG, m.sa_add.key[36] = 1);
	REFUSED(IPC_SA_ADD, -EBADMSG, m.sa_add.pad = 1);
	REFUSED(IPC_SA_ADD, -EBADMSG, m.sa_add.id.pad[0] = 1);
	REFUSED(IPC_SA_ADD, -EINVAL, m.sa_add.flags = IPC_SA_STREAM);
	REFUSED(IPC_SA_ADD, -EINVAL, m.sa_add.flags = 32);
	REFUSED(IPC_SA_ADD, -EBADMSG, m.sa_add.openvpn.key_id = 1);
	TAKEN(IPC_SA_ADD, m.sa_add.flags = IPC_SA_EARLY);
	REFUSED(IPC_SA_ADD, -EINVAL,
	        (m.sa_add.id.direction = IPC_OUT, m.sa_add.id.destination_be = THERE,
	         m.sa_add.flags = IPC_SA_EARLY));
	REFUSED(IPC_SA_ADD, -EINVAL, m.sa_add.id.direction = 0);
	REFUSED(IPC_SA_ADD, -EINVAL, m.sa_add.id.spi_be = htonl(255));
	TAKEN(IPC_SA_ADD, m.sa_add.id.spi_be = htonl(256));
	REFUSED(IPC_SA_ADD, -EINVAL, m.sa_add.id.destination_be = THERE);
	REFUSED(IPC_SA_ADD, -EINVAL, m.sa_add.id.direction = IPC_OUT);
	TAKEN(IPC_SA_ADD, (m.sa_add.id.direction = IPC_OUT, m.sa_add.id.destination_be = THERE,
	                   m.sa_add.replay_window = 0));
	REFUSED(IPC_SA_ADD, -EINVAL, m.sa_add.replay_window = 31);
	REFUSED(IPC_SA_ADD, -EINVAL, m.sa_add.replay_window = 4097);
	REFUSED(IPC_SA_ADD, -EINVAL, m.sa_add.local_be = 0);
	REFUSED(IPC_SA_ADD, -EINVAL, m.sa_add.remote_be = 0);
	REFUSED(IPC_SA_ADD, -EINVAL, m.sa_add.local_port_be = 0);
	REFUSED(IPC_SA_ADD, -EINVAL, m.sa_add.remote_port_be = 0);
	TAKEN(IPC_SA_ADD,
	      (m.sa_add.flags = 0, m.sa_add.local_port_be = 0, m.sa_add.remote_port_be = 0));
}

#define OPENVPN(change) (fill_openvpn(), (void)(change))

static void fill_openvpn(void)
{
	m.sa_add.flags = IPC_SA_OPENVPN;
	m.sa_add.key_length = 40;
	memset(m.sa_add.key, 0x55, 40);
	m.sa_add.openvpn.peer_id = IPC_OPENVPN_PEER_MAX;
	m.sa_add.openvpn.key_id = 7;
	m.sa_add.openvpn.ping_s = 10;
}

static void test_openvpn(void **state)
{
	static const struct {
		uint16_t algorithm, key_length, epoch_length;
	} keys[] = {
		{ IPC_AES128_GCM16, 24, 32 },         { IPC_AES192_GCM16, 32, 32 },
		{ IPC_AES256_GCM16, 40, 32 },         { IPC_CHACHA20_POLY1305, 40, 32 },
		{ IPC_AES128_CBC_SHA1_160, 36, 0 },   { IPC_AES128_CBC_SHA256_256, 48, 0 },
		{ IPC_AES128_CBC_SHA512_512, 80, 0 }, { IPC_AES192_CBC_SHA1_160, 44, 0 },
		{ IPC_AES192_CBC_SHA256_256, 56, 0 }, { IPC_AES192_CBC_SHA512_512, 88, 0 },
		{ IPC_AES256_CBC_SHA1_160, 52, 0 },   { IPC_AES256_CBC_SHA256_256, 64, 0 },
		{ IPC_AES256_CBC_SHA512_512, 96, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(keys) * 2; i++) {
		uint16_t right = i % 2 ? keys[i / 2].epoch_length : keys[i / 2].key_length;

		for (uint16_t length = 0; length <= IPC_KEY_MAX + 4; length++) {
			fill(IPC_SA_ADD);
			fill_openvpn();
			memset(m.sa_add.key, 0, sizeof(m.sa_add.key));
			m.sa_add.algorithm = keys[i / 2].algorithm;
			m.sa_add.openvpn.format = i % 2;
			m.sa_add.key_length = length;
			assert_int_equal(decode(), right && length == right ? 0 : -EINVAL);
		}
	}
	TAKEN(IPC_SA_ADD, OPENVPN(m.sa_add.openvpn.peer_id = IPC_OPENVPN_NO_PEER));
	TAKEN(IPC_SA_ADD, OPENVPN(m.sa_add.openvpn.framing = IPC_OPENVPN_FRAMING_STUB_V2));
	TAKEN(IPC_SA_ADD, OPENVPN(m.sa_add.openvpn.flags = IPC_OPENVPN_FLOAT | IPC_OPENVPN_LZ4));
	TAKEN(IPC_SA_ADD, OPENVPN(m.sa_add.flags |= IPC_SA_STREAM));
	REFUSED(IPC_SA_ADD, -EINVAL, OPENVPN(m.sa_add.algorithm = IPC_AES256_CBC_SHA256_128));
	REFUSED(IPC_SA_ADD, -EINVAL, OPENVPN(m.sa_add.openvpn.peer_id = IPC_OPENVPN_PEER_MAX + 1));
	REFUSED(IPC_SA_ADD, -EINVAL, OPENVPN(m.sa_add.openvpn.key_id = IPC_OPENVPN_KEY_IDS));
	REFUSED(IPC_SA_ADD, -EINVAL, OPENVPN(m.sa_add.openvpn.format = 2));
	REFUSED(IPC_SA_ADD, -EINVAL, OPENVPN(m.sa_add.openvpn.framing = 4));
	REFUSED(IPC_SA_ADD, -EINVAL, OPENVPN(m.sa_add.openvpn.flags = 4));
	REFUSED(IPC_SA_ADD, -EBADMSG, OPENVPN(m.sa_add.openvpn.pad[2] = 1));
	REFUSED(IPC_SA_ADD, -EINVAL, OPENVPN(m.sa_add.local_port_be = 0));
	REFUSED(IPC_SA_ADD, -EINVAL, OPENVPN(m.sa_add.remote_port_be = 0));
	REFUSED(IPC_SA_ADD, -EINVAL, OPENVPN(m.sa_add.flags |= IPC_SA_ESN));
	REFUSED(IPC_SA_ADD, -EINVAL, OPENVPN(m.sa_add.flags |= IPC_SA_UDP));
	REFUSED(IPC_SA_ADD, -EINVAL, OPENVPN(m.sa_add.flags |= IPC_SA_EARLY));
	REFUSED(IPC_SA_ADD, -EINVAL,
	        OPENVPN((m.sa_add.openvpn.format = IPC_OPENVPN_FORMAT_EPOCH,
	                 memset(m.sa_add.key + 32, 0, 8), m.sa_add.key_length = 32,
	                 m.sa_add.openvpn.peer_id = IPC_OPENVPN_NO_PEER)));

	TAKEN(IPC_SA_UPDATE, m.sa_update.flags = IPC_SA_OPENVPN);
	REFUSED(IPC_SA_UPDATE, -EINVAL,
	        (m.sa_update.flags = IPC_SA_OPENVPN, m.sa_update.remote_port_be = 0));

	TAKEN(IPC_PEER_SET,
	      (m.peer.ike_port_be = m.peer.natt_port_be = 0, m.peer.openvpn_port_be = htons(1194),
	       m.peer.remote_port_be = htons(443)));
	REFUSED(IPC_PEER_SET, -EINVAL, m.peer.openvpn_port_be = htons(1194));
	REFUSED(IPC_PEER_SET, -EINVAL, m.peer.remote_port_be = htons(1194));
	REFUSED(IPC_PEER_SET, -EINVAL,
	        (m.peer.openvpn_port_be = htons(1194), m.peer.remote_port_be = htons(1194)));
	REFUSED(IPC_PEER_SET, -EINVAL,
	        (m.peer.ike_port_be = m.peer.natt_port_be = 0,
	         m.peer.openvpn_port_be = htons(1194)));
	REFUSED(IPC_PEER_SET, -EBADMSG, m.peer.pad = 1);

	HOST_FAULTS(IPC_FLOW_SET, flow.remote_be);
	REFUSED(IPC_FLOW_SET, -EINVAL, m.flow.remote_be = 0);
	REFUSED(IPC_FLOW_SET, -EINVAL, m.flow.remote_port_be = 0);
	REFUSED(IPC_FLOW_SET, -EBADMSG, m.flow.local_port_be = htons(50000));
	REFUSED(IPC_FLOW_DEL, -EINVAL, m.flow.local_port_be = 0);
	REFUSED(IPC_FLOW_SET, -EINVAL, m.flow.protocol = 17);
	REFUSED(IPC_FLOW_DEL, -EBADMSG, m.flow.pad[6] = 1);
	REFUSED(IPC_STREAM_TX, -EBADMSG, m.punt.length++);
	REFUSED(IPC_STREAM_RX, -EBADMSG, m.punt.length--);
}

static void test_owned_by_dataplane(void **state)
{
	(void)state;
	OPTIONAL_NAME_FAULTS(IPC_SESSIONS, session_query.environment);
	REFUSED(IPC_SESSIONS, -EBADMSG, m.session_query.pad = 1);
	REQUIRED_NAME_FAULTS(IPC_MOVE, move.environment);
	REQUIRED_NAME_FAULTS(IPC_MOVE, move.server);
	REFUSED(IPC_MOVE, -EINVAL, m.move.reason = IPC_MOVE_DOWN);
	REFUSED(IPC_MOVE, -EINVAL, m.move.reason = IPC_MOVE_REMOVED);
	REFUSED(IPC_MOVE, -EINVAL, m.move.reason = IPC_MOVE_BACK + 1);
	REFUSED(IPC_MOVE, -EBADMSG, m.move.pad[6] = 1);
}

static void test_datagrams(void **state)
{
	(void)state;
	REFUSED(IPC_EVENT, -EINVAL, m.event.changed = 0);
	REFUSED(IPC_EVENT, -EBADMSG, m.header.flags = IPC_REPLY);
	REFUSED(IPC_PUNT_RX, -EBADMSG, m.header.flags = IPC_REPLY);
	REFUSED(IPC_PUNT_TX, -EBADMSG, m.punt.length = 27);
	REFUSED(IPC_PUNT_TX, -EBADMSG, m.punt.length = 29);
	REFUSED(IPC_PUNT_RX, -EBADMSG, m.punt.length = UINT32_MAX);
	REFUSED(IPC_PUNT_RX, -EINVAL, m.punt.source_port_be = 0);
	REFUSED(IPC_PUNT_RX, -EINVAL, m.punt.destination_port_be = 0);
	REFUSED(IPC_PUNT_RX, -EINVAL, m.punt.source_be = 0);
	HOST_FAULTS(IPC_PUNT_TX, punt.destination_be);
	TAKEN(IPC_PUNT_TX, (m.punt.length = IPC_PUNT_MAX,
	                    m.header.length = sizeof(m.header) + sizeof(m.punt) + IPC_PUNT_MAX));
	REFUSED(IPC_PUNT_TX, -EBADMSG,
	        (m.punt.length = IPC_PUNT_MAX + 1,
	         m.header.length = sizeof(m.header) + sizeof(m.punt) + IPC_PUNT_MAX + 1));
}

static void begin_reply(uint16_t type, int32_t status, size_t body_length)
{
	begin(type, body_length);
	m.header.flags = IPC_REPLY;
	m.header.seq = 5;
	m.header.status = status;
}

static void test_refusals(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(requests); i++) {
		if (requests[i] == IPC_HELLO)
			continue;
		begin_reply(requests[i], -EINVAL, 0);
		assert_int_equal(decode(), 0);
		begin_reply(requests[i], -EINVAL, sizeof(m.refusal));
		assert_int_equal(decode(), 0);
		strcpy(m.refusal.reason, "no such port");
		assert_int_equal(decode(), 0);
		m.refusal.reason[255] = 'x';
		assert_int_equal(decode(), -EINVAL);
		begin_reply(requests[i], -EINVAL, sizeof(m.refusal) - 1);
		assert_int_equal(decode(), -EBADMSG);
		begin_reply(requests[i], 1, 0);
		assert_int_equal(decode(), -EBADMSG);
		begin_reply(requests[i], -4096, 0);
		assert_int_equal(decode(), -EBADMSG);
	}
}

static void test_replies(void **state)
{
	static const struct {
		uint16_t type;
		size_t body_length;
	} bare[] = {
		{ IPC_NODE, 0 },
		{ IPC_CONFIG_BEGIN, 0 },
		{ IPC_CONFIG_ENVIRONMENT, 0 },
		{ IPC_CONFIG_SERVER, 0 },
		{ IPC_PEER_SET, 0 },
		{ IPC_TUNNEL_SET, 0 },
		{ IPC_CONFIG_FORWARDS, 0 },
		{ IPC_CONFIG_COMMIT, 0 },
		{ IPC_CONFIG_EGRESS, 0 },
		{ IPC_CONFIG_INBOUND, 0 },
		{ IPC_SA_ADD, 0 },
		{ IPC_SA_UPDATE, 0 },
		{ IPC_SA_DEL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bare); i++) {
		begin_reply(bare[i].type, 0, 0);
		assert_int_equal(decode(), 0);
		begin_reply(bare[i].type, 0, 8);
		assert_int_equal(decode(), -EBADMSG);
	}

	begin_reply(IPC_HELLO, 0, 0);
	assert_int_equal(decode(), -EBADMSG);
	fill(IPC_HELLO);
	m.header.flags = IPC_REPLY;
	assert_int_equal(decode(), 0);
	/* Refused or not, it is a HELLO. */
	m.header.status = -EXDEV;
	assert_int_equal(decode(), 0);
	begin_reply(IPC_HELLO, -EXDEV, 0);
	assert_int_equal(decode(), -EBADMSG);
	begin_reply(IPC_HELLO, -EXDEV, sizeof(m.refusal));
	assert_int_equal(decode(), -EINVAL);

	begin_reply(IPC_SPI_ALLOC, 0, sizeof(m.spi));
	m.spi.spi_be = htonl(0xc0000000);
	assert_int_equal(decode(), 0);
	m.spi.spi_be = htonl(1);
	assert_int_equal(decode(), -EINVAL);

	begin_reply(IPC_MOVE, 0, sizeof(m.move));
	strcpy(m.move.environment, "production");
	assert_int_equal(decode(), 0);

	begin_reply(IPC_FLOW_SET, 0, sizeof(m.flow));
	m.flow = (struct ipc_flow){ THERE, htons(443), htons(50000), 6, { 0 } };
	assert_int_equal(decode(), 0);
	m.flow.local_port_be = 0;
	assert_int_equal(decode(), -EINVAL);

	begin_reply(IPC_SA_QUERY, 0, sizeof(m.sa_info));
	fill_tunnel(&m.sa_info.tunnel);
	fill_sa_id(&m.sa_info.id);
	assert_int_equal(decode(), 0);
	m.sa_info.tunnel.server[31] = 'x';
	assert_int_equal(decode(), -EINVAL);
}

static void begin_list(uint16_t type, uint32_t count, uint32_t entry_size)
{
	begin_reply(type, 0, sizeof(m.list) + (size_t)count * entry_size);
	m.list.count = count;
	m.list.entry_size = entry_size;
	for (uint32_t i = 0; i < count; i++)
		fill_tunnel((struct ipc_tunnel *)(void *)(m.bytes + sizeof(m.list) +
		                                          (size_t)i * entry_size));
}

static void test_lists(void **state)
{
	static const struct {
		uint16_t type;
		uint32_t entry_size;
	} lists[] = {
		{ IPC_STATE, sizeof(struct ipc_environment_state) },
		{ IPC_TUNNELS, sizeof(struct ipc_tunnel_info) },
		{ IPC_SESSIONS, sizeof(struct ipc_session) },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(lists); i++) {
		uint32_t size = lists[i].entry_size;

		begin_list(lists[i].type, 0, size);
		assert_int_equal(decode(), 0);
		begin_list(lists[i].type, 3, size);
		assert_int_equal(decode(), 0);
		assert_int_equal(ipc_list_check(&m.header, &m.list, size), 3);
		/* A newer sender's entries are longer. */
		begin_list(lists[i].type, 3, size + 8);
		assert_int_equal(decode(), 0);
		begin_list(lists[i].type, 2, size - 8);
		assert_int_equal(decode(), -EBADMSG);
		begin_list(lists[i].type, 2, size + 4);
		assert_int_equal(decode(), -EBADMSG);
		begin_list(lists[i].type, 2, size);
		m.list.count = 3;
		assert_int_equal(decode(), -EBADMSG);
		m.list.count = UINT32_MAX;
		assert_int_equal(decode(), -EBADMSG);
		/* A product that is right in 32 bits. */
		begin_list(lists[i].type, 2, 512);
		m.list.count = 2 + (1u << 23);
		assert_int_equal(decode(), -EBADMSG);
		m.list.count = 2;
		assert_int_equal(decode(), 0);
		m.list.entry_size = 0;
		assert_int_equal(decode(), -EBADMSG);
		begin_list(lists[i].type, 2, size);
		m.bytes[sizeof(m.list) + size + IPC_NAME_LEN - 1] = 'x';
		assert_int_equal(decode(), -EINVAL);
		begin_reply(lists[i].type, 0, sizeof(m.list) - 1);
		assert_int_equal(decode(), -EBADMSG);
	}
}

static void test_names(void **state)
{
	static const char *const good[] = { "a", "0", "edge", "a-b_c.d",
		                            "1234567890123456789012345678901" };
	static const char *const bad[] = {
		"",    "-a",  ".a",  "_a",       "A",
		"a b", "a/b", "a\n", "\xc3\xa9", "12345678901234567890123456789012"
	};

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++)
		assert_int_equal(ipc_name_check(good[i]), 0);
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(ipc_name_check(bad[i]), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_type),
		cmocka_unit_test(test_unknown_types),
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_node),
		cmocka_unit_test(test_configuration),
		cmocka_unit_test(test_leases),
		cmocka_unit_test(test_openvpn),
		cmocka_unit_test(test_sa_add),
		cmocka_unit_test(test_owned_by_dataplane),
		cmocka_unit_test(test_datagrams),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
