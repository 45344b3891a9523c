# SPDX-License-Identifier: GPL-2.0-or-later
"""OpenVPN's data channel against a server written from its wire format: every suite and framing, replay, forgeries, rekeying."""
import itertools
import os
import random
import struct
import time

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP

import contract as c
import harness
import openvpn
import peers
from test_link import take_icmp_error

ALGORITHMS = {name.lower().replace("_", "-"): value for name, value in c.CONSTANTS.items()
              if value in openvpn.AEADS and name.startswith(("AES", "CHACHA")) or
              value in openvpn.CBCS and name.startswith("AES")}
KINDS = {"gcm": c.AES256_GCM16, "chacha": c.CHACHA20_POLY1305, "cbc": c.AES256_CBC_SHA256_256}
FRAMINGS = {"none": c.OPENVPN_FRAMING_NONE, "lzo-no": c.OPENVPN_FRAMING_LZO_NO, "stub": c.OPENVPN_FRAMING_STUB,
            "stub-v2": c.OPENVPN_FRAMING_STUB_V2}
PEERS = {"v2": 0x010203, "v1": c.OPENVPN_NO_PEER}
KEYS = {**{f"{kind}-{peer}": {"algorithm": algorithm, "peer_id": peer_id} for kind, algorithm in KINDS.items()
           for peer, peer_id in PEERS.items()},
        **{f"cbc-{name}": {"algorithm": c.AES256_CBC_SHA256_256, "framing": framing} for name, framing in FRAMINGS.items()
           if framing}}

FLOAT_S = 1  # a tunnel moves once in that time


@pytest.fixture
def vpn(dp):
    """prod's active tunnel, which speaks OpenVPN for the time of a test."""
    ipsec = dp.tunnels["prod", "a"]
    ipsec.down()
    tunnel = openvpn.Tunnel(dp, "prod", "a")
    tunnel.up()
    yield tunnel
    tunnel.down()
    ipsec.up()


@pytest.mark.parametrize("peer_id", PEERS.values(), ids=PEERS)
@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_suite(dp, vpn, algorithm, peer_id):
    key = vpn.up(algorithm=algorithm, peer_id=peer_id)
    with dp.nothing_dropped():
        flow = openvpn.Flow(vpn).connect()
        for size in (0, 1, 15, 16, 17, 100, key.inner_mtu - 40):
            flow.out("PA", os.urandom(size))
            flow.back("PA", os.urandom(size))
    assert dp.control.tunnels()["prod", "a"].inner_mtu == key.inner_mtu


@pytest.mark.parametrize("algorithm", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS)
def test_framing(dp, vpn, framing, algorithm):
    key = vpn.up(framing=framing, algorithm=algorithm)
    with dp.nothing_dropped():
        flow = openvpn.Flow(vpn).connect()
        for size in (0, 1, 100, key.inner_mtu - 40):
            flow.out("PA", os.urandom(size))
            flow.back("PA", os.urandom(size))


@pytest.mark.parametrize("how", KEYS.values(), ids=KEYS)
def test_too_big(dp, vpn, how):
    """The sender is told what fits (RFC 1191), exactly that fits, and segments are clamped to it."""
    key = vpn.up(**how)
    flow = openvpn.Flow(vpn).connect()
    packet = IP(bytes(flow.from_client("A", os.urandom(key.inner_mtu + 1 - 40))))
    with dp.dropped("too-big"):
        dp.cluster.send_ip(packet)
        error = take_icmp_error(dp.cluster, packet)
    assert (error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu) == (3, 4, key.inner_mtu)
    outer, _ = flow.out("A", os.urandom(key.inner_mtu - 40))
    assert harness.MTU - 15 <= len(outer) <= harness.MTU
    syn = openvpn.Flow(vpn).out("S", options=[("MSS", 1460)])[1]
    assert peers.mss(syn) == key.inner_mtu - 40


@pytest.mark.parametrize("algorithm", openvpn.CBCS)
def test_no_iv_twice(vpn, algorithm):
    """Nor half of one: an IV of CBC is not to be told before (NIST SP 800-38A, appendix C)."""
    key = vpn.up(algorithm=algorithm)
    flow = openvpn.Flow(vpn).connect()
    begin = 28 + len(key.head) + openvpn.CBCS[algorithm][2]
    ivs = [bytes(flow.out("PA", b"the same")[0])[begin:begin + 16] for _ in range(50)]
    assert len({iv[:8] for iv in ivs} | {iv[8:] for iv in ivs}) == 100


