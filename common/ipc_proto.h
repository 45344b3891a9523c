/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The contract between the control plane and the dataplane: every message, its layout and its
 * rules.
 *
 * Transport: one SOCK_SEQPACKET connection on RUN_DIR/dataplane.sock; the dataplane listens, one
 * control plane is served at a time (a newer one takes over after its HELLO). One message a packet.
 *
 * Integers are in host byte order, but for those named _be, which are in network byte order.
 * Padding is zero and is checked. Strings are NUL terminated and zero filled. No secret is ever
 * echoed in a reply, but for KEEPSAKE_GET, whose purpose that is.
 *
 * A request carries a sequence number; its reply carries the same number, the same type, the flag
 * IPC_REPLY and a status (0 or a negative errno). Events carry sequence number 0 and no reply is
 * sent to them. Both sides send HELLO first; nothing else is served before it.
 *
 * Three classes of state (they never mix):
 *   1. configuration  NODE and the CONFIG_* messages: declarative, staged, committed whole
 *   2. leases         PEER, TUNNEL and SA messages: single, acknowledged, bound to the dataplane's
 *                     epoch; never swept by a commit, never replayed to a dataplane of another
 * epoch
 *   3. owned by the dataplane: flows, the active tunnel of each environment and its move counter;
 *                     read with STATE, SESSIONS; changed by MOVE alone (compare and set)
 *
 * Evolution: fields are appended and the minor version raised; anything else is a new message type
 * or a new major version. Types are never reused.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define IPC_MAGIC 0x53414c59u /* "SALY" */
#define IPC_VERSION_MAJOR 1
#define IPC_VERSION_MINOR 4
#define IPC_MSG_MAX 16384u /* bytes, header included */
#define IPC_NAME_LEN 32u   /* names of instances, environments, servers; NUL included */
#define IPC_DEVICE_LEN 128u
#define IPC_PREFIXES_MAX 32u
#define IPC_KEY_MAX 96u
#define IPC_PUNT_MAX 10240u /* largest IKE datagram carried, bytes */

/* clang-format off */
enum ipc_type {
	IPC_HELLO = 1,

	/* configuration */
	IPC_NODE = 16,        /* struct ipc_node; once per dataplane epoch; starts ports and workers */
	IPC_CONFIG_BEGIN = 17,       /* struct ipc_generation; drops what was staged before */
	IPC_CONFIG_ENVIRONMENT = 18, /* struct ipc_environment */
	IPC_CONFIG_SERVER = 19,      /* struct ipc_server; after its environment, in order of priority */
	IPC_CONFIG_FORWARDS = 20,    /* 1 to IPC_FORWARDS_MAX x struct ipc_forward */
	IPC_CONFIG_COMMIT = 21,      /* struct ipc_generation; validates whole, applies as a difference */
	IPC_CONFIG_EGRESS = 22,      /* struct ipc_egress; one of the gateway, one of an environment; since 1.3 */
	IPC_CONFIG_INBOUND = 23,     /* 1 to IPC_INBOUND_MAX x struct ipc_inbound; since 1.3 */

	/* leases */
	IPC_PEER_SET = 32,   /* struct ipc_peer; where a server's control packets may come from */
	IPC_TUNNEL_SET = 33, /* struct ipc_tunnel_state */
	IPC_SPI_ALLOC = 34,  /* struct ipc_tunnel -> struct ipc_spi */
	IPC_SA_ADD = 35,     /* struct ipc_sa_add; the reply is the acknowledgement of the lease */
	IPC_SA_UPDATE = 36,  /* struct ipc_sa_update; new outer addresses */
	IPC_SA_DEL = 37,     /* struct ipc_sa_id */
	IPC_SA_QUERY = 38,   /* struct ipc_sa_id -> struct ipc_sa_info */
	IPC_SA_LIST = 39,    /* struct ipc_cursor -> struct ipc_list + N x struct ipc_sa_info */
	IPC_KEEPSAKE_SET = 40, /* struct ipc_keepsake; since 1.2 */
	IPC_KEEPSAKE_GET = 41, /* struct ipc_tunnel -> struct ipc_keepsake; since 1.2 */

