# SPDX-License-Identifier: GPL-2.0-or-later
"""
The exception port: TCP connections of the gateway itself, from the uplink's address. This side of them is a socket that the
dataplane made, the other side is played here, segment by segment.

A dataplane of its own with egress, so that a session could have any port; half of the remotes' sessions are at home on the
worker without a queue.
"""
import errno
import select
import socket

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.packet import Raw

import contract as c
import harness
from harness import UPLINK_ADDRESS, UPLINK_ROUTER
from peers import advance, matcher, parse
from test_egress import Connection, environments, rule

SERVERS = ["198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4"]
STRANGER, PORT = "198.51.100.77", 443
MSS = 1460


@pytest.fixture(scope="module")
def gateway():
    with harness.Dataplane(workers=2, queues=1) as dataplane:
        dataplane.generation = 1
        dataplane.control.commit(1, *environments(), egress=[rule([UPLINK_ADDRESS], ["10.0.0.0/16"])])
        Connection(dataplane).connect()  # ARP of both routers is resolved
        yield dataplane
    assert dataplane.status == 0, dataplane.last_log[-4000:]
    assert "runtime error:" not in dataplane.last_log, dataplane.last_log


@pytest.fixture
def dp(gateway):
    gateway.begin_test()
    yield gateway
    gateway.check_alive()


class Server:
    """A registered flow: its socket here, and who answers at the other end."""

    def __init__(self, dp, address=SERVERS[0], port=PORT):
        self.dp, self.address, self.port = dp, address, port
        self.socket, self.flow = dp.control.flow_set(address, port)
        self.own_port = c.port_number(self.flow.local_port_be)
        self.next, self.acknowledged = 7000003, 0

    def take(self, flags, timeout=harness.WAIT):
        """The next segment with these flags, as it left."""
        def wanted(frame):
            return match(frame) and str(parse(self.dp.uplink, frame, UPLINK_ROUTER)[TCP].flags) in flags
        match = matcher(UPLINK_ADDRESS, self.address, socket.IPPROTO_TCP, self.own_port, self.port)
        frame = self.dp.uplink.take(wanted, f"{flags} from the gateway", timeout)
        segment = parse(self.dp.uplink, frame, UPLINK_ROUTER)
        self.acknowledged = advance(segment[TCP].seq, str(segment[TCP].flags), segment_data(segment))
        return segment

    def segment(self, flags="A", data=b"", options=()):
        packet = IP(bytes(IP(src=self.address, dst=UPLINK_ADDRESS, flags="DF", ttl=55) /
                          TCP(sport=self.port, dport=self.own_port, flags=flags, seq=self.next, ack=self.acknowledged,
                              window=65535, options=list(options)) / Raw(data)))
        self.next = advance(self.next, flags, data)
        return packet

    def send(self, *arguments, **fields):
        self.dp.uplink.send_ip(self.segment(*arguments, **fields))

    def connect(self):
        assert self.socket.connect_ex((self.address, self.port)) == errno.EINPROGRESS
        self.take(["S"])
        self.send("SA", options=[("MSS", MSS)])
        self.take(["A"])
        assert select.select([], [self.socket], [], harness.WAIT)[1]
        assert self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        return self

    def receive(self, size):
        assert select.select([self.socket], [], [], harness.WAIT)[0], "nothing came through"
        return self.socket.recv(size)

    def close(self):
        self.socket.close()
        self.dp.control.flow_del(self.flow)


def segment_data(segment):
    return bytes(segment)[20 + segment[TCP].dataofs * 4:segment.len]


@pytest.mark.parametrize("address", SERVERS)
def test_both_ways(dp, address):
    """From the handshake to the last FIN; scapy's parser has checked the sums of all that left."""
    server = Server(dp, address)
    before = dp.count("exception/in-packets")
    with dp.nothing_dropped():
        server.connect()
        server.socket.send(b"hello")
        assert segment_data(server.take(["PA"])) == b"hello"
        server.send("PA", b"answer " * 100)
        assert server.receive(4096) == b"answer " * 100
        server.take(["A"])
        server.close()
        server.take(["FA"])
        server.send("FA")
        server.take(["A"])
        dp.wait_count("exception/in-packets", before + 3)


def test_what_nobody_registered(dp):
    """Another address or port is no flow, though one of the two is right."""
    server = Server(dp).connect()
    for change in ({"src": STRANGER}, {"sport": PORT + 1}, {"dport": server.own_port ^ 1}):
        packet = server.segment("PA", b"x")
        server.next -= 1
        packet.src = change.get("src", packet.src)
        packet[TCP].sport = change.get("sport", PORT)
        packet[TCP].dport = change.get("dport", server.own_port)
        del packet.chksum, packet[TCP].chksum
        before = dp.count("exception/in-packets")
        with dp.dropped("egress-unsolicited"):
            dp.uplink.send_ip(IP(bytes(packet)))
        assert dp.count("exception/in-packets") == before
    server.send("PA", b"y")
    assert server.receive(10) == b"y"
    server.close()


def test_who_calls_somebody_else(dp):
    """The socket of a flow connects to nobody but who was registered: nothing of it leaves."""
    server = Server(dp)
    before = dp.count("drop/exception-flow")
    assert server.socket.connect_ex((STRANGER, PORT)) == errno.EINPROGRESS
    dp.wait_count("drop/exception-flow", before + 1)
    to_stranger = matcher(UPLINK_ADDRESS, STRANGER, socket.IPPROTO_TCP)
    assert not [frame for frame in dp.uplink.take_all() if to_stranger(frame)]
    server.close()


def test_path_mtu(dp):
    """A router's "fragmentation needed" reaches the stack: what was lost comes again in smaller segments (RFC 1191)."""
    server = Server(dp).connect()
    with dp.nothing_dropped():
        server.socket.send(bytes(1300))
        lost = server.take(["PA", "A"])
        assert lost.len > 1200
        error = IP(src=STRANGER, dst=UPLINK_ADDRESS) / ICMP(type=3, code=4, nexthopmtu=1200) / bytes(lost)[:28]
        dp.uplink.send_ip(IP(bytes(error)))
        again = server.take(["A"])
    assert again[TCP].seq == lost[TCP].seq and again.len == 1200
    server.close()


def test_end(dp):
    """A flow that was given up is none for the next one; that has another port."""
    first = Server(dp).connect()
    first.close()
    with pytest.raises(c.ContractError) as refused:
        dp.control.flow_del(first.flow)
    assert refused.value.status == errno.ENOENT
    second = Server(dp)
    assert second.own_port != first.own_port
    second.connect().close()


def test_another_control_plane(dp):
    """The connection is who has its socket's: a control plane that comes and goes does not touch it."""
    server = Server(dp).connect()
    dp.connect()
    with dp.nothing_dropped():
        server.socket.send(b"still here")
        assert segment_data(server.take(["PA"])) == b"still here"
        server.send("PA", b"so am I")
        assert server.receive(100) == b"so am I"
    server.close()


def test_the_port_is_no_sessions(dp):
    """NAT has one port less towards every destination, for each that a flow ever had."""
    def capacity():
        used = [use for use in dp.control.egress() if use.remote_be == 0]
        return used[0].capacity if used else 0
    before = harness.wait_for(capacity, "an address that is counted", 30)
    flows = [Server(dp, SERVERS[1]) for _ in range(3)]
    assert len({flow.own_port for flow in flows}) == 3
    harness.wait_for(lambda: 0 < capacity() <= before - 3, lambda: f"{before} ports, then {capacity()}", 30)
    for flow in flows:
        flow.close()
