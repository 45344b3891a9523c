# SPDX-License-Identifier: GPL-2.0-or-later
"""ESP against scapy's: every suite, replay, forgeries, rekeying. What is sent out is checked in SaPair.open()."""
import os
import random
import socket
import struct

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Raw

import contract as c
import harness
import peers
from peers import Flow, TARGET

ALGORITHMS = {name.lower().replace("_", "-"): getattr(c, name) for name in c.CONSTANTS
              if name.startswith(("AES", "CHACHA")) and c.CONSTANTS[name] <= c.AES256_CBC_SHA512_256}  # the others are OpenVPN's
KINDS = {name: ALGORITHMS[name] for name in ("aes256-gcm16", "chacha20-poly1305", "aes128-cbc-sha1-96", "aes256-cbc-sha256-128",
                                             "aes192-cbc-sha384-192", "aes256-cbc-sha512-256")}
ENCAPSULATIONS = {"udp": True, "native": False}
SEQUENCES = {"esn": True, "32bit": False}


def suites(function):
    for name, values in (("algorithm", ALGORITHMS), ("udp", ENCAPSULATIONS), ("esn", SEQUENCES)):
        function = pytest.mark.parametrize(name, values.values(), ids=values)(function)
    return function


def reply(flow, data=b"reply"):
    return IP(bytes(flow.from_server("PA", data)))


# ---- suites ----

@suites
def test_suite(dp, tunnel, algorithm, udp, esn):
    pair = tunnel.up(algorithm=algorithm, udp=udp, esn=esn)
    with dp.nothing_dropped():
        flow = Flow(tunnel).connect()
        for size in (0, 1, 2, 3, 4, 15, 16, 17, 100, 1000, pair.inner_mtu - 40):
            flow.out("PA", os.urandom(size))
            flow.back("PA", os.urandom(size))
    assert dp.control.tunnels()["prod", "a"].inner_mtu == pair.inner_mtu


def test_a_burst_of_many_sizes(dp, flow):
    """Packets that are encrypted and decrypted together do not disturb each other, and keep their order."""
    sizes = [random.randrange(1200) for _ in range(100)]
    payloads = [os.urandom(size) for size in sizes]
    for payload in payloads:
        dp.cluster.send_ip(bytes(flow.from_client("A", payload)))
        flow.client_next = (flow.client_next + len(payload)) & 0xFFFFFFFF
    for payload in payloads:
        assert bytes(flow.tunnel.take()[1][TCP].payload) == payload
    for payload in payloads:
        flow.tunnel.send(IP(bytes(flow.from_server("A", payload))))
        flow.server_next = (flow.server_next + len(payload)) & 0xFFFFFFFF
    for payload in payloads:
        assert bytes(flow.take_at_client("one of a burst")[TCP].payload) == payload


@pytest.mark.parametrize("algorithm", KINDS.values(), ids=KINDS)
def test_no_iv_twice(tunnel, algorithm):
    pair = tunnel.up(algorithm=algorithm)
    flow = Flow(tunnel).connect()
    ivs = set()
    for _ in range(50):
        outer, _ = flow.out("PA", b"x")
        ivs.add(bytes(outer)[36:36 + pair.suite.iv])
    assert len(ivs) == 50
    if pair.suite.hash:  # AES-CBC: unpredictable (RFC 3602 section 3), so no two share a half
        assert len({iv[:8] for iv in ivs} | {iv[8:] for iv in ivs}) == 100


MIXES = {"in-lanes": [c.AES128_CBC_SHA1_96, c.AES256_CBC_SHA512_256, c.AES192_CBC_SHA256_128],
         "all-kinds": [c.AES256_GCM16, c.AES256_CBC_SHA384_192, c.CHACHA20_POLY1305]}


