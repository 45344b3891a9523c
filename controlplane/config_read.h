/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the configuration's reader: the tree of settings, the tables of keys, the list of
 * mistakes. Only for config*.c and their tests.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/config.h"
#include "controlplane/ovpn_settings.h"

#define CP_FILE_BYTES_MAX (4u << 20)
#define CP_NESTING_MAX 16u    /* brackets inside brackets */
#define CP_MISTAKES_MAX 1000u /* more are not listed */

/* ---- the tree: one file's settings, without the library that read them ---- */

enum cp_node_kind {
	CP_NODE_GROUP,
	CP_NODE_LIST,
	CP_NODE_INTEGER,
	CP_NODE_FLOAT,
	CP_NODE_BOOLEAN,
	CP_NODE_TEXT
};

struct cp_node {
	enum cp_node_kind kind;
	unsigned line;
	const char *name; /* NULL: the root, or an element of a list */
	const char *file;
	const char *text;  /* CP_NODE_TEXT */
	long long integer; /* CP_NODE_INTEGER, CP_NODE_BOOLEAN */
	const struct cp_node *parent;
	struct cp_node *children;
	size_t count;
};

const struct cp_node *cp_node_child(const struct cp_node *group, const char *name);

/* ---- one reading ---- */

struct cp_reader {
	struct cp_config *config;
	struct cp_mistakes *mistakes;
	bool looks_at_files; /* those that the configuration names */
	bool is_out_of_memory;
};