	/* owned by the dataplane */
	IPC_STATE = 48,    /* struct ipc_cursor -> struct ipc_list + N x struct ipc_environment_state */
	IPC_TUNNELS = 49,  /* struct ipc_cursor -> struct ipc_list + N x struct ipc_tunnel_info */
	IPC_SESSIONS = 50, /* struct ipc_session_query -> struct ipc_list + N x struct ipc_session */
	IPC_MOVE = 51,     /* struct ipc_move -> struct ipc_move (the state after it) */
	IPC_EGRESS = 52,   /* struct ipc_cursor -> struct ipc_list + N x struct ipc_egress_use; since 1.3 */

	/* the exception port */
	/* struct ipc_flow, our port 0 -> struct ipc_flow, with our port, and its socket
	 * (SCM_RIGHTS): bound, non-blocking, not connected; a lease; since 1.4 */
	IPC_FLOW_SET = 53,
	IPC_FLOW_DEL = 54, /* struct ipc_flow; since 1.4 */

	/* datagrams and events; no reply */
	IPC_PUNT_TX = 64, /* struct ipc_punt + payload; control plane to network */
	IPC_PUNT_RX = 65, /* struct ipc_punt + payload; network to control plane */
	IPC_EVENT = 66,   /* struct ipc_event; something changed, read the state */
	/* the same for data packets of IPC_SA_STREAM, which have no datagram: sealed, for a byte
	 * stream; and out of one, to be opened; since 1.4 */
	IPC_STREAM_RX = 67,
	IPC_STREAM_TX = 68,
};
/* clang-format on */

#define IPC_REPLY 0x0001u

struct ipc_header {
	uint16_t type;
	uint16_t flags;
	uint32_t seq;
	uint32_t length; /* of the whole message, bytes */
	int32_t status;  /* replies: 0 or -errno; otherwise 0 */
};

/* A commit or NODE that is refused says in words what is wrong: the reply's body is this. */
struct ipc_refusal {
	char reason[256];
};

struct ipc_hello {
	uint32_t magic;
	uint16_t major;
	uint16_t minor;
	uint64_t epoch; /* random, non-zero, one per process start */
	char instance[IPC_NAME_LEN];
	uint32_t pid;
	uint32_t flags;      /* dataplane: IPC_HELLO_STARTED */
	uint64_t generation; /* dataplane: the committed one, 0 for none */
};
#define IPC_HELLO_STARTED 0x1u /* NODE was applied: ports and workers are running */

/* ---- configuration ---- */

struct ipc_prefix {
	uint32_t address_be;
	uint8_t length; /* 0 to 32 */
	uint8_t pad[3];
};

struct ipc_port {
	char device[IPC_DEVICE_LEN]; /* as in the configuration: PCI address, mac:, af_packet:, ...
	                              */
	uint32_t address_be;
	uint32_t router_be; /* 0: none */
	uint8_t prefix_length;
	uint8_t pad0;
	uint16_t mtu;    /* IPv4 bytes */
	uint16_t queues; /* receive queues; 0: one per worker */
	uint16_t pad1;
};

enum ipc_idle { IPC_IDLE_POLL = 0, IPC_IDLE_ADAPTIVE = 1 };
enum ipc_hugepages { IPC_HUGEPAGES_AUTO = 0, IPC_HUGEPAGES_ON = 1, IPC_HUGEPAGES_OFF = 2 };
#define IPC_NODE_ALLOW_SLOW_CRYPTO 0x1u /* start without AES-NI */

struct ipc_node {
	char name[IPC_NAME_LEN];
	struct ipc_port uplink;
	struct ipc_port cluster;
	char cores[64];     /* "auto" or a list as "2-5,8"; main thread not included */
	uint32_t workers;   /* 0: one per core of the list */
	uint32_t sessions;  /* capacity of the session tables of all workers together */
	uint32_t mbufs;     /* 0: derived from queues and workers */
	uint32_t memory_mb; /* 0: derived */
	uint32_t flags;
	uint8_t idle;      /* enum ipc_idle */
	uint8_t hugepages; /* enum ipc_hugepages */
	uint16_t pad0;
	uint32_t route_count; /* prefixes behind the cluster's router */
	uint32_t pad1;
	struct ipc_prefix routes[IPC_PREFIXES_MAX];
};

