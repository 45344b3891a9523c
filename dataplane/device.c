/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From "af_packet:eth1" and cores = "auto" to what rte_eal_init() understands. */
#include "dataplane/device.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_common.h>
#include <rte_mbuf.h>

#include "dataplane/batch.h"
#include "dataplane/larval.h"
#include "dataplane/mbufs.h"
#include "dataplane/reassembly.h"
#include "dataplane/sa.h"
#include "dataplane/worker.h"

#define AF_PACKET_FRAMES 2048u
#define FRAME_EXTRA (14u + 64u) /* Ethernet; ESP's trailer and padding */
#define XDP_HEADROOM 256u       /* the kernel's, in front of what AF_XDP receives */
#define SESSION_BYTES 168u      /* flows, lookup table, cold part, ports: an upper bound */
#define WORKER_BYTES (9u << 20) /* SA table, shares, rings, what waits */
#define TUNNELS 4096u           /* more of them: memory_mb */
#define TUNNEL_PAIRS 2u         /* of SAs: old and new ones while keys are changed */

static const char *const port_names[DP_PORT_COUNT] = {
	[DP_PORT_UPLINK] = "uplink", [DP_PORT_CLUSTER] = "cluster"
};

static __rte_format_printf(2, 3) int refuse(char *why, const char *format, ...)
{
	va_list a;

	va_start(a, format);
	vsnprintf(why, DP_WHY_SIZE, format, a);
	va_end(a);
	return -EINVAL;
}

static __rte_format_printf(2, 3) void argument(struct dp_eal *eal, const char *format, ...)
{
	char *text = NULL;
	va_list a;

	va_start(a, format);
	if (vasprintf(&text, format, a) < 0)
		text = NULL;
	va_end(a);
	if (text && eal->argc < DP_EAL_ARGUMENTS_MAX - 1)
		eal->argv[eal->argc++] = text;
	else
		free(text);
}

/* ---- devices ---- */

/* Interface names and paths go into a device string: no comma or blank may start another argument.
 */
static bool is_plain(const char *text)
{
	if (!*text)
		return false;
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr("._-/:@", *text))
			return false;
	return true;
}

static bool is_pci(const char *text)
{
	static const char form[] = "xxxx:xx:xx.7";

	for (const char *f = form; *f; f++, text++) {
		bool fits = *f == 'x'   ? isxdigit((unsigned char)*text)
		            : *f == '7' ? *text >= '0' && *text <= '7'
		                        : *text == *f;

		if (!fits)
			return false;
	}
	return *text == 0;
}

/* The PCI address of the network interface with this MAC address, if the kernel has one. */
static bool find_pci_by_mac(const char *mac, char *pci, size_t size)
{
	DIR *dir = opendir("/sys/class/net");
	bool found = false;
	struct dirent *entry;

	while (dir && !found && (entry = readdir(dir))) {
		char path[PATH_MAX], target[PATH_MAX], address[32] = "";
		const char *name;
		FILE *file;

		snprintf(path, sizeof(path), "/sys/class/net/%s/address", entry->d_name);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (fscanf(file, "%31s", address) == 1 && strcasecmp(address, mac) == 0) {
			snprintf(path, sizeof(path), "/sys/class/net/%s/device", entry->d_name);
			name = realpath(path, target) ? strrchr(target, '/') + 1 : "";
			found = is_pci(name);
			if (found)
				snprintf(pci, size, "%s", name);
		}
		fclose(file);
	}
	if (dir)
		closedir(dir);
	return found;
}

static int add_mac(struct dp_eal *eal, enum dp_port_id id, const char *mac, char *why)
{
	uint8_t *b = eal->macs[id];
	int end = 0;

	if (sscanf(mac, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &b[0], &b[1], &b[2], &b[3], &b[4],
	           &b[5], &end) != 6 ||
	    mac[end])
		return refuse(why, "%s: \"%s\" is no MAC address", port_names[id], mac);
	if (find_pci_by_mac(mac, eal->names[id], sizeof(eal->names[id])))
		argument(eal, "--allow=%s", eal->names[id]);
	return 0;
}

