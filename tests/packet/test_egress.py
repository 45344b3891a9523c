# SPDX-License-Identifier: GPL-2.0-or-later
"""
Static egress: what the cluster sends to the Internet leaves with a static address and nothing else.

A dataplane of its own, in both shapes of conftest.py; in the second one half of the remote addresses belong to the worker
that has no queue. The ports are AF_XDP, because of the fragments (test_fragments.py).
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
UPLINK_MTU = 1400


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


class Gateway(harness.Dataplane):
    """With an uplink that takes less than the cluster, as between a cloud's network and the Internet."""

    def node(self, **changes):
        node = super().node(**changes)
        node.uplink.mtu = UPLINK_MTU
        return node


@pytest.fixture(scope="module", params=conftest.SHAPES)
def gateway(request, known_leaks):
    with conftest.running(request.param, Gateway, driver="af_xdp") as dataplane:
        dataplane.cluster.add_neighbour(NEIGHBOUR)
        commit(dataplane)
        yield dataplane


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
        connection.back("PA", bytes(1300))
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


def test_drained(dp):
    """New connections of the environment's sources are refused, its old ones and all others go on."""
    old, other = Connection(dp, STAGING_POD).connect(), Connection(dp).connect()
    made, servers, forwards = environments()
    for environment in made:
        if environment.name == b"staging":
            environment.flags |= c.ENVIRONMENT_DRAINING
    dp.generation += 1
    dp.control.commit(dp.generation, made, servers, forwards, egress=policy())
    for remote in REMOTES:
        Connection(dp, STAGING_POD, remote).refused("draining")
    with dp.nothing_dropped():
        for connection in (old, other, Connection(dp).connect()):
            connection.out("PA", b"x")
            connection.back("PA", b"y")


# ---- which address ----

def test_a_source_keeps_its_address(dp):
    """RFC 4787 REQ-2: whatever it talks to; and both addresses are used."""
    used = collections.Counter()
    for i in range(1, 33):
        pod = f"10.0.1.{i}"
        statics = {udp(dp, pod, remote, 53, b"x").src for remote in REMOTES[:3]}
        assert len(statics) == 1, pod
        used[statics.pop()] += 1
    assert set(used) == {UPLINK_ADDRESS, SECOND} and min(used.values()) > 4


def test_an_environment_has_addresses_of_its_own(dp):
    assert udp(dp, STAGING_POD, REMOTES[0], 53, b"x").src == OF_STAGING


def test_the_same_port_to_many_destinations(dp):
    """Ports are taken per destination: so few that two destinations must share one."""
    commit(dp, policy(addresses=(UPLINK_ADDRESS,)))
    seen = collections.defaultdict(set)
    for remote in REMOTES:
        for _ in range(40):
            seen[remote].add(udp(dp, POD_A, remote, 53, b"x")[UDP].sport)
        assert len(seen[remote]) == 40, "one port for each session towards a destination"
    assert all(port >= 1024 and port not in (4500, IKE_PORT, IKE_PORT + 1) for ports in seen.values() for port in ports)


def test_arp_for_static_addresses(dp):
    for address, is_ours in ((UPLINK_ADDRESS, True), (SECOND, True), (OF_STAGING, True), ("203.0.113.99", False)):
        asker = harness.mac_bytes(dp.uplink.macs[UPLINK_ROUTER])
        dp.uplink.send(b"\xff" * 6 + asker + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1) + asker +
                       socket.inet_aton(UPLINK_ROUTER) + bytes(6) + socket.inet_aton(address))
        if is_ours:
            reply = dp.uplink.take(lambda f: f[12:14] == b"\x08\x06" and f[20:22] == b"\0\2" and
                                   f[28:32] == socket.inet_aton(address), "an ARP reply")
            assert reply[22:28] == harness.mac_bytes(dp.uplink.dataplane_mac)
    udp(dp, POD_A, REMOTES[0], 53, b"behind all of them")
    assert not [f for f in dp.uplink.take_all() if f[12:14] == b"\x08\x06"]


# ---- who may, and where to ----

def test_source_without_permission(dp):
    Connection(dp, NOBODY).refused("egress-source")
    Connection(dp, NOBODY).refused("egress-source", "PA")
    packet = IP(bytes(IP(src=NOBODY, dst=REMOTES[0], id=3) / UDP(sport=4000, dport=53) / Raw(b"x")))
    with dp.dropped("egress-source"):
        dp.cluster.send_ip(packet)
        error = take_icmp_error(dp.cluster, packet)
    assert (error[ICMP].type, error[ICMP].code) == (3, 13)


@pytest.mark.parametrize("destination", ["10.200.0.1", "172.20.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.0.8",
                                         "10.0.77.1", CLUSTER_ROUTER, UPLINK_ADDRESS, SECOND, OF_STAGING])