@pytest.mark.parametrize("algorithms", MIXES.values(), ids=MIXES)
def test_suites_mixed_in_a_burst(dp, algorithms):
    """Tunnels with different suites side by side, forgeries between: nobody disturbs a neighbour, and each keeps its order."""
    tunnels = [dp.tunnels[i] for i in (("prod", "a"), ("staging", "a"), ("prod", "b"))]
    for number, (tunnel, algorithm) in enumerate(zip(tunnels, algorithms)):
        tunnel.up(algorithm=algorithm, udp=bool(number & 1), esn=bool(number & 2))
    ports = [peers.FORWARD_PORT, peers.FORWARD_PORT, peers.PREFERRED_PORT]
    flows = [Flow(tunnel, forward_port=port).connect() for tunnel, port in zip(tunnels, ports)]
    payloads = [os.urandom(random.randrange(1, 1300)) for _ in range(90)]
    for i, payload in enumerate(payloads):
        flow = flows[i % 3]
        dp.cluster.send_ip(bytes(flow.from_client("A", payload)))
        flow.client_next = (flow.client_next + len(payload)) & 0xFFFFFFFF
    for i, payload in enumerate(payloads):
        assert bytes(flows[i % 3].tunnel.take()[1][TCP].payload) == payload
    frames = []
    for i, payload in enumerate(payloads):
        flow = flows[i % 3]
        outer = bytes(flow.tunnel.pair.seal(IP(bytes(flow.from_server("A", payload)))))
        frames.append(outer)
        flow.server_next = (flow.server_next + len(payload)) & 0xFFFFFFFF
        if i % 5 == 4:
            forged = bytearray(bytes(flow.tunnel.pair.seal(IP(bytes(flow.from_server("A", b"forged" * 20))))))
            forged[random.randrange(len(forged) - 60, len(forged))] ^= 0x08
            frames.append(bytes(forged))
    with dp.dropped("esp-icv", 18):
        for frame in frames:
            dp.uplink.send_ip(frame)
        for i, payload in enumerate(payloads):
            assert bytes(flows[i % 3].take_at_client("one of a burst")[TCP].payload) == payload
    tunnels[1].up()
    tunnels[2].down()


def test_udp_encapsulation_has_no_udp_checksum_to_verify(flow):
    """RFC 3948 section 2.1: it should be zero."""
    outer, _ = flow.out("PA", b"x")
    assert outer[UDP].chksum == 0


# ---- replay ----

def test_replayed(dp, flow):
    outer = flow.tunnel.send(reply(flow))
    flow.take_at_client("the reply")
    for _ in range(3):
        with dp.dropped("esp-replay"):
            dp.uplink.send_ip(outer)


def test_replayed_in_one_burst(dp, flow):
    outer = flow.tunnel.pair.seal(reply(flow))
    with dp.dropped("esp-replay", 9):
        for _ in range(10):
            dp.uplink.send_ip(outer)
        flow.take_at_client("the reply")


def deliver(flow, sequence, high=0):
    """Sends a reply with this sequence number and takes it at the client."""
    flow.tunnel.send(reply(flow, struct.pack("!Q", sequence)), sequence=sequence, high=high)
    got = flow.take_at_client(f"sequence number {sequence}")
    assert bytes(got[TCP].payload) == struct.pack("!Q", sequence)


def refuse(dp, flow, sequence, high=0, reason="esp-replay"):
    with dp.dropped(reason):
        flow.tunnel.send(reply(flow), sequence=sequence, high=high)


@pytest.mark.parametrize("esn", SEQUENCES.values(), ids=SEQUENCES)
@pytest.mark.parametrize("asked, window", [(32, 64), (64, 64), (100, 128), (150, 192), (1024, 1024)])
def test_window(dp, tunnel, esn, asked, window):
    """As wide as asked for, rounded up to a multiple of 64, and not one packet wider."""
    tunnel.up(esn=esn, window=asked)
    flow = Flow(tunnel).connect()
    deliver(flow, 5000)
    deliver(flow, 5000 - 7)
    deliver(flow, 5000 - window + 1)
    refuse(dp, flow, 5000)
    refuse(dp, flow, 5000 - 7)
    refuse(dp, flow, 5000 - window + 1)
    if esn:  # what lies behind the window is taken as of the next 2^32 (RFC 4303 appendix A2.1), so its ICV is wrong
        refuse(dp, flow, 5000 - window, reason="esp-icv")
    else:
        refuse(dp, flow, 5000 - window)
        refuse(dp, flow, 1)
    deliver(flow, 5001)
    deliver(flow, 5000 + window)
    refuse(dp, flow, 5001)


