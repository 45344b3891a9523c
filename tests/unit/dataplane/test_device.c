/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the configuration to EAL's arguments, on machines made up here: their CPUs, files,
 * interfaces. */
#include <dirent.h>
#include <linux/if_packet.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* The machine. */
static struct {
	int cpus[256]; /* allowed ones */
	int cpu_count;
	unsigned long free_pages;
	int has_hugetlbfs;
} machine;

static int fake_affinity(pid_t pid, size_t size, cpu_set_t *set)
{
	(void)pid;
	memset(set, 0, size);
	for (int i = 0; i < machine.cpu_count; i++)
		CPU_SET(machine.cpus[i], set);
	return 0;
}

static FILE *fake_open(const char *path, const char *mode)
{
	char text[128] = "";
	FILE *file;

	(void)mode;
	if (strstr(path, "free_hugepages"))
		snprintf(text, sizeof(text), "%lu\n", machine.free_pages);
	else if (strcmp(path, "/proc/mounts") == 0)
		snprintf(text, sizeof(text), "proc /proc proc rw 0 0\n%s",
		         machine.has_hugetlbfs ? "none /dev/hugepages hugetlbfs rw 0 0\n" : "");
	else if (strstr(path, "/sys/class/net/eth7/address"))
		snprintf(text, sizeof(text), "02:00:00:00:00:77\n");
	else if (strstr(path, "/sys/class/net/veth3/address"))
		snprintf(text, sizeof(text), "02:00:00:00:00:33\n");
	else
		return NULL;
	file = tmpfile();
	assert_non_null(file);
	fputs(text, file);
	rewind(file);
	return file;
}

static DIR *fake_opendir(const char *path)
{
	static char base[] = "/tmp/sallyport-test-device-XXXXXX";
	static int is_made;

	assert_string_equal(path, "/sys/class/net");
	if (!is_made) {
		char name[64];

		assert_non_null(mkdtemp(base));
		for (unsigned i = 0; i < 2; i++) {
			snprintf(name, sizeof(name), "%s/%s", base, i ? "eth7" : "veth3");
			fclose(fopen(name, "w"));
		}
		is_made = 1;
	}
	return opendir(base);
}

static char *fake_realpath(const char *path, char *target)
{
	if (!strstr(path, "eth7/device") || strstr(path, "veth"))
		return NULL; /* no device behind it */
	return strcpy(target, "/sys/devices/pci0000:00/0000:00:07.0");
}

#define sched_getaffinity fake_affinity
#define fopen fake_open
#define opendir fake_opendir
#define realpath fake_realpath
#include "dataplane/device.c"
#include "dataplane/nat_flow.h"
#undef fopen
#undef opendir

#define UPLINK 0
#define CLUSTER 1

static struct ipc_node node_with(const char *uplink, const char *cluster)
{
	struct ipc_node node = { .cores = "auto",
		                 .sessions = 65536,
		                 .idle = IPC_IDLE_ADAPTIVE,
		                 .hugepages = IPC_HUGEPAGES_OFF };

	snprintf(node.uplink.device, sizeof(node.uplink.device), "%s", uplink);
	snprintf(node.cluster.device, sizeof(node.cluster.device), "%s", cluster);
	node.uplink.mtu = node.cluster.mtu = 1500;
	return node;
}

static int setup(void **state)
{
	(void)state;
	machine.cpu_count = 4;
	for (int i = 0; i < 4; i++)
		machine.cpus[i] = i;
	machine.free_pages = 0;
	machine.has_hugetlbfs = 0;
	return 0;
}

/* How often an argument is there. */
static unsigned has(const struct dp_eal *eal, const char *text)
{
	unsigned n = 0;

	for (int i = 0; i < eal->argc; i++)
		n += strcmp(eal->argv[i], text) == 0;
	return n;
}

static const char *starting(const struct dp_eal *eal, const char *start)
{
	for (int i = 0; i < eal->argc; i++)
		if (strncmp(eal->argv[i], start, strlen(start)) == 0)
			return eal->argv[i];
	return "";
}