def test_destination_is_refused(dp, destination):
    Connection(dp, remote=destination).refused("egress-destination")
    packet = IP(bytes(IP(src=POD_A, dst=destination, id=3) / UDP(sport=4000, dport=53) / Raw(b"x")))
    with dp.dropped("egress-destination"):
        dp.cluster.send_ip(packet)
        error = take_icmp_error(dp.cluster, packet)
    assert (error[ICMP].type, error[ICMP].code) == (3, 13)


def test_destination_is_allowed(dp):
    Connection(dp, remote="10.77.3.4").connect()


def test_other_protocols(dp):
    packet = IP(bytes(IP(src=POD_A, dst=REMOTES[0], id=3, proto=47) / Raw(bytes(20))))
    with dp.dropped("egress-protocol"):
        dp.cluster.send_ip(packet)
        error = take_icmp_error(dp.cluster, packet)
    assert (error[ICMP].type, error[ICMP].code) == (3, 13)


def test_mid_stream(dp):
    Connection(dp).refused("no-session", "PA")


def test_time_to_live(dp):
    connection = Connection(dp).connect()
    packet = connection.from_pod("A", ip={"ttl": 1})
    with dp.dropped("ttl"):
        dp.cluster.send_ip(packet)
        error = take_icmp_error(dp.cluster, packet)
    assert error[ICMP].type == 11


def test_without_egress(dp):
    connection = Connection(dp).connect()
    commit(dp, egress=[])
    connection.refused("no-egress", "PA")
    with dp.dropped("not-for-us"):
        dp.uplink.send_ip(connection.from_remote("PA", b"x"))


def test_a_session_ends_with_its_permission(dp):
    connection = Connection(dp, POD_B).connect()
    other = Connection(dp, POD_A).connect()
    commit(dp, policy(sources=("10.0.1.0/24",)))
    harness.wait_for(lambda: connection.session() is None, "the session's end")
    connection.refused("egress-source", "PA")
    other.out("PA", b"goes on")
    other.back("PA", b"goes on")


def test_quota_of_an_environment(dp):
    """Of all workers together; others do not notice."""
    commit(dp, egress=[rule([UPLINK_ADDRESS], ["10.0.1.0/24"])])  # staging's sessions end
    harness.wait_for(lambda: not dp.control.sessions("staging"), "no session of staging")
    commit(dp)
    for i in range(QUOTA):
        udp(dp, STAGING_POD, REMOTES[i % len(REMOTES)], 53, b"x")
    packet = IP(bytes(IP(src=STAGING_POD, dst=REMOTES[0], id=3) / UDP(sport=4000, dport=53) / Raw(b"x")))
    with dp.dropped("session-quota"):
        dp.cluster.send_ip(packet)
        error = take_icmp_error(dp.cluster, packet)
    assert (error[ICMP].type, error[ICMP].code) == (3, 0)
    udp(dp, POD_A, REMOTES[0], 53, b"x")
    commit(dp, egress=[rule([UPLINK_ADDRESS], ["10.0.1.0/24"])])  # staging's sessions end
    harness.wait_for(lambda: not dp.control.sessions("staging"), "no session of staging")


# ---- what comes in ----

def test_unsolicited(dp):
    for static in (UPLINK_ADDRESS, SECOND, OF_STAGING):
        for segment in (TCP(sport=5, dport=22, flags="S"), TCP(sport=5, dport=22, flags="A"), UDP(sport=5, dport=2222) / Raw(b"x")):
            with dp.dropped("egress-unsolicited"):
                dp.uplink.send_ip(IP(bytes(IP(src=REMOTES[0], dst=static) / segment)))


def test_from_another_address_or_port(dp):
    """Only who was talked to may answer (RFC 4787 section 5, address and port dependent filtering)."""
    got = udp(dp, POD_A, REMOTES[0], 53, b"x")
    for source, port in ((REMOTES[1], 53), (REMOTES[0], 54)):
        with dp.dropped("egress-unsolicited"):
            dp.uplink.send_ip(IP(bytes(IP(src=source, dst=got.src) / UDP(sport=port, dport=got[UDP].sport) / Raw(b"x"))))
    udp_back(dp, got, POD_A, b"the right one")


def test_reset_outside_of_the_window(dp):
    connection = Connection(dp).connect()
    with dp.dropped("tcp-state"):
        dp.uplink.send_ip(connection.from_remote("R", seq=connection.remote_next + 0x40000000 & 0xffffffff))
    connection.out("PA", b"still there")