def test_a_burst_of_many_sizes(dp, vpn):
    flow = openvpn.Flow(vpn).connect()
    sizes = [random.randrange(1200) for _ in range(100)]
    payloads = [os.urandom(size) for size in sizes]
    for payload in payloads:
        dp.cluster.send_ip(bytes(flow.from_client("A", payload)))
        flow.client_next = (flow.client_next + len(payload)) & 0xFFFFFFFF
    for payload in payloads:
        assert bytes(vpn.take()[1][TCP].payload) == payload
    for payload in payloads:
        vpn.send(IP(bytes(flow.from_server("A", payload))))
        flow.server_next = (flow.server_next + len(payload)) & 0xFFFFFFFF
    for payload in payloads:
        assert bytes(flow.take_at_client("one of a burst")[TCP].payload) == payload


def reply(flow, data=b"reply"):
    return IP(bytes(flow.from_server("PA", data)))


@pytest.mark.parametrize("how", KEYS.values(), ids=KEYS)
def test_replay(dp, vpn, how):
    key = vpn.up(**how)
    flow = openvpn.Flow(vpn).connect()
    sent = vpn.send(reply(flow))
    flow.take_at_client("the first")
    with dp.dropped("openvpn-replay"):
        dp.uplink.send_ip(sent)
    vpn.send(reply(flow), number=key.number_in + 1000)
    flow.take_at_client("one ahead")
    with dp.dropped("openvpn-replay"):
        vpn.send(reply(flow), number=key.number_in + 1000 - 64)
    vpn.send(reply(flow), number=key.number_in + 1000 - 63)
    flow.take_at_client("the oldest in the window")
    with dp.dropped("openvpn-replay"):
        vpn.send(reply(flow), number=0)


@pytest.mark.parametrize("how", KEYS.values(), ids=KEYS)
def test_forgeries_move_nothing(dp, vpn, how):
    key = vpn.up(**how)
    flow = openvpn.Flow(vpn).connect()
    heard_ns = dp.control.tunnels()["prod", "a"].heard_ns
    for at in (-1, 9, 30):
        forged = bytearray(key.seal(bytes(reply(flow)), number=5000))
        forged[at] ^= 1
        with dp.dropped("openvpn-icv"):
            dp.uplink.send_ip(vpn.outer(bytes(forged)))
    assert dp.control.tunnels()["prod", "a"].heard_ns == heard_ns, "a forgery is no sign of life"
    flow.back("PA", b"the window is where it was")
    for length in range(1, len(key.head) + 4 + 16):
        with dp.dropped("openvpn-truncated"):
            dp.uplink.send_ip(vpn.outer(key.seal(bytes(reply(flow)))[:length]))
    with dp.dropped("openvpn-no-key"):
        dp.uplink.send_ip(vpn.outer(bytes([key.head[0] | 3]) + key.seal(bytes(reply(flow)))[1:]))  # key id 3
    for where in ({"source": "198.51.100.77"}, {"source_port": 1195}):
        with dp.dropped("openvpn-peer"):
            vpn.send(reply(flow), **where)


def test_cbc_of_no_server(dp, vpn):
    """Authentic, but no whole blocks, or none that end with PKCS #7 padding: RFC 5652 section 6.3."""
    key = vpn.up(algorithm=c.AES256_CBC_SHA256_256)
    flow = openvpn.Flow(vpn).connect()
    inner = struct.pack("!I", 500) + bytes(reply(flow, b"y" * 40))  # without a byte of padding
    assert len(inner) % 16 == 4
    texts = (inner + b"\x01" * 11 + b"\x0c", inner + b"\x0c" * 3 + b"\0" + b"\x0c" * 8, inner + b"\0" * 12,
             inner + b"\x1c" * 28, inner + b"\xff" * 12, struct.pack("!I", 500) + b"\x0d" * 12)
    for packet in (*map(key.seal_blocks, texts), key.sign(os.urandom(16 + 47)), key.sign(os.urandom(16 + 33))):
        with dp.dropped("openvpn-truncated"):
            dp.uplink.send_ip(vpn.outer(packet))
    with dp.nothing_dropped():
        dp.uplink.send_ip(vpn.outer(key.seal_blocks(inner + b"\x0c" * 12)))
        flow.take_at_client("the same with its padding")


