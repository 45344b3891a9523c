# SPDX-License-Identifier: GPL-2.0-or-later
"""The ports themselves: ARP, ICMP echo, and the checks of RFC 1812 that a packet meets before anything trusts it."""
import os
import socket
import struct

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

import harness
import peers
from harness import CLUSTER_ADDRESS, CLUSTER_ROUTER, UPLINK_ADDRESS, UPLINK_ROUTER, mac_bytes
from peers import CLIENT, NEIGHBOUR, POD, matcher, parse

BROADCAST = "ff:ff:ff:ff:ff:ff"


# ---- ARP ----

def ask_arp(wire, sender, wanted, **fields):
    mac = wire.macs[sender]
    wire.send(Ether(src=mac, dst=BROADCAST) / ARP(**{"op": 1, "hwsrc": mac, "psrc": sender, "pdst": wanted, **fields}))


def take_arp_reply(wire, sender, wanted):
    frame = wire.take(lambda f: f[12:14] == b"\x08\x06", f"an ARP reply for {wanted}")
    reply = Ether(frame)
    assert reply.src == wire.dataplane_mac and reply.dst == wire.macs[sender]
    arp = reply[ARP]
    assert (arp.op, arp.hwsrc, arp.psrc, arp.hwdst, arp.pdst) == (2, wire.dataplane_mac, wanted, wire.macs[sender], sender)


@pytest.mark.parametrize("wanted", [CLUSTER_ADDRESS, *POD.values()])
def test_arp_cluster(dp, wanted):
    ask_arp(dp.cluster, CLUSTER_ROUTER, wanted)
    take_arp_reply(dp.cluster, CLUSTER_ROUTER, wanted)


def test_arp_uplink(dp):
    ask_arp(dp.uplink, UPLINK_ROUTER, UPLINK_ADDRESS)
    take_arp_reply(dp.uplink, UPLINK_ROUTER, UPLINK_ADDRESS)


@pytest.mark.parametrize("side, sender, own, others", [
    ("cluster", CLUSTER_ROUTER, CLUSTER_ADDRESS, ["10.0.0.99", UPLINK_ADDRESS, CLUSTER_ROUTER]),
    ("uplink", UPLINK_ROUTER, UPLINK_ADDRESS, ["203.0.113.99", CLUSTER_ADDRESS, POD["prod"]])])
def test_arp_for_others_is_not_answered(dp, side, sender, own, others):
    wire = getattr(dp, side)
    for other in others:
        ask_arp(wire, sender, other)
    ask_arp(wire, sender, own)  # packets keep their order: what comes first would be the answer for another's
    take_arp_reply(wire, sender, own)


@pytest.mark.parametrize("fields", [{"hwtype": 6}, {"ptype": 0x86DD}, {"hwlen": 8}, {"plen": 16}, {"op": 3},
                                    {"hwsrc": "02:00:00:00:00:99"}], ids=lambda f: next(iter(f)))
def test_arp_malformed(dp, fields):
    mac = dp.cluster.macs[CLUSTER_ROUTER]
    arp = bytearray(bytes(ARP(op=1, hwsrc=mac, psrc=CLUSTER_ROUTER, pdst=CLUSTER_ADDRESS)))
    for at, size, name in ((0, 2, "hwtype"), (2, 2, "ptype"), (4, 1, "hwlen"), (5, 1, "plen"), (6, 2, "op")):
        if name in fields:
            arp[at:at + size] = fields[name].to_bytes(size, "big")
    if "hwsrc" in fields:
        arp[8:14] = mac_bytes(fields["hwsrc"])
    with dp.dropped("arp-invalid"):
        dp.cluster.send(bytes(Ether(src=mac, dst=BROADCAST, type=0x0806)) + bytes(arp))


def test_arp_truncated(dp):
    mac = dp.cluster.macs[CLUSTER_ROUTER]
    arp = bytes(ARP(op=1, hwsrc=mac, psrc=CLUSTER_ROUTER, pdst=CLUSTER_ADDRESS))
    with dp.dropped("arp-invalid"):
        dp.cluster.send(bytes(Ether(src=mac, dst=BROADCAST, type=0x0806)) + arp[:27])