struct ipc_generation {
	uint64_t generation; /* non-zero; chosen by the control plane */
};

struct ipc_environment {
	char name[IPC_NAME_LEN];
	uint32_t pod_address_be; /* what the environment's services call */
	uint32_t session_quota;
	uint32_t source_count;
	uint32_t pad;
	struct ipc_prefix sources[IPC_PREFIXES_MAX]; /* who may call it */
	/* since 1.3 */
	uint32_t flags; /* IPC_ENVIRONMENT_* */
	uint32_t
		probe_target_be; /* asked inside its tunnels whether they live; 0: targets in use */
	uint32_t port_quota; /* of one address towards one target, in whole blocks of 256; 0: all */
	uint32_t pad1;
	uint64_t rate_bps; /* in each direction, bits of IPv4 packets a second,
	                      IPC_RATE_MIN to IPC_RATE_MAX; 0: no limit */
};
/* The customer's network routes the inner addresses: sessions go on through another tunnel that has
 * the same one. Without it they are reset when their tunnel fails. */
#define IPC_ENVIRONMENT_KEEP_SESSIONS 0x1u
/* Nothing is sent into its tunnels to ask whether they live: the control plane alone finds out. */
#define IPC_ENVIRONMENT_UNPROBED 0x2u
/* No new sessions; those that there are go on. */
#define IPC_ENVIRONMENT_DRAINING 0x4u
#define IPC_RATE_MIN 64000ull
#define IPC_RATE_MAX 1000000000000ull

/* A tunnel is a server of an environment. */
struct ipc_tunnel {
	char environment[IPC_NAME_LEN];
	char server[IPC_NAME_LEN];
};

struct ipc_server {
	struct ipc_tunnel id;
	uint16_t priority; /* lower is preferred */
	uint16_t pad[3];
	/* since 1.3 */
	uint16_t
		ike_port_be; /* our own outer ports towards it: never given to a session; 0: none */
	uint16_t natt_port_be;
	/* since 1.4 */
	uint16_t openvpn_port_be; /* the same towards an OpenVPN server, of this tunnel alone; 0: it
	                             is IPsec */
	uint16_t pad1;
};

struct ipc_forward {
	char environment[IPC_NAME_LEN];
	char server[IPC_NAME_LEN]; /* preferred one; empty: the environment's active one */
	uint32_t to_address_be;
	uint16_t to_port_be;
	uint16_t port_be;
	uint8_t protocol; /* 6 or 17 */
	uint8_t pad[7];
};
#define IPC_FORWARDS_MAX 128u

/*
 * Who may leave for the Internet, and with which address. The gateway's own (no environment) is for
 * all of its sources; an environment's is for those of that environment, with addresses of its own.
 * The longest prefix that holds a source counts.
 */
#define IPC_EGRESS_ADDRESSES_MAX 16u
struct ipc_egress {
	char environment[IPC_NAME_LEN]; /* empty: the gateway's */
	uint32_t address_count;         /* at least 1 */
	uint32_t source_count;
	uint32_t allow_count; /* the gateway's alone */
	uint32_t pad;
	uint32_t addresses_be[IPC_EGRESS_ADDRESSES_MAX]; /* a source keeps the one it has */
	struct ipc_prefix sources[IPC_PREFIXES_MAX];
	struct ipc_prefix
		allow[IPC_PREFIXES_MAX]; /* destinations that would be refused otherwise */
};

/* A port of the static addresses that leads into the cluster. */
struct ipc_inbound {
	uint32_t address_be; /* 0: every address of the gateway's egress */
	uint32_t to_address_be;
	uint16_t to_port_be;
	uint16_t port_be;
	uint8_t protocol; /* 6 or 17 */
	uint8_t pad[3];
};
#define IPC_INBOUND_MAX 256u

/* ---- leases ---- */