def test_sequence_zero_is_no_number(dp, flow):
    pair = flow.tunnel.up(esn=False)
    inner = bytes(reply(flow))
    with dp.dropped("esp-replay"):
        dp.uplink.send_ip(pair.seal_plaintext(padded(inner), 0))


@pytest.mark.parametrize("algorithm", KINDS.values(), ids=KINDS)
def test_extended_sequence_numbers_pass_2_to_the_32(dp, tunnel, algorithm):
    tunnel.up(algorithm=algorithm, esn=True, window=64)
    flow = Flow(tunnel).connect()
    deliver(flow, 1000)
    deliver(flow, 0xFFFFFFF0)
    deliver(flow, 5, high=1)
    assert dp.control.sa_query(tunnel.pair.spi_in, tunnel.local, c.IN).sequence == (1 << 32) + 5
    deliver(flow, 0xFFFFFFFA)           # late, from before the wrap
    refuse(dp, flow, 0xFFFFFFF0)
    refuse(dp, flow, 5, high=1)
    refuse(dp, flow, 6, high=0, reason="esp-icv")
    deliver(flow, 6, high=1)


def test_32_bit_sequence_numbers_end(dp, tunnel):
    """Without ESN there is nothing after 2^32 - 1 (RFC 4303 section 3.3.3)."""
    tunnel.up(esn=False)
    flow = Flow(tunnel).connect()
    deliver(flow, 0xFFFFFFFF)
    refuse(dp, flow, 5)


# ---- forgeries ----

@pytest.mark.parametrize("udp", ENCAPSULATIONS.values(), ids=ENCAPSULATIONS)
@pytest.mark.parametrize("esn", SEQUENCES.values(), ids=SEQUENCES)
@pytest.mark.parametrize("part", ["sequence", "iv", "first", "middle", "last", "icv-first", "icv-last"])
@pytest.mark.parametrize("algorithm", KINDS.values(), ids=KINDS)
def test_forged(dp, tunnel, algorithm, part, udp, esn):
    suite = tunnel.up(algorithm=algorithm, udp=udp, esn=esn).suite
    flow = Flow(tunnel).connect()
    outer = bytearray(bytes(flow.tunnel.pair.seal(reply(flow))))
    esp = 28 if udp else 20
    at = {"sequence": esp + 6, "iv": esp + 7 + suite.iv, "first": esp + 8 + suite.iv, "middle": (esp + len(outer)) // 2,
          "last": len(outer) - suite.icv - 1, "icv-first": len(outer) - suite.icv, "icv-last": len(outer) - 1}[part]
    outer[at] ^= 0x40
    with dp.dropped("esp-icv"):
        dp.uplink.send_ip(outer)
    flow.back("PA", b"unaffected")
    flow.out("PA", b"unaffected")


def test_a_forged_packet_does_not_move_the_window(dp, flow):
    outer = bytearray(bytes(flow.tunnel.pair.seal(reply(flow), sequence=90000)))
    outer[-1] ^= 1
    with dp.dropped("esp-icv"):
        dp.uplink.send_ip(outer)
    assert dp.control.sa_query(flow.tunnel.pair.spi_in, flow.tunnel.local, c.IN).sequence < 90000
    flow.back("PA", b"goes on")


def test_icv_cut_off(dp, flow):
    """Whatever is cut off the end, nothing gets through."""
    whole = bytes(flow.tunnel.pair.seal(reply(flow, b"x" * 40)))
    before = dp.drops()
    for cut in range(4, 60, 4):
        dp.uplink.send_ip(flow.tunnel.pair.outer(whole[28:-cut]))
    expected = 14
    harness.wait_for(lambda: sum(dp.drops().get(r, 0) - before.get(r, 0) for r in ("esp-icv", "esp-truncated")) == expected,
                     "all are dropped")
    flow.back("PA", b"goes on")