static void knows_every_form_of_device(void **state)
{
	static const struct {
		const char *device, *argument, *name;
		int wants_pci;
	} table[] = {
		{ "0000:00:06.0", "--allow=0000:00:06.0", "0000:00:06.0", 1 },
		{ "10000:e1:00.7", NULL, NULL, 0 },
		{ "0000:3b:1f.3", "--allow=0000:3b:1f.3", "0000:3b:1f.3", 1 },
		{ "mac:02:00:00:00:00:77", "--allow=0000:00:07.0", "0000:00:07.0", 1 },
		{ "mac:02:00:00:00:00:33", "", "", 1 }, /* no PCI device behind it */
		{ "mac:02:00:00:00:00:99", "", "",
		  1 }, /* bound to a user space driver: found among DPDK's ports */
		{ "af_packet:eth1", "", "net_af_packet_uplink", 0 }, /* below */
		{ "af_xdp:eth1.100", "--vdev=net_af_xdp_uplink,iface=eth1.100,queue_count=3",
		  "net_af_xdp_uplink", 0 },
		{ "memif:/run/memif.sock",
		  "--vdev=net_memif_uplink,role=client,socket=/run/memif.sock,socket-abstract=no",
		  "net_memif_uplink", 0 },
		{ "memif:/run/m.sock,role=server",
		  "--vdev=net_memif_uplink,role=server,socket=/run/m.sock,socket-abstract=no",
		  "net_memif_uplink", 0 },
		{ "vdev:net_null0", "--vdev=net_null0", "net_null0", 0 },
		{ "vdev:net_tap1,iface=tap1,mac=02:00:00:00:00:01",
		  "--vdev=net_tap1,iface=tap1,mac=02:00:00:00:00:01", "net_tap1", 0 },
		{ "vdev:net_virtio_user0,path=/dev/vhost-net",
		  "--vdev=net_virtio_user0,path=/dev/vhost-net", "net_virtio_user0", 0 },
	};

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(table); i++) {
		struct ipc_node node = node_with(table[i].device, "vdev:net_null1");
		char why[DP_WHY_SIZE] = "";
		struct dp_eal eal;
		int rc = dp_eal_prepare(&eal, &node, "edge", why);

		if (!table[i].argument) {
			assert_int_equal(rc, -EINVAL);
			continue;
		}
		if (rc != 0)
			fail_msg("%s: %s", table[i].device, why);
		assert_string_equal(eal.names[UPLINK], table[i].name);
		assert_string_equal(eal.names[CLUSTER], "net_null1");
		if (*table[i].argument && has(&eal, table[i].argument) != 1)
			fail_msg("%s: %s", table[i].device, starting(&eal, "--vdev="));
		assert_int_equal(has(&eal, "--vdev=net_null1"), 1);
		assert_int_equal(has(&eal, "--no-pci"), !table[i].wants_pci);
		assert_int_equal(has(&eal, "--file-prefix=sallyport-edge"), 1);
		assert_int_equal(has(&eal, "--no-telemetry"), 1);
		if (strncmp(table[i].device, "mac:", 4) == 0) {
			assert_int_equal(eal.macs[UPLINK][0], 2);
			assert_in_range(eal.macs[UPLINK][5], 0x33, 0x99);
		}
		dp_eal_fini(&eal);
		assert_int_equal(eal.argc, 0);
	}
}

/* The ring that the kernel writes frames into, as the driver checks it. */
static void check_ring(const struct dp_eal *eal, const struct ipc_node *node, enum dp_port_id id)
{
	const struct ipc_port *port = id == UPLINK ? &node->uplink : &node->cluster;
	unsigned queues, block, frame, frames, data;
	char name[32], interface[32], start[64];

	snprintf(start, sizeof(start), "--vdev=net_af_packet_%s,",
	         id == UPLINK ? "uplink" : "cluster");
	assert_int_equal(
		sscanf(starting(eal, start),
	               "--vdev=net_af_packet_%31[^,],iface=%31[^,],qpairs=%u,blocksz=%u,framesz=%u,framecnt=%u",
	               name, interface, &queues, &block, &frame, &frames),
		6);
	assert_string_equal(interface, id == UPLINK ? "eth1" : "eth2");
	assert_int_equal(queues, port->queues ? port->queues : eal->workers);
	assert_int_equal(block % 4096, 0);
	assert_int_equal(frame % TPACKET_ALIGNMENT, 0);
	assert_int_equal(frames % (block / frame), 0);
	assert_int_equal(block % frame, 0); /* the driver takes the slots for contiguous */
	assert_true(frames >= 2048);
	data = frame - (unsigned)TPACKET2_HDRLEN + (unsigned)sizeof(struct sockaddr_ll);
	assert_true(data >= port->mtu + 14u);
	assert_true(data <= dp_eal_mbuf_room(node) - (unsigned)RTE_PKTMBUF_HEADROOM);
}