EVIL = "02:66:66:66:66:66"


def claim(wire, address, operation=2):
    """A gratuitous packet of a neighbour that has not got the address."""
    wire.send(b"\xff" * 6 + mac_bytes(EVIL) + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, operation) + mac_bytes(EVIL) +
              socket.inet_aton(address) + b"\xff" * 6 + socket.inet_aton(address))


def questions(wire, address):
    """The dataplane's ARP requests for the address, as they came: to which MAC, when."""
    return [(when, to) for when, wanted, to in list(wire.arp_requests) if wanted == address]


@pytest.mark.parametrize("operation", [1, 2], ids=["request", "reply"])
def test_gratuitous_arp_changes_nothing(dp, operation):
    """A neighbour that claims another's address is not believed; the one we know is asked, nobody else, and answers."""
    host = f"10.0.0.{60 + operation}"
    dp.cluster.add_neighbour(host)
    ping(dp.cluster, host, POD["prod"])
    asked = len(questions(dp.cluster, host))
    claim(dp.cluster, host, operation)
    harness.wait_for(lambda: len(questions(dp.cluster, host)) > asked, "the dataplane asks the host itself")
    ping(dp.cluster, host, POD["prod"])
    claim(dp.cluster, host, operation)  # answered: a second later it asks again
    harness.wait_for(lambda: len(questions(dp.cluster, host)) == asked + 2, "the next question")
    assert {to for _, to in questions(dp.cluster, host)[asked:]} == {dp.cluster.macs[host]}
    ping(dp.cluster, host, POD["prod"])


def test_nobody_answers_for_a_neighbour(dp):
    """While the one we know is asked, only its own answer counts, and only one that is addressed to us."""
    host = "10.0.0.63"
    dp.cluster.add_neighbour(host)
    ping(dp.cluster, host, POD["prod"])
    dp.cluster.muted.add(host)
    asked = len(questions(dp.cluster, host))
    own = mac_bytes(dp.cluster.dataplane_mac), socket.inet_aton(CLUSTER_ADDRESS)
    claim(dp.cluster, host)
    harness.wait_for(lambda: len(questions(dp.cluster, host)) > asked, "a question to the host")
    arps = dp.count("arp/in-packets")
    dp.cluster.send_arp_reply(host, EVIL, *own)                                            # of one who was not asked
    dp.cluster.send_arp_reply(host, dp.cluster.macs[host], own[0], socket.inet_aton("10.0.0.99"))  # to another address
    dp.wait_count("arp/in-packets", arps + 2)
    dp.cluster.muted.clear()
    harness.wait_for(lambda: len(questions(dp.cluster, host)) > asked + 1, "a question to everybody")
    (first, to_one), (second, to_all) = questions(dp.cluster, host)[asked:asked + 2]
    assert (to_one, to_all) == (dp.cluster.macs[host], BROADCAST)
    assert 0.2 < second - first < 1
    ping(dp.cluster, host, POD["prod"])


def test_an_address_that_moves(dp):
    """Its old owner is silent, the new one answers: traffic follows it at once."""
    host = "10.0.0.64"
    dp.cluster.add_neighbour(host)
    ping(dp.cluster, host, POD["prod"])
    dp.cluster.muted.add(host)
    before, dp.cluster.macs[host] = dp.cluster.macs[host], "02:77:77:77:77:77"
    asked = len(questions(dp.cluster, host))
    claim(dp.cluster, host)
    harness.wait_for(lambda: (before in [to for _, to in questions(dp.cluster, host)[asked:]]), "a question to the old one")
    dp.cluster.muted.clear()
    harness.wait_for(lambda: BROADCAST in [to for _, to in questions(dp.cluster, host)[asked:]], "a question to everybody")

    def is_there():
        request = echo(host, POD["prod"])
        dp.cluster.send_ip(request, host)
        return dp.cluster.take(matcher(request.dst, host, socket.IPPROTO_ICMP), "an echo reply")[:6] == mac_bytes("02:77:77:77:77:77")

    harness.wait_for(is_there, "a packet for its new place")