@pytest.mark.parametrize("by, reason", [(-8, "openvpn-truncated"), (-1, "openvpn-truncated"), (1, "l4-header")])
def test_lengths_that_differ(dp, vpn, by, reason):
    """UDP's is another one than IP's."""
    flow = openvpn.Flow(vpn).connect()
    outer = vpn.outer(vpn.pair.seal(bytes(reply(flow))) + bytes(8))
    outer[UDP].len -= 8 - by
    outer.len -= 8
    del outer.chksum
    with dp.dropped(reason):
        dp.uplink.send_ip(IP(bytes(outer)[:outer.len]))


def test_rekey(dp, vpn):
    old = vpn.pair
    flow = openvpn.Flow(vpn).connect()
    new = vpn.add_pair(key_id=1)
    assert dp.control.sa_query(new.handle, vpn.local, c.IN).key_id == 1
    with pytest.raises(c.ContractError):
        vpn.add_pair(key_id=1)
    with pytest.raises(c.ContractError):
        vpn.add_pair(key_id=2)
    vpn.pair = new
    with dp.nothing_dropped():
        flow.out("PA", b"under the new key")
        flow.back("PA", b"under the old one", pair=old)
        dp.control.changed = 0
        flow.back("PA", b"under the new one")
    vpn.delete_pair(old)
    flow.out("PA", b"x")
    flow.back("PA", b"y")
    with dp.dropped("openvpn-no-key"):
        vpn.send(reply(flow), pair=old)

    def told():
        dp.control.state()  # events come with the answers
        return dp.control.changed & c.CHANGED_SAS
    harness.wait_for(told, "the event of the new key's first packet")


@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS)
def test_messages_of_the_protocol(dp, vpn, framing):
    key = vpn.up(framing=framing)
    before = dp.control.tunnels()["prod", "a"].heard_ns
    with dp.dropped("openvpn-ping"):
        vpn.send_payload(key.frame(openvpn.PING))
    assert dp.control.tunnels()["prod", "a"].heard_ns > before, "a ping is a sign of life"
    with dp.dropped("openvpn-occ"):
        vpn.send_payload(key.frame(openvpn.OCC + b"\0"))
    assert not dp.control.sa_query(key.handle, vpn.local, c.IN).flags & c.SA_EXITED
    dp.control.state()  # events come with the answers
    for is_told in (True, False):  # a server may say it as often as it likes
        dp.control.changed = 0
        with dp.dropped("openvpn-occ"):
            vpn.send_payload(key.frame(openvpn.OCC + b"\6"))
        if is_told:
            harness.wait_for(lambda: dp.control.state() and dp.control.changed & c.CHANGED_SAS, "the event of the server's exit")
        assert dp.control.sa_query(key.handle, vpn.local, c.IN).flags & c.SA_EXITED
        dp.control.state()
        assert bool(dp.control.changed & c.CHANGED_SAS) == is_told


@pytest.mark.parametrize("algorithm", [c.AES256_GCM16, c.AES256_CBC_SHA512_512], ids=["gcm", "sha512"])
def test_ping_of_a_silent_tunnel(dp, vpn, algorithm):
    vpn.up(algorithm=algorithm, ping_s=1, framing=c.OPENVPN_FRAMING_LZO_NO)
    before = dp.count("openvpn/out-pings")
    outer, payload = vpn.take_payload("a ping")
    assert payload == openvpn.PING and outer.tos == 0
    assert dp.count("openvpn/out-pings") > before


def test_control_packets(dp, vpn):
    hard_reset = bytes([8 << 3]) + os.urandom(8) + b"\0" + struct.pack("!I", 0)
    dp.uplink.send_ip(vpn.outer(hard_reset))
    punt, payload = dp.control.wait_punt()
    assert payload == hard_reset
    assert (c.ip_text(punt.source_be), c.port_number(punt.source_port_be)) == (vpn.remote, openvpn.SERVER_PORT)
    assert c.port_number(punt.destination_port_be) == openvpn.PORT
    with dp.dropped("openvpn-malformed"):
        dp.uplink.send_ip(vpn.outer(hard_reset[:13]))
    for where in ({"source": "198.51.100.102"}, {"source_port": 1195}):  # another server's address, another port
        with dp.dropped("openvpn-unknown-peer"):
            dp.uplink.send_ip(vpn.outer(hard_reset, **where))
    dp.control.punt_tx(vpn.local, openvpn.PORT, vpn.remote, openvpn.SERVER_PORT, hard_reset)
    match = peers.matcher(vpn.local, vpn.remote, 17, openvpn.PORT, openvpn.SERVER_PORT)
    assert dp.uplink.take(match, "the control plane's packet")[42:] == hard_reset