static void tells_the_ports_apart(void **state)
{
	struct ipc_node node = node_with("af_packet:eth1", "af_packet:eth2");
	char why[DP_WHY_SIZE];
	struct dp_eal eal;

	(void)state;
	node.uplink.queues = 2;
	for (unsigned mtu = 576; mtu <= 9000; mtu++) {
		node.cluster.mtu = (uint16_t)mtu;
		assert_int_equal(dp_eal_prepare(&eal, &node, "edge", why), 0);
		check_ring(&eal, &node, UPLINK);
		check_ring(&eal, &node, CLUSTER);
		assert_string_equal(eal.names[CLUSTER], "net_af_packet_cluster");
		dp_eal_fini(&eal);
	}
}

static void refuses_devices_with_words(void **state)
{
	static const struct {
		const char *device, *word;
	} table[] = {
		{ "", "\"\" is no device" },
		{ "eth1", "\"eth1\" is no device" },
		{ "00:06.0", "is no device" },
		{ "0000:00:06.0 ", "is no device" },
		{ "0000:00:06.0,x=1", "is no device" },
		{ "0000:00:06.8", "is no device" },
		{ " 000:00:06.0", "is no device" },
		{ "0x0:00:06.0", "is no device" },
		{ "dpdk:eth1", "is no device" },
		{ "af_packet:", "is no device" },
		{ "af_packet:eth1,iface=eth0", "is no device" },
		{ "af_packet:eth1 --vdev=x", "is no device" },
		{ "af_xdp:eth1,start_queue=1", "is no device" },
		{ "af_xdp", "is no device" },
		{ "mac:", "is no MAC address" },
		{ "mac:02:00:00:00:00", "\"02:00:00:00:00\" is no MAC address" },
		{ "mac:02:00:00:00:00:01:02", "is no MAC address" },
		{ "mac:02:00:00:00:00:0g", "is no MAC address" },
		{ "mac:02-00-00-00-00-01", "is no MAC address" },
		{ "memif:", "is no path of a memif socket" },
		{ "memif:/run/m.sock,role=master",
		  "role=server or role=client, not \"role=master\"" },
		{ "memif:/run/m.sock,secret=x", "role=server or role=client" },
		{ "memif:/run/m .sock", "is no path" },
		{ "vdev:", "none of the drivers" },
		{ "vdev:net_pcap0,rx_pcap=/tmp/x", "none of the drivers" },
		{ "vdev:crypto_null0", "none of the drivers" },
		{ "vdev:net_null0 --log-level=8", "character \" \"" },
		{ "vdev:net_tap0,iface=$(id)", "character \"$\"" },
	};

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(table) * 2; i++) {
		const char *device = table[i / 2].device;
		struct ipc_node node = i % 2 ? node_with("vdev:net_null0", device)
		                             : node_with(device, "vdev:net_null1");
		char why[DP_WHY_SIZE] = "";
		struct dp_eal eal;

		if (dp_eal_prepare(&eal, &node, "edge", why) != -EINVAL ||
		    !strstr(why, table[i / 2].word))
			fail_msg("%s: \"%s\"", device, why);
		/* it says which of the two */
		assert_int_equal(strncmp(why, i % 2 ? "cluster: " : "uplink: ", i % 2 ? 9 : 8), 0);
		assert_int_equal(eal.argc, 0); /* nothing to free */
	}
}

/* A buffer is a page there: whatever fits it is taken, and nothing else. */
static void bounds_the_mtu_beside_af_xdp(void **state)
{
	static const char *const devices[][2] = { { "af_xdp:eth1", "vdev:net_null1" },
		                                  { "vdev:net_null0", "af_xdp:eth1" },
		                                  { "vdev:net_af_xdp0,iface=eth1",
		                                    "vdev:net_null1" } };
	unsigned room = dp_mbufs_page_room() - RTE_PKTMBUF_HEADROOM - 256;

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(devices); i++) {
		struct ipc_node node = node_with(devices[i][0], devices[i][1]);
		char why[DP_WHY_SIZE] = "";
		struct dp_eal eal;

		node.cluster.mtu = (uint16_t)(room - 14 - 64);
		assert_int_equal(dp_eal_prepare(&eal, &node, "edge", why), 0);
		dp_eal_fini(&eal);
		node.cluster.mtu++;
		assert_int_equal(dp_eal_prepare(&eal, &node, "edge", why), -EINVAL);
		assert_non_null(strstr(why, "cluster: mtu: "));
	}
}

