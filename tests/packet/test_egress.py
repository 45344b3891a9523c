# SPDX-License-Identifier: GPL-2.0-or-later
"""
Static egress: what the cluster sends to the Internet leaves with a static address and nothing else.

A dataplane of its own, in both shapes of conftest.py; in the second one half of the remote addresses belong to the worker
that has no queue.
"""
import collections
import itertools
import socket
import struct

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.packet import Raw

import conftest
import contract as c
import harness
import peers
from harness import CLUSTER_ADDRESS, CLUSTER_ROUTER, UPLINK_ADDRESS, UPLINK_ROUTER
from peers import NEIGHBOUR, advance, fresh_ports, matcher, mss, parse, same_tcp
from test_link import take_icmp_error

SECOND = "203.0.113.20"     # another static address of the gateway's egress
OF_STAGING = "203.0.113.30"  # staging's own
POD_A = "10.0.1.5"          # in egress.sources
POD_B = "10.0.2.9"          # in egress.sources, in no environment
STAGING_POD = "10.0.3.7"    # staging's
NOBODY = "10.0.9.9"         # may not leave
REMOTES = [f"198.51.100.{i}" for i in range(1, 9)]  # hashed to both workers
MAPPED, MAPPED_PORT, TARGET = 8443, 443, "10.0.1.20"
QUOTA = 20
IKE_PORT = 10000


def rule(addresses, sources, environment="", allow=()):
    egress = c.Egress(environment=environment.encode(), address_count=len(addresses), source_count=len(sources),
                      allow_count=len(allow))
    for i, address in enumerate(addresses):
        egress.addresses_be[i] = c.ip_be(address)
    for i, prefix in enumerate(sources):
        egress.sources[i] = c.prefix(prefix)
    for i, prefix in enumerate(allow):
        egress.allow[i] = c.prefix(prefix)
    return egress


def mapping(port, to, to_port, protocol=socket.IPPROTO_TCP, address=None):
    return c.Inbound(address_be=c.ip_be(address) if address else 0, to_address_be=c.ip_be(to), to_port_be=c.port_be(to_port),
                     port_be=c.port_be(port), protocol=protocol)


def environments():
    """As peers.configuration() has them, but production and staging have sources of their own."""
    made, servers, forwards = peers.configuration()
    for environment in made:
        if environment.name == b"staging":
            environment.sources[0] = c.prefix("10.0.3.0/24")
            environment.source_count, environment.session_quota = 1, QUOTA
            environment.sources[1] = c.Prefix()
    for server in servers:
        server.ike_port_be, server.natt_port_be = c.port_be(IKE_PORT), c.port_be(IKE_PORT + 1)
    return made, servers, forwards


def policy(sources=("10.0.0.0/21", NEIGHBOUR + "/32"), addresses=(UPLINK_ADDRESS, SECOND), allow=("10.77.0.0/16",)):
    return [rule(addresses, sources, allow=allow), rule([OF_STAGING], ["10.0.3.0/24"], "staging")]


def commit(dp, egress=None, inbound=()):
    dp.generation += 1
    dp.control.commit(dp.generation, *environments(), egress=policy() if egress is None else egress, inbound=inbound)


@pytest.fixture(scope="module", params=conftest.SHAPES)
def gateway(request):
    workers, queues = conftest.SHAPES[request.param]
    with harness.Dataplane(workers=workers, queues=queues) as dataplane:
        dataplane.cluster.add_neighbour(NEIGHBOUR)
        commit(dataplane)
        yield dataplane
    assert dataplane.status == 0, dataplane.last_log[-4000:]
    assert "runtime error:" not in dataplane.last_log, dataplane.last_log


@pytest.fixture
def dp(gateway):
    gateway.begin_test()
    commit(gateway)
    for remote in REMOTES:  # ARP of both routers is resolved
        Connection(gateway, remote=remote).out("S")
    yield gateway
    gateway.check_alive()


