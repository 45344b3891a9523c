# SPDX-License-Identifier: GPL-2.0-or-later
"""
Last: 20,000 random and mutated frames from both sides. Nothing crashes, no buffer is lost, every frame is accounted for, and the
connections that were there go on.
"""
import os
import random

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

import harness
import peers
from harness import CLUSTER_ADDRESS, UPLINK_ADDRESS, mac_bytes
from peers import CLIENT, NEIGHBOUR, POD, SERVERS, Flow

FRAMES = 20000
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


def frames(rng, wire, seeds):
    """Endless hostile frames for one side; mostly with our MAC address, some not even IPv4."""
    head = mac_bytes(wire.dataplane_mac) + mac_bytes(wire.macs[wire.router])
    arp = bytes(Ether(src=wire.macs[wire.router], dst="ff:ff:ff:ff:ff:ff") /
                ARP(op=1, hwsrc=wire.macs[wire.router], psrc=wire.router, pdst="10.0.0.2"))
    while True:
        kind = rng.random()
        if kind < 0.85:
            frame = head + b"\x08\x00" + mutate(rng, rng.choice(seeds))
        elif kind < 0.90:
            frame = head + b"\x08\x00" + rng.randbytes(rng.randrange(100))
        elif kind < 0.95:
            frame = arp[:rng.randrange(14, 43)] if rng.random() < 0.5 else arp[:14] + mutate(rng, arp[14:])
        else:
            frame = rng.randbytes(rng.randrange(14, 200))
        if frame[12:14] != b"\x81\x00":  # the kernel takes tags apart before we see the frame
            yield frame[:14 + harness.MTU]


def received(dp):
    return sum(dp.count(f"port/{side}/rx-packets") for side in ("uplink", "cluster"))


def accounted(dp):
    """Frames in minus frames out minus drops: what is held, waits for somebody, or is lost."""
    count = dp.count
    answers = count("answers/rst") + count("answers/icmp")  # counted as a drop and as sent
    sent = sum(count(f"port/{side}/tx-packets") for side in ("uplink", "cluster"))
    arp_requests = sum(dp.uplink.arp_seen.values()) + sum(dp.cluster.arp_seen.values())  # sent, but not received before
    return received(dp) + answers + arp_requests + count("ike/out-datagrams") - sent - sum(dp.drops().values()) - \
        count("ike/in-datagrams") - arp_taken(dp)


def arp_taken(dp):
    return dp.count("arp/in-packets")


@pytest.fixture
def hostile_seed():
    return int(os.environ.get("SALLYPORT_SEED", random.randrange(1 << 32)))


def test_hostile(dp, tunnel, hostile_seed):
    print(f"SALLYPORT_SEED={hostile_seed} repeats this")
    rng = random.Random(hostile_seed)
    dp.connect()  # IKE is taken off its hands below
    flow = Flow(tunnel).connect()
    harness.wait_for(lambda: accounted(dp) == 0, lambda: f"every packet of the suite accounted for: {accounted(dp)} are not")
    free = dp.count("mbufs-free")
    start = received(dp)
    seeds = {dp.cluster: list(cluster_seeds(flow)), dp.uplink: list(uplink_seeds(flow))}
    streams = {wire: frames(rng, wire, seeds[wire]) for wire in seeds}
    for done in range(0, FRAMES, BURST):
        for _ in range(BURST):
            wire = rng.choice((dp.cluster, dp.uplink))
            wire.send(next(streams[wire]))
        # never more in flight than the ring between kernel and dataplane holds, so that all count
        harness.wait_for(lambda: received(dp) - start >= done + BURST, lambda: f"{done + BURST} received, {received(dp) - start}")
        while dp.control.punts or punt_ready(dp.control):
            dp.control.wait_punt()
            dp.control.punts.clear()
        dp.check_alive()
    harness.wait_for(lambda: accounted(dp) == 0, lambda: f"{accounted(dp)} frames not accounted for; {dp.drops()}", 30)
    harness.wait_for(lambda: dp.count("mbufs-free") == free, lambda: f"{free - dp.count('mbufs-free')} buffers lost", 30)
    flow.out("PA", b"still here")
    flow.back("PA", b"still here")


def punt_ready(control):
    import select
    return bool(select.select([control.socket], [], [], 0)[0])


def test_no_buffer_lost_in_the_whole_suite(dp):
    """mbufs-free, after everything: what was free when the dataplane had just started is free again."""
    harness.wait_for(lambda: dp.count("mbufs-free") == dp.free_at_start,
                     lambda: f"{dp.free_at_start - dp.count('mbufs-free')} buffers lost", 30)
