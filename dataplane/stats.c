/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The segment's directory: every field of struct dp_counters gets its name here. */
#include "dataplane/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_common.h>

#include "common/stats_layout.h"

struct dp_stats {
	struct sp_stats_header *header;
};

#define FIELD(field, text)                                                  \
	{                                                                   \
		.name = text, .offset = offsetof(struct dp_counters, field) \
	}
#define PORT_FIELDS(id, port)                                          \
	FIELD(rx_packets[id], "port/" port "/rx-packets"),             \
		FIELD(rx_bytes[id], "port/" port "/rx-bytes"),         \
		FIELD(tx_packets[id], "port/" port "/tx-packets"),     \
		FIELD(tx_bytes[id], "port/" port "/tx-bytes"),         \
		FIELD(rx_missed[id], "port/" port "/rx-missed"),       \
		FIELD(rx_no_buffer[id], "port/" port "/rx-no-buffer"), \
		FIELD(rx_errors[id], "port/" port "/rx-errors"),       \
		FIELD(tx_errors[id], "port/" port "/tx-errors")

/* How often a time was at most so many milliseconds, and more than the bound before: the bounds are
 * dp_failover_bounds_ms. */
#define HISTOGRAM_FIELDS(field, text)                                                    \
	FIELD(field[0], text "-ms-le-10"), FIELD(field[1], text "-ms-le-50"),            \
		FIELD(field[2], text "-ms-le-100"), FIELD(field[3], text "-ms-le-150"),  \
		FIELD(field[4], text "-ms-le-200"), FIELD(field[5], text "-ms-le-300"),  \
		FIELD(field[6], text "-ms-le-500"), FIELD(field[7], text "-ms-le-1000"), \
		FIELD(field[8], text "-ms-more"), FIELD(field##_ns, text "-ns")

static const struct sp_stats_counter fields[] = {
	PORT_FIELDS(DP_PORT_UPLINK, "uplink"),
	PORT_FIELDS(DP_PORT_CLUSTER, "cluster"),
	FIELD(esp_in_packets, "esp/in-packets"),
	FIELD(esp_out_packets, "esp/out-packets"),
	FIELD(esp_held, "esp/held-packets"),
	FIELD(esp_resync_tries, "esp/resync-tries"),
	FIELD(esp_resyncs, "esp/resyncs"),
	FIELD(esp_keepalives, "esp/out-keepalives"),
	FIELD(ovpn_in_packets, "openvpn/in-packets"),
	FIELD(ovpn_out_packets, "openvpn/out-packets"),
	FIELD(ovpn_pings, "openvpn/out-pings"),
	FIELD(ovpn_decompressed, "openvpn/in-decompressed"),
	FIELD(ovpn_control_in, "openvpn/in-control"),
	FIELD(ovpn_stream_in, "openvpn/in-stream"),
	FIELD(ovpn_stream_out, "openvpn/out-stream"),
	FIELD(egress_out_packets, "egress/out-packets"),
	FIELD(egress_out_bytes, "egress/out-bytes"),
	FIELD(egress_in_packets, "egress/in-packets"),
	FIELD(egress_in_bytes, "egress/in-bytes"),
	FIELD(sas_now, "esp/sas-now"),
	FIELD(sessions_created, "sessions/created"),
	FIELD(sessions_ended, "sessions/ended"),
	FIELD(sessions_reclaimed, "sessions/reclaimed"),
	FIELD(sessions_moved, "sessions/moved"),
	FIELD(sessions_reset, "sessions/reset"),
	FIELD(sessions_now, "sessions/now"),
	FIELD(session_capacity, "sessions/capacity"),
	FIELD(answers_rst, "answers/rst"),
	FIELD(answers_icmp, "answers/icmp"),
	FIELD(answers_limited, "answers/rate-limited"),
	FIELD(arp_replies, "answers/arp"),
	FIELD(echo_replies, "answers/echo"),
	FIELD(arp_in, "arp/in-packets"),
	FIELD(ike_in, "ike/in-datagrams"),
	FIELD(ike_out, "ike/out-datagrams"),
	FIELD(exception_in, "exception/in-packets"),
	FIELD(exception_out, "exception/out-packets"),
	FIELD(handoffs, "worker/handoffs"),
	FIELD(icmp_translated, "icmp/translated"),
	FIELD(fragments_in, "fragments/in"),
	FIELD(fragments_waiting, "fragments/waiting"),
	FIELD(fragments_out, "fragments/out"),
	FIELD(reassembled, "fragments/reassembled"),
	FIELD(probes_sent, "failover/probes-sent"),
	FIELD(probes_answered, "failover/probes-answered"),
	FIELD(probes_missed, "failover/probes-missed"),
	FIELD(drop[DP_PROBE], "failover/probe-packets-in"),
	FIELD(tunnel_deaths, "failover/tunnel-deaths"),
	FIELD(moves[IPC_MOVE_UP - 1], "failover/moves-up"),
	FIELD(moves[IPC_MOVE_DOWN - 1], "failover/moves-down"),
	FIELD(moves[IPC_MOVE_DEAD - 1], "failover/moves-dead"),
	FIELD(moves[IPC_MOVE_REMOVED - 1], "failover/moves-removed"),
	FIELD(moves[IPC_MOVE_BY_HAND - 1], "failover/moves-by-hand"),
	FIELD(moves[IPC_MOVE_BACK - 1], "failover/moves-back"),
	HISTOGRAM_FIELDS(detection, "failover/detection"),
	HISTOGRAM_FIELDS(switching, "failover/switch"),
	FIELD(loops, "worker/loops"),
	FIELD(loops_idle, "worker/loops-idle"),
	FIELD(mbufs_free, "mbufs-free"),
	FIELD(egress_busiest_ports, "egress/busiest-ports"),
};

/* Fills the directory and returns how many entries it has; with NULL only counts. */
static uint32_t write_directory(struct sp_stats_counter *to)
{
	uint32_t n = 0;

	for (size_t i = 0; i < RTE_DIM(fields); i++, n++)
		if (to)
			to[n] = fields[i];
	for (unsigned v = 0; v < DP_VERDICT_COUNT; v++) {
		const char *name = dp_verdict_name((enum dp_verdict)v);

		if (!*name)
			continue;
		if (to) {
			snprintf(to[n].name, sizeof(to[n].name), "drop/%s", name);
			to[n].offset = (uint32_t)(offsetof(struct dp_counters, drop) +
			                          v * sizeof(uint64_t));
		}
		n++;
	}
	return n;
}

static int map_file(const char *path, size_t size, void **memory)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (fchmod(fd, 0644) < 0 || ftruncate(fd, (off_t)size) < 0) {
		rc = -errno;
	} else {
		*memory =
			mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
		if (*memory == MAP_FAILED)
			rc = -errno;
	}
	close(fd);
	return rc;
}