def test_packets_wait_for_arp(dp):
    """What cannot be sent yet is held, and leaves when the next hop answers."""
    host = "10.0.0.50"
    dp.cluster.add_neighbour(host)
    dp.cluster.muted.add(host)
    request = echo(host, CLUSTER_ADDRESS)
    with dp.nothing_dropped():
        dp.cluster.send_ip(request, host)
        harness.wait_for(lambda: dp.cluster.arp_seen[host] > 0, "an ARP request")
        assert not dp.cluster.take_all()
        dp.cluster.muted.clear()
        take_echo_reply(dp.cluster, request, host)


def test_a_next_hop_that_never_answers(dp):
    host = "10.0.0.51"
    dp.cluster.add_neighbour(host)
    dp.cluster.muted.add(host)
    with dp.dropped("nexthop-unresolved"):
        dp.cluster.send_ip(echo(host, CLUSTER_ADDRESS), host)


def test_too_many_packets_wait_for_arp(dp):
    host = "10.0.0.52"
    dp.cluster.add_neighbour(host)
    dp.cluster.muted.add(host)
    before = dp.count("drop/nexthop-queue-full"), dp.count("drop/nexthop-unresolved")
    for _ in range(60):
        dp.cluster.send_ip(echo(host, CLUSTER_ADDRESS), host)
    harness.wait_for(lambda: dp.count("drop/nexthop-queue-full") + dp.count("drop/nexthop-unresolved") ==
                     sum(before) + 60, "all packets dropped at last")
    assert dp.count("drop/nexthop-queue-full") > before[0]


# ---- ICMP echo ----

def echo(source, destination, size=56, **fields):
    return IP(bytes(IP(src=source, dst=destination, ttl=64, **fields) / ICMP(type=8, id=77, seq=3) / Raw(os.urandom(size))))


def take_echo_reply(wire, request, next_hop):
    frame = wire.take(matcher(request.dst, request.src, socket.IPPROTO_ICMP), "an echo reply")
    reply = parse(wire, frame, next_hop)
    assert reply[ICMP].type == 0 and reply[ICMP].code == 0
    assert bytes(reply[ICMP])[4:] == bytes(request[ICMP])[4:]
    assert reply.ttl >= 32


def ping(wire, source, destination, **fields):
    via = source if source in wire.macs else wire.router
    request = echo(source, destination, **fields)
    wire.send_ip(request, via)
    take_echo_reply(wire, request, via)


@pytest.mark.parametrize("size", [0, 1, 56, 1472])
@pytest.mark.parametrize("source, destination", [(CLIENT, POD["prod"]), (CLIENT, POD["staging"]), (NEIGHBOUR, POD["prod"]),
                                                 (NEIGHBOUR, CLUSTER_ADDRESS)])
def test_echo_cluster(dp, source, destination, size):
    ping(dp.cluster, source, destination, size=size)


@pytest.mark.parametrize("source", [UPLINK_ROUTER, "192.0.2.55"])
def test_echo_uplink(dp, source):
    ping(dp.uplink, source, UPLINK_ADDRESS)


def test_echo_damaged(dp):
    request = echo(CLIENT, POD["prod"])
    request[ICMP].chksum ^= 1
    with dp.dropped("not-for-us"):
        dp.cluster.send_ip(request)


def test_echo_to_the_other_side(dp):
    with dp.dropped("not-for-us"):
        dp.uplink.send_ip(echo(UPLINK_ROUTER, POD["prod"]))
    with dp.dropped("no-egress"):
        dp.cluster.send_ip(echo(CLIENT, UPLINK_ADDRESS))


# ---- RFC 1812 section 5.2.2 ----

def with_checksum(packet):
    packet = bytearray(packet)
    packet[10:12] = b"\0\0"
    total = sum(struct.unpack("!10H", packet[:20]))
    total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into("!H", packet, 10, ~(total + (total >> 16)) & 0xFFFF)
    return bytes(packet)


def edit(packet, at, form, value):
    packet = bytearray(packet)
    struct.pack_into(form, packet, at, value)
    return with_checksum(packet)


def flip(packet, at):
    packet = bytearray(packet)
    packet[at] ^= 1
    return bytes(packet)