@pytest.mark.parametrize("static", [UPLINK_ADDRESS, SECOND])
def test_echo_to_a_static_address(dp, static):
    packet = IP(bytes(IP(src=REMOTES[0], dst=static, id=3) / ICMP(id=7, seq=9) / Raw(b"ping")))
    dp.uplink.send_ip(packet)
    reply = parse(dp.uplink, dp.uplink.take(matcher(static, REMOTES[0], socket.IPPROTO_ICMP), "an echo reply"))
    assert (reply[ICMP].type, reply[ICMP].id, reply[ICMP].seq, bytes(reply[ICMP].payload)) == (0, 7, 9, b"ping")


def test_tunnels_go_on(dp):
    """IKE, ESP in UDP and native ESP share the address with egress."""
    for form in (True, False):
        tunnel = peers.Tunnel(dp, "prod", "a")
        tunnel.up(udp=form)
        flow = peers.Flow(tunnel).connect()
        flow.out("PA", b"into the tunnel")
        flow.back("PA", b"out of the tunnel")
        dp.uplink.send_ip(IP(bytes(IP(src=tunnel.remote, dst=UPLINK_ADDRESS) / UDP(sport=500, dport=500) / Raw(bytes(28)))))
        punt, _ = dp.control.wait_punt()
        assert c.ip_text(punt.source_be) == tunnel.remote
        Connection(dp, remote=tunnel.remote, port=500).connect()  # a pod may talk to that host, too
        flow.out("PA", b"still there")
        tunnel.down()  # ends the session: the client has its RST at once
        reset = flow.take_at_client("a RST")
        assert reset[TCP].flags == "R" and reset[TCP].seq == flow.server_next


# ---- sizes ----

def test_too_big(dp):
    connection = Connection(dp).connect()
    packet = connection.from_pod("PA", bytes(UPLINK_MTU - 39))
    with dp.dropped("too-big"):
        dp.cluster.send_ip(packet)
        error = take_icmp_error(dp.cluster, packet)
    assert (error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu) == (3, 4, UPLINK_MTU)
    connection.out("PA", bytes(UPLINK_MTU - 40))


@pytest.mark.parametrize("offered", [8856, 1460, UPLINK_MTU - 39, UPLINK_MTU - 40, 536])
def test_mss(dp, offered):
    connection = Connection(dp)
    fits = min(offered, UPLINK_MTU - 40)
    assert mss(connection.out("S", options=[("MSS", offered)])) == fits
    assert mss(connection.back("SA", options=[("MSS", offered)])) == fits


def take_fragments(wire, match, total):
    """The datagram that these fragments make: their payload, and the first one's header."""
    have, first = {}, None
    while sum(len(data) for data in have.values()) < total:
        packet = parse_fragment(wire, wire.take(match, "a fragment"))
        have[packet.frag * 8] = bytes(packet)[20:packet.len]
        first = packet if packet.frag == 0 else first
    data = b"".join(have[at] for at in sorted(have))
    assert len(data) == total
    return first, data


def parse_fragment(wire, frame):
    packet = IP(frame[14:])
    assert peers.checksum(bytes(packet)[:20]) == 0
    return packet


@pytest.mark.parametrize("remote", REMOTES[:3])
def test_fragments(dp, remote):
    """Out: put together, translated, cut to the uplink's size; in likewise."""
    port, data = next(fresh_ports), bytes(range(256)) * 12
    whole = IP(bytes(IP(src=POD_A, dst=remote, id=77) / UDP(sport=port, dport=53) / Raw(data)))
    with dp.nothing_dropped():
        for piece in reversed(fragment(whole, 1000)):
            dp.cluster.send_ip(IP(bytes(piece)))
        first, payload = take_fragments(dp.uplink, matcher(None, remote, socket.IPPROTO_UDP), len(data) + 8)
        assert payload[8:] == data and first.len <= UPLINK_MTU
        left = peers.check_checksums(IP(bytes(IP(src=first.src, dst=first.dst, proto=17) / Raw(payload))))
        sport = struct.unpack_from("!H", payload)[0]
        answer = IP(bytes(IP(src=remote, dst=left.src, id=78) / UDP(sport=53, dport=sport) / Raw(data[::-1])))
        for piece in fragment(answer, 1304):
            dp.uplink.send_ip(IP(bytes(piece)))
        first, payload = take_fragments(dp.cluster, matcher(remote, POD_A, socket.IPPROTO_UDP), len(data) + 8)
    assert payload[8:] == data[::-1] and struct.unpack_from("!HH", payload) == (53, port)
    peers.check_checksums(IP(bytes(IP(src=first.src, dst=first.dst, proto=17) / Raw(payload))))