struct ipc_peer {
	struct ipc_tunnel id;
	uint32_t remote_be;   /* 0: none at the moment */
	uint16_t ike_port_be; /* our own ports that its control packets come to; OpenVPN: 0 */
	uint16_t natt_port_be;
	/* since 1.4; IPsec: 0 */
	uint16_t openvpn_port_be; /* our own */
	uint16_t remote_port_be;  /* the server's */
	uint32_t pad;
};

struct ipc_tunnel_state {
	struct ipc_tunnel id;
	uint32_t inner_address_be; /* the virtual IP; 0 with is_up 0 */
	uint8_t is_up;
	uint8_t pad[3];
};

struct ipc_spi {
	uint32_t spi_be;
	uint32_t pad;
};

enum ipc_direction { IPC_IN = 1, IPC_OUT = 2 };

/*
 * Encryption and integrity together. Keys of ESP: AES-GCM and ChaCha20-Poly1305 as RFC 4106 section
 * 8.1 and RFC 7634 section 2 lay them out (salt last); the others the cipher's key, then the
 * HMAC's. Keys of OpenVPN: AES-GCM and ChaCha20-Poly1305 the cipher's key, then the 8 bytes of the
 * implicit IV; in the epoch format 32 bytes, the first epoch's secret; the others as ESP's.
 */
enum ipc_algorithm {
	IPC_AES128_GCM16 = 1,
	IPC_AES192_GCM16 = 2,
	IPC_AES256_GCM16 = 3,
	IPC_CHACHA20_POLY1305 = 4,
	IPC_AES128_CBC_SHA1_96 = 5, /* RFC 3602 with RFC 2404, 4868 */
	IPC_AES128_CBC_SHA256_128 = 6,
	IPC_AES128_CBC_SHA384_192 = 7,
	IPC_AES128_CBC_SHA512_256 = 8,
	IPC_AES192_CBC_SHA1_96 = 9,
	IPC_AES192_CBC_SHA256_128 = 10,
	IPC_AES192_CBC_SHA384_192 = 11,
	IPC_AES192_CBC_SHA512_256 = 12,
	IPC_AES256_CBC_SHA1_96 = 13,
	IPC_AES256_CBC_SHA256_128 = 14,
	IPC_AES256_CBC_SHA384_192 = 15,
	IPC_AES256_CBC_SHA512_256 = 16,
	/* OpenVPN alone, which does not truncate its HMAC; since 1.4 */
	IPC_AES128_CBC_SHA1_160 = 17,
	IPC_AES128_CBC_SHA256_256 = 18,
	IPC_AES128_CBC_SHA512_512 = 19,
	IPC_AES192_CBC_SHA1_160 = 20,
	IPC_AES192_CBC_SHA256_256 = 21,
	IPC_AES192_CBC_SHA512_512 = 22,
	IPC_AES256_CBC_SHA1_160 = 23,
	IPC_AES256_CBC_SHA256_256 = 24,
	IPC_AES256_CBC_SHA512_512 = 25,
};

#define IPC_SA_ESN 0x1u
#define IPC_SA_UDP 0x2u /* ESP in UDP, RFC 3948 */
/* SA_ADD, IPC_IN: the key as it is expected to be negotiated. Another SA_ADD without this flag, for
 * the same SPI, says what it became; until then SA_QUERY and SA_LIST show the flag. */
#define IPC_SA_EARLY 0x4u
/*
 * A key of OpenVPN's data channel; since 1.4. Its SPI is a name between the two of us, out of
 * SPI_ALLOC, the same in both directions; on the wire a packet is known by the tunnel's port and
 * the key id. A tunnel has at most two inbound keys, of different key ids.
 */
#define IPC_SA_OPENVPN 0x8u
/*
 * With IPC_SA_OPENVPN: its packets travel in a byte stream of the control plane's (TCP). What is
 * sealed goes there as STREAM_RX, what is to be opened comes as STREAM_TX, each as if it were a
 * datagram between the SA's addresses and ports: the outbound one's own port may be any, to tell
 * streams apart; since 1.4.
 */
#define IPC_SA_STREAM 0x10u

#define IPC_OPENVPN_KEY_IDS 8u
#define IPC_OPENVPN_PEER_MAX 0xffffffu
#define IPC_OPENVPN_NO_PEER 0xffffffffu /* packets without a peer id, DATA_V1 */