def address(at, text):
    return lambda p: edit(p, at, "!I", struct.unpack("!I", socket.inet_aton(text))[0])


HEADER_CASES = {
    "checksum": ("ip-checksum", lambda p: flip(p, 10)),
    "checksum-of-a-changed-field": ("ip-checksum", lambda p: flip(p, 1)),
    "version-5": ("ip-version", lambda p: edit(p, 0, "!B", 0x55)),
    "version-6": ("ip-version", lambda p: edit(p, 0, "!B", 0x65)),
    "header-length-4": ("ip-version", lambda p: edit(p, 0, "!B", 0x44)),
    "header-length-beyond": ("truncated", lambda p: edit(p[:40], 0, "!B", 0x4F)),
    "total-above-frame": ("truncated", lambda p: edit(p, 2, "!H", len(p) + 1)),
    "total-below-header": ("truncated", lambda p: edit(p, 2, "!H", 19)),
    "cut-in-header": ("truncated", lambda p: p[:19]),
    "empty": ("truncated", lambda p: b""),
    "options": ("ip-options", lambda p: bytes(options(p))),
    "source-loopback": ("ip-address", address(12, "127.0.0.1")),
    "source-zero": ("ip-address", address(12, "0.0.0.0")),
    "source-multicast": ("ip-address", address(12, "224.0.0.5")),
    "source-broadcast": ("ip-address", address(12, "255.255.255.255")),
    "source-reserved": ("ip-address", address(12, "240.0.0.1")),
    "destination-loopback": ("ip-address", address(16, "127.0.0.1")),
    "destination-multicast": ("ip-address", address(16, "239.1.2.3")),
    "destination-broadcast": ("ip-address", address(16, "255.255.255.255")),
    "destination-zero": ("ip-address", address(16, "0.0.0.0")),
}  # no fragments: the kernel keeps them from net_af_packet (PACKET_FANOUT_FLAG_DEFRAG); test_esp.py has inner ones


def options(packet):
    packet = IP(packet)
    packet.options = [IPOption_NOP()] * 4
    del packet.ihl, packet.len, packet.chksum
    return packet


@pytest.mark.parametrize("case", HEADER_CASES)
def test_header_cluster(dp, tunnel, case):
    reason, spoil = HEADER_CASES[case]
    flow = peers.Flow(tunnel)
    packet = spoil(bytes(flow.from_client("S")))
    with dp.dropped(reason):
        dp.cluster.send_ip(packet)
    flow.out("S")  # the same packet unspoilt goes through


@pytest.mark.parametrize("case", HEADER_CASES)
def test_header_uplink(dp, flow, case):
    reason, spoil = HEADER_CASES[case]
    packet = spoil(bytes(flow.tunnel.pair.seal(IP(bytes(flow.from_server(data=b"hello"))))))
    with dp.dropped(reason):
        dp.uplink.send_ip(packet)
    flow.back(data=b"hello")


def test_own_address_as_source(dp, tunnel):
    packet = bytes(peers.Flow(tunnel).from_client("S"))
    with dp.dropped("ip-address"):
        dp.cluster.send_ip(address(12, CLUSTER_ADDRESS)(packet))
    with dp.dropped("ip-address"):
        dp.uplink.send_ip(echo(UPLINK_ADDRESS, UPLINK_ADDRESS))


@pytest.mark.parametrize("spoil", [lambda p: edit(p[:39], 2, "!H", 39), lambda p: edit(p[:20], 2, "!H", 20),
                                   lambda p: edit(p, 32, "!B", 0x40), lambda p: edit(p, 32, "!B", 0xF0)],
                         ids=["cut", "missing", "offset-short", "offset-beyond"])
def test_tcp_header(dp, tunnel, spoil):
    with dp.dropped("l4-header"):
        dp.cluster.send_ip(spoil(bytes(peers.Flow(tunnel).from_client("S"))))


@pytest.mark.parametrize("length", [0, 7, 13])
def test_udp_header(dp, length):
    packet = bytes(IP(src=CLIENT, dst=POD["prod"]) / UDP(sport=1, dport=2, len=length) / Raw(b"four"))
    with dp.dropped("l4-header"):
        dp.cluster.send_ip(packet)


