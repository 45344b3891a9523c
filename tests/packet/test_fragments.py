# SPDX-License-Identifier: GPL-2.0-or-later
"""
Fragments from pods, out of tunnels and of the servers' own packets; packets that have to be cut on their way out.

The ports are AF_XDP: behind net_af_packet the kernel puts fragments together before the dataplane sees them.
"""
import os
import socket
import struct

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.packet import Raw

import conftest
import contract as c
import harness
import peers
from harness import CLUSTER_ADDRESS, CLUSTER_ROUTER, UPLINK_ADDRESS
from peers import CLIENT, NAME_SERVER, POD, UDP_FORWARD_PORT


@pytest.fixture(scope="module", params=conftest.SHAPES)
def shared(request, known_leaks):
    with conftest.running(request.param, driver="af_xdp") as dataplane:
        environments, servers, forwards = peers.configuration()
        forwards.append(peers.forward("staging", UDP_FORWARD_PORT, NAME_SERVER, 53, socket.IPPROTO_UDP))
        dataplane.generation = 1
        dataplane.control.commit(1, environments, servers, forwards)
        dataplane.tunnels = {i: peers.Tunnel(dataplane, *i) for i in (("prod", "a"), ("staging", "a"))}
        for tunnel in dataplane.tunnels.values():
            tunnel.up()
            ask(dataplane, tunnel, next(peers.fresh_ports), b"warm")
        dataplane.mbufs_free = harness.wait_for(lambda: dataplane.count("mbufs-free"), "the first count of buffers")
        yield dataplane


def whole(fragments):
    """The datagram of these IPv4 fragments, each of which is checked; they may be in any order."""
    fragments = sorted(fragments, key=lambda f: f.frag)
    assert len({(f.src, f.dst, f.id, f.proto) for f in fragments}) == 1
    data = b""
    for f in fragments:
        assert f.frag * 8 == len(data) and bool(f.flags.MF) == (f is not fragments[-1]) and not f.flags.DF
        data += bytes(f.payload)
    first = fragments[0].copy()
    first.flags, first.frag = 0, 0
    first.remove_payload()
    del first.len, first.chksum
    return peers.check_checksums(IP(bytes(first / Raw(data))))


def open_pieces(dp, tunnel, limit):
    """All pieces of the next datagram in the tunnel, put together."""
    pieces = []
    while not pieces or sum(len(p.payload) for p in pieces) < total(pieces):
        frame = dp.uplink.take(tunnel.pair.is_mine, "a piece in the tunnel")
        outer = peers.parse(dp.uplink, frame, harness.UPLINK_ROUTER)
        assert len(outer) <= harness.MTU
        pieces.append(open_fragment(tunnel.pair, outer))
        assert len(pieces[-1]) <= limit
    return whole(pieces)


def total(pieces):
    last = [p for p in pieces if not p.flags.MF]
    return last[0].frag * 8 + len(last[0].payload) if last else 1 << 20


def open_fragment(pair, outer):
    """SaPair.open() without the checks of a transport header that a fragment has not got."""
    esp = bytes(outer)[28 if pair.udp else 20:]
    sequence = struct.unpack_from("!I", esp, 4)[0]
    assert sequence == pair.sequence_out + 1
    pair.sequence_out = sequence
    salt, key = pair.key_out[-4:], pair.key_out[:-4]
    aad = struct.pack("!III", pair.spi_out, 0, sequence) if pair.esn else esp[:8]
    plain = peers.AESGCM(key).decrypt(salt + esp[8:16], esp[16:], aad)
    return IP(plain[:len(plain) - 2 - plain[-2]])


def take_pieces(dp, pod, port):
    pieces = []
    while not pieces or sum(len(p.payload) for p in pieces) < total(pieces):
        frame = dp.cluster.take(peers.matcher(pod, CLIENT, socket.IPPROTO_UDP), "a piece for the client")
        assert len(frame) <= 14 + harness.MTU
        pieces.append(IP(frame[14:14 + struct.unpack_from("!H", frame, 16)[0]]))
    datagram = whole(pieces)
    assert datagram[UDP].dport == port
    return datagram


def datagram(payload, port, tunnel_id=("prod", "a"), number=77):
    return IP(bytes(IP(src=CLIENT, dst=POD[tunnel_id[0]], id=number) / UDP(sport=port, dport=UDP_FORWARD_PORT) / Raw(payload)))


