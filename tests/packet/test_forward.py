# SPDX-License-Identifier: GPL-2.0-or-later
"""TCP through a forward: what is translated, what is not, and who is told when it is refused."""
import os
import random
import socket

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Raw

import contract as c
import harness
import peers
from harness import CLUSTER_ADDRESS
from peers import CLIENT, FORWARD_PORT, NEIGHBOUR, POD, STRANGER, TARGET, Flow
from test_link import take_icmp_error


def test_connection(dp, tunnel):
    """Handshake, data both ways, close: every segment is compared in Flow."""
    flow = Flow(tunnel)
    with dp.nothing_dropped():
        flow.connect()
        flow.out("PA", b"GET / HTTP/1.1\r\nHost: vpn:33000\r\n\r\n")
        flow.back("A")
        flow.back("PA", b"<body><h1>Hello world!</h1></body></html>")
        flow.out("A")
        flow.back("FA")
        flow.out("A")
        flow.out("FA")
        flow.back("A")


@pytest.mark.parametrize("client", [CLIENT, NEIGHBOUR])
def test_the_client_closes_first(dp, tunnel, client):
    flow = Flow(tunnel, client=client).connect()
    flow.out("FA")
    flow.back("A")
    flow.back("PA", b"last words")
    flow.out("A")
    flow.back("FA")
    flow.out("A")


def test_the_server_resets(dp, flow):
    flow.back("R")


def test_the_server_refuses(dp, tunnel):
    """Nothing listens at the target: its RST reaches the client."""
    flow = Flow(tunnel)
    flow.out("S")
    flow.back("RA", seq=0)


def test_the_client_resets(dp, flow):
    flow.out("R", ack=0)


@pytest.mark.parametrize("side", ["client", "server"])
def test_syn_again(dp, tunnel, side):
    """A lost SYN or SYN-ACK is sent again and takes the same way."""
    flow = Flow(tunnel)
    flow.out("S")
    flow.client_next -= 1
    flow.out("S")
    if side == "server":
        flow.back("SA")
        flow.server_next -= 1
    flow.back("SA")
    flow.out("A")


def test_other_forward_of_the_environment(tunnel):
    flow = Flow(tunnel, forward_port=33001, target=("192.168.100.31", 22)).connect()
    flow.out("PA", b"SSH-2.0-test\r\n")
    flow.back("PA", b"SSH-2.0-test\r\n")


def test_connections_have_ports_of_their_own(tunnel):
    flows = [Flow(tunnel).connect() for _ in range(20)]
    flows += [Flow(tunnel, client=NEIGHBOUR, client_port=f.client_port).connect() for f in flows[:5]]
    assert len({f.inner_port for f in flows}) == len(flows)
    for flow in random.sample(flows, len(flows)):
        flow.out("PA", b"x%d" % flow.client_port)
        flow.back("PA", b"y%d" % flow.client_port)


def test_payload_of_each_size_out(flow):
    most = flow.tunnel.pair.inner_mtu - 40
    for size in [*range(0, 70), *range(250, 262), *range(most - 20, most + 1)]:
        flow.out("PA", os.urandom(size))


def test_payload_of_each_size_back(flow):
    most = flow.tunnel.pair.inner_mtu - 40
    for size in [*range(0, 70), *range(250, 262), *range(most - 20, most + 1)]:
        flow.back("PA", os.urandom(size))


def test_checksums_of_many_values(flow):
    """The incremental update has corners at 0x0000 and 0xffff: many random segments meet them."""
    for _ in range(200):
        flow.out("PA", os.urandom(random.randrange(32)), window=random.randrange(65536))
        flow.back("PA", os.urandom(random.randrange(32)), window=random.randrange(65536))


def test_a_wrong_tcp_checksum_stays_wrong(dp, flow):
    """It is adjusted, never computed anew: damage on the way to us is seen by the receiver."""
    packet = IP(bytes(flow.from_client("PA", b"damaged")))
    packet[TCP].chksum ^= 0x0100
    dp.cluster.send_ip(bytes(packet))
    frame = dp.uplink.take(flow.tunnel.pair.is_mine)
    with pytest.raises(AssertionError, match="TCP or UDP checksum is wrong"):
        flow.tunnel.pair.open(peers.parse(dp.uplink, frame))


@pytest.mark.parametrize("udp", [True, False], ids=["udp", "native"])
def test_mss_is_clamped(tunnel, udp):
    pair = tunnel.up(udp=udp)
    fits = pair.inner_mtu - 40
    for offered, expected in ((1460, fits), (8960, fits), (fits + 1, fits), (fits, fits), (fits - 1, fits - 1), (536, 536)):
        flow = Flow(tunnel)
        _, inner = flow.out("S", options=[("MSS", offered), ("SAckOK", b""), ("WScale", 7)])
        assert peers.mss(inner) == expected
        got = flow.back("SA", options=[("NOP", None), ("MSS", offered), ("WScale", 7)])
        assert peers.mss(got) == expected