def test_float(dp, vpn):
    key = vpn.up(flags=c.OPENVPN_FLOAT)
    flow = openvpn.Flow(vpn).connect()
    forged = bytearray(key.seal(bytes(reply(flow))))
    forged[-1] ^= 1
    with dp.dropped("openvpn-icv"):
        dp.uplink.send_ip(vpn.outer(bytes(forged), source="198.51.100.77", source_port=4000))
    flow.out("PA", b"still where it was")
    vpn.send(reply(flow), source="198.51.100.77", source_port=4000)
    flow.take_at_client("from the new address")
    before = vpn.remote, vpn.server_port
    vpn.remote, vpn.server_port = "198.51.100.77", 4000
    flow.out("PA", b"to the new address")
    vpn.remote, vpn.server_port = before  # the key goes by the name it came with
    assert where(dp, vpn, key) == ("198.51.100.77", 4000)


def where(dp, vpn, key):
    info = dp.control.sa_query(key.handle, vpn.remote, c.OUT)
    return c.ip_text(info.remote_be), c.port_number(info.remote_port_be)


def test_nobody_else_makes_it_float(dp, vpn):
    """A packet that was held back, and one that is repeated, come from elsewhere: neither moves the tunnel. Nor does a new one so
    soon: whoever is faster than the server would have it to and fro."""
    key = vpn.up(flags=c.OPENVPN_FLOAT)
    with dp.dropped("openvpn-ping", times=2):
        vpn.send_payload(openvpn.PING, number=9)
        newest = vpn.send_payload(openvpn.PING, number=10)
    with dp.dropped("openvpn-ping"):
        vpn.send_payload(openvpn.PING, number=7, source="198.51.100.78")
    newest[IP].src = "198.51.100.78"
    del newest[IP].chksum
    with dp.dropped("openvpn-replay"):
        dp.uplink.send_ip(IP(bytes(newest)))
    assert where(dp, vpn, key) == (vpn.remote, vpn.server_port)
    numbers = itertools.count(11)

    def move(address):
        """Pings from there; when that was, if the tunnel is there then."""
        sent = time.monotonic()
        with dp.dropped("openvpn-ping"):
            vpn.send_payload(openvpn.PING, number=next(numbers), source=address)
        return sent if where(dp, vpn, key) == (address, vpn.server_port) else None

    for _ in range(10):  # whether the second one comes soon is up to the machine
        moved = harness.wait_for(lambda: move("198.51.100.77"), "a new packet moves the tunnel")
        moved_again = move("198.51.100.78")
        is_soon = time.monotonic() - moved < FLOAT_S / 2
        harness.wait_for(lambda: move(vpn.remote), "the server is where it was")
        if is_soon:
            break
    assert is_soon and not moved_again


def test_control_packets_follow(dp, vpn):
    """The control plane is told that its server floats, and lets its control packets come from there."""
    vpn.up(flags=c.OPENVPN_FLOAT)
    hard_reset = bytes([8 << 3]) + os.urandom(8) + b"\0" + struct.pack("!I", 0)
    with dp.dropped("openvpn-ping"):
        vpn.send_payload(openvpn.PING)
    dp.control.changed = 0
    with dp.dropped("openvpn-ping"):
        vpn.send_payload(openvpn.PING, source="198.51.100.77")
    harness.wait_for(lambda: dp.control.state() and dp.control.changed & c.CHANGED_SAS, "the event of the new address")
    with dp.dropped("openvpn-unknown-peer"):
        dp.uplink.send_ip(vpn.outer(hard_reset, source="198.51.100.77"))
    dp.control.openvpn_peer_set(*vpn.id, "198.51.100.77", vpn.server_port, openvpn.PORT)
    dp.uplink.send_ip(vpn.outer(hard_reset, source="198.51.100.77"))
    punt, payload = dp.control.wait_punt()
    assert (c.ip_text(punt.source_be), payload) == ("198.51.100.77", hard_reset)


def test_a_port_of_another_tunnel_is_refused(dp, vpn):
    with pytest.raises(c.ContractError):
        dp.control.openvpn_peer_set("prod", "b", "198.51.100.102", 1194, openvpn.PORT)
