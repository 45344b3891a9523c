# SPDX-License-Identifier: GPL-2.0-or-later
"""
Last: 20,000 random and mutated frames from both sides, or as many as SALLYPORT_HOSTILE_FRAMES says (a million for each side takes
half an hour). Nothing crashes, no buffer is lost, every frame is accounted for, and the connections that were there go on.
"""
import os
import random

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

import contract as c
import harness
from harness import CLUSTER_ADDRESS, UPLINK_ADDRESS, mac_bytes
from peers import CLIENT, NEIGHBOUR, POD, SERVERS, Flow

FRAMES = int(os.environ.get("SALLYPORT_HOSTILE_FRAMES", "20000"))
BURST = 200


def cluster_seeds(flow):
    yield bytes(flow.from_client("S", options=[("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)), ("WScale", 7)]))
    yield bytes(flow.from_client("PA", b"data"))
    yield bytes(flow.from_client("R"))
    yield bytes(IP(src=NEIGHBOUR, dst=POD["staging"]) / TCP(sport=5, dport=33000, flags="S"))
    yield bytes(IP(src=CLIENT, dst=POD["dark"]) / UDP(sport=5, dport=53) / Raw(b"q" * 40))
    yield bytes(IP(src=CLIENT, dst=CLUSTER_ADDRESS) / ICMP() / Raw(b"p" * 20))
    yield bytes(IP(src=CLIENT, dst="192.0.2.1") / TCP(sport=5, dport=80, flags="S"))
    yield bytes(IP(src=CLIENT, dst=POD["prod"]) / ICMP(type=3, code=4) / flow.from_client("A"))


def uplink_seeds(flow):
    pair = flow.tunnel.pair
    yield bytes(pair.seal(IP(bytes(flow.from_server("PA", b"reply")))))
    yield bytes(pair.seal(IP(bytes(flow.from_server("SA")))))
    yield bytes(pair.outer(os.urandom(40)))
    yield bytes(pair.outer(os.urandom(60), udp=False))
    yield bytes(IP(src=SERVERS["prod", "a"], dst=UPLINK_ADDRESS) / UDP(sport=500, dport=500) / Raw(os.urandom(60)))
    yield bytes(IP(src=SERVERS["prod", "a"], dst=UPLINK_ADDRESS) / UDP(sport=4500, dport=4500) / Raw(bytes(60)))
    yield bytes(IP(src="203.0.113.1", dst=UPLINK_ADDRESS) / ICMP() / Raw(b"p" * 20))
    yield bytes(IP(src="203.0.113.1", dst=UPLINK_ADDRESS) / ICMP(type=3, code=4) / Raw(bytes(pair.outer(bytes(40)))))


def authentic(rng, flow):
    """Hostile inner packets under a valid ICV: a server that went bad, endless."""
    while True:
        inner = mutate(rng, bytes(flow.from_server(rng.choice(("A", "PA", "SA", "FA", "R")), b"inner")))
        if rng.random() < 0.2:
            trailer = rng.randbytes(rng.randrange(2, 9))
        else:
            pad = -(len(inner) + 2) % 4
            trailer = bytes(range(1, pad + 1)) + bytes([pad, 4])
        plain = inner + trailer
        yield bytes(flow.tunnel.pair.seal_plaintext(plain[:1400]))


def mutate(rng, packet):
    """The packet with some bytes changed, cut or lengthened; half of the time with a header checksum that is right again."""
    packet = bytearray(packet)
    for _ in range(rng.choice((0, 1, 1, 2, 4, 10))):
        packet[rng.randrange(len(packet))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    if rng.random() < 0.2:
        del packet[rng.randrange(len(packet)):]
    elif rng.random() < 0.1:
        packet += rng.randbytes(rng.randrange(1, 200))
    if len(packet) >= 20 and rng.random() < 0.7:
        packet[10:12] = b"\0\0"
        total = sum(int.from_bytes(packet[i:i + 2], "big") for i in range(0, 20, 2))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        packet[10:12] = (~total & 0xFFFF).to_bytes(2, "big")
    return bytes(packet)


def frames(rng, wire, seeds, more=None):
    """Endless hostile frames for one side; mostly with our MAC address, some not even IPv4."""
    head = mac_bytes(wire.dataplane_mac) + mac_bytes(wire.macs[wire.router])
    arp = bytes(Ether(src=wire.macs[wire.router], dst="ff:ff:ff:ff:ff:ff") /
                ARP(op=1, hwsrc=wire.macs[wire.router], psrc=wire.router, pdst="10.0.0.2"))
    while True:
        kind = rng.random()
        if more and kind < 0.3:
            frame = head + b"\x08\x00" + next(more)
        elif kind < 0.85:
            frame = head + b"\x08\x00" + mutate(rng, rng.choice(seeds))
        elif kind < 0.90:
            frame = head + b"\x08\x00" + rng.randbytes(rng.randrange(100))
        elif kind < 0.95:
            frame = arp[:rng.randrange(14, 43)] if rng.random() < 0.5 else arp[:14] + mutate(rng, arp[14:])
        else:
            frame = rng.randbytes(rng.randrange(14, 200))
        if frame[12:14] != b"\x81\x00" and not is_fragment(frame):
            yield frame[:14 + harness.MTU]


def is_fragment(frame):
    """The kernel keeps fragments until they are whole (PACKET_FANOUT_FLAG_DEFRAG of net_af_packet)."""
    return frame[12:14] == b"\x08\x00" and len(frame) >= 22 and int.from_bytes(frame[20:22], "big") & 0x3FFF


def received(dp):
    return sum(dp.count(f"port/{side}/rx-packets") for side in ("uplink", "cluster"))


def accounted(dp):
    """Frames in and made, minus frames out, dropped, joined and taken by the control thread: what is held, on its way, or lost."""
    count, control = dp.count, dp.stats.header.workers - 1
    answers = count("answers/rst") + count("answers/icmp")  # counted as a drop and as sent
    made = answers + count("ike/out-datagrams") + count("esp/out-keepalives") + count("failover/probes-sent")
    made += count("openvpn/out-pings") + count("openvpn/in-stream")
    made += sum(dp.uplink.arp_seen.values()) + sum(dp.cluster.arp_seen.values())
    sent = sum(count(f"port/{side}/tx-packets") for side in ("uplink", "cluster"))
    taken = count("ike/in-datagrams") + count("arp/in-packets") + count("failover/probe-packets-in")
    taken += count("openvpn/in-control") + count("openvpn/out-stream")
    taken += count("drop/pmtu-accepted") + count("drop/pmtu-refused")  # by the control thread alone
    # what the control thread drops was taken by it before, or is the control plane's and was never received
    dropped = sum(value - dp.stats.worker(f"drop/{reason}", control) for reason, value in dp.drops().items())
    return received(dp) + made - sent - dropped - taken - dp.joined


@pytest.fixture
def hostile_seed():
    return int(os.environ.get("SALLYPORT_SEED", random.randrange(1 << 32)))


def test_hostile(dp, tunnel, hostile_seed):
    print(f"SALLYPORT_SEED={hostile_seed} repeats this")
    rng = random.Random(hostile_seed)
    dp.connect()  # IKE is taken off its hands below
    survivor, victim = Flow(tunnel).connect(), Flow(tunnel).connect()
    harness.wait_for(lambda: accounted(dp) == 0, lambda: f"{accounted(dp)} frames of the suite are not accounted for", 10)
    harness.wait_for(lambda: dp.count("mbufs-free") == dp.mbufs, lambda: f"{dp.mbufs - dp.count('mbufs-free')} buffers lost", 10)
    start = received(dp)
    streams = {dp.cluster: frames(rng, dp.cluster, list(cluster_seeds(victim))),
               dp.uplink: frames(rng, dp.uplink, list(uplink_seeds(victim)), authentic(rng, victim))}
    for done in range(0, FRAMES, BURST):
        for _ in range(BURST):
            wire = rng.choice(list(streams))
            wire.send(next(streams[wire]))
        # never more in flight than the ring between kernel and dataplane holds, so that all count
        harness.wait_for(lambda: received(dp) - start >= done + BURST, lambda: f"{done + BURST} received, {received(dp) - start}")
        dp.control.discard()
        dp.check_alive()
    harness.wait_for(lambda: accounted(dp) == 0, lambda: f"{accounted(dp)} frames not accounted for; {dp.drops()}", 30)
    harness.wait_for(lambda: dp.count("mbufs-free") == dp.mbufs, lambda: f"{dp.mbufs - dp.count('mbufs-free')} buffers lost", 30)
    dp.uplink.flush()
    dp.cluster.flush()
    tunnel.pair.sequence_out = dp.control.sa_query(tunnel.pair.spi_out, tunnel.remote, c.OUT).sequence
    survivor.out("PA", b"still here")
    survivor.back("PA", b"still here")
    assert tunnel.pair.sequence_out > 200 and dp.count("esp/in-packets") > 1000, "enough of it came far"