@pytest.mark.parametrize("udp", ENCAPSULATIONS.values(), ids=ENCAPSULATIONS)
@pytest.mark.parametrize("length", [8, 12, 16, 20, 32, 33, 34, 35, 37, 38, 39, 41])
def test_truncated(dp, tunnel, length, udp):
    """Less than header, IV, trailer and ICV, or no multiple of four (RFC 4303 section 2.4)."""
    pair = tunnel.up(udp=udp)
    with dp.dropped("esp-truncated"):
        dp.uplink.send_ip(pair.outer(struct.pack("!II", pair.spi_in, 77).ljust(length, b"t")))


@pytest.mark.parametrize("length", [0, 1, 3, 4, 7])
def test_shorter_than_an_esp_header(dp, tunnel, length):
    pair = tunnel.up(udp=False)
    with dp.dropped("esp-truncated"):
        dp.uplink.send_ip(pair.outer(struct.pack("!II", pair.spi_in, 77)[:length]))


# ---- the wrong SA ----

@pytest.mark.parametrize("udp", ENCAPSULATIONS.values(), ids=ENCAPSULATIONS)
@pytest.mark.parametrize("spi", [0x00000001, 0x000000FF, 0x12345678, 0xFFFFFFFF])
def test_unknown_spi(dp, tunnel, spi, udp):
    pair = tunnel.up(udp=udp)
    with dp.dropped("esp-no-sa"):
        dp.uplink.send_ip(pair.outer(struct.pack("!II", spi, 1) + bytes(80)))


def test_spi_zero(dp, tunnel):
    """RFC 4303 section 2.1: zero never names an SA."""
    pair = tunnel.up(udp=False)
    with dp.dropped("esp-no-sa"):
        dp.uplink.send_ip(pair.outer(struct.pack("!II", 0, 1) + bytes(80)))


def test_neighbouring_spi(dp, flow):
    outer = bytearray(bytes(flow.tunnel.pair.seal(reply(flow))))
    outer[28 + 3] ^= 1
    with dp.dropped("esp-no-sa"):
        dp.uplink.send_ip(outer)


def test_spi_without_a_key(dp, tunnel):
    """Between SPI_ALLOC and SA_ADD it is held for a second, then dropped."""
    spi = dp.control.spi_alloc("prod", "a")
    with dp.dropped("esp-no-key"):
        dp.uplink.send_ip(tunnel.pair.outer(struct.pack("!II", spi, 1) + bytes(80)))
    dp.control.sa_del(spi, tunnel.local, c.IN)
    with dp.dropped("esp-no-sa"):
        dp.uplink.send_ip(tunnel.pair.outer(struct.pack("!II", spi, 1) + bytes(80)))


@pytest.mark.parametrize("count", [1, 100, 256])
def test_held_until_the_key_is_there(dp, flow, count):
    """In order, before what comes after, and once."""
    pair = peers.SaPair(flow.tunnel, dp.control.spi_alloc("prod", "a"), c.AES256_GCM16, True, True)
    frames = [pair.seal(reply(flow, struct.pack("!Q", number)), sequence=number) for number in range(1, count + 2)]
    held = dp.count("esp/held-packets")
    with dp.nothing_dropped():
        for frame in frames[:-1]:
            dp.uplink.send_ip(frame)
        dp.wait_count("esp/held-packets", held + count)
        dp.control.sa_add(pair.message(c.IN, 1024))
        dp.uplink.send_ip(frames[-1])
        for number in range(1, count + 2):
            assert bytes(flow.take_at_client(f"packet {number}")[TCP].payload) == struct.pack("!Q", number)
    dp.control.sa_del(pair.spi_in, flow.tunnel.local, c.IN)