def test_strangers_fragments_leave_room_for_others(dp):
    """Fragments from the Internet that never become whole have a limit of their own, and go for those that still may."""
    before = dp.count("drop/fragment-quota")
    for i in range(80):
        dp.uplink.send_ip(IP(bytes(IP(src="192.0.2.7", dst=UPLINK_ADDRESS, id=i, flags="MF") / UDP(sport=9, dport=9) / Raw(bytes(24)))))
    dp.wait_count("drop/fragment-quota", before + 16)
    whole = IP(bytes(IP(src=POD_A, dst=REMOTES[0], id=99) / UDP(sport=next(fresh_ports), dport=53) / Raw(bytes(2000))))
    for piece in fragment(whole, 1000):
        dp.cluster.send_ip(IP(bytes(piece)))
    first, payload = take_fragments(dp.uplink, matcher(None, REMOTES[0], socket.IPPROTO_UDP), 2008)
    answer = IP(bytes(IP(src=REMOTES[0], dst=first.src, id=98) /
                      UDP(sport=53, dport=struct.unpack_from("!H", payload)[0]) / Raw(bytes(2000))))
    for piece in fragment(answer, 1000):
        dp.uplink.send_ip(IP(bytes(piece)))
    take_fragments(dp.cluster, matcher(REMOTES[0], POD_A, socket.IPPROTO_UDP), 2008)


# ---- ICMP ----

def ping(dp, pod, remote, identifier, data=b"ping", seq=1, **ip):
    packet = IP(bytes(IP(src=pod, dst=remote, id=5, **ip) / ICMP(type=8, id=identifier, seq=seq) / Raw(data)))
    dp.cluster.send_ip(packet)
    got = parse(dp.uplink, dp.uplink.take(matcher(None, remote, socket.IPPROTO_ICMP), "an echo request"), UPLINK_ROUTER)
    assert got.ttl == packet.ttl - 1
    assert (got[ICMP].type, got[ICMP].seq, bytes(got[ICMP].payload)) == (8, seq, data)
    return got


def pong(dp, got, pod):
    dp.uplink.send_ip(IP(bytes(IP(src=got.dst, dst=got.src, id=6) / ICMP(type=0, id=got[ICMP].id, seq=got[ICMP].seq) /
                               Raw(bytes(got[ICMP].payload)))))
    return parse(dp.cluster, dp.cluster.take(matcher(got.dst, pod, socket.IPPROTO_ICMP), "an echo reply"))


@pytest.mark.parametrize("remote", REMOTES[:4])
def test_echo(dp, remote):
    """Two pods with the same identifier get their own replies."""
    commit(dp, policy(addresses=(UPLINK_ADDRESS,)))
    with dp.nothing_dropped():
        sent = {pod: ping(dp, pod, remote, 0x1234, pod.encode()) for pod in (POD_A, POD_B)}
        assert sent[POD_A][ICMP].id != sent[POD_B][ICMP].id
        for pod, got in sent.items():
            reply = pong(dp, got, pod)
            assert (reply[ICMP].id, bytes(reply[ICMP].payload)) == (0x1234, pod.encode())
        again = ping(dp, POD_A, remote, 0x1234, seq=2)
    assert again[ICMP].id == sent[POD_A][ICMP].id


def test_echo_reply_to_nobody(dp):
    with dp.dropped("egress-unsolicited"):
        dp.uplink.send_ip(IP(bytes(IP(src=REMOTES[0], dst=UPLINK_ADDRESS) / ICMP(type=0, id=5, seq=1))))


def test_echo_of_a_damaged_packet(dp):
    """The checksum is adjusted, never computed anew."""
    packet = IP(bytes(IP(src=POD_A, dst=REMOTES[0], id=5) / ICMP(type=8, id=next(fresh_ports), seq=1, chksum=0x1234) / Raw(b"x")))
    dp.cluster.send_ip(packet)
    with pytest.raises(AssertionError, match="ICMP checksum is wrong"):
        parse(dp.uplink, dp.uplink.take(matcher(None, REMOTES[0], socket.IPPROTO_ICMP), "an echo request"))


def test_large_echo(dp):
    data = bytes(range(250)) * 16
    whole = IP(bytes(IP(src=POD_A, dst=REMOTES[1], id=5) / ICMP(type=8, id=77, seq=1) / Raw(data)))
    for piece in fragment(whole, 1304):
        dp.cluster.send_ip(IP(bytes(piece)))
    first, payload = take_fragments(dp.uplink, matcher(None, REMOTES[1], socket.IPPROTO_ICMP), len(data) + 8)
    assert peers.checksum(payload) == 0 and payload[8:] == data
    reply = IP(bytes(IP(src=REMOTES[1], dst=first.src, id=6) / ICMP(type=0, id=struct.unpack_from("!H", payload, 4)[0], seq=1) / Raw(data)))
    for piece in fragment(reply, 1304):
        dp.uplink.send_ip(IP(bytes(piece)))
    first, payload = take_fragments(dp.cluster, matcher(REMOTES[1], POD_A, socket.IPPROTO_ICMP), len(data) + 8)
    assert peers.checksum(payload) == 0 and payload[8:] == data and payload[4:6] == b"\0\x4d"