enum ipc_openvpn_format {
	IPC_OPENVPN_FORMAT_DEFAULT = 0, /* AEAD: the tag first; others: HMAC, IV, text */
	IPC_OPENVPN_FORMAT_EPOCH = 1,   /* of OpenVPN 2.7: AEAD alone, with a peer id */
};

/* What stands before the inner packet: a server's idea of compression. */
enum ipc_openvpn_framing {
	IPC_OPENVPN_FRAMING_NONE = 0,
	IPC_OPENVPN_FRAMING_LZO_NO = 1,  /* "comp-lzo no": fa */
	IPC_OPENVPN_FRAMING_STUB = 2,    /* "compress", "compress lz4": fb, the first byte last */
	IPC_OPENVPN_FRAMING_STUB_V2 = 3, /* "compress stub-v2", "compress lz4-v2": 50 00, seldom */
};

/* IPC_IN: its server's address and port may be another one once a packet from there is authentic:
 * the tunnel's outbound keys follow. */
#define IPC_OPENVPN_FLOAT 0x1u
/* IPC_IN: the server may compress with LZ4; without it compressed packets are dropped. */
#define IPC_OPENVPN_LZ4 0x2u

struct ipc_openvpn {
	uint32_t peer_id; /* at most IPC_OPENVPN_PEER_MAX, or IPC_OPENVPN_NO_PEER */
	uint8_t key_id;
	uint8_t format;  /* enum ipc_openvpn_format */
	uint8_t framing; /* enum ipc_openvpn_framing */
	uint8_t flags;   /* IPC_OPENVPN_FLOAT, IPC_OPENVPN_LZ4 */
	uint16_t ping_s; /* IPC_OUT: a ping after so long without a packet sent; 0: never */
	uint16_t pad[3];
};

struct ipc_sa_id {
	uint32_t spi_be;
	uint32_t destination_be; /* outer: ours for IPC_IN, the server's for IPC_OUT */
	uint8_t direction;       /* enum ipc_direction */
	uint8_t pad[7];
};

struct ipc_sa_add {
	struct ipc_tunnel tunnel;
	struct ipc_sa_id id;
	uint32_t local_be;
	uint32_t remote_be;
	uint16_t local_port_be; /* with IPC_SA_UDP and IPC_SA_OPENVPN */
	uint16_t remote_port_be;
	uint32_t flags;
	uint16_t algorithm;     /* enum ipc_algorithm */
	uint16_t key_length;    /* bytes of key[] */
	uint32_t replay_window; /* packets; IPC_IN */
	uint32_t hard_seconds;  /* the dataplane removes the SA after it; 0: never */
	uint32_t pad;
	uint8_t key[IPC_KEY_MAX];
	struct ipc_openvpn openvpn; /* with IPC_SA_OPENVPN, else zero; since 1.4 */
};

struct ipc_sa_update {
	struct ipc_sa_id id;
	uint32_t local_be;
	uint32_t remote_be;
	uint16_t local_port_be;
	uint16_t remote_port_be;
	uint32_t flags; /* IPC_SA_UDP, or IPC_SA_OPENVPN of such a key */
};

/* What a control plane leaves to its successor: opaque to the dataplane, which keeps it in memory
 * that is never dumped until the tunnel is taken out of the configuration. It holds secrets. Length
 * 0: nothing. */
#define IPC_KEEPSAKE_MAX 1024u
struct ipc_keepsake {
	struct ipc_tunnel id;
	uint32_t length; /* bytes of data[] in use, the others are zero */
	uint32_t pad;
	uint8_t data[IPC_KEEPSAKE_MAX];
};

#define IPC_SA_EXPIRING 0x100u /* sequence numbers are running out: rekey */
#define IPC_SA_ACTIVE 0x200u   /* IPC_OUT: the one its tunnel sends on */
/* IPC_IN, IPC_SA_OPENVPN: the server said that it ends (OCC's exit); since 1.4 */
#define IPC_SA_EXITED 0x400u
#define IPC_SA_SPENT 0x800u /* IPC_OUT: no sequence number is left; since 1.4 */