@pytest.mark.parametrize("algorithm", KINDS.values(), ids=KINDS)
def test_early_key(dp, flow, algorithm):
    """A key that is expected opens what comes before the negotiation's end; what was negotiated then goes on from there."""
    pair = peers.SaPair(flow.tunnel, dp.control.spi_alloc("prod", "a"), algorithm, True, True)
    add = pair.message(c.IN, 64)
    early = pair.message(c.IN, 64)
    early.flags |= c.SA_EARLY
    dp.control.sa_add(early)
    with dp.nothing_dropped():
        flow.tunnel.send(reply(flow, b"early"), pair=pair, sequence=1)
        assert bytes(flow.take_at_client("the early one")[TCP].payload) == b"early"
    dp.control.sa_add(add)
    with dp.dropped("esp-replay"):
        flow.tunnel.send(reply(flow, b"early"), pair=pair, sequence=1)
    with dp.nothing_dropped():
        flow.tunnel.send(reply(flow, b"late"), pair=pair, sequence=2)
        assert bytes(flow.take_at_client("the late one")[TCP].payload) == b"late"
    with pytest.raises(c.ContractError):
        dp.control.sa_add(add)
    dp.control.sa_del(pair.spi_in, flow.tunnel.local, c.IN)


@pytest.mark.parametrize("udp", ENCAPSULATIONS.values(), ids=ENCAPSULATIONS)
@pytest.mark.parametrize("source", ["198.51.100.99", peers.SERVERS["staging", "a"], harness.UPLINK_ROUTER])
def test_right_spi_from_a_wrong_address(dp, tunnel, source, udp):
    """The peer is pinned; its address changes by SA_UPDATE alone."""
    tunnel.up(udp=udp)
    flow = Flow(tunnel).connect()
    outer = flow.tunnel.pair.seal(reply(flow))
    spoofed = IP(bytes(outer))
    spoofed.src = source
    del spoofed.chksum
    with dp.dropped("esp-peer"):
        dp.uplink.send_ip(spoofed)
    dp.uplink.send_ip(outer)  # the window has not moved
    flow.take_at_client("the genuine one")


def test_right_spi_from_a_wrong_port(dp, flow):
    outer = flow.tunnel.pair.seal(reply(flow))
    outer[UDP].sport = 4501
    with dp.dropped("esp-peer"):
        dp.uplink.send_ip(outer)


@pytest.mark.parametrize("udp", ENCAPSULATIONS.values(), ids=ENCAPSULATIONS)
def test_wrong_encapsulation(dp, tunnel, udp):
    """RFC 3948 and native ESP do not stand for each other."""
    tunnel.up(udp=udp)
    flow = Flow(tunnel).connect()
    esp = bytes(flow.tunnel.pair.seal(reply(flow)))[28 if udp else 20:]
    with dp.dropped("esp-encapsulation"):
        dp.uplink.send_ip(flow.tunnel.pair.outer(esp, udp=not udp))


def test_sa_update(dp, flow):
    """The peer's address and port changed, as MOBIKE or a NAT does it: only the new ones count."""
    tunnel, pair = flow.tunnel, flow.tunnel.pair
    for direction, spi in ((c.IN, pair.spi_in), (c.OUT, pair.spi_out)):
        destination = tunnel.local if direction == c.IN else tunnel.remote
        dp.control.request(c.SA_UPDATE, c.SaUpdate(
            id=c.sa_id(spi, destination, direction), local_be=c.ip_be(tunnel.local), remote_be=c.ip_be("198.51.100.201"),
            local_port_be=c.port_be(4500), remote_port_be=c.port_be(1024), flags=c.SA_UDP))
    outer = pair.seal(reply(flow))
    with dp.dropped("esp-peer"):
        dp.uplink.send_ip(outer)
    moved = IP(bytes(outer))
    moved.src, moved[UDP].sport = "198.51.100.201", 1024
    del moved.chksum
    dp.uplink.send_ip(moved)
    flow.take_at_client("the reply from the new address")
    dp.cluster.send_ip(bytes(flow.from_client("PA", b"x")))
    dp.uplink.take(peers.matcher(tunnel.local, "198.51.100.201", socket.IPPROTO_UDP, 4500, 1024), "ESP to the new address")
    dp.control.sa_del(pair.spi_in, tunnel.local, c.IN)
    dp.control.sa_del(pair.spi_out, "198.51.100.201", c.OUT)
    tunnel.pair = None


# ---- what comes out ----

def padded(inner, next_header=4, pad_length=None, spoil=None):
    if pad_length is None:
        pad_length = -(len(inner) + 2) % 4
    padding = bytearray(range(1, pad_length + 1))
    if spoil is not None:
        padding[spoil] ^= 0x80
    return inner + bytes(padding) + bytes([pad_length, next_header])