def error_about(packet, source, kind=(11, 0), quote=None, mtu=0):
    header = ICMP(type=kind[0], code=kind[1], nexthopmtu=mtu) if kind == (3, 4) else ICMP(type=kind[0], code=kind[1])
    return IP(bytes(IP(src=source, dst=packet.src, ttl=60, id=4) / header / Raw(bytes(packet)[:quote])))


ROUTERS = ["192.0.2.200", "192.0.2.201", "192.0.2.202"]  # on the way; none of them was talked to


@pytest.mark.parametrize("router", ROUTERS)
@pytest.mark.parametrize("remote", REMOTES[:3])
@pytest.mark.parametrize("quote", [28, None])
def test_error_from_the_internet_about_tcp(dp, router, remote, quote):
    """A traceroute: it comes from the router that sent it, about the packet as the pod knows it."""
    connection = Connection(dp, remote=remote).connect()
    packet = connection.from_pod("PA", b"data" * 20)
    dp.cluster.send_ip(packet)
    got = parse(dp.uplink, dp.uplink.take(matcher(connection.static, remote, socket.IPPROTO_TCP), "the segment"))
    with dp.nothing_dropped():
        dp.uplink.send_ip(error_about(got, router, quote=quote))
        error = parse(dp.cluster, dp.cluster.take(matcher(router, POD_A, socket.IPPROTO_ICMP), "an error"))
    quoted, sent = bytearray(bytes(error[ICMP])[8:]), bytearray(bytes(packet)[:quote])
    quoted[8] = sent[8] = 0
    quoted[10:12] = sent[10:12] = b"\0\0"
    assert bytes(quoted) == bytes(sent)


@pytest.mark.parametrize("remote", REMOTES[:3])
def test_error_from_the_internet_about_echo(dp, remote):
    got = ping(dp, POD_A, remote, 0x4321)
    with dp.nothing_dropped():
        dp.uplink.send_ip(error_about(got, ROUTERS[0]))
        error = parse(dp.cluster, dp.cluster.take(matcher(ROUTERS[0], POD_A, socket.IPPROTO_ICMP), "an error"))
    quoted = IP(bytes(error[ICMP])[8:])
    assert (quoted.src, quoted.dst, quoted[ICMP].id) == (POD_A, remote, 0x4321)
    assert peers.checksum(bytes(quoted)[20:]) == 0, "the quoted echo's checksum is right again"


def test_path_mtu_from_the_internet(dp):
    got = udp(dp, POD_A, REMOTES[0], 53, bytes(1200), flags="DF")
    dp.uplink.send_ip(error_about(got, ROUTERS[0], (3, 4), 28, mtu=1000))
    error = parse(dp.cluster, dp.cluster.take(matcher(ROUTERS[0], POD_A, socket.IPPROTO_ICMP), "an error"))
    assert (error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu) == (3, 4, 1000)


@pytest.mark.parametrize("remote", REMOTES[:3])
def test_error_from_the_cluster(dp, remote):
    """About a reply: the remote host hears it from the static address."""
    got = udp(dp, POD_A, remote, 53, b"question")
    answer = udp_back(dp, got, POD_A, b"too late")
    with dp.nothing_dropped():
        dp.cluster.send_ip(error_about(answer, POD_A, (3, 3)))
        error = parse(dp.uplink, dp.uplink.take(matcher(got.src, remote, socket.IPPROTO_ICMP), "an error"), UPLINK_ROUTER)
    quoted = peers.check_checksums(IP(bytes(error[ICMP])[8:]))
    assert (quoted.src, quoted.dst, quoted[UDP].dport) == (remote, got.src, got[UDP].sport)


@pytest.mark.parametrize("remote", REMOTES[:3])
def test_error_from_a_pod_of_another_environment(dp, remote):
    got = udp(dp, POD_A, remote, 53, b"question")
    error = error_about(udp_back(dp, got, POD_A, b"answer"), STAGING_POD, (3, 3))
    with dp.dropped("source-refused"):
        dp.cluster.send_ip(error)


def test_error_about_nothing(dp):
    got = udp(dp, POD_A, REMOTES[0], 53, b"x")
    got[UDP].sport ^= 1
    del got.chksum, got[UDP].chksum
    with dp.dropped("no-session-quoted"):
        dp.uplink.send_ip(error_about(IP(bytes(got)), ROUTERS[0]))


# ---- mapped ports ----