static void gives_cores(void **state)
{
	static const struct {
		const char *what, *cores;
		int cpus[5]; /* allowed; ends at -1 */
		uint32_t workers;
		enum ipc_idle idle;
		const char *expected; /* argument, or what is said */
	} table[] = {
		{ "adaptive shares",
		  "auto",
		  { 0, 1, 2, 3, -1 },
		  0,
		  IPC_IDLE_ADAPTIVE,
		  "--lcores=0@(0),(1-3)@(0-3)" },
		{ "adaptive, more workers than CPUs",
		  "auto",
		  { 0, 1, -1 },
		  3,
		  IPC_IDLE_ADAPTIVE,
		  "--lcores=0@(0),(1-3)@(0-1)" },
		{ "adaptive on one CPU",
		  "auto",
		  { 5, -1 },
		  0,
		  IPC_IDLE_ADAPTIVE,
		  "--lcores=0@(5),(1-1)@(5)" },
		{ "polling leaves the first CPU",
		  "auto",
		  { 0, 1, 2, 3, -1 },
		  0,
		  IPC_IDLE_POLL,
		  "--lcores=0@(0),1@1,2@2,3@3" },
		{ "polling, fewer workers",
		  "auto",
		  { 0, 1, 2, 3, -1 },
		  2,
		  IPC_IDLE_POLL,
		  "--lcores=0@(0),1@1,2@2" },
		{ "polling, CPUs with gaps",
		  "auto",
		  { 1, 4, 6, -1 },
		  0,
		  IPC_IDLE_POLL,
		  "--lcores=0@(1),1@4,2@6" },
		{ "polling on the only CPU",
		  "auto",
		  { 0, -1 },
		  0,
		  IPC_IDLE_POLL,
		  "--lcores=0@(0),1@0" },
		{ "polling, too many",
		  "auto",
		  { 0, 1, 2, -1 },
		  3,
		  IPC_IDLE_POLL,
		  "3 polling workers want a CPU each, there are 2: use idle = \"adaptive\", or fewer workers" },
		/* a list is the workers': the control thread goes beside it */
		{ "a list",
		  "2-3",
		  { 0, 1, 2, 3, -1 },
		  0,
		  IPC_IDLE_POLL,
		  "--lcores=0@(0-1),1@2,2@3" },
		{ "a list with a comma",
		  "1,3",
		  { 0, 1, 2, 3, -1 },
		  0,
		  IPC_IDLE_POLL,
		  "--lcores=0@(0,2),1@1,2@3" },
		{ "a list of all",
		  "0-3",
		  { 0, 1, 2, 3, -1 },
		  0,
		  IPC_IDLE_POLL,
		  "--lcores=0@(0),1@0,2@1,3@2,4@3" },
		{ "a list, adaptive",
		  "2-3",
		  { 0, 1, 2, 3, -1 },
		  1,
		  IPC_IDLE_ADAPTIVE,
		  "--lcores=0@(0-1),(1-1)@(2-3)" },
		{ "a list, too many",
		  "2-3",
		  { 0, 1, 2, 3, -1 },
		  3,
		  IPC_IDLE_POLL,
		  "3 polling workers want a CPU each, there are 2" },
		{ "not there",
		  "2-5",
		  { 0, 1, 2, 3, -1 },
		  0,
		  IPC_IDLE_POLL,
		  "cores: CPU 4 is not there or not allowed" },
		{ "not allowed",
		  "1",
		  { 0, 2, -1 },
		  0,
		  IPC_IDLE_POLL,
		  "cores: CPU 1 is not there or not allowed" },
		{ "twice",
		  "1,1",
		  { 0, 1, 2, 3, -1 },
		  0,
		  IPC_IDLE_POLL,
		  "cores: CPU 1 is there twice" },
		{ "twice in a range",
		  "1-2,2",
		  { 0, 1, 2, 3, -1 },
		  0,
		  IPC_IDLE_POLL,
		  "cores: CPU 2 is there twice" },
		{ "empty", "", { 0, 1, -1 }, 0, IPC_IDLE_POLL, "cores: the list is empty" },
		{ "words",
		  "all",
		  { 0, 1, -1 },
		  0,
		  IPC_IDLE_POLL,
		  "cores: \"all\" is no list of CPUs" },
		{ "backwards", "3-2", { 0, 1, 2, 3, -1 }, 0, IPC_IDLE_POLL, "is no list of CPUs" },
		{ "half a range", "0-", { 0, 1, -1 }, 0, IPC_IDLE_POLL, "is no list of CPUs" },
		{ "comma at the end", "0,", { 0, 1, -1 }, 0, IPC_IDLE_POLL, "is no list of CPUs" },
		{ "two commas", "0,,1", { 0, 1, -1 }, 0, IPC_IDLE_POLL, "is no list of CPUs" },
		{ "negative", "-1", { 0, 1, -1 }, 0, IPC_IDLE_POLL, "is no list of CPUs" },
		{ "blank", "0, 1", { 0, 1, -1 }, 0, IPC_IDLE_POLL, "is no list of CPUs" },
		{ "large", "99999999999", { 0, 1, -1 }, 0, IPC_IDLE_POLL, "is no list of CPUs" },
		{ "too many workers",
		  "auto",
		  { 0, 1, -1 },
		  65,
		  IPC_IDLE_ADAPTIVE,
		  "workers: at most 64" },
		{ "far too many workers",
		  "auto",
		  { 0, 1, -1 },
		  65537,
		  IPC_IDLE_ADAPTIVE,
		  "workers: at most 64" },
	};

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(table); i++) {
		struct ipc_node node = node_with("vdev:net_null0", "vdev:net_null1");
		int is_refused = strncmp(table[i].expected, "--", 2) != 0, rc;
		char why[DP_WHY_SIZE] = "";
		struct dp_eal eal;

		for (machine.cpu_count = 0; table[i].cpus[machine.cpu_count] >= 0;
		     machine.cpu_count++)
			machine.cpus[machine.cpu_count] = table[i].cpus[machine.cpu_count];
		snprintf(node.cores, sizeof(node.cores), "%s", table[i].cores);
		node.workers = table[i].workers;
		node.idle = (uint8_t)table[i].idle;
		rc = dp_eal_prepare(&eal, &node, "edge", why);
		if (is_refused ? rc != -EINVAL || !strstr(why, table[i].expected)
		               : rc != 0 || strcmp(starting(&eal, "--lcores="),
		                                   table[i].expected) != 0)
			fail_msg("%s: \"%s\" %s", table[i].what, why,
			         rc ? "" : starting(&eal, "--lcores="));
		if (rc == 0) {
			const char *lcores = strrchr(starting(&eal, "--lcores="), '@'),
				   *last = lcores;

			while (strchr("0123456789", last[-1]) || last[-1] == ')')
				last--;
			assert_int_equal(eal.workers, atoi(last)); /* the last one's number */
			dp_eal_fini(&eal);
		}
	}
	setup(NULL);
}