def reply(tunnel, inner_port, payload, number=99, **fields):
    return IP(bytes(IP(src=NAME_SERVER, dst=tunnel.inner, id=number, **fields) / UDP(sport=53, dport=inner_port) / Raw(payload)))


def ask(dp, tunnel, port, payload, order=None, size=1480, number=77):
    """A question in fragments of SIZE, sent as ORDER says; returns it as the name server got it."""
    fragments = fragment(datagram(payload, port, tunnel.id, number), size)
    for f in order(fragments) if order else fragments:
        dp.cluster.send_ip(f)
    got = open_pieces(dp, tunnel, tunnel.pair.inner_mtu)
    assert (got.src, got.dst, got[UDP].dport) == (tunnel.inner, NAME_SERVER, 53)
    assert bytes(got[UDP].payload) == payload
    return got


def buffers_are_back(dp):
    """Nothing waits; and AF_XDP, which keeps buffers in its rings, has no more of them than at first."""
    harness.wait_for(lambda: dp.count("fragments/waiting") == 0, lambda: f"{dp.count('fragments/waiting')} fragments wait", 20)
    harness.wait_for(lambda: dp.count("mbufs-free") > dp.mbufs_free - 200, lambda: f"{dp.count('mbufs-free')} buffers", 20)


ORDERS = {"in-order": None, "reversed": lambda f: f[::-1], "odd-first": lambda f: f[1::2] + f[::2]}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [100, 1473, 4000, 9000])
def test_from_a_pod(dp, tunnel, size, order):
    with dp.nothing_dropped():
        ask(dp, tunnel, next(peers.fresh_ports), os.urandom(size), ORDERS[order], 64 if size == 100 else 1480)
    buffers_are_back(dp)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [100, 1500, 4000, 9000])
def test_out_of_a_tunnel(dp, tunnel, size, order):
    port = next(peers.fresh_ports)
    inner_port = ask(dp, tunnel, port, b"x")[UDP].sport
    payload = os.urandom(size)
    fragments = fragment(reply(tunnel, inner_port, payload), 64 if size == 100 else 1200)
    with dp.nothing_dropped():
        for f in ORDERS[order](fragments) if ORDERS[order] else fragments:
            tunnel.send(f)
        assert bytes(take_pieces(dp, POD["prod"], port)[UDP].payload) == payload
    buffers_are_back(dp)


def test_the_largest_datagram(dp, tunnel):
    payload, port = os.urandom(65535 - 28), next(peers.fresh_ports)
    with dp.nothing_dropped():
        inner_port = ask(dp, tunnel, port, payload)[UDP].sport
        for f in fragment(reply(tunnel, inner_port, payload[::-1]), 1400):
            tunnel.send(f)
        assert bytes(take_pieces(dp, POD["prod"], port)[UDP].payload) == payload[::-1]
    buffers_are_back(dp)


def test_a_packet_is_cut_where_df_is_clear(dp, tunnel):
    """1,500 bytes do not fit the tunnel; with DF set the sender is told so."""
    port = next(peers.fresh_ports)
    with dp.nothing_dropped():
        packet = datagram(os.urandom(1472), port)
        dp.cluster.send_ip(packet)
        got = open_pieces(dp, tunnel, tunnel.pair.inner_mtu)
    assert bytes(got[UDP].payload) == bytes(packet[UDP].payload)
    packet.flags = "DF"
    del packet.chksum
    with dp.dropped("too-big"):
        dp.cluster.send_ip(IP(bytes(packet)))


def test_duplicates(dp, tunnel):
    port, payload = next(peers.fresh_ports), os.urandom(3000)
    with dp.dropped("fragment-duplicate", 2):
        ask(dp, tunnel, port, payload, lambda f: [f[0], f[0], f[2], f[2], f[1]])
    buffers_are_back(dp)


def altered(packet, at=-1):
    packet = packet.copy()
    data = bytearray(bytes(packet.payload))
    data[at] ^= 1
    packet.remove_payload()
    return packet / Raw(bytes(data))