def test_mapped_port(dp):
    """From the Internet to a pod: the source stays, the reply leaves with the static address."""
    commit(dp, inbound=[mapping(MAPPED_PORT, TARGET, MAPPED), mapping(53, TARGET, 5353, socket.IPPROTO_UDP)])
    for remote, static in itertools.product(REMOTES[:3], (UPLINK_ADDRESS, SECOND)):
        port = next(fresh_ports)
        syn = IP(bytes(IP(src=remote, dst=static, ttl=50) / TCP(sport=port, dport=MAPPED_PORT, flags="S", seq=100,
                                                                options=[("MSS", 8960)])))
        with dp.nothing_dropped():
            dp.uplink.send_ip(syn)
            got = parse(dp.cluster, dp.cluster.take(matcher(remote, TARGET, 6, port, MAPPED), "the SYN"), CLUSTER_ROUTER)
            assert mss(got) == UPLINK_MTU - 40
            dp.cluster.send_ip(IP(bytes(IP(src=TARGET, dst=remote) / TCP(sport=MAPPED, dport=port, flags="SA", seq=900, ack=101))))
            back = parse(dp.uplink, dp.uplink.take(matcher(static, remote, 6, MAPPED_PORT, port), "the SYN-ACK"), UPLINK_ROUTER)
            assert back[TCP].flags == "SA"
            dp.uplink.send_ip(IP(bytes(IP(src=remote, dst=static) / TCP(sport=port, dport=MAPPED_PORT, flags="PA", seq=101, ack=901) /
                                       Raw(b"GET /"))))
            got = parse(dp.cluster, dp.cluster.take(matcher(remote, TARGET, 6, port, MAPPED), "data"))
            assert bytes(got[TCP].payload) == b"GET /"
    listed = [s for s in dp.control.sessions() if s.kind == c.SESSION_INBOUND]
    assert {(c.ip_text(s.client_be), c.port_number(s.client_port_be)) for s in listed} == {(TARGET, MAPPED)}
    assert {c.ip_text(s.target_be) for s in listed} == set(REMOTES[:3])
    question = IP(bytes(IP(src=REMOTES[0], dst=SECOND) / UDP(sport=4444, dport=53) / Raw(b"?")))
    dp.uplink.send_ip(question)
    parse(dp.cluster, dp.cluster.take(matcher(REMOTES[0], TARGET, 17, 4444, 5353), "the question"))
    dp.cluster.send_ip(IP(bytes(IP(src=TARGET, dst=REMOTES[0]) / UDP(sport=5353, dport=4444) / Raw(b"!"))))
    parse(dp.uplink, dp.uplink.take(matcher(SECOND, REMOTES[0], 17, 53, 4444), "the answer"))
    with dp.dropped("egress-unsolicited"):
        dp.uplink.send_ip(IP(bytes(IP(src=REMOTES[0], dst=OF_STAGING) / TCP(sport=5, dport=MAPPED_PORT, flags="S"))))
    commit(dp)  # the mapping is gone, and its sessions
    harness.wait_for(lambda: all(s.kind != c.SESSION_INBOUND for s in dp.control.sessions()), "no mapped session")
    with dp.dropped("egress-unsolicited"):
        dp.uplink.send_ip(question)


def test_mapped_port_at_one_address(dp):
    commit(dp, inbound=[mapping(MAPPED_PORT, TARGET, MAPPED, address=OF_STAGING)])
    syn = TCP(sport=next(fresh_ports), dport=MAPPED_PORT, flags="S", seq=100)
    with dp.dropped("egress-unsolicited"):
        dp.uplink.send_ip(IP(bytes(IP(src=REMOTES[0], dst=SECOND) / syn)))
    dp.uplink.send_ip(IP(bytes(IP(src=REMOTES[0], dst=OF_STAGING) / syn)))
    dp.cluster.take(matcher(REMOTES[0], TARGET, 6, None, MAPPED), "the SYN")


def test_mapped_port_in_mid_stream(dp):
    commit(dp, inbound=[mapping(MAPPED_PORT, TARGET, MAPPED)])
    with dp.dropped("egress-unsolicited"):
        dp.uplink.send_ip(IP(bytes(IP(src=REMOTES[0], dst=UPLINK_ADDRESS) / TCP(sport=9, dport=MAPPED_PORT, flags="A"))))


@pytest.mark.parametrize("source", [POD_A, STAGING_POD, NEIGHBOUR])
def test_mapped_port_from_outside_as_a_pod(dp, source):
    """Who comes from the uplink is no pod, whatever source it writes."""
    commit(dp, inbound=[mapping(MAPPED_PORT, TARGET, MAPPED)])
    with dp.dropped("ip-address"):
        dp.uplink.send_ip(IP(bytes(IP(src=source, dst=UPLINK_ADDRESS) / TCP(sport=9, dport=MAPPED_PORT, flags="S"))))