static void fits_a_large_machine(void **state)
{
	struct ipc_node node = node_with("vdev:net_null0", "vdev:net_null1");
	char why[DP_WHY_SIZE] = "";
	struct dp_eal eal;

	(void)state;
	machine.cpu_count = 256;
	for (int i = 0; i < 256; i++)
		machine.cpus[i] = i;
	assert_int_equal(dp_eal_prepare(&eal, &node, "edge", why), 0);
	assert_string_equal(starting(&eal, "--lcores="), "--lcores=0@(0),(1-64)@(0-255)");
	dp_eal_fini(&eal);
	node.idle = IPC_IDLE_POLL;
	assert_int_equal(dp_eal_prepare(&eal, &node, "edge", why), 0);
	assert_int_equal(eal.workers, 64);
	assert_non_null(strstr(starting(&eal, "--lcores="), ",63@63,64@64"));
	dp_eal_fini(&eal);
	for (int i = 0; i < 256; i++) /* nothing in a row, as hyperthreads are sometimes numbered */
		machine.cpus[i] = 2 * i;
	node.idle = IPC_IDLE_ADAPTIVE;
	assert_int_equal(dp_eal_prepare(&eal, &node, "edge", why), 0);
	assert_non_null(strstr(starting(&eal, "--lcores="), ",508,510)"));
	dp_eal_fini(&eal);
}

