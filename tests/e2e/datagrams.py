# SPDX-License-Identifier: GPL-2.0-or-later
"""A stream of numbered datagrams in both directions that counts what was lost, and where.

The client sends at a steady rate to a UDP forward, or to the same one of several environments in
turn; the target numbers and counts, and answers each one with a number of its own. Neither repeats
anything: what is missing was lost on the way.
"""

import json
import sys

from lab.host import LabError, wait_until

PORT = 33005
TARGET_PORT = 8085

_TARGET = """
import json, socket, struct, sys  # 33: SO_RCVBUFFORCE
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)
s.bind((sys.argv[1], int(sys.argv[2])))
got = again = sent = 0
seen = bytearray(1 << 24)
filler = bytes(60)
while True:
    data, peer = s.recvfrom(2048)
    number, = struct.unpack_from("!I", data)
    if number == 0xfffffffe:
        s.sendto(data, peer)
        continue
    if number == 0xffffffff:
        s.sendto(data[:4] + json.dumps({"got": got, "again": again, "sent": sent}).encode(), peer)
        continue
    again += seen[number]
    got += not seen[number]
    seen[number] = 1
    s.sendto(struct.pack("!I", sent) + filler, peer)
    sent += 1
"""

# Sends until SIGTERM, then asks the target what it saw.
_CLIENT = """
import json, select, signal, socket, struct, sys, time  # 33: SO_RCVBUFFORCE
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
ways = []
for name in sys.argv[1].split(","):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)
    s.connect((socket.gethostbyname(name), int(sys.argv[2])))
    s.setblocking(False)
    ways.append(s)
rate = int(sys.argv[3])
filler = bytes(60)
sent = got = again = refused = 0
seen = bytearray(1 << 24)
answer = None
last, gap = None, 0.0

def take():
    for s in ways:
        take_all(s)

def take_all(s):
    global got, again, answer, last, gap
    while True:
        try:
            data = s.recv(2048)
        except (BlockingIOError, ConnectionRefusedError):
            return
        now = time.monotonic()
        if last is not None and now - last > gap:
            gap = now - last
        last = now
        number, = struct.unpack_from("!I", data)
        if number == 0xffffffff:
            answer = json.loads(data[4:])
            return
        again += seen[number]
        got += not seen[number]
        seen[number] = 1

for s in ways:
    while not select.select([s], [], [], 0.2)[0]:  # addresses on the way are resolved
        s.send(struct.pack("!I", 0xfffffffe))
time.sleep(0.2)
for s in ways:
    try:
        while s.recv(2048):
            pass
    except BlockingIOError:
        pass
begun = due = time.monotonic()
reported = 0
while not stopped:
    now = time.monotonic()
    if now - due > 0.02:
        due = now - 0.001  # held up: slower, not a burst
    while due <= now:
        try:
            ways[sent % len(ways)].send(struct.pack("!I", sent) + filler)
            sent += 1
        except (BlockingIOError, ConnectionRefusedError):
            refused += 1
        due += 1 / rate
    take()
    if now - reported >= 0.1:
        reported = now
        print("sent", sent, got, flush=True)
    select.select(ways, [], [], max(0, due - time.monotonic()) + 0.0005)
seconds = time.monotonic() - begun
end = time.monotonic() + 10
while answer is None and time.monotonic() < end:
    quiet = time.monotonic() + 0.5
    while time.monotonic() < quiet:
        before = got
        select.select(ways, [], [], 0.1)
        take()
        if got != before:
            quiet = time.monotonic() + 0.5
    ways[0].send(struct.pack("!I", 0xffffffff))
    select.select(ways, [], [], 0.5)
    take()
print("end", json.dumps({"sent": sent, "got": got, "again": again, "refused": refused, "seconds": seconds,
                         "gap": gap, "target": answer}), flush=True)
"""


def _socket_drops(host):
    """Datagrams that a host's full receive buffers lost."""
    lines = [line.split() for line in host.run("cat", "/proc/net/snmp").stdout.splitlines()
             if line.startswith("Udp:")]
    return int(dict(zip(*lines))["RcvbufErrors"])


def _device_drops(host):
    """What full queues of a host lost, by device: what it sends (the device's and what stands before
    it), and what a TUN device takes from its program."""
    links = json.loads(host.run("ip", "-json", "-statistics", "link").stdout)
    queues = json.loads(host.run("tc", "-json", "-statistics", "qdisc", "show").stdout)
    lost = {link["ifname"]: link["stats64"]["tx"]["dropped"] for link in links}
    for queue in queues:
        if queue.get("root"):
            lost[queue["dev"]] += queue.get("drops", 0)
    lost.update({f"from {link['ifname']}": link["stats64"]["rx"]["dropped"] for link in links})
    return lost


def _sent(host, device):
    links = json.loads(host.run("ip", "-json", "-statistics", "link", "show", device).stdout)
    return links[0]["stats64"]["tx"]["packets"]