int dp_stats_create(struct dp_stats **stats, const char *run_dir, uint64_t epoch, uint32_t workers)
{
	uint32_t counters = write_directory(NULL);
	size_t stride = RTE_ALIGN_CEIL(sizeof(struct dp_counters), 128);
	size_t cells = RTE_ALIGN_CEIL(
		sizeof(struct sp_stats_header) + counters * sizeof(struct sp_stats_counter), 128);
	size_t size = cells + workers * stride;
	char path[256], fresh[264];
	struct sp_stats_header *h;
	void *memory;
	int rc;

	if ((size_t)snprintf(path, sizeof(path), "%s/stats", run_dir) >= sizeof(path))
		return -ENAMETOOLONG;
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	unlink(fresh);
	rc = map_file(fresh, size, &memory);
	if (rc) {
		unlink(fresh);
		return rc;
	}
	h = memory;
	h->version = SP_STATS_VERSION;
	h->counters = counters;
	h->epoch = epoch;
	h->workers = workers;
	h->worker_stride = (uint32_t)stride;
	h->cells_offset = cells;
	h->size = size;
	write_directory((struct sp_stats_counter *)(h + 1));
	__atomic_store_n(&h->magic, SP_STATS_MAGIC, __ATOMIC_RELEASE);
	*stats = calloc(1, sizeof(**stats));
	if (!*stats || rename(fresh, path) < 0) {
		rc = *stats ? -errno : -ENOMEM;
		unlink(fresh);
		munmap(memory, size);
		free(*stats);
		*stats = NULL;
		return rc;
	}
	(*stats)->header = h;
	return 0;
}

void dp_stats_destroy(struct dp_stats *stats)
{
	if (!stats)
		return;
	munmap(stats->header, stats->header->size);
	free(stats);
}

struct dp_counters *dp_stats_cells(struct dp_stats *stats, uint32_t worker)
{
	struct sp_stats_header *h = stats->header;

	return (struct dp_counters *)((uint8_t *)h + h->cells_offset +
	                              (size_t)worker * h->worker_stride);
}