static void decides_on_hugepages(void **state)
{
	static const struct {
		enum ipc_hugepages wanted;
		unsigned long megabytes;
		int is_mounted;
		int uses;
	} table[] = {
		{ IPC_HUGEPAGES_AUTO, 400, 1, 1 },  { IPC_HUGEPAGES_AUTO, 398, 1, 0 },
		{ IPC_HUGEPAGES_AUTO, 4000, 0, 0 }, { IPC_HUGEPAGES_AUTO, 0, 1, 0 },
		{ IPC_HUGEPAGES_OFF, 4000, 1, 0 },  { IPC_HUGEPAGES_ON, 4000, 1, 1 },
		{ IPC_HUGEPAGES_ON, 398, 1, -1 },   { IPC_HUGEPAGES_ON, 4000, 0, -1 },
	};

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(table); i++) {
		struct ipc_node node = node_with("vdev:net_null0", "vdev:net_null1");
		char why[DP_WHY_SIZE] = "";
		struct dp_eal eal;

		node.memory_mb = 400;
		node.hugepages = (uint8_t)table[i].wanted;
		machine.free_pages = table[i].megabytes / 2;
		machine.has_hugetlbfs = table[i].is_mounted;
		if (table[i].uses < 0) {
			assert_int_equal(dp_eal_prepare(&eal, &node, "edge", why), -EINVAL);
			assert_non_null(strstr(why, "400 MB of free 2 MB pages"));
			continue;
		}
		assert_int_equal(dp_eal_prepare(&eal, &node, "edge", why), 0);
		assert_int_equal(eal.has_hugepages, table[i].uses);
		assert_int_equal(has(&eal, "--no-huge"), !table[i].uses);
		assert_int_equal(has(&eal, "--huge-unlink=always"), table[i].uses);
		assert_int_equal(has(&eal, "-m400"), 1);
		dp_eal_fini(&eal);
	}
	setup(NULL);
}

static void sizes_memory(void **state)
{
	struct ipc_node node = node_with("vdev:net_null0", "vdev:net_null1");
	uint32_t small, large;

	(void)state;
	assert_int_equal(dp_eal_mbuf_room(&node), RTE_MBUF_DEFAULT_BUF_SIZE);
	node.cluster.mtu = 8896;
	assert_true(dp_eal_mbuf_room(&node) >= RTE_PKTMBUF_HEADROOM + 14 + 8896);
	node.uplink.mtu = 9000;
	assert_true(dp_eal_mbuf_room(&node) >= RTE_PKTMBUF_HEADROOM + 14 + 9000);
	node = node_with("vdev:net_null0", "af_xdp:eth1");
	assert_int_equal(dp_eal_mbuf_room(&node), dp_mbufs_page_room());
	node = node_with("vdev:net_null0", "vdev:net_null1");
	/* at least the rings of both ports for each worker */
	assert_true(dp_eal_mbuf_count(&node, 1) >= 2 * 2 * 1024);
	assert_true(dp_eal_mbuf_count(&node, 8) >= 8 * 2 * 2 * 1024);
	small = dp_eal_memory_mb(&node, 1);
	large = dp_eal_memory_mb(&node, 8);
	assert_true(large > small);
	node.sessions = 10 * 1048576;
	assert_true(dp_eal_memory_mb(&node, 1) >= small + 10 * 128);
	/* what the tables take, down to the last session and the keys of 4096 tunnels twice over */
	assert_true((uint64_t)(dp_eal_memory_mb(&node, 1) - 64) << 20 >=
	            dp_flow_table_bytes(node.sessions) + node.sessions / 64 * 72ull +
	                    dp_eal_mbuf_count(&node, 1) * 2500ull + 2 * 4096 * dp_sa_pair_bytes());
	node.mbufs = 777;
	assert_int_equal(dp_eal_mbuf_count(&node, 8), 777);
	node.memory_mb = 555;
	assert_int_equal(dp_eal_memory_mb(&node, 8), 555);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(knows_every_form_of_device, setup),
		cmocka_unit_test_setup(tells_the_ports_apart, setup),
		cmocka_unit_test_setup(refuses_devices_with_words, setup),
		cmocka_unit_test_setup(bounds_the_mtu_beside_af_xdp, setup),
		cmocka_unit_test_setup(gives_cores, setup),
		cmocka_unit_test_setup(fits_a_large_machine, setup),
		cmocka_unit_test_setup(decides_on_hugepages, setup),
		cmocka_unit_test_setup(sizes_memory, setup),
	};

	return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
