# SPDX-License-Identifier: GPL-2.0-or-later
"""ICMP errors about packets of sessions, in both directions, and "packet too big" about our own ESP."""
import socket
import struct

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.packet import Raw

import harness
import peers
from harness import CLUSTER_ROUTER, UPLINK_ADDRESS, UPLINK_ROUTER
from peers import CLIENT, NAME_SERVER, POD, TARGET, UDP_FORWARD_PORT, matcher
from test_forward_udp import answer, ask
from test_link import take_icmp_error

ROUTER_INSIDE = "192.168.7.1"  # of the customer
ERRORS = {"host-unreachable": (3, 1), "port-unreachable": (3, 3), "prohibited": (3, 13), "ttl-exceeded": (11, 0),
          "parameter-problem": (12, 0)}


def error_about(packet, source, kind=(3, 3), quote=None, mtu=0, ttl=60, **icmp):
    """As a router or host makes it; QUOTE: bytes of the packet in it."""
    header = ICMP(type=kind[0], code=kind[1], nexthopmtu=mtu, **icmp) if kind == (3, 4) else ICMP(type=kind[0], code=kind[1], **icmp)
    return IP(bytes(IP(src=source, dst=packet.src, ttl=ttl, id=4) / header / Raw(bytes(packet)[:quote])))


def take_at_client(dp, pod=POD["prod"]):
    return peers.parse(dp.cluster, dp.cluster.take(matcher(pod, CLIENT, socket.IPPROTO_ICMP), "an ICMP error"), CLUSTER_ROUTER)


def same_but_ttl(quoted, packet, length=None):
    """The packet as its sender sent it; the hop count may be lower, and the checksum of the header with it."""
    quoted, packet = bytearray(quoted), bytearray(bytes(packet)[:length])
    quoted[8] = packet[8] = 0
    quoted[10:12] = packet[10:12] = b"\0\0"
    assert bytes(quoted) == bytes(packet)