@pytest.mark.parametrize("static", [UPLINK_ADDRESS, SECOND])
def test_hairpin(dp, static):
    """A pod calls the static address's mapped port; the answer comes back through us (RFC 4787 REQ-9)."""
    commit(dp, inbound=[mapping(MAPPED_PORT, TARGET, MAPPED)])
    port = next(fresh_ports)
    with dp.nothing_dropped():
        dp.cluster.send_ip(IP(bytes(IP(src=POD_A, dst=static) / TCP(sport=port, dport=MAPPED_PORT, flags="S", seq=100))))
        got = parse(dp.cluster, dp.cluster.take(matcher(static, TARGET, 6, None, MAPPED), "the SYN"), CLUSTER_ROUTER)
        assert got[TCP].sport != MAPPED_PORT and got[TCP].sport >= 1024
        dp.cluster.send_ip(IP(bytes(IP(src=TARGET, dst=static) / TCP(sport=MAPPED, dport=got[TCP].sport, flags="SA", seq=900, ack=101))))
        back = parse(dp.cluster, dp.cluster.take(matcher(static, POD_A, 6, MAPPED_PORT, port), "the SYN-ACK"), CLUSTER_ROUTER)
        assert back[TCP].flags == "SA"
        dp.cluster.send_ip(IP(bytes(IP(src=POD_A, dst=static) / TCP(sport=port, dport=MAPPED_PORT, flags="PA", seq=101, ack=901) /
                                    Raw(b"hello"))))
        got = parse(dp.cluster, dp.cluster.take(matcher(static, TARGET, 6, None, MAPPED), "data"))
        assert bytes(got[TCP].payload) == b"hello"
    assert [s for s in dp.control.sessions() if s.kind == c.SESSION_HAIRPIN]
    Connection(dp, NOBODY, static, MAPPED_PORT).refused("egress-source")
    Connection(dp, POD_A, static, MAPPED_PORT + 1).refused("egress-destination")


# ---- what is told ----

def test_sessions_are_listed(dp):
    connection = Connection(dp, STAGING_POD, port=8888).connect()
    connection.out("PA", b"x" * 100)
    s = connection.session()
    assert (s.kind, s.protocol, s.state) == (c.SESSION_EGRESS, 6, c.SESSION_ESTABLISHED)
    assert (c.ip_text(s.inner_be), c.port_number(s.inner_port_be)) == (OF_STAGING, connection.static_port)
    assert (c.ip_text(s.target_be), c.port_number(s.target_port_be)) == (connection.remote, 8888)
    assert (s.tunnel.environment, s.tunnel.server) == (b"staging", b"")
    assert s.bytes_out == 48 + 40 + 140
    assert bytes(s.tunnel) in [bytes(listed.tunnel) for listed in dp.control.sessions("staging")]
    free = Connection(dp, POD_B).connect().session()
    assert (free.tunnel.environment, free.tunnel.server) == (b"", b"")


def test_counters(dp):
    connection = Connection(dp).connect()
    before = {name: dp.count(name) for name in ("egress/out-packets", "egress/in-packets", "egress/out-bytes", "egress/in-bytes")}
    connection.out("PA", b"x" * 60)
    connection.back("PA", b"y" * 160)
    dp.wait_count("egress/in-packets", before["egress/in-packets"] + 1)
    assert dp.count("egress/out-packets") == before["egress/out-packets"] + 1
    assert dp.count("egress/out-bytes") == before["egress/out-bytes"] + 100
    assert dp.count("egress/in-bytes") == before["egress/in-bytes"] + 200


def test_headroom(dp):
    """Each address, and the busiest destinations, with the ports that there are."""
    commit(dp, [rule([UPLINK_ADDRESS], ["10.0.0.0/21"])])
    for _ in range(70):
        udp(dp, POD_A, REMOTES[0], 9999, b"x")
    use = harness.wait_for(lambda: [u for u in dp.control.egress() if c.port_number(u.remote_port_be) == 9999], "the count")[0]
    assert (c.ip_text(use.address_be), c.ip_text(use.remote_be), use.protocol) == (UPLINK_ADDRESS, REMOTES[0], 17)
    harness.wait_for(lambda: [u for u in dp.control.egress() if c.port_number(u.remote_port_be) == 9999][0].ports == 70, "all 70")
    address = dp.control.egress()[0]
    assert (c.ip_text(address.address_be), address.remote_be) == (UPLINK_ADDRESS, 0)
    assert address.ports >= 70 and address.sessions >= 70
    assert address.capacity == 64512 - 3, "4500 and those of the tunnels are not among them"
    dp.wait_count("egress/busiest-ports", 70)


class LargeGateway(Gateway):
    """Whose table does not run out before the ports."""

    def node(self, **changes):
        return super().node(sessions=262144, **changes)