# The devices on each way, in order, and those of each server; ipsec0 or tun0 is its TUN device. The
# target has eth0, or with servers in two zones a port to each. The gateway's are the cables that the
# dataplane sends on.
_OUT = (("client", "eth0"), ("cluster", "to-gateway"), ("gateway", "uplink"), ("internet", "to-a"),
        ("internet", "to-b"))
_OUT_OF_SERVER = ("from ipsec0", "from tun0", "lan")
_BACK = (("target", "eth0"), ("target", "to-a"), ("target", "to-b"), ("internet", "to-gateway"),
         ("gateway", "cluster"), ("cluster", "to-client"))
_BACK_OF_SERVER = ("ipsec0", "tun0", "wan")


class Datagrams:
    """The stream; the forward of PORT must be there, at each of ADDRESSES."""

    def __init__(self, topology, rate=10000, addresses=("vpn",)):
        self._topology = topology
        web = topology.site.web
        target = web.host.start(sys.executable, "-c", _TARGET, web.address, str(TARGET_PORT),
                                name="datagrams-target")
        web.wait_listening(target, TARGET_PORT, "-Hlun")
        self._servers = {host.name: host for host in topology.site.server_hosts}
        self._hosts = {"target": web.host, "client": topology.client, **self._servers}
        self._before = self._own_losses()
        self._process = topology.client.start(sys.executable, "-c", _CLIENT, ",".join(addresses),
                                              str(PORT), str(rate), name="datagrams")
        self.wait_for_more(500)

    def _own_losses(self):
        """As _read_own_losses(), when two readings in a row say the same: its counters are read one
        after the other, and what passes meanwhile (an ARP request) is in some of them."""
        readings = [self._read_own_losses()]

        def is_settled():
            readings.append(self._read_own_losses())
            return readings[-1] == readings[-2]
        wait_until(is_settled, 20, "the counters stand still")
        return readings[-1]

    def _read_own_losses(self):
        """What the laboratory's hosts lost on the way out and back, being too slow: no fault of
        the gateway's. The server (a program that encrypts) has its buffers full now and then."""
        hosts, topology = self._hosts, self._topology
        counters = topology.gateway.counters()
        devices = {name: _device_drops(host) for name, host in
                   {**hosts, "cluster": topology.cluster, "internet": topology.internet,
                    "gateway": topology.gateway.host}.items()}
        out = {name: _socket_drops(hosts[name]) for name in ("target", *self._servers)}
        back = {"client": _socket_drops(hosts["client"])}
        for way, path, of_server in ((out, _OUT, _OUT_OF_SERVER), (back, _BACK, _BACK_OF_SERVER)):
            path += tuple((name, device) for name in self._servers for device in of_server)
            way.update({f"{host} {device}": devices[host].get(device, 0) for host, device in path})
        # frames that a port's ring had no room for while the dataplane's core was taken away
        out["ring"] = (_sent(topology.cluster, "to-gateway")
                       - counters.get("port/cluster/rx-packets", 0))
        back["ring"] = (_sent(topology.internet, "to-gateway")
                        - counters.get("port/uplink/rx-packets", 0))
        return {"out": out, "back": back}

    def _last(self, kind):
        complete = self._process.output().rpartition("\n")[0]
        lines = [line for line in complete.splitlines() if line.startswith(kind)]
        return lines[-1].removeprefix(kind) if lines else None

    def received(self):
        last = self._last("sent ")
        return int(last.split()[1]) if last else 0

    def wait_for_more(self, count, timeout=20):
        """Waits until COUNT further datagrams came back."""
        wanted = self.received() + count

        def have_come():
            self._process.require_running()
            return self.received() >= wanted
        wait_until(have_come, timeout, f"{count} more datagrams")

    def end(self, lost_on_purpose=0):
        """Stops; returns what was lost on the way `out` and `back`, less what full buffers of the
        laboratory's hosts lost, and all that is known besides. LOST_ON_PURPOSE: messages that
        those counted, but are none of ours."""
        self._process.stop(timeout=30)
        report = json.loads(self._last("end ") or "null")
        if not report or not report["target"]:
            raise LabError(f"the stream's end did not get through: {report}")
        after = self._own_losses()
        # one that went back counted a frame as lost before that was on its way
        own = {way: {place: max(0, after[way][place] - count)
                     for place, count in self._before[way].items()} for way in ("out", "back")}
        report["own"] = {way: {place: n for place, n in own[way].items() if n} for way in own}
        missing = {"out": report["sent"] - report["target"]["got"] - sum(own["out"].values()),
                   "back": (report["target"]["sent"] - report["got"] - sum(own["back"].values())
                            + lost_on_purpose)}
        # full buffers lose IKE's messages and other streams' packets, too
        report["others"] = {way: -min(0, n) for way, n in missing.items()}
        report.update({way: max(0, n) for way, n in missing.items()})
        report["drops"] = self._topology.gateway.drops()
        report["rate"] = report["sent"] / report["seconds"]
        return report