@pytest.mark.parametrize("kind", ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize("quote", [28, 48, None])
@pytest.mark.parametrize("source", [ROUTER_INSIDE, TARGET])
def test_from_the_tunnel_about_tcp(dp, flow, kind, quote, source):
    packet = IP(bytes(flow.from_client("PA", b"data" * 20)))
    dp.cluster.send_ip(packet, flow.via)
    inner = flow.tunnel.take()[1]
    with dp.nothing_dropped():
        flow.tunnel.send(error_about(inner, source, kind, quote))
        error = take_at_client(dp)
    assert (error[ICMP].type, error[ICMP].code, error.ttl) == (*kind, 59)
    same_but_ttl(bytes(error[ICMP])[8:], packet, quote)
    quoted = IP(bytes(error[ICMP])[8:])
    header = bytes(error[ICMP])[8:28]
    assert peers.checksum(header) == 0, "the quoted header is whole"
    assert (quoted.src, quoted.dst) == (CLIENT, POD["prod"])


def test_fragmentation_needed_inside(dp, flow):
    packet = IP(bytes(flow.from_client("PA", bytes(1200))))
    dp.cluster.send_ip(packet, flow.via)
    inner = flow.tunnel.take()[1]
    with dp.nothing_dropped():
        flow.tunnel.send(error_about(inner, ROUTER_INSIDE, (3, 4), 28, mtu=1000))
        error = take_at_client(dp)
    assert (error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu) == (3, 4, 1000)


@pytest.mark.parametrize("checksum", [None, 0])
def test_from_the_tunnel_about_udp(dp, tunnel, checksum):
    port = next(peers.fresh_ports)
    fields = {} if checksum is None else {"chksum": 0}
    inner = ask(dp, tunnel, port, b"query", **fields)
    with dp.nothing_dropped():
        tunnel.send(error_about(inner, NAME_SERVER))
        error = take_at_client(dp)
    quoted = IP(bytes(error[ICMP])[8:])
    peers.check_checksums(quoted)
    assert (quoted.src, quoted.dst, quoted[UDP].sport, quoted[UDP].dport) == (CLIENT, POD["prod"], port, UDP_FORWARD_PORT)
    assert (quoted[UDP].chksum == 0) == (checksum == 0) and bytes(quoted[UDP].payload) == b"query"


@pytest.mark.parametrize("source", [CLIENT, "10.0.3.3"], ids=["client", "router"])
@pytest.mark.parametrize("kind", [(3, 3), (3, 4), (11, 1)])
def test_from_the_cluster(dp, tunnel, source, kind):
    """About a reply: the server learns that the client is gone, or of a smaller MTU."""
    port = next(peers.fresh_ports)
    inner_port = ask(dp, tunnel, port, b"query")[UDP].sport
    got = answer(dp, tunnel, port, inner_port, b"the answer")
    with dp.nothing_dropped():
        dp.cluster.send_ip(error_about(got, source, kind, mtu=900))
        error = tunnel.take("an ICMP error")[1]
    assert (error.src, error.dst) == (tunnel.inner, NAME_SERVER)
    assert (error[ICMP].type, error[ICMP].code) == kind
    if kind == (3, 4):
        assert error[ICMP].nexthopmtu == 900
    quoted = peers.check_checksums(IP(bytes(error[ICMP])[8:]))
    assert (quoted.src, quoted.dst, quoted[UDP].sport, quoted[UDP].dport) == (NAME_SERVER, tunnel.inner, 53, inner_port)


def quoting(packet, **changes):
    packet = packet.copy()
    for name, value in changes.items():
        setattr(packet if name in ("src", "dst", "proto", "frag") else packet.payload, name, value)
    del packet.chksum
    return IP(bytes(packet))


REFUSED = {
    "another-target": lambda p: quoting(p, dst="192.168.100.54"),
    "another-port": lambda p: quoting(p, dport=54),
    "another-inner-port": lambda p: quoting(p, sport=1),
    "another-protocol": lambda p: quoting(p, proto=6),
    "a-later-fragment": lambda p: quoting(p, frag=1),
    "an-error": lambda p: error_about(p, ROUTER_INSIDE).__class__(bytes(IP(src=p.src, dst=p.dst) / ICMP(type=3, code=3) / Raw(bytes(p)))),
}


@pytest.mark.parametrize("case", REFUSED)
def test_about_no_session(dp, tunnel, case):
    inner = ask(dp, tunnel, next(peers.fresh_ports), b"query")
    with dp.dropped("no-session-quoted"):
        tunnel.send(error_about(REFUSED[case](inner), ROUTER_INSIDE))


@pytest.mark.parametrize("kind", [(4, 0), (5, 1), (8, 0), (0, 0), (13, 0)])
def test_other_icmp_from_the_tunnel(dp, tunnel, kind):
    inner = ask(dp, tunnel, next(peers.fresh_ports), b"query")
    with dp.dropped("no-session-quoted"):
        tunnel.send(error_about(inner, ROUTER_INSIDE, kind))


def test_damaged_and_short(dp, tunnel):
    inner = ask(dp, tunnel, next(peers.fresh_ports), b"query")
    damaged = error_about(inner, ROUTER_INSIDE)
    damaged[ICMP].chksum ^= 1
    with dp.dropped("no-session-quoted"):
        tunnel.send(damaged)
    with dp.dropped("no-session-quoted"):
        tunnel.send(error_about(inner, ROUTER_INSIDE, quote=27))


def test_of_another_environment(dp, tunnel):
    """Staging has the same network and inner address: its tunnel does not reach prod's sessions."""
    inner = ask(dp, tunnel, next(peers.fresh_ports), b"query")
    staging = dp.tunnels["staging", "a"]
    staging.up()
    with dp.dropped("no-session-quoted"):
        staging.send(error_about(inner, ROUTER_INSIDE))


def test_of_another_tunnel(dp, tunnel):
    inner = ask(dp, tunnel, next(peers.fresh_ports), b"query")
    other = dp.tunnels["prod", "b"]
    other.up()
    with dp.dropped("no-session-quoted"):
        other.send(error_about(inner, ROUTER_INSIDE))
    other.down()


def test_rate_limit(dp, tunnel):
    inner = ask(dp, tunnel, next(peers.fresh_ports), b"query")
    error = error_about(inner, ROUTER_INSIDE)
    for _ in range(4):
        before = dp.count("icmp/translated") + dp.count("drop/rate-limited")
        for _ in range(500):
            tunnel.send(error)
        harness.wait_for(lambda n=before: dp.count("icmp/translated") + dp.count("drop/rate-limited") == n + 500, "all of them")
    assert dp.count("icmp/translated") > 0


def test_the_session_lives_on(dp, flow):
    packet = IP(bytes(flow.from_client("PA", b"x")))
    dp.cluster.send_ip(packet, flow.via)
    inner = flow.tunnel.take()[1]
    flow.client_next += 1
    flow.tunnel.send(error_about(inner, ROUTER_INSIDE))
    take_at_client(dp)
    flow.out("PA", b"goes on")
    flow.back("PA", b"goes on")


# ---- refusals of UDP ----

def refused(dp, environment, port, reason, kind):
    packet = IP(bytes(IP(src=CLIENT, dst=POD[environment], id=3) / UDP(sport=next(peers.fresh_ports), dport=port) / Raw(b"q")))
    with dp.dropped(reason):
        dp.cluster.send_ip(packet)
        error = take_icmp_error(dp.cluster, packet)
    assert (error[ICMP].type, error[ICMP].code) == kind


def test_udp_is_refused_at_once(dp):
    """No forward, no tunnel, no room: its sender hears of it as TCP's does."""
    refused(dp, "prod", 9, "no-forward", (3, 3))
    refused(dp, "dark", UDP_FORWARD_PORT, "no-tunnel", (3, 0))
    sessions = len(dp.control.sessions("tiny"))
    for _ in range(peers.QUOTA_OF_TINY - sessions):
        dp.cluster.send_ip(IP(src=CLIENT, dst=POD["tiny"]) / UDP(sport=next(peers.fresh_ports), dport=UDP_FORWARD_PORT) / Raw(b"q"))
        dp.tunnels["tiny", "a"].take()
    refused(dp, "tiny", UDP_FORWARD_PORT, "session-quota", (3, 0))
    purge_tiny(dp)


def purge_tiny(dp):
    """Ends its sessions, which other tests count: the environment goes and comes."""
    environments, servers, forwards = peers.configuration()
    dp.generation += 1
    dp.control.commit(dp.generation, [e for e in environments if e.name != b"tiny"], [s for s in servers if s.id.environment != b"tiny"],
                      [f for f in forwards if f.environment != b"tiny"])
    dp.generation += 1
    dp.control.commit(dp.generation, environments, servers, forwards)
    dp.tunnels["tiny", "a"].pair = None
    dp.tunnels["tiny", "a"].up()


# ---- "packet too big" about ESP ----

def too_big(outer, mtu, quote=None, source=UPLINK_ROUTER):
    return error_about(outer, source, (3, 4), quote, mtu=mtu)


@pytest.mark.parametrize("udp", [True, False], ids=["udp", "native"])
def test_path_mtu(dp, tunnel, udp):
    """Lowered, never raised, floor 576; the cluster hears of it and the next SYN has a smaller MSS."""
    pair = tunnel.up(udp=udp)
    full = pair.inner_mtu
    flow = peers.Flow(tunnel).connect()
    outer = flow.out("PA", bytes(1000))[0]
    try:
        for mtu, quote in ((1300, None), (1200, 36), (100, 40)):
            with dp.dropped("pmtu-accepted"):
                dp.uplink.send_ip(too_big(outer, mtu, quote))
            inner_mtu = dp.control.tunnels()["prod", "a"].inner_mtu
            assert inner_mtu == (max(mtu, 576) - pair.overhead + 2) // 4 * 4 - 2 < full
        with dp.dropped("pmtu-refused"):
            dp.uplink.send_ip(too_big(outer, 1400))
        packet = IP(bytes(flow.from_client("PA", bytes(1000))))
        with dp.dropped("too-big"):
            dp.cluster.send_ip(packet, flow.via)
            error = peers.parse(dp.cluster, dp.cluster.take(matcher(None, CLIENT, socket.IPPROTO_ICMP), "an ICMP error"))
        assert error[ICMP].nexthopmtu == inner_mtu
        syn = peers.Flow(tunnel).out("S", options=[("MSS", 1460)])[1]
        assert peers.mss(syn) == inner_mtu - 40
        tunnel.up(udp=udp)  # new SAs have it, too
        assert dp.control.tunnels()["prod", "a"].inner_mtu == inner_mtu
    finally:
        forget(dp)
    assert dp.control.tunnels()["prod", "a"].inner_mtu == tunnel.pair.inner_mtu


def forget(dp):
    """A tunnel that is configured anew has no history: prod's server a goes and comes."""
    environments, servers, forwards = peers.configuration()
    dp.generation += 1
    dp.control.commit(dp.generation, environments, [s for s in servers if (s.id.environment, s.id.server) != (b"prod", b"a")],
                      [f for f in forwards if not (f.environment == b"prod" and f.server == b"a")])
    dp.generation += 1
    dp.control.commit(dp.generation, environments, servers, forwards)
    dp.tunnels["prod", "a"].pair = None
    dp.tunnels["prod", "a"].up()


def altered(outer, at, form, value):
    data = bytearray(bytes(outer))
    struct.pack_into(form, data, at, value)
    return IP(bytes(data))


def test_path_mtu_is_not_believed(dp, tunnel):
    flow = peers.Flow(tunnel).connect()
    outer = flow.out("PA", bytes(1000))[0]
    mtu = dp.control.tunnels()["prod", "a"].inner_mtu
    sequence = tunnel.pair.sequence_out
    for what, packet in {
        "another SPI": altered(outer, 28, "!I", tunnel.pair.spi_out ^ 1),
        "not sent yet": altered(outer, 32, "!I", sequence + 1),
        "long ago": altered(outer, 32, "!I", (sequence - 1024) & 0xFFFFFFFF),
        "another server": altered(outer, 16, "!4s", socket.inet_aton("198.51.100.77")),
        "another port": altered(outer, 22, "!H", 4501),
        "native": altered(outer, 9, "!B", 50),
        "TCP": altered(outer, 9, "!B", 6),
    }.items():
        with dp.dropped("pmtu-refused"):
            dp.uplink.send_ip(too_big(packet, 1000))
        assert dp.control.tunnels()["prod", "a"].inner_mtu == mtu, what
    damaged = too_big(outer, 1000)
    damaged[ICMP].chksum ^= 1
    for error in (damaged, too_big(outer, 1000, 35), too_big(outer, 0), too_big(outer, 1500)):
        with dp.dropped("pmtu-refused"):
            dp.uplink.send_ip(error)
    assert dp.control.tunnels()["prod", "a"].inner_mtu == mtu
