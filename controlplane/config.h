/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration as the program sees it: read whole from CONFIG_DIR, checked whole, every
 * mistake reported.
 *
 * Addresses and ports are in network byte order (_be). Strings belong to the struct cp_config they
 * are in. Defaults are filled in and inheritance (environment to server) is resolved, so a reader
 * never looks at two places. Secrets are not in here: only the paths of the files that hold them.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/ipc_proto.h"

#define CP_PATH_LEN 256u
#define CP_TEXT_LEN 128u
#define CP_SERVERS_MAX 8u
#define CP_ENVIRONMENTS_MAX 128u
#define CP_FORWARDS_MAX 16384u /* of all environments together */
#define CP_PROPOSALS_MAX 8u
#define CP_INBOUND_MAX 256u

enum cp_vpn { CP_VPN_IPSEC = 1, CP_VPN_OPENVPN = 2 };
enum cp_auth {
	CP_AUTH_PSK = 1,
	CP_AUTH_EAP_MSCHAPV2 = 2,
	CP_AUTH_EAP_TLS = 3,
	CP_AUTH_CERTIFICATE = 4
};
/* Whether the server's certificate was revoked: not asked; counts where it can be known; must be
 * known. */
enum cp_revocation {
	CP_REVOCATION_OFF = 1,
	CP_REVOCATION_IF_AVAILABLE = 2,
	CP_REVOCATION_STRICT = 3
};

struct cp_ovpn_settings;

struct cp_server {
	char name[IPC_NAME_LEN];
	char zone[IPC_NAME_LEN];
	uint16_t priority;          /* 1 is preferred; default: the position in the list */
	char address[CP_TEXT_LEN];  /* IPv4 address or DNS name */
	char identity[CP_TEXT_LEN]; /* server_identity; default: address */
	bool is_identity_set; /* server_identity is there: it is sent to the server, and required of
	                         it */
	char aaa_identity[CP_TEXT_LEN]; /* of the server inside EAP-TLS; empty: that of the VPN
	                                   server */
	char ca_file[CP_PATH_LEN];      /* server_ca; empty with PSK */
	enum cp_revocation revocation;
	enum cp_auth auth;
	char account[CP_TEXT_LEN]; /* our IKE identity and EAP identity; empty: the certificate's
	                              subject */
	char certificate_file[CP_PATH_LEN]; /* ours; EAP-TLS and certificate */
	char secret_file[CP_PATH_LEN];      /* password_file (EAP-MSCHAPv2), secret_file (PSK) or
	                                       key_file (the others) */
	char ike_proposals[CP_PROPOSALS_MAX]
			  [CP_TEXT_LEN]; /* strongSwan's syntax; empty string ends the list */
	char esp_proposals[CP_PROPOSALS_MAX][CP_TEXT_LEN];
	uint32_t ike_rekey_s;         /* 0: never by us */
	uint32_t child_rekey_s;       /* 0: never by us */
	uint64_t child_rekey_bytes;   /* of one SA; 0: no limit */
	uint64_t child_rekey_packets; /* of one SA; 0: no limit */
	uint32_t dpd_s;
	uint16_t local_port; /* as configured, 0: not at all */
	uint16_t ike_port;   /* our outer UDP ports, the same after a restart: local_port or 500, */
	uint16_t natt_port;  /* local_port + 1 or 4500; derived where several tunnels go to one
	                        server */
	bool force_udp;      /* force_encapsulation: UDP even without NAT */
	uint32_t retry_min_s; /* back-off of the supervisor: first and longest pause */
	uint32_t retry_max_s;
	struct cp_ovpn_settings *openvpn; /* ovpn_settings.h; NULL: it is an IPsec tunnel */
};

struct cp_forward {
	uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	uint16_t port_be;
	uint32_t to_address_be;
	uint16_t to_port_be;
	char server[IPC_NAME_LEN]; /* preferred one; empty: none */
};

struct cp_environment {
	char name[IPC_NAME_LEN];
	char file[CP_PATH_LEN]; /* where it was read from */
	uint32_t pod_address_be;
	struct ipc_prefix sources[IPC_PREFIXES_MAX];
	size_t source_count;
	enum cp_vpn vpn;
	struct cp_server servers[CP_SERVERS_MAX]; /* preferred ones first */
	size_t server_count;
	struct cp_forward *forwards;
	size_t forward_count;
	uint32_t session_quota;
	uint32_t snat_be[IPC_EGRESS_ADDRESSES_MAX]; /* its sources leave for the Internet with one
	                                               of these */
	size_t snat_count;                          /* 0: as egress says */
	uint32_t port_quota;                        /* towards one target; 0: all ports */
	uint64_t rate_bps;                          /* in each direction; 0: no limit */
	uint32_t probe_target_be; /* asked inside the tunnels; 0: targets in use */
	bool is_unprobed;         /* nothing is asked there */
	bool keep_sessions;       /* the customer routes our inner addresses */
	uint32_t failback_s;      /* a preferred server alive for so long is moved back to; 0: by
	                             hand alone */
	uint32_t hold_down_s;     /* after a move we do not move back for so long */
	bool is_draining; /* no new sessions: not of the file but an operator's order (reload.h) */
};