/*
 * Bytes of one slot of the ring shared with the kernel: its header, Ethernet with a VLAN tag, the
 * packet. The driver takes the slots for contiguous, so a whole number of them has to fill a block,
 * which is whole pages; and it insists that a slot fits an mbuf.
 */
static unsigned af_packet_frame(uint16_t mtu)
{
	unsigned need = mtu + 18u + 66u;

	return need <= 4096u ? rte_align32pow2(need) : RTE_ALIGN_CEIL(need, 4096u);
}

static bool is_af_packet(const struct ipc_port *port)
{
	return strncmp(port->device, "af_packet:", 10) == 0;
}

static bool is_af_xdp(const struct ipc_port *port)
{
	return strncmp(port->device, "af_xdp:", 7) == 0 ||
	       strncmp(port->device, "vdev:net_af_xdp", 15) == 0;
}

static int add_af_packet(struct dp_eal *eal, enum dp_port_id id, const char *interface,
                         const struct ipc_port *port, uint16_t queues)
{
	unsigned frame = af_packet_frame(port->mtu), block = frame < 4096u ? 65536u : frame;

	snprintf(eal->names[id], sizeof(eal->names[id]), "net_af_packet_%s", port_names[id]);
	argument(eal, "--vdev=%s,iface=%s,qpairs=%u,blocksz=%u,framesz=%u,framecnt=%u",
	         eal->names[id], interface, queues, block, frame, AF_PACKET_FRAMES);
	return 0;
}

static int add_af_xdp(struct dp_eal *eal, enum dp_port_id id, const char *interface,
                      uint16_t queues)
{
	snprintf(eal->names[id], sizeof(eal->names[id]), "net_af_xdp_%s", port_names[id]);
	argument(eal, "--vdev=%s,iface=%s,queue_count=%u", eal->names[id], interface, queues);
	return 0;
}

/* "PATH" or "PATH,role=server"; we are the client by default. */
static int add_memif(struct dp_eal *eal, enum dp_port_id id, const char *text, char *why)
{
	char path[IPC_DEVICE_LEN];
	const char *role = "client";
	char *option;

	snprintf(path, sizeof(path), "%s", text);
	option = strchr(path, ',');
	if (option) {
		*option++ = 0;
		if (strcmp(option, "role=server") == 0)
			role = "server";
		else if (strcmp(option, "role=client") != 0)
			return refuse(why, "%s: memif takes role=server or role=client, not \"%s\"",
			              port_names[id], option);
	}
	if (!is_plain(path))
		return refuse(why, "%s: \"%s\" is no path of a memif socket", port_names[id], path);
	snprintf(eal->names[id], sizeof(eal->names[id]), "net_memif_%s", port_names[id]);
	argument(eal, "--vdev=%s,role=%s,socket=%s,socket-abstract=no", eal->names[id], role, path);
	return 0;
}

