# SPDX-License-Identifier: GPL-2.0-or-later
"""LZ4 of a server that compresses all the same: undone where it was agreed, bounded, and dropped by name where it is none."""
import os

import pytest
from scapy.layers.inet import IP, TCP, fragment

import contract as c
import openvpn
import peers

FAMILIES = {"stub": (c.OPENVPN_FRAMING_STUB, lambda packed: b"\x69" + packed[1:] + packed[:1]),
            "stub-v2": (c.OPENVPN_FRAMING_STUB_V2, lambda packed: b"\x50\x01" + packed)}
KINDS = {"gcm": c.AES256_GCM16, "chacha": c.CHACHA20_POLY1305, "cbc": c.AES256_CBC_SHA256_256}
BUFFER = 2048 + 128  # of the dataplane's; more than any packet of a link


def length_bytes(n):
    """What follows a nibble of 15 (LZ4's block format): n - 15 in bytes, of which all but the last are 255."""
    return b"" if n < 15 else bytes([255] * ((n - 15) // 255) + [(n - 15) % 255])


def sequence(literals, match=0, offset=1):
    """LITERALS, then MATCH bytes copied from OFFSET bytes before, if there is a match (of 4 at least)."""
    low = match - 4 if match else 0
    packed = bytes([min(len(literals), 15) << 4 | min(low, 15)]) + length_bytes(len(literals)) + literals
    return packed + (offset.to_bytes(2, "little") + length_bytes(low) if match else b"")


def compress(data, tail=8):
    """DATA, which ends with many equal bytes: those are copied from the first of them."""
    run = len(data) - len(data[:-tail].rstrip(data[-1:])) - tail - 1
    if run < 8:
        return sequence(data)
    head = data[:len(data) - tail - run]
    return sequence(head, run) + sequence(data[-tail:])


@pytest.fixture(params=FAMILIES)
def family(request):
    return FAMILIES[request.param]


@pytest.fixture
def vpn(dp, family):
    """prod's active tunnel with LZ4 in force for the time of a test."""
    ipsec = dp.tunnels["prod", "a"]
    ipsec.down()
    tunnel = openvpn.Tunnel(dp, "prod", "a")
    tunnel.up(framing=family[0], flags=c.OPENVPN_LZ4)
    yield tunnel
    tunnel.down()
    ipsec.up()


def reply(flow, data=b"a" * 500, **how):
    return IP(bytes(flow.from_server("PA", data, **how)))


@pytest.mark.parametrize("algorithm", KINDS.values(), ids=KINDS)
def test_valid(dp, vpn, family, algorithm):
    """Compressed and not, in turn, to the largest packet that a link takes; what we send never is."""
    key = vpn.up(algorithm=algorithm, framing=family[0], flags=c.OPENVPN_LZ4)
    flow = openvpn.Flow(vpn).connect()
    before = dp.count("openvpn/in-decompressed")
    with dp.nothing_dropped():
        for number, size in enumerate((1, 100, 1000, 1460), start=1):
            data = os.urandom(1) * size
            packet = reply(flow, data, tos=0x28)
            packed = compress(bytes(packet))
            assert size < 100 or len(packed) < len(packet) / 1.5
            vpn.send_payload(family[1](packed))
            got = flow.take_at_client("what was compressed")
            peers.same_tcp(packet, got)
            assert got.ttl == packet.ttl - 1
            assert dp.count("openvpn/in-decompressed") == before + number
            flow.server_next = peers.advance(flow.server_next, "PA", data)
            flow.back("PA", b"not compressed")
            flow.out("PA", b"a" * min(size, key.inner_mtu - 40))


def test_fragments(dp, vpn, family):
    """A packet in fragments, each compressed for itself."""
    flow = openvpn.Flow(vpn).connect()
    packet = reply(flow, b"f" * 1200)
    before = dp.count("openvpn/in-decompressed")
    for piece in fragment(packet, 480):
        vpn.send_payload(family[1](compress(bytes(piece))))
    peers.same_tcp(packet, flow.take_at_client("the whole"))
    dp.joined += 2
    assert dp.count("openvpn/in-decompressed") == before + 3


def test_ping(dp, vpn, family):
    with dp.dropped("openvpn-ping"):
        vpn.send_payload(family[1](compress(openvpn.PING)))


def test_a_bomb(dp, vpn, family):
    """What would be larger than a buffer is no packet."""
    flow = openvpn.Flow(vpn).connect()
    head = bytes(reply(flow))
    for size in (BUFFER, 65536, 200000):
        packed = sequence(head, size) + sequence(b"12345678")
        assert len(packed) < 1472
        with dp.dropped("openvpn-compressed"):
            vpn.send_payload(family[1](packed))
    flow.back("PA", b"nothing is broken")


def test_what_is_no_lz4(dp, vpn, family):
    flow = openvpn.Flow(vpn).connect()
    packed = compress(bytes(reply(flow)))
    for bad in (packed[:-1], packed[:20], packed[:1] * 2, b"\xff" * 40, sequence(b"E" * 20, 40, 21),
                os.urandom(1) + b"\xff" * 1300):
        with dp.dropped("openvpn-compressed"):
            vpn.send_payload(family[1](bad))
    flow.back("PA", b"nothing is broken")


def test_a_copy_of_nothing(dp, vpn, family):
    """Offset 0, which LZ4's library takes: it must not let anything out that was in the buffer before."""
    flow = openvpn.Flow(vpn).connect()
    for _ in range(50):
        flow.back("PA", b"somebody else's " * 60)
    for _ in range(50):
        packet = bytes(reply(flow, bytes(1000)))
        packed = sequence(packet[:40], 992, 0) + sequence(packet[-8:])
        vpn.send_payload(family[1](packed))
        assert bytes(flow.take_at_client("a thousand zeros")[TCP].payload) == bytes(1000)
        flow.server_next = peers.advance(flow.server_next, "PA", bytes(1000))


def test_what_is_no_packet(dp, vpn, family):
    """Well compressed, but no IPv4 inside, or half of one, or somebody else's."""
    flow = openvpn.Flow(vpn).connect()
    for inner in (b"a" * 500, bytes(reply(flow))[:300], bytes(20)):
        with dp.dropped("inner-invalid"):
            vpn.send_payload(family[1](compress(inner)))
    flow.back("PA", b"nothing is broken")


def test_not_agreed(dp, vpn, family):
    vpn.up(framing=family[0])
    flow = openvpn.Flow(vpn).connect()
    with dp.dropped("openvpn-compressed"):
        vpn.send_payload(family[1](compress(bytes(reply(flow)))))
    flow.back("PA", b"what is not compressed passes")


def test_wrong_framing(dp, vpn, family):
    """LZ4 as the other family marks it, and other algorithms' marks."""
    flow = openvpn.Flow(vpn).connect()
    packed = compress(bytes(reply(flow)))
    if family[0] == c.OPENVPN_FRAMING_STUB:
        cases = {b"\x50\x01" + packed: "openvpn-framing", b"\x66" + packed: "openvpn-compressed",
                 b"\x6a" + packed: "openvpn-framing", b"\xfb": "openvpn-framing"}
    else:
        cases = {b"\x69" + packed: "inner-invalid", b"\x50\x02" + packed: "openvpn-compressed",
                 b"\x50\x03" + packed: "openvpn-framing", b"\x50\x01": "openvpn-framing", b"\x50": "openvpn-framing"}
    for payload, reason in cases.items():
        with dp.dropped(reason):
            vpn.send_payload(payload)
    flow.back("PA", b"nothing is broken")


def test_a_replay_is_not_decompressed(dp, vpn, family):
    flow = openvpn.Flow(vpn).connect()
    sent = vpn.send_payload(family[1](compress(bytes(reply(flow)))))
    flow.take_at_client("the first")
    before = dp.count("openvpn/in-decompressed")
    with dp.dropped("openvpn-replay"):
        dp.uplink.send_ip(sent)
    assert dp.count("openvpn/in-decompressed") == before


def test_many_of_a_burst(dp, vpn, family):
    """Buffers are given back: more bombs and packets than there would be buffers."""
    flow = openvpn.Flow(vpn).connect()
    bomb = family[1](sequence(bytes(reply(flow)), 65536) + sequence(b"12345678"))
    good = family[1](compress(bytes(reply(flow))))
    before = dp.count("openvpn/in-decompressed"), dp.count("drop/openvpn-compressed")
    free = dp.count("mbufs-free")
    for _ in range(500):
        vpn.send_payload(bomb)
        vpn.send_payload(good)
    dp.wait_count("openvpn/in-decompressed", before[0] + 500)
    dp.wait_count("drop/openvpn-compressed", before[1] + 500)
    dp.wait_count("mbufs-free", free - 32)