class Connection:
    """Both ends of a TCP connection to the Internet, as peers.Flow is for forwards."""

    def __init__(self, dp, pod=POD_A, remote=REMOTES[0], port=80, pod_port=None, static=None):
        self.dp, self.pod, self.remote, self.port = dp, pod, remote, port
        self.pod_port = pod_port or next(fresh_ports)
        self.static, self.static_port = static, None
        self.via = pod if pod in dp.cluster.macs else CLUSTER_ROUTER
        self.pod_next = 1000003 * next(peers.fresh_sequences) & 0xffffffff
        self.remote_next = 7000003 * next(peers.fresh_sequences) & 0xffffffff

    def from_pod(self, flags="A", data=b"", ip=None, **tcp):
        tcp = {"seq": self.pod_next, "ack": self.remote_next if "A" in flags else 0, **tcp}
        return IP(bytes(IP(src=self.pod, dst=self.remote, flags="DF", id=7, **(ip or {})) /
                        TCP(sport=self.pod_port, dport=self.port, flags=flags, **tcp) / Raw(data)))

    def from_remote(self, flags="A", data=b"", ip=None, **tcp):
        tcp = {"seq": self.remote_next, "ack": self.pod_next, **tcp}
        return IP(bytes(IP(src=self.remote, dst=self.static, flags="DF", id=9, ttl=51, **(ip or {})) /
                        TCP(sport=self.port, dport=self.static_port, flags=flags, **tcp) / Raw(data)))

    def out(self, flags="A", data=b"", **fields):
        packet = self.from_pod(flags, data, **fields)
        self.dp.cluster.send_ip(packet, self.via)
        frame = self.dp.uplink.take(matcher(self.static, self.remote, socket.IPPROTO_TCP, self.static_port, self.port),
                                    f"the pod's {flags}")
        got = parse(self.dp.uplink, frame, UPLINK_ROUTER)
        if self.static is None:
            self.static, self.static_port = got.src, got[TCP].sport
        assert got.ttl == packet.ttl - 1
        same_tcp(packet, got)
        self.pod_next = advance(self.pod_next, flags, data)
        return got

    def back(self, flags="A", data=b"", **fields):
        packet = self.from_remote(flags, data, **fields)
        self.dp.uplink.send_ip(packet)
        frame = self.dp.cluster.take(matcher(self.remote, self.pod, socket.IPPROTO_TCP, self.port, self.pod_port),
                                     f"the remote's {flags}")
        got = parse(self.dp.cluster, frame, self.via)
        assert got.ttl == packet.ttl - 1
        same_tcp(packet, got)
        self.remote_next = advance(self.remote_next, flags, data)
        return got

    def connect(self):
        self.out("S", options=[("MSS", 1460), ("WScale", 7)])
        self.back("SA", options=[("MSS", 1460), ("WScale", 7)])
        self.out("A")
        return self

    def session(self):
        for s in self.dp.control.sessions():
            if (c.ip_text(s.client_be), c.port_number(s.client_port_be)) == (self.pod, self.pod_port):
                return s
        return None

    def refused(self, reason, flags="S", **fields):
        packet = self.from_pod(flags, **fields)
        with self.dp.dropped(reason):
            self.dp.cluster.send_ip(packet, self.via)
            frame = self.dp.cluster.take(matcher(self.remote, self.pod, socket.IPPROTO_TCP, self.port, self.pod_port), "a RST")
        reset = parse(self.dp.cluster, frame, self.via)
        assert "R" in str(reset[TCP].flags)


def udp(dp, pod, remote, port, data, pod_port=None, **ip):
    """A datagram out; returns it as it left."""
    packet = IP(bytes(IP(src=pod, dst=remote, **ip) / UDP(sport=pod_port or next(fresh_ports), dport=port) / Raw(data)))
    dp.cluster.send_ip(packet, pod if pod in dp.cluster.macs else CLUSTER_ROUTER)
    frame = dp.uplink.take(matcher(None, remote, socket.IPPROTO_UDP, None, port), "a datagram")
    got = parse(dp.uplink, frame, UPLINK_ROUTER)
    assert bytes(got[UDP].payload) == data
    return got


def udp_back(dp, got, pod, data, **ip):
    """The answer to what left as GOT; returns it as the pod gets it."""
    answer = IP(bytes(IP(src=got.dst, dst=got.src, **ip) / UDP(sport=got[UDP].dport, dport=got[UDP].sport) / Raw(data)))
    dp.uplink.send_ip(answer)
    frame = dp.cluster.take(matcher(got.dst, pod, socket.IPPROTO_UDP, got[UDP].dport), "the answer")
    return parse(dp.cluster, frame)


@pytest.mark.parametrize("remote", REMOTES[:4])
@pytest.mark.parametrize("pod", [POD_A, POD_B, NEIGHBOUR])
def test_connection(dp, pod, remote):
    connection = Connection(dp, pod, remote)
    with dp.nothing_dropped():
        connection.connect()
        connection.out("PA", b"GET / HTTP/1.1\r\n\r\n")
        connection.back("PA", bytes(1400))
        connection.back("FA")
        connection.out("A")
        connection.out("FA")
        connection.back("A")
    assert connection.static in (UPLINK_ADDRESS, SECOND)


@pytest.mark.parametrize("remote", REMOTES[:4])
def test_datagram(dp, remote):
    with dp.nothing_dropped():
        got = udp(dp, POD_A, remote, 53, b"question")
        answer = udp_back(dp, got, POD_A, b"answer")
    assert bytes(answer[UDP].payload) == b"answer"