/* Drivers a configuration may name by itself: none that writes files or runs anything. */
static int add_vdev(struct dp_eal *eal, enum dp_port_id id, const char *text, char *why)
{
	static const char *const drivers[] = { "net_af_packet", "net_af_xdp",     "net_memif",
		                               "net_null",      "net_ring",       "net_tap",
		                               "net_vhost",     "net_virtio_user" };
	size_t name = strcspn(text, ",");
	bool is_known = false;

	for (size_t i = 0; i < RTE_DIM(drivers); i++)
		is_known |= strncmp(text, drivers[i], strlen(drivers[i])) == 0;
	if (!is_known || name >= sizeof(eal->names[id]))
		return refuse(why, "%s: \"vdev:%s\" is none of the drivers that may be used",
		              port_names[id], text);
	for (const char *c = text; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._-/:@,=", *c))
			return refuse(why, "%s: character \"%c\" in \"vdev:%s\"", port_names[id],
			              *c, text);
	snprintf(eal->names[id], sizeof(eal->names[id]), "%.*s", (int)name, text);
	argument(eal, "--vdev=%s", text);
	return 0;
}

static int add_device(struct dp_eal *eal, enum dp_port_id id, const struct ipc_port *port,
                      uint16_t queues, char *why)
{
	const char *device = port->device, *rest = strchr(device, ':');

	if (is_pci(device)) {
		snprintf(eal->names[id], sizeof(eal->names[id]), "%s", device);
		argument(eal, "--allow=%s", device);
		return 0;
	}
	rest = rest ? rest + 1 : "";
	if (strncmp(device, "mac:", 4) == 0)
		return add_mac(eal, id, rest, why);
	if (strncmp(device, "memif:", 6) == 0)
		return add_memif(eal, id, rest, why);
	if (strncmp(device, "vdev:", 5) == 0)
		return add_vdev(eal, id, rest, why);
	if (!is_plain(rest))
		return refuse(why, "%s: \"%s\" is no device", port_names[id], device);
	if (is_af_packet(port))
		return add_af_packet(eal, id, rest, port, queues);
	if (strncmp(device, "af_xdp:", 7) == 0)
		return add_af_xdp(eal, id, rest, queues);
	return refuse(why, "%s: \"%s\" is no device", port_names[id], device);
}

/* ---- cores ---- */

/* A CPU's number at *TEXT, which moves behind it; -1: there is none. */
static int take_cpu(const char **text)
{
	int cpu = 0;

	if (!isdigit((unsigned char)**text))
		return -1;
	for (; isdigit((unsigned char)**text); ++*text)
		if (cpu < CPU_SETSIZE)
			cpu = cpu * 10 + (**text - '0');
	return cpu < CPU_SETSIZE ? cpu : -1;
}

/* The CPUs of a list as "2-5,8" in its order; takes them out of REST. Returns how many. */
static int list_cpus(const char *cores, cpu_set_t *rest, int cpus[CPU_SETSIZE], char *why)
{
	const char *at = cores;
	cpu_set_t taken;
	int n = 0;

	CPU_ZERO(&taken);
	if (!*at)
		return refuse(why, "cores: the list is empty");
	do {
		int from = take_cpu(&at), to = from;

		if (from >= 0 && *at == '-') {
			at++;
			to = take_cpu(&at);
		}
		if (from < 0 || to < from || (*at && *at != ','))
			return refuse(why, "cores: \"%s\" is no list of CPUs", cores);
		for (int c = from; c <= to; c++) {
			if (CPU_ISSET(c, &taken))
				return refuse(why, "cores: CPU %d is there twice", c);
			if (!CPU_ISSET(c, rest))
				return refuse(why, "cores: CPU %d is not there or not allowed", c);
			CPU_CLR(c, rest);
			CPU_SET(c, &taken);
			cpus[n++] = c;
		}
	} while (*at++);
	return n;
}

/* All CPUs that we may run on. */
static int list_all(const cpu_set_t *allowed, int cpus[CPU_SETSIZE])
{
	int n = 0;

	for (int c = 0; c < CPU_SETSIZE; c++)
		if (CPU_ISSET(c, allowed))
			cpus[n++] = c;
	return n;
}

/* "(0-3,6)"; false: it does not fit. */
static bool write_cpus(char *text, size_t size, const int *cpus, int n)
{
	size_t at = 0;

	for (int i = 0; i < n && at < size; i++) {
		int from = i;

		while (i + 1 < n && cpus[i + 1] == cpus[i] + 1)
			i++;
		at += (size_t)snprintf(text + at, size - at, i > from ? "%c%d-%d" : "%c%d",
		                       from ? ',' : '(', cpus[from], cpus[i]);
	}
	if (at < size)
		at += (size_t)snprintf(text + at, size - at, ")");
	return at < size;
}

/* lcore 0 is the control thread, 1 to N are the workers. Workers that poll get a CPU each; adaptive
 * ones may share theirs. The control thread gets the first CPU of all, or where the workers have a
 * list, what is not on it. */
static int add_cores(struct dp_eal *eal, const struct ipc_node *node, char *why)
{
	bool is_auto = strcmp(node->cores, "auto") == 0;
	int cpus[CPU_SETSIZE], others[CPU_SETSIZE], n, first, other_count;
	char map[8192], shared[4096], control[4096]; /* room for every CPU */
	cpu_set_t rest;
	size_t at;

	if (sched_getaffinity(0, sizeof(rest), &rest) < 0)
		return refuse(why, "cannot read the CPU affinity: %s", strerror(errno));
	n = is_auto ? list_all(&rest, cpus) : list_cpus(node->cores, &rest, cpus, why);
	if (n < 0)
		return n;
	first = is_auto && n > 1; /* automatic: the first CPU stays for everybody else */
	other_count = is_auto ? 0 : list_all(&rest, others);
	if (!write_cpus(shared, sizeof(shared), cpus, n) ||
	    !write_cpus(control, sizeof(control), other_count ? others : cpus,
	                other_count ? other_count : 1))
		return refuse(why, "cores: the list is too long");
	if (node->workers > DP_WORKERS_MAX)
		return refuse(why, "workers: at most %u", DP_WORKERS_MAX);
	eal->workers =
		(uint16_t)(node->workers ? node->workers
	                                 : (uint32_t)RTE_MIN(n - first, (int)DP_WORKERS_MAX));
	if (node->idle == IPC_IDLE_POLL && eal->workers > n - first)
		return refuse(
			why,
			"%u polling workers want a CPU each, there are %d: use idle = \"adaptive\", or fewer workers",
			eal->workers, n - first);
	at = (size_t)snprintf(map, sizeof(map), "--lcores=0@%s", control);
	if (node->idle == IPC_IDLE_ADAPTIVE)
		at += (size_t)snprintf(map + at, sizeof(map) - at, ",(1-%u)@%s", eal->workers,
		                       shared);
	for (unsigned w = 0; node->idle == IPC_IDLE_POLL && w < eal->workers && at < sizeof(map);
	     w++)
		at += (size_t)snprintf(map + at, sizeof(map) - at, ",%u@%d", w + 1,
		                       cpus[first + (int)w]);
	if (at >= sizeof(map))
		return refuse(why, "cores: the list is too long");
	argument(eal, "%s", map);
	return 0;
}

/* ---- memory ---- */

/* What the data of one mbuf must hold for a port: Ethernet, the packet, ESP's trailer and padding;
 * for net_af_packet a whole slot. */
static unsigned port_room(const struct ipc_port *port)
{
	unsigned room = RTE_ALIGN_CEIL(port->mtu + FRAME_EXTRA, 64u);

	return is_af_packet(port) ? RTE_MAX(room, af_packet_frame(port->mtu)) : room;
}

static bool has_af_xdp(const struct ipc_node *node)
{
	return is_af_xdp(&node->uplink) || is_af_xdp(&node->cluster);
}

uint16_t dp_eal_mbuf_room(const struct ipc_node *node)
{
	unsigned room = RTE_MAX(port_room(&node->uplink), port_room(&node->cluster));

	if (has_af_xdp(node))
		return dp_mbufs_page_room();
	return (uint16_t)RTE_MAX(RTE_PKTMBUF_HEADROOM + room, (unsigned)RTE_MBUF_DEFAULT_BUF_SIZE);
}

/* Where buffers are pages the packets of both ports must fit one. */
static int check_mtu(const struct ipc_node *node, enum dp_port_id id, const struct ipc_port *port,
                     char *why)
{
	unsigned room = dp_mbufs_page_room() - RTE_PKTMBUF_HEADROOM - XDP_HEADROOM;
	unsigned mtu = room / 64u * 64u - FRAME_EXTRA;

	if (!has_af_xdp(node) || port->mtu <= mtu)
		return 0;
	return refuse(why, "%s: mtu: %u is too large beside AF_XDP, which takes %u", port_names[id],
	              port->mtu, mtu);
}

uint32_t dp_eal_mbuf_count(const struct ipc_node *node, uint16_t workers)
{
	/* receive and transmit rings of two ports, fragments that wait, a burst and held packets
	 * (for ARP, for their key) for each worker, the queues between threads */
	uint32_t each =
		DP_PORT_COUNT * (1024u + 1024u) + DP_REASSEMBLY_BUFFERS + 1024u + DP_LARVAL_MAX;

	return node->mbufs ? node->mbufs : rte_align32pow2(each * workers + 4096u) - 1;
}

uint32_t dp_eal_memory_mb(const struct ipc_node *node, uint16_t workers)
{
	uint64_t bytes =
		(uint64_t)dp_eal_mbuf_count(node, workers) * (dp_eal_mbuf_room(node) + 256u);

	if (node->memory_mb)
		return node->memory_mb;
	bytes += (uint64_t)node->sessions * SESSION_BYTES;
	bytes += (uint64_t)workers * WORKER_BYTES;
	bytes += (uint64_t)TUNNELS * TUNNEL_PAIRS * dp_sa_pair_bytes();
	bytes += DP_DATAGRAM_BUFFERS * (UINT16_MAX + 256ull);
	return (uint32_t)(bytes >> 20) + 64;
}

static bool has_hugepages(uint32_t need_mb)
{
	unsigned long free_pages = 0;
	char line[512];
	bool is_mounted = false;
	FILE *file = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "re");

	if (file) {
		if (fscanf(file, "%lu", &free_pages) != 1)
			free_pages = 0;
		fclose(file);
	}
	file = fopen("/proc/mounts", "re");
	while (file && fgets(line, sizeof(line), file))
		is_mounted |= strstr(line, " hugetlbfs ") != NULL;
	if (file)
		fclose(file);
	return is_mounted && free_pages * 2 >= need_mb;
}