struct ipc_sa_info {
	struct ipc_tunnel tunnel;
	struct ipc_sa_id id;
	uint64_t control_epoch; /* of the control plane that added it: another one's is an orphan */
	uint64_t packets;
	uint64_t bytes;    /* of inner packets */
	uint64_t used_ns;  /* CLOCK_MONOTONIC of the last packet, 0: never */
	uint64_t added_ns; /* CLOCK_MONOTONIC */
	uint64_t sequence; /* IPC_OUT: last sent; IPC_IN: highest authenticated */
	uint32_t flags;
	uint32_t local_be;
	uint32_t remote_be;
	uint16_t local_port_be;
	uint16_t remote_port_be;
	uint16_t algorithm;
	uint16_t pad0;
	uint32_t pad1;
	/* since 1.4; of IPC_SA_OPENVPN */
	uint8_t key_id;
	uint8_t pad2[7];
};

/* ---- owned by the dataplane ---- */

struct ipc_cursor {
	uint64_t cursor; /* 0 to start; then ipc_list.next */
};

struct ipc_list {
	uint64_t next; /* 0: that was the last part */
	uint32_t count;
	uint32_t entry_size; /* of this sender's version */
};

/* Later minor versions may have more. */
enum ipc_move_reason {
	IPC_MOVE_NONE = 0,    /* there was no move */
	IPC_MOVE_UP = 1,      /* none was active, this one is up */
	IPC_MOVE_DOWN = 2,    /* the active one went down: TUNNEL_SET, or its last SA is gone */
	IPC_MOVE_DEAD = 3,    /* the active one did not answer, this one did */
	IPC_MOVE_REMOVED = 4, /* the active one is no longer configured */
	IPC_MOVE_BY_HAND = 5, /* MOVE */
	IPC_MOVE_BACK = 6,    /* MOVE: back to a preferred one */
};
#define IPC_MOVE_REASONS 8u

struct ipc_environment_state {
	char name[IPC_NAME_LEN];
	char active[IPC_NAME_LEN]; /* server; empty: none is up */
	uint64_t move_counter;
	uint64_t packets_out; /* towards the customer */
	uint64_t bytes_out;
	uint64_t packets_in;
	uint64_t bytes_in;
	uint32_t sessions;
	uint32_t home_worker;
	/* since 1.3: the last move, which made "active" what it is, and all moves so far */
	char moved_from[IPC_NAME_LEN]; /* server; empty: none, or it is no longer configured */
	uint64_t moved_ns;             /* CLOCK_MONOTONIC; 0: there was none */
	uint64_t detection_ns; /* IPC_MOVE_DEAD: from the last packet heard to "dead"; else 0 */
	uint64_t switch_ns;    /* from the reason for it, "dead" or an event, to the move */
	uint64_t moves[IPC_MOVE_REASONS]; /* by reason */
	uint32_t sessions_kept;           /* that go on, taken along or left where they were */
	uint32_t sessions_reset;
	uint8_t move_reason; /* enum ipc_move_reason */
	uint8_t is_settled;  /* 1: both numbers are final */
	uint8_t is_lost;     /* 1: no tunnel answers; new sessions are refused */
	uint8_t pad[5];
	/* what it was refused; since 1.3 */
	uint64_t refused_sessions; /* over its session quota, or no room in the table */
	uint64_t refused_ports;    /* no port left towards the target, or none of its quota */
	uint64_t refused_sources;  /* called by who may not */
	uint64_t rate_dropped_out; /* packets over its rate, towards the customer */
	uint64_t rate_dropped_in;
	uint32_t refused_source_be; /* the last of them; 0: none */
	uint32_t sessions_closed;   /* of "sessions": TCP connections that are over */
};

enum ipc_liveness {
	IPC_LIVENESS_UNKNOWN = 0, /* not up, or nothing was heard and nobody asked */
	IPC_LIVENESS_ALIVE = 1,
	IPC_LIVENESS_SUSPECT = 2, /* silent though something was sent: probed */
	IPC_LIVENESS_DEAD = 3,    /* probes in a row were not answered */
};