def fill_destination(dp, remote, port, count, protocol):
    """COUNT sessions to one destination: empty datagrams or SYNs of many pods, made without scapy, no faster than they are taken."""
    is_tcp = protocol == socket.IPPROTO_TCP
    frame = bytearray(54 if is_tcp else 42)
    frame[:14] = harness.mac_bytes(dp.cluster.dataplane_mac) + harness.mac_bytes(dp.cluster.macs[CLUSTER_ROUTER]) + b"\x08\0"
    before = dp.count("sessions/created")
    for i in range(count):
        addresses = socket.inet_aton(f"10.0.4.{i // 1000}") + socket.inet_aton(remote)
        frame[14:34] = struct.pack("!BBHHHBBH", 0x45, 0, len(frame) - 14, 0, 0, 64, protocol, 0) + addresses
        struct.pack_into("!H", frame, 24, peers.checksum(bytes(frame[14:34])))
        if is_tcp:
            struct.pack_into("!HHIIBBHHH", frame, 34, 10000 + i % 1000, port, i, 0, 0x50, 2, 65535, 0, 0)
        else:
            struct.pack_into("!HHHH", frame, 34, 10000 + i % 1000, port, 8, 0)
        dp.cluster.socket.send(bytes(frame))
        if i % 128 == 127:
            dp.wait_count("sessions/created", before + i - 63)
    dp.wait_count("sessions/created", before + count)


@pytest.mark.parametrize("workers, layer", [(1, UDP), (2, UDP), (1, TCP)])
def test_one_destination_runs_out(known_leaks, workers, layer):
    """To the last port; who comes then is told at once, and other destinations do not notice."""
    protocol = {UDP: socket.IPPROTO_UDP, TCP: socket.IPPROTO_TCP}[layer]
    with LargeGateway(workers=workers, queues=1, driver="af_xdp") as dp:
        commit(dp, [rule([UPLINK_ADDRESS], ["10.0.0.0/16"])])
        udp(dp, POD_A, REMOTES[1], 53, b"the routers are there")
        capacity = harness.wait_for(dp.control.egress, "the count")[0].capacity
        with dp.nothing_dropped():
            fill_destination(dp, REMOTES[0], 53, capacity, protocol)
        packet = IP(bytes(IP(src=POD_A, dst=REMOTES[0], id=3) / layer(sport=4000, dport=53)))
        with dp.dropped("egress-ports"):
            dp.cluster.send_ip(packet)
            if layer is TCP:
                match = matcher(REMOTES[0], POD_A, socket.IPPROTO_TCP, 53, 4000)
                reset = parse(dp.cluster, dp.cluster.take(match, "a RST"))[TCP]
                assert (reset.flags, reset.seq, reset.ack) == ("RA", 0, packet[TCP].seq + 1)
            else:
                error = take_icmp_error(dp.cluster, packet)
                assert (error[ICMP].type, error[ICMP].code) == (3, 0)
        dp.uplink.flush()
        for remote, port in ((REMOTES[0], 54), (REMOTES[1], 53)):
            got = udp(dp, POD_A, remote, port, b"others")
            udp_back(dp, got, POD_A, b"go on")
        harness.wait_for(lambda: dp.count("egress/busiest-ports") == capacity, "the count of the last port")
        assert f"destination={REMOTES[0]}:53 protocol={protocol}" in dp.log()
    assert dp.status == 0, dp.last_log[-4000:]


# ---- configurations that cannot be ----

@pytest.mark.parametrize("egress, inbound, why", [
    ([rule([CLUSTER_ADDRESS], ["10.0.0.0/16"])], [], "cluster port"),
    ([rule([peers.POD["prod"]], ["10.0.0.0/16"])], [], "pod address"),
    ([rule([UPLINK_ADDRESS], ["10.0.0.0/16"]), rule([SECOND], ["10.0.0.0/16"])], [], "twice"),
    ([rule([SECOND], ["10.0.0.0/16"], "nowhere")], [], "no environment"),
    ([], [mapping(80, TARGET, 80)], "without egress"),
    ([rule([UPLINK_ADDRESS], ["10.0.0.0/16"])], [mapping(80, TARGET, 80), mapping(80, TARGET, 81)], "twice"),
    ([rule([UPLINK_ADDRESS], ["10.0.0.0/16"])], [mapping(80, TARGET, 80, address=SECOND)], "no egress has"),
    ([rule([UPLINK_ADDRESS], ["10.0.0.0/16"])], [mapping(IKE_PORT + 1, TARGET, 80, socket.IPPROTO_UDP)], "that of a tunnel"),
])
def test_refused_configuration(dp, egress, inbound, why):
    connection = Connection(dp).connect()
    with pytest.raises(c.ContractError, match=why):
        dp.control.commit(dp.generation + 1, *environments(), egress=egress, inbound=inbound)
    connection.out("PA", b"nothing has changed")