def test_overlap(dp, tunnel):
    """A duplicate that disagrees: all that came of the datagram goes, and all that still comes."""
    port = next(peers.fresh_ports)
    f = fragment(datagram(os.urandom(4000), port, number=78), 1480)
    with dp.dropped("fragment-overlap", 4):
        for piece in (f[0], f[1], altered(f[0]), f[2]):
            dp.cluster.send_ip(piece)
    f = fragment(datagram(os.urandom(4000), port, number=79), 1480)
    f[1].frag -= 1
    with dp.dropped("fragment-overlap", 3):
        for piece in f:
            dp.cluster.send_ip(piece)
    buffers_are_back(dp)


def test_inner_overlap(dp, tunnel):
    port = next(peers.fresh_ports)
    inner_port = ask(dp, tunnel, port, b"x")[UDP].sport
    f = fragment(reply(tunnel, inner_port, os.urandom(2000), number=80), 800)
    with dp.dropped("fragment-overlap", 3):
        for piece in (f[2], f[0], altered(f[0])):
            tunnel.send(piece)


@pytest.mark.parametrize("spoil", [lambda f: f[0].__class__(bytes(f[0])[:20 + 16]), lambda f: f[1].__class__(bytes(f[1])[:20])],
                         ids=["tiny-first", "empty"])
def test_invalid(dp, tunnel, spoil):
    segment = IP(bytes(IP(src=CLIENT, dst=POD["prod"], id=next(peers.fresh_ports)) /
                       TCP(sport=1, dport=33000, flags="S") / Raw(bytes(2000))))
    piece = spoil(fragment(segment, 1480))
    del piece.len, piece.chksum
    with dp.dropped("fragment-invalid"):
        dp.cluster.send_ip(IP(bytes(piece)))


def test_same_addresses_and_identification_in_two_environments(dp):
    """Both customers have the same network and the same inner address; the pieces come by turns."""
    tunnels = [dp.tunnels["prod", "a"], dp.tunnels["staging", "a"]]
    for tunnel in tunnels:
        tunnel.up()
    ports = [next(peers.fresh_ports) for _ in tunnels]
    inner_ports = [ask(dp, t, p, b"x")[UDP].sport for t, p in zip(tunnels, ports)]
    payloads = [os.urandom(4000) for _ in tunnels]
    sets = [fragment(reply(t, p, data, number=1234), 1200) for t, p, data in zip(tunnels, inner_ports, payloads)]
    assert (sets[0][0].src, sets[0][0].dst, sets[0][0].id) == (sets[1][0].src, sets[1][0].dst, sets[1][0].id)
    with dp.nothing_dropped():
        for pair in zip(*sets):
            for tunnel, piece in zip(tunnels, pair):
                tunnel.send(piece)
        for tunnel, port, payload in zip(tunnels, ports, payloads):
            assert bytes(take_pieces(dp, POD[tunnel.id[0]], port)[UDP].payload) == payload


# ---- ICMP ----

@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [100, 2000, 9000])
def test_ping_in_fragments(dp, size, order):
    """Answered when it is whole; what does not fit the port leaves in fragments."""
    request = IP(bytes(IP(src=CLIENT, dst=POD["prod"], id=next(peers.fresh_ports)) / ICMP(id=7, seq=9) / Raw(os.urandom(size))))
    fragments = fragment(request, 64 if size == 100 else 1480)
    with dp.nothing_dropped():
        for f in ORDERS[order](fragments) if ORDERS[order] else fragments:
            dp.cluster.send_ip(f)
        pieces = []
        while not pieces or sum(len(p.payload) for p in pieces) < total(pieces):
            frame = dp.cluster.take(peers.matcher(POD["prod"], CLIENT, socket.IPPROTO_ICMP), "a piece of the reply")
            assert len(frame) <= 14 + harness.MTU
            pieces.append(IP(frame[14:14 + struct.unpack_from("!H", frame, 16)[0]]))
    reply = whole(pieces) if len(pieces) > 1 else pieces[0]
    assert reply[ICMP].type == 0 and bytes(reply[ICMP])[4:] == bytes(request[ICMP])[4:]
    buffers_are_back(dp)