def test_icmp_header(dp):
    packet = bytes(IP(src=CLIENT, dst=POD["prod"], proto=1) / Raw(b"sevenby"))
    with dp.dropped("l4-header"):
        dp.cluster.send_ip(packet)


@pytest.mark.parametrize("side", ["cluster", "uplink"])
@pytest.mark.parametrize("ethertype", [0x86DD, 0x88CC, 0x0801])
def test_ethertype(dp, side, ethertype):
    wire = getattr(dp, side)
    with dp.dropped("ethertype"):
        wire.send(mac_bytes(wire.dataplane_mac) + mac_bytes(wire.macs[wire.router]) + struct.pack("!H", ethertype) + bytes(60))


def test_vlan_tag(dp, tunnel):
    wire = dp.cluster
    with dp.dropped("ethertype"):
        wire.send(mac_bytes(wire.dataplane_mac) + mac_bytes(wire.macs[wire.router]) + b"\x81\x00\x00\x05\x08\x00" +
                  bytes(peers.Flow(tunnel).from_client("S")))


def test_frame_for_another_mac(dp, tunnel):
    wire = dp.cluster
    for mac in ("02:00:00:00:12:34", BROADCAST):
        with dp.dropped("not-for-us"):
            wire.send(mac_bytes(mac) + mac_bytes(wire.macs[wire.router]) + b"\x08\x00" +
                      bytes(peers.Flow(tunnel).from_client("S")))


@pytest.mark.parametrize("ttl", [0, 1])
def test_ttl_runs_out(dp, tunnel, ttl):
    packet = IP(bytes(peers.Flow(tunnel).from_client("S", ttl=ttl)))
    with dp.dropped("ttl"):
        dp.cluster.send_ip(packet)
        error = take_icmp_error(dp.cluster, packet)
    assert (error[ICMP].type, error[ICMP].code, error.src) == (11, 0, CLUSTER_ADDRESS)


def test_ttl_2_is_enough(tunnel):
    peers.Flow(tunnel).out("S", ttl=2)


def test_link_padding_is_no_payload(dp, tunnel):
    """Ethernet pads short frames; the padding must not travel."""
    flow = peers.Flow(tunnel)
    packet = IP(bytes(flow.from_client("S")))
    dp.cluster.send_ip(bytes(packet) + b"PADDING!")
    flow.check_out(packet, tunnel.take()[1])


def test_protocols_nobody_serves(dp):
    with dp.dropped("not-for-us"):
        dp.uplink.send_ip(IP(src=UPLINK_ROUTER, dst=UPLINK_ADDRESS) / TCP(sport=1, dport=80, flags="S"))
    with dp.dropped("not-for-us"):
        dp.uplink.send_ip(IP(src=UPLINK_ROUTER, dst=UPLINK_ADDRESS) / UDP(sport=1, dport=53) / Raw(b"x"))
    with dp.dropped("not-for-us"):
        dp.uplink.send_ip(IP(src=UPLINK_ROUTER, dst="203.0.113.11") / UDP(sport=1, dport=4500) / Raw(b"x"))
    with dp.dropped("not-for-us"):
        dp.cluster.send_ip(IP(src=CLIENT, dst=CLUSTER_ADDRESS) / TCP(sport=1, dport=22, flags="S"))


def test_egress_is_refused(dp):
    packet = IP(bytes(IP(src=CLIENT, dst="192.0.2.80", id=5) / UDP(sport=1234, dport=53) / Raw(b"query")))
    with dp.dropped("no-egress"):
        dp.cluster.send_ip(packet)
        error = take_icmp_error(dp.cluster, packet)
    assert (error[ICMP].type, error[ICMP].code) == (3, 13)


def take_icmp_error(wire, packet):
    """The ICMP error about a packet: what it quotes is the packet as it was sent."""
    error = parse(wire, wire.take(matcher(None, packet.src, socket.IPPROTO_ICMP), "an ICMP error"))
    quoted = bytes(error[ICMP])[8:]
    assert quoted == bytes(packet)[:len(quoted)] and len(quoted) >= min(len(packet), 28)
    assert len(error) <= 576
    return error