def test_no_mss_option_is_no_harm(tunnel):
    flow = Flow(tunnel)
    _, inner = flow.out("S", options=[("SAckOK", b""), ("NOP", None), ("NOP", None)])
    assert peers.mss(inner) is None
    flow.back("SA")


@pytest.mark.parametrize("options", [b"\x02\x05\x05", b"\x02\x00\x05\xb4", b"\x02\x01\x05\xb4", b"\x02\xff\x05\xb4",
                                     b"\x01\x01\x01\x02", b"\x03\x03", b"\x00\x02\x04\xff"])
def test_malformed_tcp_options_travel_unread(dp, tunnel, options):
    """Options that make no sense are the server's business; we must not read beyond them."""
    flow = Flow(tunnel)
    options = options.ljust((len(options) + 3) // 4 * 4, b"\0")
    packet = IP(bytes(flow.from_client("S", options, dataofs=5 + len(options) // 4)))
    dp.cluster.send_ip(bytes(packet))
    outer = peers.parse(dp.uplink, dp.uplink.take(tunnel.pair.is_mine))
    inner = bytes(tunnel.pair.open(outer))
    assert inner[40:] == bytes(packet)[40:]
    assert inner[16:20] == socket.inet_aton(TARGET)


@pytest.mark.parametrize("tos", [0, 0xB8, 0x28, 0x03])
def test_traffic_class(dp, flow, tos):
    """The inner one survives in both directions, and the outer header carries it (Flow compares both)."""
    flow.out("PA", b"x", tos=tos)
    flow.back("PA", b"y", tos=tos)


def test_inner_ports_are_endpoint_dependent(dp, tunnel):
    """One inner port may serve two targets at once; replies are told apart by their source."""
    to_web = [Flow(tunnel).connect() for _ in range(3)]
    to_ssh = [Flow(tunnel, forward_port=33001, target=("192.168.100.31", 22)).connect() for _ in range(3)]
    for web, ssh in zip(to_web, to_ssh):
        for flow in (web, ssh):
            flow.out("PA", b"ping")
            flow.back("PA", b"pong")


# ---- refusals ----

def test_no_forward_on_this_port(dp, tunnel):
    Flow(tunnel, forward_port=33099).refused("no-forward")


def test_no_forward_udp(dp):
    packet = IP(bytes(IP(src=CLIENT, dst=POD["prod"], id=4) / UDP(sport=4321, dport=FORWARD_PORT) / Raw(b"hello")))
    with dp.dropped("no-forward"):
        dp.cluster.send_ip(packet)
        error = take_icmp_error(dp.cluster, packet)
    assert (error[ICMP].type, error[ICMP].code) == (3, 3)


def test_no_forward_other_protocol(dp):
    packet = IP(bytes(IP(src=CLIENT, dst=POD["prod"], proto=132, id=4) / Raw(b"\0" * 20)))
    with dp.dropped("no-forward"):
        dp.cluster.send_ip(packet)
        take_icmp_error(dp.cluster, packet)


def test_source_not_allowed(dp, tunnel):
    Flow(tunnel, client=STRANGER).refused("source-refused")


def test_tunnel_down(dp):
    Flow(dp.tunnels["dark", "a"]).refused("no-tunnel")


@pytest.mark.parametrize("flags", ["A", "PA", "FA"])
def test_mid_stream_without_session(dp, tunnel, flags):
    Flow(tunnel).refused("no-session", flags, seq=1000, ack=2000)


@pytest.mark.parametrize("flags", ["SA", ""])
def test_odd_first_segments_make_no_session(dp, tunnel, flags):
    flow = Flow(tunnel)
    before = dp.count("sessions/created")
    flow.refused("no-session", flags, ack=1 if flags else 0)
    assert dp.count("sessions/created") == before and flow.session() is None


def test_a_reset_without_session_is_not_answered(dp, tunnel):
    before = dp.count("answers/rst")
    with dp.dropped("no-session"):
        dp.cluster.send_ip(Flow(tunnel).from_client("R", seq=5))
    assert dp.count("answers/rst") == before


def test_too_big_with_df(dp, flow):
    """RFC 1191: the sender is told the MTU that fits, and exactly that fits."""
    mtu = flow.tunnel.pair.inner_mtu
    assert dp.control.tunnels()["prod", "a"].inner_mtu == mtu
    packet = IP(bytes(flow.from_client("A", os.urandom(mtu + 1 - 40))))
    with dp.dropped("too-big"):
        dp.cluster.send_ip(packet)
        error = take_icmp_error(dp.cluster, packet)
    assert (error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu) == (3, 4, mtu)
    assert error.src == CLUSTER_ADDRESS
    outer, _ = flow.out("A", os.urandom(mtu - 40))
    assert harness.MTU - 3 <= len(outer) <= harness.MTU


def test_a_full_frame_does_not_fit_either(dp, flow):
    packet = IP(bytes(flow.from_client("A", os.urandom(1460))))
    with dp.dropped("too-big"):
        dp.cluster.send_ip(packet)
        assert take_icmp_error(dp.cluster, packet)[ICMP].nexthopmtu == flow.tunnel.pair.inner_mtu


def test_the_tunnel_goes_down_under_a_connection(dp, tunnel):
    """Nobody hangs: the client is told at once, at the number it expects; so is what it says all the same, and what is new."""
    flow = Flow(tunnel).connect()
    tunnel.down()
    reset = flow.take_at_client("a RST")
    assert reset[TCP].flags == "R" and reset[TCP].seq == flow.server_next
    flow.refused("no-session", "PA")
    Flow(tunnel).refused("no-tunnel")
    tunnel.up()
    Flow(tunnel).connect()


def test_session_quota(dp):
    """The environment's own limit; what is there goes on."""
    tiny = dp.tunnels["tiny", "a"]
    tiny.up()
    while dp.control.state()["tiny"].sessions < peers.QUOTA_OF_TINY:
        last = Flow(tiny).connect()
    Flow(tiny).refused("session-quota")
    last.out("PA", b"still there")
    last.out("R", ack=0)


# ---- what is known of a connection ----

def test_session_listing(dp, tunnel):
    flow = Flow(tunnel)
    flow.out("S")
    assert flow.session().state == c.SESSION_OPENING
    flow.back("SA")
    flow.out("A")
    assert flow.session().state == c.SESSION_ESTABLISHED
    out, _ = flow.out("PA", b"x" * 100), flow.back("PA", b"y" * 300)
    s = flow.session()
    assert (s.tunnel.environment, s.tunnel.server) == (b"prod", b"a")
    assert (c.ip_text(s.client_be), c.port_number(s.client_port_be)) == (CLIENT, flow.client_port)
    assert c.port_number(s.forward_port_be) == FORWARD_PORT
    assert (c.ip_text(s.inner_be), c.port_number(s.inner_port_be)) == (tunnel.inner, flow.inner_port)
    assert (c.ip_text(s.target_be), c.port_number(s.target_port_be)) == (TARGET, 8080)
    assert s.protocol == socket.IPPROTO_TCP
    assert s.bytes_out >= 100 and s.bytes_in >= 300 and out
    flow.out("FA")
    flow.back("FA")
    flow.out("A")
    left = flow.session()
    assert left is None or left.state in (c.SESSION_CLOSING, c.SESSION_CLOSED)


def test_session_listing_in_parts(dp, tunnel):
    flows = [Flow(tunnel).connect() for _ in range(10)]
    listed = dp.control.sessions("prod", limit=3)
    ports = {c.port_number(s.client_port_be) for s in listed}
    assert {f.client_port for f in flows} <= ports
    assert len({(s.client_be, s.client_port_be) for s in listed}) == len(listed), "no entry twice"
    assert all(s.tunnel.environment == b"prod" for s in listed)


def test_counts(dp, flow):
    """What the operator reads of an environment and a tunnel rises by what was sent."""
    def read():
        e, t = dp.control.state()["prod"], dp.control.tunnels()["prod", "a"]
        return [(x.packets_out, x.bytes_out, x.packets_in, x.bytes_in) for x in (e, t)]

    before = read()
    flow.out("PA", b"x" * 60)
    flow.back("PA", b"y" * 160)
    flow.back("PA", b"z" * 160)
    for was, now in zip(before, read()):
        assert [n - w for w, n in zip(was, now)] == [1, 100, 2, 400]


def test_home_worker(dp, flow):
    """The suite's two shapes are what they say: on two workers every packet of prod crosses over, both ways."""
    handoffs = dp.count("worker/handoffs")
    flow.out("PA", b"x")
    flow.back("PA", b"y")
    home = dp.control.state()["prod"].home_worker
    if dp.workers == 1:
        assert home == 0 and dp.count("worker/handoffs") == 0
    else:
        assert home == 1 and dp.count("worker/handoffs") == handoffs + 2
        assert dp.control.state()["staging"].home_worker == 1
        assert dp.stats.worker("port/uplink/rx-packets", 1) == dp.stats.worker("port/cluster/rx-packets", 1) == 0