@pytest.mark.parametrize("order", ORDERS)
def test_icmp_error_in_fragments(dp, tunnel, order):
    """Out of the tunnel, about a packet that it quotes whole: translated, its quote cut to what fits anywhere."""
    port = next(peers.fresh_ports)
    inner = ask(dp, tunnel, port, os.urandom(2000))
    error = IP(bytes(IP(src="192.168.7.1", dst=tunnel.inner, id=11, ttl=60) / ICMP(type=3, code=3) / Raw(bytes(inner))))
    with dp.nothing_dropped():
        for f in (ORDERS[order] or (lambda f: f))(fragment(error, 1200)):
            tunnel.send(f)
        got = peers.parse(dp.cluster, dp.cluster.take(peers.matcher(POD["prod"], CLIENT, socket.IPPROTO_ICMP), "the error"), CLUSTER_ROUTER)
    assert (got[ICMP].type, got[ICMP].code, len(got)) == (3, 3, 1280)
    quoted = bytes(got[ICMP])[8:]
    assert quoted[12:24] == socket.inet_aton(CLIENT) + socket.inet_aton(POD["prod"]) + struct.pack("!HH", port, UDP_FORWARD_PORT)
    assert quoted[28:] == bytes(inner)[28:len(quoted)]
    buffers_are_back(dp)


def test_icmp_error_of_a_pod_in_fragments(dp, tunnel):
    port = next(peers.fresh_ports)
    inner_port = ask(dp, tunnel, port, b"x")[UDP].sport
    for f in fragment(reply(tunnel, inner_port, os.urandom(3000)), 1200):
        tunnel.send(f)
    packet = take_pieces(dp, POD["prod"], port)
    error = IP(bytes(IP(src=CLIENT, dst=POD["prod"], id=12) / ICMP(type=3, code=3) / Raw(bytes(packet))))
    with dp.nothing_dropped():
        for f in fragment(error, 1480)[::-1]:
            dp.cluster.send_ip(f)
        got = tunnel.take("the error")[1]
    assert (got.src, got.dst, got[ICMP].type, got[ICMP].code) == (tunnel.inner, NAME_SERVER, 3, 3)
    assert bytes(got[ICMP])[8 + 12:8 + 24] == \
        socket.inet_aton(NAME_SERVER) + socket.inet_aton(tunnel.inner) + struct.pack("!HH", 53, inner_port)


def test_time_is_over(dp, tunnel):
    """Who sent the first fragment hears that the others did not come: a pod, and a host behind the server."""
    port = next(peers.fresh_ports)
    inner_port = ask(dp, tunnel, port, b"x")[UDP].sport
    pods = fragment(datagram(os.urandom(3000), port, number=4321), 1480)
    inside = fragment(reply(tunnel, inner_port, os.urandom(3000), number=4322), 1200)
    later = fragment(datagram(os.urandom(3000), port, number=4323), 1480)
    before = dp.count("drop/fragment-timeout"), dp.count("answers/icmp")
    dp.cluster.send_ip(later[1])
    dp.cluster.send_ip(pods[0])
    tunnel.send(inside[0])
    tunnel.send(inside[2])
    frame = dp.cluster.take(peers.matcher(POD["prod"], CLIENT, socket.IPPROTO_ICMP), "the error for the pod", 25)
    error = peers.parse(dp.cluster, frame, CLUSTER_ROUTER)
    assert (error[ICMP].type, error[ICMP].code) == (11, 1)
    assert bytes(error[ICMP])[8:] == bytes(pods[0])[:548]
    error = tunnel.take("the error inside the tunnel")[1]
    assert (error.src, error.dst, error[ICMP].type, error[ICMP].code) == (tunnel.inner, NAME_SERVER, 11, 1)
    assert bytes(error[ICMP])[8:] == bytes(inside[0])[:548]
    dp.wait_count("drop/fragment-timeout", before[0] + 4)
    assert dp.count("answers/icmp") == before[1] + 2
    buffers_are_back(dp)


# ---- the servers' own packets ----

@pytest.mark.parametrize("udp", [True, False], ids=["udp", "native"])
@pytest.mark.parametrize("order", ORDERS)
def test_esp_in_fragments(dp, tunnel, udp, order):
    pair = tunnel.up(udp=udp)
    port = next(peers.fresh_ports)
    inner_port = ask(dp, tunnel, port, b"x")[UDP].sport
    for size in (1400, 1460, 3000):
        payload = os.urandom(size)
        outer = pair.seal(reply(tunnel, inner_port, payload, flags="" if size > 1472 else "DF"))
        fragments = fragment(IP(bytes(outer)), 1000)
        with dp.nothing_dropped():
            for f in ORDERS[order](fragments) if ORDERS[order] else fragments:
                dp.uplink.send_ip(f)
            assert bytes(take_df(dp, port, size)[UDP].payload) == payload
    buffers_are_back(dp)