struct ipc_tunnel_info {
	struct ipc_tunnel id;
	uint32_t inner_address_be;
	uint32_t remote_be;
	uint64_t heard_ns; /* CLOCK_MONOTONIC of the last authenticated packet, 0: never */
	uint64_t packets_out;
	uint64_t bytes_out;
	uint64_t packets_in;
	uint64_t bytes_in;
	uint32_t inner_mtu; /* what fits through it, IPv4 bytes */
	uint8_t is_up;
	uint8_t is_active;
	uint8_t pad[2];
	/* since 1.3 */
	uint64_t alive_since_ns; /* CLOCK_MONOTONIC; from when on it was not dead; 0: it is, or not
	                            up */
	uint64_t answered_ns;    /* CLOCK_MONOTONIC of the last probe answered, 0: none */
	uint64_t probes_sent;
	uint64_t probes_answered;
	uint64_t probes_missed; /* not answered within their deadline */
	uint64_t deaths;        /* how often it became dead */
	uint32_t rtt_us;        /* of probes, smoothed (RFC 6298); 0: not known */
	uint32_t rtt_deviation_us;
	uint8_t liveness; /* enum ipc_liveness */
	uint8_t pad1[7];
};

struct ipc_session_query {
	uint64_t cursor;
	char environment[IPC_NAME_LEN]; /* empty: all */
	uint32_t limit;                 /* most entries in this reply */
	uint32_t pad;
};

struct ipc_session {
	struct ipc_tunnel tunnel;
	uint32_t client_be;
	uint32_t inner_be;
	uint32_t target_be;
	uint16_t client_port_be;
	uint16_t forward_port_be;
	uint16_t inner_port_be;
	uint16_t target_port_be;
	uint8_t protocol;
	uint8_t state; /* enum ipc_session_state */
	uint16_t pad;
	uint32_t age_s;
	uint32_t idle_s;
	uint64_t bytes_out;
	uint64_t bytes_in;
	/* since 1.3 */
	uint8_t kind; /* enum ipc_session_kind; but for forwards the server is empty, and the
	                 environment where the source belongs to none */
	uint8_t pad1[7];
};

enum ipc_session_kind {
	IPC_SESSION_FORWARD = 0,
	IPC_SESSION_EGRESS = 1,
	IPC_SESSION_INBOUND = 2, /* from the Internet to a mapped port */
	IPC_SESSION_HAIRPIN = 3, /* from the cluster to a mapped port */
};

enum ipc_session_state {
	IPC_SESSION_OPENING = 1,
	IPC_SESSION_ESTABLISHED = 2,
	IPC_SESSION_CLOSING = 3,
	IPC_SESSION_CLOSED = 4,
	IPC_SESSION_UDP = 5,
	IPC_SESSION_ECHO = 6, /* ICMP; the ports are its identifiers; since 1.3 */
};

/* How much of a static address is in use: the address as a whole (remote_be 0), and its busiest
 * destinations. Counted in the background, some seconds old. */
struct ipc_egress_use {
	uint32_t address_be;
	uint32_t remote_be;
	uint16_t remote_port_be;
	uint8_t protocol;
	uint8_t pad;
	uint32_t ports;    /* in use towards that destination; of an address: its busiest one's */
	uint32_t capacity; /* ports that there are for one destination */
	uint32_t sessions; /* of the address; of a destination: as ports */
};

/* Compare and set: refused with -ESTALE unless move_counter is the environment's current one, with
 * -ENETDOWN if the server's tunnel is not up, with -EHOSTUNREACH if it is dead. */
struct ipc_move {
	char environment[IPC_NAME_LEN];
	char server[IPC_NAME_LEN]; /* to; in the reply: the active one */
	uint64_t move_counter;     /* expected; in the reply: the current one */
	uint8_t reason; /* IPC_MOVE_BY_HAND, IPC_MOVE_BACK, IPC_MOVE_DEAD: the active one does not
	                   answer IKE either; since 1.3 */
	uint8_t pad[7];
};

/* ---- datagrams and events ---- */

struct ipc_punt { /* a UDP datagram without its headers; length is what follows */
	uint32_t source_be;
	uint32_t destination_be;
	uint16_t source_port_be;
	uint16_t destination_port_be;
	uint32_t length;
};

