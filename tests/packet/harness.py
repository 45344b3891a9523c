# SPDX-License-Identifier: GPL-2.0-or-later
"""
A real dataplane process between two wires that a test holds in its hands.

        network namespace of its own
    +-----------------------------------------------------------------+
    |  cluster wire       sallyport-dataplane        uplink wire      |
    |  (cl1) ======= cl0 [ af_packet  af_packet ] up0 ======= (up1)   |
    +-----------------------------------------------------------------+
       router 10.0.0.1    10.0.0.2    203.0.113.10    router 203.0.113.1
       pods 10.0.1.0/24, 10.0.0.7                     VPN servers 198.51.100.x

Wire plays everybody on the other end: it answers ARP for all of them and keeps what else arrives. Nothing here sleeps for a
fixed time: a packet is waited for with a deadline, and that there is none is proven by the drop counter that counted it.
"""
import collections
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

import contract as c
from statistics_segment import Stats

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WAIT = 5.0  # seconds, generous: a condition that is met ends the wait at once

UPLINK, CLUSTER = "up", "cl"
UPLINK_ADDRESS, UPLINK_ROUTER = "203.0.113.10", "203.0.113.1"
CLUSTER_ADDRESS, CLUSTER_ROUTER = "10.0.0.2", "10.0.0.1"
MTU = 1500

ETH_P_ALL, ETH_P_IP, ETH_P_ARP = 0x0003, 0x0800, 0x0806
SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
CLONE_NEWNET = 0x40000000


def wait_for(condition, what, timeout=WAIT):
    """Returns the first true value of condition(); fails after timeout."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what() if callable(what) else what}")
        time.sleep(0.0005)


def build_directory():
    return os.path.join(ROOT, os.environ.get("SALLYPORT_BUILD", "build"))


def dataplane_program():
    """The ready program; a build directory given in SALLYPORT_BUILD may be relative to the project's root."""
    path = os.path.join(build_directory(), "dataplane", "sallyport-dataplane")
    if not os.access(path, os.X_OK):
        raise FileNotFoundError(f"{path}: build the project first (scripts/setup)")
    return path


# ---- the namespace ----