struct cp_port {
	char device[IPC_DEVICE_LEN];
	uint32_t address_be;
	uint8_t prefix_length;
	uint32_t router_be; /* 0: none */
	uint16_t mtu;
	uint16_t queues; /* 0: one per worker */
};

/* A port of the static addresses that leads into the cluster. */
struct cp_inbound {
	uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	uint16_t port_be;
	uint16_t to_port_be;
	uint32_t to_address_be;
	uint32_t address_be; /* 0: all of egress */
};

/* What the cluster sends to the Internet. */
struct cp_egress {
	bool is_set;
	uint32_t addresses_be[IPC_EGRESS_ADDRESSES_MAX]; /* default: the uplink's */
	size_t address_count;
	uint32_t public_be[IPC_EGRESS_ADDRESSES_MAX]; /* what the world sees; told to people only */
	size_t public_count;
	struct ipc_prefix sources[IPC_PREFIXES_MAX];
	size_t source_count;
	struct ipc_prefix allow[IPC_PREFIXES_MAX]; /* destinations that would be refused otherwise
	                                            */
	size_t allow_count;
	struct cp_inbound inbound[CP_INBOUND_MAX];
	size_t inbound_count;
};

/* A file as it was read: what was applied can be written down, whatever became of the file. */
struct cp_source {
	char name[CP_PATH_LEN]; /* below the directory: "gateway.conf", "environments.d/ *.conf" */
	char *text;
};

struct cp_config {
	/* gateway.conf: gateway */
	char name[IPC_NAME_LEN];
	char zone[IPC_NAME_LEN];
	struct cp_port uplink;
	struct cp_port cluster;
	struct ipc_prefix routes[IPC_PREFIXES_MAX]; /* behind the cluster's router */
	size_t route_count;
	struct cp_egress egress;
	/* gateway.conf: dataplane */
	char cores[64];   /* "auto" or a list */
	uint32_t workers; /* 0: one per core of the list */
	uint32_t sessions;
	uint32_t mbufs;     /* 0: derived */
	uint32_t memory_mb; /* 0: derived */
	enum ipc_idle idle;
	enum ipc_hugepages hugepages;
	uint32_t replay_window;
	bool allow_slow_crypto;
	/* gateway.conf: controlplane */
	char user[IPC_NAME_LEN]; /* runs as this user after start */
	int ike_log_level;       /* -1 to 4, of libcharon's own lines */
	uint32_t health_be;      /* where health is told by HTTP; 0: nowhere */
	uint16_t health_port_be;
	/* environments.d */
	struct cp_environment *environments;
	size_t environment_count;
	/* the files */
	struct cp_source *sources;
	size_t source_count;
	atomic_uint holders;
};

/* One mistake: where, and what would be right. */
struct cp_mistake {
	char file[CP_PATH_LEN];
	unsigned line;         /* 0: the file as a whole */
	char key[CP_TEXT_LEN]; /* path, "environment.servers.[1].address"; empty for syntax errors
	                        */
	char text[CP_PATH_LEN * 2];
};

struct cp_mistakes {
	struct cp_mistake *list;
	size_t count;
};

/*
 * Reads CONFIG_DIR/gateway.conf and CONFIG_DIR/environments.d/ *.conf (by name). On 0 *CONFIG is
 * owned by the caller and *MISTAKES is empty; on -EINVAL *CONFIG is NULL and *MISTAKES lists every
 * mistake of every file; -ENOMEM. Files named in the configuration (secrets, certificates) are
 * checked for being readable, with their modes, but for paths below a directory that cannot be
 * entered by us: that is a mistake too. cp_mistakes_fini() frees the list in every case.
 */
int cp_config_load(const char *config_dir, struct cp_config **config, struct cp_mistakes *mistakes);

/* The same from memory, for tests and the fuzz target: GATEWAY and ENVIRONMENTS are the files'
 * texts. No file that they name is looked at. */
int cp_config_parse(const char *gateway, const char *const *environments, size_t environment_count,
                    struct cp_config **config, struct cp_mistakes *mistakes);

/* A configuration is immutable once it is read, so that threads share it: it goes with the last one
 * that holds it. Who loaded it holds it; NULL is allowed. Any thread. */
const struct cp_config *cp_config_hold(const struct cp_config *config);
void cp_config_release(const struct cp_config *config);

/* A copy that is not shared yet, held by the caller; NULL: no memory. */
struct cp_config *cp_config_copy(const struct cp_config *config);

/* Before CONFIG is shared: a tunnel that RUNNING has too keeps its outer ports, where no key of the
 * file sets them; otherwise a new file could take the ports of a tunnel that nobody touched. */
void cp_config_keep_ports(struct cp_config *config, const struct cp_config *running);

void cp_mistakes_fini(struct cp_mistakes *mistakes);

/* "FILE:LINE: KEY: TEXT", one a line. */
void cp_mistakes_print(const struct cp_mistakes *mistakes, FILE *to);

const struct cp_environment *cp_config_environment(const struct cp_config *config,
                                                   const char *name);
const struct cp_server *cp_config_server(const struct cp_environment *environment,
                                         const char *name);

/* Whether one server that is behind both would take us for the same client: the second login would
 * throw the first one out. Two OpenVPN servers of one host, told apart by their ports, do not know
 * each other's clients. */
bool cp_server_is_rival(const struct cp_server *a, const struct cp_server *b);
