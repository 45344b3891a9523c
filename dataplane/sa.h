/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The security associations of a worker: what the ESP stages read, and how leases come and go.
 *
 * Everything but allocation, release and create/destroy runs on the worker (dp_worker_call) and
 * takes no memory: the control thread brings it with an addition and takes it back after a removal,
 * to wipe and free it.
 *
 * An inbound SPI carries its home worker in the top 6 bits. It begins as larval, known but without
 * a key, and is dropped if no key comes within DP_SA_LARVAL_SECONDS.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_byteorder.h>
#include <rte_common.h>

#include "common/ipc_proto.h"
#include "dataplane/bucket.h"
#include "dataplane/crypto_mb.h"
#include "dataplane/ovpn.h"
#include "dataplane/ovpn_epoch.h"
#include "dataplane/replay.h"
#include "dataplane/sa_table.h"

#define DP_SA_LARVAL_SECONDS 60u
#define DP_SA_SPI_WORKER_SHIFT 26

struct dp_worker;

/* The cold part: what the control plane asked for and asks about. */
struct dp_sa_lease {
	struct ipc_tunnel names;
	uint64_t control_epoch;
	uint64_t added_ns; /* CLOCK_MONOTONIC */
	uint32_t local_be;
	uint32_t remote_be;
	uint32_t destination_be; /* of its id, which an OpenVPN server's new address is not part of
	                          */
	uint16_t local_port_be;
	uint16_t remote_port_be;
	uint32_t flags;      /* IPC_SA_ESN, IPC_SA_UDP, IPC_SA_OPENVPN */
	uint32_t entry;      /* in the table */
	uint64_t floated_ns; /* its OpenVPN server's address changed last; 0: it never did */
};

/* Line 0: read for every packet, written when the peer moves. Line 1: written for every run of
 * packets. */
struct dp_sa_in {
	uint64_t addresses_be; /* outer source and destination, as they stand in the header */
	uint32_t ports_be;     /* outer UDP source and destination, as they stand in the header */
	uint32_t spi_be;
	uint32_t salt;          /* as it stands in the nonce */
	uint16_t environment;   /* slot */
	uint16_t tunnel;        /* slot */
	uint8_t outer_protocol; /* IPPROTO_ESP or IPPROTO_UDP; OpenVPN: 0, so no ESP is for it */
	uint8_t is_esn;
	uint8_t is_early; /* added before its negotiation ended; dp_sa_confirm() */
	uint8_t pad0[5];
	struct dp_crypto_suite suite;
	struct dp_ovpn_in openvpn;
	uint8_t pad1[4];
	/* line 1 */
	uint64_t packets;
	uint64_t bytes;    /* of inner packets */
	uint64_t used_ns;  /* last authentic packet, 0: never */
	uint32_t failures; /* of the integrity check in a row, bursts taken whole */
	uint8_t pad2[12];
	struct dp_replay replay; /* its head ends line 1 */
	/* line 10 */
	struct dp_crypto_key key;
	struct dp_bucket resync_limit; /* tries; of OpenVPN: of later epochs */
	struct dp_ovpn_epoch epoch;
	struct dp_ovpn_late late;
	struct dp_sa_lease lease;
	uint8_t seed[DP_CRYPTO_SEED]; /* random from the beginning, for dp_crypto_key_init() */
} __rte_cache_aligned;
_Static_assert(offsetof(struct dp_sa_in, openvpn) == 44, "dp_sa_in: the end of line 0");
_Static_assert(offsetof(struct dp_sa_in, packets) == 64, "dp_sa_in: line 1");
_Static_assert(offsetof(struct dp_sa_in, replay.bits) == 128, "dp_sa_in: line 2, the window");
_Static_assert(offsetof(struct dp_sa_in, key) == 640, "dp_sa_in: line 10, the key");

/* Line 0: the header and its numbers. Line 1: written for every run of packets. */
struct dp_sa_out {
	/* The outer header: IPv4, and UDP if there is one. Type of service, lengths and checksums
	 * are 0; so is the first byte, which is any header's. */
	uint8_t header[28];
	uint32_t spi_be;
	uint64_t sequence; /* last used; it is the IV too, so it never goes back */
	uint64_t mark;     /* sequence at which dp_sa_out_at_mark() is asked: the warning, then the
	                      limit */
	uint32_t salt;     /* as it stands in the nonce */
	uint32_t remote_be;
	uint16_t header_sum; /* of the IPv4 header's 16-bit words but for the first */
	uint8_t before;      /* bytes in front of the inner packet */
	uint8_t around;      /* bytes of all that is not inner packet or padding */
	uint8_t outer_bytes; /* before the ESP header: 20 or 28 */
	uint8_t is_esn;
	uint16_t inner_mtu; /* largest inner packet, bytes */
	/* line 1 */
	uint64_t packets;
	uint64_t bytes;          /* of inner packets */
	uint64_t used_ns;        /* last packet, 0: never */
	uint64_t limit;          /* last sequence number that may be used */
	struct dp_sa_out *older; /* the tunnel's previous one, still listed */
	struct dp_crypto_suite suite;
	uint16_t environment; /* slot */
	uint16_t tunnel;      /* slot */
	uint64_t kept_ns;     /* last keepalive or ping, 0: never */
	/* line 2 */
	struct dp_ovpn_out openvpn;
	/* line 3 */
	struct dp_crypto_key key;
	struct dp_ovpn_epoch epoch;
	struct dp_sa_lease lease;
	uint8_t seed[DP_CRYPTO_SEED]; /* random from the beginning, for dp_crypto_key_init() */
} __rte_cache_aligned;
_Static_assert(offsetof(struct dp_sa_out, packets) == 64, "dp_sa_out: line 1");
_Static_assert(offsetof(struct dp_sa_out, openvpn) == 128, "dp_sa_out: line 2");
_Static_assert(offsetof(struct dp_sa_out, key) == 192, "dp_sa_out: line 3, the key");