def test_padding_may_be_longer(flow):
    """RFC 4303 section 2.4 allows up to 255 bytes."""
    inner = bytes(reply(flow))
    for extra in (4, 100, 248):
        length = -(len(inner) + 2) % 4 + extra
        flow.dataplane.uplink.send_ip(flow.tunnel.pair.seal_plaintext(padded(inner, pad_length=length)))
        assert flow.take_at_client("with much padding")[TCP].payload == reply(flow)[TCP].payload


def test_traffic_flow_confidentiality_padding(flow):
    """RFC 4303 section 2.7: what follows the inner packet before the padding is ignored."""
    inner = bytes(reply(flow)) + b"\0" * 200
    flow.dataplane.uplink.send_ip(flow.tunnel.pair.seal_plaintext(padded(inner)))
    assert bytes(flow.take_at_client("with TFC padding")[TCP].payload) == b"reply"


@pytest.mark.parametrize("plain", [
    lambda p: padded(p, pad_length=4 + -(len(p) + 2) % 4, spoil=0), lambda p: padded(p, pad_length=4 + -(len(p) + 2) % 4, spoil=-1),
    lambda p: padded(p)[:-2] + b"\xff\x04", lambda p: padded(p, 41), lambda p: padded(p, 6), lambda p: padded(p, 0)],
    ids=["first-byte", "last-byte", "length-beyond", "ipv6", "transport-mode", "next-header-0"])
def test_padding_wrong(dp, flow, plain):
    with dp.dropped("esp-padding"):
        dp.uplink.send_ip(flow.tunnel.pair.seal_plaintext(plain(bytes(reply(flow)))))
    flow.back("PA", b"goes on")


def test_dummy(dp, flow):
    """RFC 4303 section 2.6: next header 59 is thrown away, and counted as what it is."""
    with dp.dropped("esp-dummy"):
        dp.uplink.send_ip(flow.tunnel.pair.seal_plaintext(padded(b"\0" * 58, 59)))


@pytest.mark.parametrize("spoil", [lambda p: b"", lambda p: p[:19], lambda p: b"\x65" + p[1:], lambda p: b"\x44" + p[1:],
                                   lambda p: p[:2] + b"\xff\xff" + p[4:], lambda p: p[:10] + b"\0\0" + p[12:],
                                   lambda p: p[:2] + b"\0\x13" + p[4:]],
                         ids=["nothing", "cut", "version", "header-length", "total-beyond", "checksum", "total-short"])
def test_inner_invalid(dp, flow, spoil):
    with dp.dropped("inner-invalid"):
        dp.uplink.send_ip(flow.tunnel.pair.seal_plaintext(padded(spoil(bytes(reply(flow))))))
    flow.back("PA", b"goes on")


def test_inner_fragment(dp, flow):
    """Only TCP, UDP and ICMP are put together; test_fragments.py has those."""
    inner = IP(src=TARGET, dst=flow.tunnel.inner, proto=47, flags="MF", ttl=60) / Raw(b"f" * 64)
    with dp.dropped("fragment"):
        flow.tunnel.send(inner)


def test_inner_tcp_header_cut(dp, flow):
    inner = IP(src=TARGET, dst=flow.tunnel.inner, proto=6, ttl=60) / Raw(bytes(reply(flow))[20:39])
    with dp.dropped("l4-header"):
        flow.tunnel.send(inner)


def test_inner_ttl_runs_out(dp, flow):
    with dp.dropped("inner-invalid"):
        flow.tunnel.send(IP(bytes(flow.from_server("PA", b"x", ttl=1))))