class Namespace:
    """A network namespace with the pairs up0-up1 and cl0-cl1 and nothing that talks by itself."""

    counter = 0

    def __init__(self):
        Namespace.counter += 1
        self.name = f"sp-packet-{os.getpid()}-{Namespace.counter}"
        self.path = f"/run/netns/{self.name}"
        run("ip", "netns", "add", self.name)
        try:
            self._fill()
        except BaseException:
            self.delete()
            raise

    def _fill(self):
        for what in ("all", "default"):
            self.run("sysctl", "-qw", f"net.ipv6.conf.{what}.disable_ipv6=1")
        for side in (UPLINK, CLUSTER):
            self.run("ip", "link", "add", f"{side}0", "mtu", str(MTU), "type", "veth", "peer", "name", f"{side}1",
                     "mtu", str(MTU))
            for end in ("0", "1"):
                self.run("ethtool", "-K", side + end, "rx", "off", "tx", "off", "tso", "off", "gso", "off", "gro", "off",
                         "txvlan", "off", "rxvlan", "off")
                self.run("ip", "link", "set", side + end, "arp", "off", "up")

    def run(self, *command):
        run("ip", "netns", "exec", self.name, *command)

    def mac(self, interface):
        output = subprocess.run(["ip", "-n", self.name, "-o", "link", "show", interface], check=True,
                                capture_output=True, text=True).stdout
        return output.split("link/ether ")[1].split()[0]

    @contextlib.contextmanager
    def entered(self):
        """This thread alone is in the namespace meanwhile; a socket stays where it was made."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net", "rb") as home, open(self.path, "rb") as away:
            set_namespace(libc, away)
            try:
                yield
            finally:
                set_namespace(libc, home)

    def delete(self):
        run("ip", "netns", "del", self.name)


def set_namespace(libc, file):
    if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def run(*command):
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {result.stdout.strip()}")


# ---- the wires ----

class Capture:
    """A pcap file of what a wire saw, both directions; begun anew for each test."""

    def __init__(self, path):
        self.path = path
        self.file = None
        self.lock = threading.Lock()
        self.restart()

    def restart(self):
        with self.lock:
            if self.file:
                self.file.close()
            self.file = open(self.path, "wb")
            self.file.write(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))

    def add(self, frame):
        now = time.time()
        with self.lock:
            self.file.write(struct.pack("=IIII", int(now), int(now % 1 * 1e6), len(frame), len(frame)) + frame)

    def save(self, path):
        with self.lock:
            self.file.flush()
            shutil.copy(self.path, path)

    def close(self):
        with self.lock:
            self.file.close()


class Wire:
    """The far end of one port: every neighbour there, with one MAC address each."""

    def __init__(self, namespace, side, neighbours, capture_path):
        self.side = side
        self.interface = f"{side}1"
        self.dataplane_mac = namespace.mac(f"{side}0")
        self.macs = {}
        self.arp_seen = collections.Counter()  # requests by address asked for
        self.arp_requests = []                 # (time, address asked for, MAC address asked)
        self.muted = set()                     # addresses whose ARP requests stay unanswered
        self.keepalives = []                   # (time, frame): they come when they are due, whatever a test does
        for address in neighbours:
            self.add_neighbour(address)
        self.capture = Capture(capture_path)
        with namespace.entered():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            self.socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
            self.socket.bind((self.interface, ETH_P_ALL))
        self.frames = collections.deque()
        self.arrived = threading.Condition()
        self.ending = False
        self.socket.settimeout(0.2)
        self.thread = threading.Thread(target=self._receive, name=f"wire {side}", daemon=True)
        self.thread.start()

    def add_neighbour(self, address):
        octets = socket.inet_aton(address)
        self.macs[address] = "02:%s:%02x:%02x:%02x:%02x" % ({UPLINK: "aa", CLUSTER: "bb"}[self.side], *octets)

    def close(self):
        self.ending = True
        self.thread.join()
        self.socket.close()
        self.capture.close()

    def _receive(self):
        while not self.ending:
            try:
                frame = self.socket.recv(65535)
            except TimeoutError:
                continue
            self.capture.add(frame)
            if frame[12:14] == b"\x08\x06" and self._answer_arp(frame):
                continue
            if is_keepalive(frame):
                self.keepalives.append((time.monotonic(), frame))
                continue
            with self.arrived:
                self.frames.append(frame)
                self.arrived.notify_all()

    def _answer_arp(self, frame):
        """Takes the dataplane's ARP requests; replies to them are left for a test to look at."""
        if len(frame) < 42 or struct.unpack_from("!H", frame, 20)[0] != 1:
            return False
        sender_mac, sender, wanted = frame[22:28], frame[28:32], socket.inet_ntoa(frame[38:42])
        self.arp_seen[wanted] += 1
        self.arp_requests.append((time.monotonic(), wanted, frame[:6].hex(":")))
        if wanted in self.macs and wanted not in self.muted:
            self.send_arp_reply(wanted, self.macs[wanted], sender_mac, sender)
        return True

    def send_arp_reply(self, address, mac, to_mac, to_address):
        own = mac_bytes(mac)
        self.send(to_mac + own + struct.pack("!HHHBBH", ETH_P_ARP, 1, ETH_P_IP, 6, 4, 2) + own +
                  socket.inet_aton(address) + to_mac + to_address)

    def send(self, frame):
        """A whole Ethernet frame."""
        frame = bytes(frame)
        self.capture.add(frame)
        self.socket.send(frame)

    def send_ip(self, packet, via=None):
        """An IPv4 packet, from the neighbour VIA (default: the router) to the dataplane."""
        self.send(mac_bytes(self.dataplane_mac) + mac_bytes(self.macs[via or self.router]) + b"\x08\x00" + bytes(packet))

    @property
    def router(self):
        return UPLINK_ROUTER if self.side == UPLINK else CLUSTER_ROUTER

    def flush(self):
        with self.arrived:
            self.frames.clear()

    def take(self, predicate, what="a frame", timeout=WAIT):
        """The first frame for which predicate(frame) is true (its value, if that is no bool), taken out; others stay."""
        deadline = time.monotonic() + timeout
        with self.arrived:
            seen = 0
            while True:
                for i in range(seen, len(self.frames)):
                    value = predicate(self.frames[i])
                    if value:
                        frame = self.frames[i]
                        del self.frames[i]
                        return frame if value is True else value
                seen = len(self.frames)
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"{self.side}: {what} did not come within {timeout} s; {seen} others did: " +
                                         "; ".join(describe(f) for f in list(self.frames)[:5]))
                self.arrived.wait(left)

    def take_all(self):
        with self.arrived:
            frames = list(self.frames)
            self.frames.clear()
        return frames