/* Memory for one SA of a worker, random bytes for it included; NULL: none left. Control thread,
 * before dp_sa_add(). */
void *dp_sa_alloc(struct dp_sa_table *table, enum ipc_direction direction);
/* What two take, one of each direction, bytes. */
size_t dp_sa_pair_bytes(void);
/* Overwrites the memory of an SA, keys included. */
void dp_sa_wipe(void *memory);
/* Wipes and frees; NULL is allowed. Control thread, after the worker let go of it. */
void dp_sa_free(void *memory);

/* Allocates an inbound SPI for TUNNEL; RANDOM comes from getrandom(). -ENOSPC: the table is full.
 */
int dp_sa_spi_alloc(struct dp_worker *w, uint16_t tunnel, uint32_t random, uint32_t *spi_be);

/* The tunnel in this slot is no more: no key is taken any longer for the SPIs that were allocated
 * for it, whoever has the slot next. They go at their deadline. */
void dp_sa_disown_larval(struct dp_worker *w, uint16_t tunnel);

/*
 * Puts an SA into MEMORY (from dp_sa_alloc) and into use; with 0 the table owns the memory,
 * otherwise the caller keeps it and frees it. An outbound SA becomes its tunnel's current one at
 * once. The caller wipes ADD. -EEXIST: this SPI, destination and direction is there; -ENOENT: an
 * inbound SPI not allocated here for this tunnel; -ENOTSUP: algorithm; -EINVAL: key length,
 * addresses, ports, window, SPI; -ENOSPC: the table is full. OpenVPN: -EEXIST also where the tunnel
 * has an inbound key of this key id, -ENOSPC where it has two.
 */
int dp_sa_add(struct dp_worker *w, const struct ipc_sa_add *add, uint16_t tunnel,
              uint16_t environment, uint64_t control_epoch, uint16_t link_mtu, void *memory);

/*
 * ADD (without IPC_SA_EARLY) for an inbound SA of TUNNEL that was added early: what was negotiated
 * in the end takes effect. Where that is what was expected, replay window and counters go on.
 * -ENOENT: no such early SA, so it is for dp_sa_add(); otherwise as dp_sa_add(). The caller wipes
 * ADD.
 */
int dp_sa_confirm(struct dp_worker *w, const struct ipc_sa_add *add, uint16_t tunnel,
                  uint64_t control_epoch);

/* New outer addresses. -ENOENT; -EINVAL; -EEXIST: the new destination already has this SPI. */
int dp_sa_update(struct dp_worker *w, const struct ipc_sa_update *update, uint16_t link_mtu);

/* Takes an SA, or a larval SPI, out of use; *TO_FREE is its memory for dp_sa_free(), NULL for a
 * larval one. A tunnel that loses its current SA goes on with the newest it has left. -ENOENT. */
int dp_sa_delete(struct dp_worker *w, const struct ipc_sa_id *id, void **to_free);

/* The same for up to MAX SAs of TUNNEL, in time that does not depend on how many there are of
 * others; returns how many. Fewer than MAX: it has none left. */
unsigned dp_sa_retire(struct dp_worker *w, uint16_t tunnel, void **to_free, unsigned max);

/* -ENOENT, also for a larval SPI. */
int dp_sa_query(struct dp_worker *w, const struct ipc_sa_id *id, struct ipc_sa_info *info);

/* Removes what is past its hard lifetime, and larval SPIs past theirs; returns how many of MAX
 * memories it put into TO_FREE. Cheap while nothing is due. About once a second; again if it
 * returned MAX. */
unsigned dp_sa_expire(struct dp_worker *w, void **to_free, unsigned max);

/* Whether the sequence numbers of an SA began to run out since the last call: a reason for
 * IPC_CHANGED_SAS. */
bool dp_sa_take_changed(struct dp_worker *w);

/* The way to the tunnel's server takes outer packets of LINK_MTU bytes: for all its outbound SAs.
 */
void dp_sa_set_link_mtu(struct dp_worker *w, uint16_t tunnel, uint16_t link_mtu);

/* The server of an OpenVPN tunnel has another address: for all its keys. */
#define DP_SA_FLOAT_NS 1000000000ull /* not more often than that: the caller asks the key */
void dp_sa_float(struct dp_worker *w, uint16_t tunnel, uint32_t remote_be, uint16_t remote_port_be);

/* What was sealed with an OpenVPN key reached its mark: notes the warning, then ends the key. */
void dp_sa_out_at_volume(struct dp_worker *w, struct dp_sa_out *sa);

/* SEQUENCE reached the mark: false if no number is left; otherwise notes the warning and moves the
 * mark to the limit. */
bool dp_sa_out_at_mark(struct dp_worker *w, struct dp_sa_out *sa);

/* The home worker of an inbound SPI of ours. */
static inline unsigned dp_sa_spi_worker(uint32_t spi_be)
{
	return rte_be_to_cpu_32(spi_be) >> DP_SA_SPI_WORKER_SHIFT;
}