@pytest.mark.parametrize("change", ["port", "source", "source-port", "destination", "udp", "icmp"])
def test_not_a_reply(dp, flow, change):
    """What comes out of a tunnel may only be a reply to a session."""
    inner = IP(bytes(reply(flow)))
    if change == "port":
        inner[TCP].dport = 9  # never given out
    elif change == "source":
        inner.src = "192.168.100.99"
    elif change == "source-port":
        inner[TCP].sport = 9
    elif change == "destination":
        inner.dst = peers.CLIENT
    elif change == "udp":
        inner = IP(src=TARGET, dst=flow.tunnel.inner) / UDP(sport=8080, dport=flow.inner_port) / Raw(b"x")
    else:
        inner = IP(src=TARGET, dst=flow.tunnel.inner) / ICMP() / Raw(b"ping")
    for field in ("chksum",):
        delattr(inner, field)
        if TCP in inner:
            delattr(inner[TCP], field)
    with dp.dropped("no-session-quoted" if change == "icmp" else "inner-no-session"):
        flow.tunnel.send(IP(bytes(inner)))
    flow.back("PA", b"goes on")


@pytest.mark.parametrize("algorithm", [c.AES256_GCM16, c.AES256_CBC_SHA256_128], ids=["gcm", "cbc"])
@pytest.mark.parametrize("inside, outside, result", [(0, 0, 0), (0, 2, 0), (0, 3, None), (1, 2, 1), (2, 1, 1), (2, 3, 3), (3, 0, 3)])
def test_congestion_on_the_way_in(dp, tunnel, algorithm, inside, outside, result):
    """RFC 6040 figure 4; DSCP stays as it is inside, whatever stands outside."""
    pair = tunnel.up(algorithm=algorithm)
    flow = Flow(tunnel).connect()
    outer = IP(bytes(pair.seal(IP(bytes(flow.from_server("PA", b"marked", tos=0xB8 | inside))))))
    outer.tos = 0x28 | outside
    del outer.chksum
    if result is None:
        with dp.dropped("inner-invalid"):
            dp.uplink.send_ip(outer)
        return
    dp.uplink.send_ip(outer)
    assert flow.take_at_client("the marked packet").tos == 0xB8 | result


# ---- rekeying ----

def test_make_before_break(dp, flow):
    """New SAs beside the old ones: outbound moves at once, the old inbound one is good until it is deleted."""
    tunnel, old = flow.tunnel, flow.tunnel.pair
    with dp.nothing_dropped():
        flow.out("PA", b"before")
        new = tunnel.add_pair()
        flow.back("PA", b"in flight on the old one", pair=old)
        flow.out("PA", b"on the new one", pair=new)
        flow.back("PA", b"old again", pair=old)
        flow.back("PA", b"new", pair=new)
        flow.out("PA", b"still new", pair=new)
        tunnel.delete_pair(old)
        flow.out("PA", b"after")
        flow.back("PA", b"after")
    with dp.dropped("esp-no-sa"):
        tunnel.send(reply(flow), old)
    flow.back("PA", b"goes on")


def test_many_rekeys_under_traffic(dp, flow):
    tunnel = flow.tunnel
    with dp.nothing_dropped():
        for i in range(20):
            old = tunnel.pair
            tunnel.add_pair(algorithm=random.choice(list(ALGORITHMS.values())), esn=bool(i & 1))
            flow.out("PA", b"%d" % i)
            flow.back("PA", b"%d" % i, pair=old)
            tunnel.delete_pair(old)
            flow.back("PA", b"%d" % i)


def test_deleting_the_newest_goes_back_to_the_one_before(dp, flow):
    tunnel, old = flow.tunnel, flow.tunnel.pair
    new = tunnel.add_pair()
    flow.out("PA", b"new", pair=new)
    tunnel.delete_pair(new)
    tunnel.pair = old
    flow.out("PA", b"old", pair=old)
    flow.back("PA", b"old", pair=old)


def test_no_outbound_sa(dp, tunnel):
    """Nothing leaves in the clear or under a dead key: the client is told."""
    flow = Flow(tunnel).connect()
    established = IP(bytes(flow.from_client("A")))
    dp.control.sa_del(tunnel.pair.spi_out, tunnel.remote, c.OUT)
    flow.take_reset(established)
    Flow(tunnel).refused("no-tunnel")
    dp.control.sa_del(tunnel.pair.spi_in, tunnel.local, c.IN)
    tunnel.pair = None
    tunnel.up()
    Flow(tunnel).connect().out("PA", b"the next connection lives")