static int add_memory(struct dp_eal *eal, const struct ipc_node *node, char *why)
{
	uint32_t need = dp_eal_memory_mb(node, eal->workers);

	eal->has_hugepages = node->hugepages != IPC_HUGEPAGES_OFF && has_hugepages(need);
	if (node->hugepages == IPC_HUGEPAGES_ON && !eal->has_hugepages)
		return refuse(
			why,
			"hugepages = \"on\", but %u MB of free 2 MB pages on a mounted hugetlbfs are not there",
			need);
	if (!eal->has_hugepages)
		argument(eal, "--no-huge");
	else
		argument(eal, "--huge-unlink=always");
	argument(eal, "-m%u", need);
	return 0;
}

int dp_eal_prepare(struct dp_eal *eal, const struct ipc_node *node, const char *instance,
                   char why[DP_WHY_SIZE])
{
	const struct ipc_port *ports[DP_PORT_COUNT] = {
		[DP_PORT_UPLINK] = &node->uplink, [DP_PORT_CLUSTER] = &node->cluster
	};
	bool has_pci = false;
	int rc;

	memset(eal, 0, sizeof(*eal));
	argument(eal, "sallyport-dataplane");
	argument(eal, "--file-prefix=sallyport-%s", instance);
	argument(eal, "--no-telemetry");
	argument(eal, "--log-level=warning");
	rc = add_cores(eal, node, why);
	if (rc == 0)
		rc = add_memory(eal, node, why);
	for (enum dp_port_id id = 0; rc == 0 && id < DP_PORT_COUNT; id++) {
		uint16_t queues = ports[id]->queues ? ports[id]->queues : eal->workers;

		rc = check_mtu(node, id, ports[id], why);
		if (rc == 0)
			rc = add_device(eal, id, ports[id], queues, why);
		has_pci |= is_pci(ports[id]->device) || strncmp(ports[id]->device, "mac:", 4) == 0;
	}
	if (rc == 0 && !has_pci)
		argument(eal, "--no-pci");
	if (rc)
		dp_eal_fini(eal);
	return rc;
}

void dp_eal_fini(struct dp_eal *eal)
{
	for (int i = 0; i < eal->argc; i++)
		free(eal->argv[i]);
	eal->argc = 0;
}