/*
 * A TCP connection that ends on the gateway, from the uplink's own address: the exception port lets
 * it through, both ways, and nothing else. Our port is the dataplane's choice and never given to
 * NAT. It ends a minute after FLOW_DEL, or when nothing passed for five; its socket asks the peer
 * each minute while it is connected. Since 1.4.
 */
struct ipc_flow {
	uint32_t remote_be;
	uint16_t remote_port_be;
	uint16_t local_port_be; /* FLOW_SET: 0 */
	uint8_t protocol;       /* 6 */
	uint8_t pad[7];
};

struct ipc_event {
	uint64_t changed; /* IPC_CHANGED_*, level triggered: read the state they name */
};
/* an SA expired, was removed, is running out, or an OpenVPN key opened its first packet: SA_LIST */
#define IPC_CHANGED_SAS 0x1u
/* an environment moved or its last move settled: STATE; a tunnel's liveness or MTU: TUNNELS */
#define IPC_CHANGED_TUNNELS 0x2u
#define IPC_CHANGED_PORTS 0x4u /* a port's link went up or down */

/* ---- golden sizes: a change of any is a change of the contract ---- */
_Static_assert(sizeof(struct ipc_header) == 16, "ipc_header");
_Static_assert(sizeof(struct ipc_refusal) == 256, "ipc_refusal");
_Static_assert(sizeof(struct ipc_hello) == 64, "ipc_hello");
_Static_assert(sizeof(struct ipc_prefix) == 8, "ipc_prefix");
_Static_assert(sizeof(struct ipc_port) == 144, "ipc_port");
_Static_assert(sizeof(struct ipc_node) == 672, "ipc_node");
_Static_assert(sizeof(struct ipc_generation) == 8, "ipc_generation");
_Static_assert(sizeof(struct ipc_environment) == 328, "ipc_environment");
_Static_assert(sizeof(struct ipc_tunnel) == 64, "ipc_tunnel");
_Static_assert(sizeof(struct ipc_server) == 80, "ipc_server");
_Static_assert(sizeof(struct ipc_forward) == 80, "ipc_forward");
_Static_assert(sizeof(struct ipc_egress) == 624, "ipc_egress");
_Static_assert(sizeof(struct ipc_inbound) == 16, "ipc_inbound");
_Static_assert(sizeof(struct ipc_peer) == 80, "ipc_peer");
_Static_assert(sizeof(struct ipc_tunnel_state) == 72, "ipc_tunnel_state");
_Static_assert(sizeof(struct ipc_spi) == 8, "ipc_spi");
_Static_assert(sizeof(struct ipc_sa_id) == 16, "ipc_sa_id");
_Static_assert(sizeof(struct ipc_openvpn) == 16, "ipc_openvpn");
_Static_assert(sizeof(struct ipc_sa_add) == 224, "ipc_sa_add");
_Static_assert(sizeof(struct ipc_sa_update) == 32, "ipc_sa_update");
_Static_assert(sizeof(struct ipc_sa_info) == 160, "ipc_sa_info");
_Static_assert(sizeof(struct ipc_keepsake) == 1096, "ipc_keepsake");
_Static_assert(sizeof(struct ipc_cursor) == 8, "ipc_cursor");
_Static_assert(sizeof(struct ipc_list) == 16, "ipc_list");
_Static_assert(sizeof(struct ipc_environment_state) == 296, "ipc_environment_state");
_Static_assert(sizeof(struct ipc_tunnel_info) == 184, "ipc_tunnel_info");
_Static_assert(sizeof(struct ipc_session_query) == 48, "ipc_session_query");
_Static_assert(sizeof(struct ipc_session) == 120, "ipc_session");
_Static_assert(sizeof(struct ipc_egress_use) == 24, "ipc_egress_use");
_Static_assert(sizeof(struct ipc_move) == 80, "ipc_move");
_Static_assert(sizeof(struct ipc_punt) == 16, "ipc_punt");
_Static_assert(sizeof(struct ipc_flow) == 16, "ipc_flow");
_Static_assert(sizeof(struct ipc_event) == 8, "ipc_event");