/* Adds a mistake at a node, or at a key that is missing from the group AT (KEY NULL: AT itself). */
void cp_mistake(struct cp_reader *reader, const struct cp_node *at, const char *key,
                const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The same without a node: LINE 0 is the file as a whole. */
void cp_mistake_at(struct cp_reader *reader, const char *file, unsigned line, const char *format,
                   ...) __attribute__((format(printf, 4, 5)));

/* ---- tables of keys ---- */

enum cp_key_kind {
	CP_KEY_END = 0,
	CP_KEY_NAME,      /* char[IPC_NAME_LEN], ipc_name_check() */
	CP_KEY_TEXT,      /* char[max], printable, not empty */
	CP_KEY_PATH,      /* char[CP_PATH_LEN], absolute */
	CP_KEY_UINT16,    /* min to max */
	CP_KEY_UINT32,    /* min to max */
	CP_KEY_INT,       /* min to max */
	CP_KEY_BOOL,      /* bool */
	CP_KEY_PORT_BE,   /* uint16_t in network byte order, 1 to 65535 */
	CP_KEY_HOST_BE,   /* uint32_t in network byte order, a unicast address */
	CP_KEY_CHOICE,    /* int-sized enum; choices name its values */
	CP_KEY_TRANSPORT, /* uint8_t, IPPROTO_TCP or IPPROTO_UDP */
	CP_KEY_PREFIXES,  /* struct ipc_prefix[IPC_PREFIXES_MAX]; its size_t count is at offset
	                     `count` */
	CP_KEY_CUSTOM,    /* read() does it; NULL: the caller does, after the group */
	CP_KEY_REFUSED,   /* of a later version or of another file: `why` */
};

struct cp_choice {
	const char *name; /* NULL ends the list */
	int value;
	const char *why; /* not NULL: refused with this text */
};

struct cp_key {
	const char *name;
	enum cp_key_kind kind;
	size_t offset; /* in the target */
	long long min, max;
	bool is_required;
	size_t count;
	const struct cp_choice *choices;
	const char *why;
	void (*read)(struct cp_reader *reader, const struct cp_node *node, void *target);
};

/* A table and the struct it fills. */
struct cp_section {
	const struct cp_key *keys;
	void *target; /* NULL: these keys are the other protocol's, and refused */
};

/* Fills the targets from GROUP; reports unknown, missing, mistyped and out-of-range keys. A target
 * keeps its value (the default) where the key is absent or wrong. */
void cp_keys_read(struct cp_reader *reader, const struct cp_node *group,
                  const struct cp_section *sections, size_t count);

/* Reports it unless NODE is of KIND. */
bool cp_node_is(struct cp_reader *reader, const struct cp_node *node, enum cp_node_kind kind);

/* Reads "ADDRESS:PORT" of a unicast host; leaves both alone and reports it, with EXAMPLE, if NODE
 * is anything else. */
void cp_read_endpoint(struct cp_reader *reader, const struct cp_node *node, const char *example,
                      uint32_t *address_be, uint16_t *port_be);

/* Every table with its path, for the test that compares them with the documentation. path NULL ends
 * it. */
struct cp_key_group {
	const char *path;
	const struct cp_key *keys;
};
extern const struct cp_key_group cp_gateway_key_groups[];
extern const struct cp_key_group cp_environment_key_groups[];

/* ---- the readers of the two kinds of file; ROOT is a file's root group ---- */

void cp_read_gateway(struct cp_reader *reader, const struct cp_node *root);
/* Appends to reader->config->environments, which has room. */
void cp_read_environment(struct cp_reader *reader, const struct cp_node *root);
/* What must hold between environments; ROOTS[i] is the file of environment i. */
void cp_check_environments(struct cp_reader *reader, const struct cp_node *const *roots);
/* Gives each server its ports; ROOTS as above. */
void cp_check_ports(struct cp_reader *reader, const struct cp_node *const *roots);
/* Whether its tunnel uses that outer port. */
bool cp_server_uses_port(const struct cp_server *server, uint16_t port);

/* ---- failover ---- */

extern const struct cp_key cp_failover_keys[]; /* of an environment */
extern const struct cp_key cp_probe_keys[];

void cp_failover_set_defaults(struct cp_environment *environment);
/* The order in which they are preferred: by priority; of equal ones those in our own ZONE first
 * (empty: we are in none), then as they stand in the file. */
void cp_sort_servers(struct cp_environment *environment, const char *zone);

/* ---- egress ---- */

extern const struct cp_key cp_egress_keys[];
extern const struct cp_key cp_inbound_keys[];
void cp_read_egress(struct cp_reader *reader, const struct cp_node *node, void *target);
void cp_read_environment_snat(struct cp_reader *reader, const struct cp_node *node, void *target);
/* GATEWAY is the root of gateway.conf, or NULL; ROOTS as above. After the ports were given. */
void cp_check_egress(struct cp_reader *reader, const struct cp_node *gateway,
                     const struct cp_node *const *roots);

/* ---- limits ---- */

extern const struct cp_key cp_limit_keys[]; /* of an environment */
extern const struct cp_key cp_quota_keys[];

/* ---- servers ---- */

/* A server while it is read. The environment has one too: what its servers inherit. */
struct cp_server_draft {
	struct cp_server server;
	struct cp_ovpn_settings openvpn;
	uint16_t port;      /* of an OpenVPN server; 0: not set */
	uint8_t transport;  /* likewise */
	bool asks_password; /* its profile does, and does not have it */
	char profile[CP_PATH_LEN];
	bool has_read_profile;
	char password_file[CP_PATH_LEN]; /* EAP-MSCHAPv2 */
	char psk_file[CP_PATH_LEN];      /* PSK: secret_file */
	char key_file[CP_PATH_LEN];      /* EAP-TLS and certificate */
};

struct cp_environment_draft {
	struct cp_environment environment;
	struct cp_server_draft inherited;
	uint16_t next_priority;
};

extern const struct cp_key cp_server_keys[]; /* of a server alone */
/* Of a server or, for all of its servers, an environment: of both protocols, and of each. */
extern const struct cp_key cp_tunnel_keys[];
extern const struct cp_key cp_ipsec_keys[];
extern const struct cp_key cp_openvpn_keys[];
extern const struct cp_key cp_openvpn_server_keys[];
extern const struct cp_key cp_retry_keys[];

void cp_server_set_defaults(struct cp_server *server);
/* Whether one of the keys of secrets and certificates has a meaning with AUTH. */
bool cp_auth_uses(enum cp_auth auth, const char *key);
/* The server DRAFT of NODE in its ENVIRONMENT is whole: what its authentication needs is there,
 * what it has no use for is forgotten, or a mistake if NODE itself sets it. */
void cp_resolve_auth(struct cp_reader *reader, const struct cp_node *node,
                     const struct cp_node *environment, struct cp_server_draft *draft);
/* The OpenVPN server DRAFT of NODE is read: NODE's own keys, and before them those of ENVIRONMENT.
 */
void cp_read_openvpn_server(struct cp_reader *reader, const struct cp_node *node,
                            const struct cp_node *environment, struct cp_server_draft *draft);
/* Reads of keys that more than one table has. */
void cp_read_server_address(struct cp_reader *reader, const struct cp_node *node, void *target);
void cp_read_secret_path(struct cp_reader *reader, const struct cp_node *node,
                         char target[CP_PATH_LEN]);
void cp_read_certificate_path(struct cp_reader *reader, const struct cp_node *node,
                              char target[CP_PATH_LEN]);
/* Fills the environment's servers, preferred ones first, from NODE, its list `servers`. */
void cp_read_servers(struct cp_reader *reader, const struct cp_node *node,
                     struct cp_environment_draft *target);

/* ---- forms of text; NULL: good, otherwise what would be right ---- */

const char *cp_device_fault(const char *device);
const char *cp_cores_fault(const char *cores);
const char *cp_server_address_fault(const char *address);
const char *cp_ike_proposal_fault(const char *proposal);
const char *cp_esp_proposal_fault(const char *proposal);
const char *cp_user_fault(const char *user);

/* ---- other texts ---- */

/* A number with an optional unit K, M, G or T (powers of 1024), up to 2^60. Returns 0 or -EINVAL.
 */
int cp_amount_parse(const char *text, uint64_t *amount);
/* Whether this is the PEM of a private key that asks for a password. */
bool cp_key_text_is_encrypted(const char *text, size_t length);