def is_keepalive(frame):
    """RFC 3948 section 2.3."""
    return frame[12:14] == b"\x08\x00" and frame[16:18] == b"\0\x1d" and frame[23] == socket.IPPROTO_UDP and frame[42] == 0xFF


def mac_bytes(text):
    return bytes.fromhex(text.replace(":", ""))


def describe(frame):
    from scapy.layers.l2 import Ether
    return Ether(frame).summary()


# ---- the process ----

class Dataplane:
    """
    The process with its namespace, wires, counters and a control connection. One for many tests; keep() copies what a
    failed one leaves behind.
    """

    def __init__(self, workers=1, queues=0, start=True, driver="af_packet", **node):
        """NODE: fields of the message that differ from node()'s."""
        self.program = dataplane_program()
        self.workers = workers
        self.queues = queues
        self.driver = driver
        self.directory = tempfile.mkdtemp(prefix="sallyport-packet-")
        os.chmod(self.directory, 0o755)
        self.run_dir = os.path.join(self.directory, "run")
        os.mkdir(self.run_dir, 0o755)
        self.socket_path = os.path.join(self.run_dir, "dataplane.sock")
        self.log_path = os.path.join(self.directory, "dataplane.log")
        self.process = self.control = self.stats = self.uplink = self.cluster = None
        self.generation = 0
        self.mbufs = 8192
        self.joined = 0  # frames that became part of another one: fragments, told by the tests that send them
        self.is_over = False
        self.status = None
        self.last_log = ""
        self.namespace = Namespace()
        self.instance = self.namespace.name[3:]  # DPDK's files are shared by instance: each has its own
        try:
            self.uplink = Wire(self.namespace, UPLINK, [UPLINK_ROUTER], os.path.join(self.directory, "uplink.pcap"))
            self.cluster = Wire(self.namespace, CLUSTER, [CLUSTER_ROUTER], os.path.join(self.directory, "cluster.pcap"))
            self._launch()
            if start:
                self.connect()
                self.control.node(self.node(**node))
                self.open_stats()
        except BaseException:
            self._end_badly("start")
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.end()
        else:
            self._end_badly("own")

    def _end_badly(self, name):
        if self.uplink and self.cluster and self.process:
            print(f"captures, counters and log of the dataplane: {self.keep(name)}")
        self.end()

    def _launch(self):
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                ["nsenter", f"--net={self.namespace.path}", self.program, "--instance", self.instance, "--run-dir", self.run_dir,
                 *os.environ.get("SALLYPORT_DATAPLANE_ARGUMENTS", "").split()],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env={**os.environ, "RUNTIME_DIRECTORY": self.directory})  # DPDK's own files go there, and with it
        wait_for(lambda: self._listens() or self.process.poll() is not None, "the socket", 30)
        self.check_alive()

    def _listens(self):
        try:
            c.Raw(self.socket_path).close()
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def node(self, **changes):
        """The NODE message this harness starts with."""
        node = c.Node(name=b"gw-test", cores=b"auto", workers=self.workers, sessions=32768, flags=0,
                      idle=c.IDLE_ADAPTIVE, hugepages=c.HUGEPAGES_OFF, memory_mb=512, mbufs=self.mbufs)
        for port, side, address, router in ((node.uplink, UPLINK, UPLINK_ADDRESS, UPLINK_ROUTER),
                                            (node.cluster, CLUSTER, CLUSTER_ADDRESS, CLUSTER_ROUTER)):
            port.device = f"{self.driver}:{side}0".encode()
            port.address_be, port.router_be = c.ip_be(address), c.ip_be(router)
            port.prefix_length, port.mtu, port.queues = 24, MTU, self.queues
        node.routes[0] = c.prefix("10.0.0.0/16")
        node.route_count = 1
        for name, value in changes.items():
            setattr(node, name, value)
        return node

    def connect(self, epoch=None):
        """A control connection in place of the one before."""
        if self.control:
            self.control.close()
        self.control = c.Contract(self.socket_path, self.instance, epoch=epoch, timeout=30.0)
        return self.control

    def open_stats(self):
        self.stats = Stats(os.path.join(self.run_dir, "stats"))

    def check_alive(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the dataplane ended with status {self.process.returncode}:\n{self.log()[-3000:]}")

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def begin_test(self):
        self.check_alive()
        for wire in (self.uplink, self.cluster):
            wire.flush()
            wire.capture.restart()
            wire.muted.clear()

    def keep(self, name):
        """Copies captures, counters and log to a directory that stays; returns its path."""
        target = tempfile.mkdtemp(prefix=f"sallyport-packet-failed-{name}-", dir=os.environ.get("SALLYPORT_ARTIFACTS"))
        for wire in (self.uplink, self.cluster):
            wire.capture.save(os.path.join(target, f"{wire.side}.pcap"))
        shutil.copy(self.log_path, target)
        if self.stats:
            with open(os.path.join(target, "counters"), "w", encoding="utf-8") as file:
                file.writelines(f"{name} {value}\n" for name, value in self.stats.all().items() if value)
        return target

    def end(self):
        """Stops the process and removes everything; returns its exit status, None if it had to be killed."""
        if self.is_over:
            return self.status
        self.is_over = True
        if self.control:
            self.control.close()
        self.status = self.stop(signal.SIGTERM) if self.process else None
        for wire in (self.uplink, self.cluster):
            if wire:
                wire.close()
        if self.stats:
            self.stats.close()
        self.last_log = self.log() if self.process else ""
        self.namespace.delete()
        shutil.rmtree(self.directory)
        return self.status

    def stop(self, number):
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None

    # counters

    def count(self, name):
        return self.stats.value(name)

    def drops(self):
        return {name[len("drop/"):]: value for name, value in self.stats.all().items() if name.startswith("drop/") and value}

    def wait_count(self, name, at_least, timeout=WAIT):
        wait_for(lambda: self.count(name) >= at_least,
                 lambda: f"{name} >= {at_least}, is {self.count(name)}; drops {self.drops()}", timeout)

    @contextlib.contextmanager
    def dropped(self, reason, times=1):
        """What is sent inside is dropped as REASON, exactly TIMES, and for no other reason."""
        before = collections.Counter(self.drops())
        yield
        self.wait_count(f"drop/{reason}", before[reason] + times)
        after = collections.Counter(self.drops())
        risen = {name: after[name] - before[name] for name in after if after[name] != before[name]}
        assert risen == {reason: times}

    def nothing_dropped(self):
        """A context in which no drop counter rises; what is sent inside must have come out by its end."""
        return NothingDropped(self)


class NothingDropped:
    def __init__(self, dataplane):
        self.dataplane = dataplane

    def __enter__(self):
        self.before = self.dataplane.drops()

    def __exit__(self, kind, value, trace):
        if kind is None:
            assert self.dataplane.drops() == self.before