def take_df(dp, port, size):
    if size > 1472:
        return take_pieces(dp, POD["prod"], port)
    return peers.parse(dp.cluster, dp.cluster.take(peers.matcher(POD["prod"], CLIENT, socket.IPPROTO_UDP), "the answer"), CLUSTER_ROUTER)


def test_too_big_for_the_cluster(dp, tunnel):
    """DF is set on an inner packet above the cluster's MTU: its sender is told, inside the tunnel."""
    inner_port = ask(dp, tunnel, next(peers.fresh_ports), b"x")[UDP].sport
    packet = reply(tunnel, inner_port, os.urandom(1600), flags="DF", ttl=60)
    with dp.dropped("too-big"):
        for f in fragment(IP(bytes(tunnel.pair.seal(packet))), 1000):
            dp.uplink.send_ip(f)
        error = tunnel.take("an ICMP error")[1]
    assert (error.src, error.dst) == (tunnel.inner, NAME_SERVER)
    assert (error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu) == (3, 4, harness.MTU)
    assert bytes(error[ICMP].payload) == bytes(packet)[:548]


@pytest.mark.parametrize("port", [500, 4500])
def test_ike_in_fragments(dp, tunnel, port):
    message = os.urandom(3000)
    body = (bytes(4) if port == 4500 else b"") + message
    datagram = IP(bytes(IP(src=tunnel.remote, dst=UPLINK_ADDRESS, id=5) / UDP(sport=port, dport=port) / Raw(body)))
    for f in fragment(datagram, 1480)[::-1]:
        dp.uplink.send_ip(f)
    assert bytes(dp.control.wait_punt()[1]) == body


@pytest.mark.parametrize("size", [1473, 3000, 9000, c.PUNT_MAX])
def test_large_ike_leaves_in_fragments(dp, tunnel, size):
    message, pieces = os.urandom(size), []
    dp.control.punt_tx(UPLINK_ADDRESS, 500, tunnel.remote, 500, message)
    while not pieces or sum(len(p.payload) for p in pieces) < total(pieces):
        frame = dp.uplink.take(peers.matcher(UPLINK_ADDRESS, tunnel.remote, socket.IPPROTO_UDP), "a piece of it")
        assert len(frame) <= 14 + harness.MTU
        pieces.append(IP(frame[14:14 + struct.unpack_from("!H", frame, 16)[0]]))
    assert bytes(whole(pieces)[UDP].payload) == message
    buffers_are_back(dp)


def test_fragments_of_strangers(dp):
    datagram = IP(bytes(IP(src="192.0.2.7", dst=UPLINK_ADDRESS) / UDP(sport=4500, dport=4500) / Raw(bytes(3000))))
    with dp.dropped("fragment", 3):
        for f in fragment(datagram, 1480):
            dp.uplink.send_ip(f)


def test_large_ping_to_the_cluster_port(dp):
    """It answers what fits a frame; nobody's fragments wait there."""
    datagram = IP(bytes(IP(src=CLIENT, dst=CLUSTER_ADDRESS) / ICMP(id=1, seq=1) / Raw(bytes(3000))))
    waiting = dp.count("fragments/waiting")
    with dp.dropped("fragment", 3):
        for f in fragment(datagram, 1480):
            dp.cluster.send_ip(f)
    assert dp.count("fragments/waiting") == waiting


# ---- quotas and time ----

def test_quota_and_timeout(dp, tunnel):
    """A flood of first fragments for one environment takes nothing from another; after 15 s all is as before."""
    quota, timeout = dp.count("drop/fragment-quota"), dp.count("drop/fragment-timeout")
    for number in range(80):
        dp.cluster.send_ip(fragment(datagram(bytes(100), 9, number=5000 + number), 64)[0])
    dp.wait_count("drop/fragment-quota", quota + 16)  # more, while datagrams that were refused are remembered
    staging = dp.tunnels["staging", "a"]
    staging.up()
    ask(dp, staging, next(peers.fresh_ports), os.urandom(4000))
    harness.wait_for(lambda: dp.count("drop/fragment-quota") + dp.count("drop/fragment-timeout") == quota + timeout + 80,
                     lambda: f"80 fragments dropped: {dp.drops()}", 25)
    buffers_are_back(dp)
    ask(dp, tunnel, next(peers.fresh_ports), os.urandom(4000))