def test_sa_info(dp, flow):
    tunnel, pair = flow.tunnel, flow.tunnel.pair
    flow.out("PA", b"x" * 10)
    flow.back("PA", b"y" * 20)
    out = dp.control.sa_query(pair.spi_out, tunnel.remote, c.OUT)
    into = dp.control.sa_query(pair.spi_in, tunnel.local, c.IN)
    assert out.sequence == out.packets == pair.sequence_out
    assert into.sequence == into.packets == pair.sealer.seq_num - 1
    for info in (out, into):
        assert (info.tunnel.environment, info.tunnel.server) == (b"prod", b"a")
        assert info.control_epoch == dp.control.epoch
        assert info.algorithm == c.AES256_GCM16
        assert info.flags & c.SA_ESN and info.flags & c.SA_UDP and not info.flags & c.SA_EXPIRING
        assert (c.ip_text(info.local_be), c.ip_text(info.remote_be)) == (tunnel.local, tunnel.remote)
        assert 0 < info.added_ns <= info.used_ns
    assert out.flags & c.SA_ACTIVE
    listed = {(socket.ntohl(i.id.spi_be), i.id.direction) for i in dp.control.sa_list()}
    assert {(pair.spi_out, c.OUT), (pair.spi_in, c.IN)} <= listed


def test_spi_names_its_home(dp, tunnel):
    """The top 6 bits of an inbound SPI are the worker that owns the SA."""
    home = dp.control.state()["prod"].home_worker
    assert tunnel.pair.spi_in >> 26 == home


def refused(control, add, status):
    with pytest.raises(c.ContractError) as error:
        control.sa_add(add)
    assert error.value.status == status


def test_leases_that_are_refused(dp, tunnel):
    import errno
    pair, control = tunnel.pair, dp.control
    refused(control, pair.message(c.IN), errno.EEXIST)
    refused(control, pair.message(c.OUT), errno.EEXIST)
    unallocated = peers.SaPair(tunnel, pair.spi_in ^ 0x155, c.AES256_GCM16, True, True)
    refused(control, unallocated.message(c.IN), errno.ENOENT)
    foreign = peers.SaPair(dp.tunnels["staging", "a"], control.spi_alloc("prod", "a"), c.AES256_GCM16, True, True)
    refused(control, foreign.message(c.IN), errno.ENOENT)
    control.sa_del(foreign.spi_in, tunnel.local, c.IN)
    unknown = pair.message(c.OUT)
    unknown.tunnel = c.tunnel_id("prod", "nowhere")
    refused(control, unknown, errno.ENOENT)
    for kind, body in ((c.SA_DEL, c.sa_id(0x12345678, tunnel.remote, c.OUT)), (c.SA_QUERY, c.sa_id(0x12345678, tunnel.local, c.IN)),
                       (c.SPI_ALLOC, c.tunnel_id("nobody", "a"))):
        with pytest.raises(c.ContractError) as error:
            control.request(kind, body)
        assert error.value.status == errno.ENOENT
    flow = Flow(tunnel).connect()  # and nothing of that disturbed the tunnel
    flow.out("PA", b"x")


def test_hard_lifetime(dp, tunnel):
    """The dataplane itself ends an SA whose time is over, and says so."""
    old = tunnel.pair
    short = peers.SaPair(tunnel, dp.control.spi_alloc("prod", "a"), c.AES256_GCM16, True, True)
    dp.control.changed = 0
    dp.control.sa_add(short.message(c.IN, hard_seconds=1))
    flow = Flow(tunnel).connect()
    flow.back("PA", b"while it lasts", pair=short)
    harness.wait_for(lambda: (short.spi_in, c.IN) not in
                     {(socket.ntohl(i.id.spi_be), i.id.direction) for i in dp.control.sa_list()}, "the SA is gone")
    harness.wait_for(lambda: dp.control.sa_list() is not None and dp.control.changed & c.CHANGED_SAS, "the event")
    with dp.dropped("esp-no-sa"):
        tunnel.send(reply(flow), short)
    flow.back("PA", b"goes on", pair=old)
