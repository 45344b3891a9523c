# SPDX-License-Identifier: GPL-2.0-or-later
"""
Ports that are not af_packet on both sides, and cores that poll: each carries a connection, or, between two dataplanes, ARP.

A PCI device is not among them: no machine of the tests has one to give away.
"""
import os
import signal
import socket

import pytest
from scapy.layers.inet import ICMP, IP, TCP

import contract as c
import harness
import peers

DATA = bytes(range(256)) * 4


def start(dataplane, **changes):
    """Configured, with prod's active tunnel up; changes are fields of NODE, those of ports as {"uplink": {...}}."""
    node = dataplane.node()
    for name, value in changes.items():
        if isinstance(value, dict):
            for field, inner in value.items():
                setattr(getattr(node, name), field, inner)
        else:
            setattr(node, name, value)
    dataplane.connect()
    dataplane.control.node(node)
    dataplane.open_stats()
    dataplane.cluster.add_neighbour(peers.NEIGHBOUR)
    dataplane.generation = 1
    dataplane.control.commit(1, *peers.configuration())
    tunnel = peers.Tunnel(dataplane, "prod", "a")
    tunnel.up()
    return tunnel


def carries_a_connection(tunnel):
    flow = peers.Flow(tunnel).connect()
    flow.out("PA", DATA)
    flow.back("PA", DATA[::-1])


def test_af_xdp():
    with harness.Dataplane(start=False) as dataplane:
        devices = {"uplink": {"device": b"af_xdp:up0"}, "cluster": {"device": b"af_xdp:cl0"}}
        carries_a_connection(start(dataplane, **devices))


def test_af_xdp_uses_all_buffers():
    """
    Whatever buffer of the pool a frame is in, the kernel takes it. Most buffers wait in receive rings; what the second worker
    says of its own comes from the pool's far end.
    """
    with harness.Dataplane(workers=2, queues=1, start=False) as dataplane:
        dataplane.mbufs = 6000  # two thirds of it lie in receive rings
        tunnel = start(dataplane, uplink={"device": b"af_xdp:up0"}, cluster={"device": b"af_xdp:cl0"})
        before = harness.wait_for(lambda: dataplane.count("mbufs-free"), "the first count of buffers")
        for _ in range(100):
            peers.Flow(tunnel, forward_port=1).refused("no-forward")
        carries_a_connection(tunnel)
        harness.wait_for(lambda: dataplane.count("mbufs-free") >= before - 64, "the buffers come back")


def test_frames_without_room():
    """What a port loses while nobody takes from it is counted there, to the last frame, apart from what the dataplane drops."""
    frames = 10000
    with harness.Dataplane(start=False) as dataplane:
        tunnel = start(dataplane, uplink={"device": b"af_xdp:up0"}, cluster={"device": b"af_xdp:cl0"})
        carries_a_connection(tunnel)
        frame = (harness.mac_bytes(dataplane.cluster.dataplane_mac)
                 + harness.mac_bytes(dataplane.cluster.macs[peers.NEIGHBOUR]) + b"\x90\0").ljust(60, b"\0")
        dataplane.process.send_signal(signal.SIGSTOP)
        try:
            for _ in range(frames):
                dataplane.cluster.socket.send(frame)
        finally:
            dataplane.process.send_signal(signal.SIGCONT)
        harness.wait_for(lambda: dataplane.count("drop/ethertype") + dataplane.count("port/cluster/rx-missed") == frames,
                         lambda: f"{frames} frames: {dataplane.stats.all()}", 10)
        assert dataplane.count("port/cluster/rx-missed") > 0
        carries_a_connection(tunnel)


def test_tap():
    """vdev: names a driver by itself; the other side of the TAP is an interface of the namespace."""
    with harness.Dataplane(start=False) as dataplane:
        start(dataplane, uplink={"device": b"vdev:net_tap0,iface=sptap0"})
        harness.wait_for(lambda: dataplane.count("port/uplink/tx-packets"), "ARP requests on the TAP")


@pytest.mark.parametrize("idle", [c.IDLE_POLL, c.IDLE_ADAPTIVE], ids=["poll", "adaptive"])
def test_idle(idle):
    with harness.Dataplane(start=False) as dataplane:
        carries_a_connection(start(dataplane, idle=idle))


def test_more_polling_workers_than_cpus():
    with harness.Dataplane(start=False) as dataplane:
        node = dataplane.node(idle=c.IDLE_POLL, workers=64)
        dataplane.connect()
        with pytest.raises(c.ContractError, match="want a CPU each"):
            dataplane.control.node(node)


def free_hugepages():
    try:
        with open("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", encoding="ascii") as file:
            pages = int(file.read())
    except OSError:
        return 0
    with open("/proc/mounts", encoding="ascii") as mounts:
        return pages if " hugetlbfs " in mounts.read() else 0


def test_hugepages():
    """With pages for it the dataplane runs on them; without, hugepages = "on" is refused in words."""
    with harness.Dataplane(start=False) as dataplane:
        memory = 200
        if free_hugepages() * 2 >= memory:
            carries_a_connection(start(dataplane, hugepages=c.HUGEPAGES_ON, memory_mb=memory))
            assert "memory=hugepages" in dataplane.log()
        else:
            dataplane.connect()
            with pytest.raises(c.ContractError, match="free 2 MB pages"):
                dataplane.control.node(dataplane.node(hugepages=c.HUGEPAGES_ON, memory_mb=memory))


def test_memif():
    """
    Two gateways whose uplinks are the two ends of one memif: each resolves the other by ARP.
    """
    with harness.Dataplane(start=False) as one, harness.Dataplane(start=False) as other:
        path = os.path.join(one.directory, "memif.sock")
        ends = ((one, f"memif:{path},role=server", "203.0.113.10", "203.0.113.20"),
                (other, f"memif:{path}", "203.0.113.20", "203.0.113.10"))
        for dataplane, device, address, peer in ends:
            node = dataplane.node()
            node.uplink.device = device.encode()
            node.uplink.address_be, node.uplink.router_be = c.ip_be(address), c.ip_be(peer)
            dataplane.connect()
            dataplane.control.node(node)
            dataplane.open_stats()
        for dataplane, *_ in ends:
            harness.wait_for(lambda d=dataplane: d.count("answers/arp") and d.count("arp/in-packets"), "ARP over memif", 20)


def test_jumbo_cluster():
    """The cluster runs MTU 8896, the Internet 1500: what is too big for the tunnel is told, what fits goes through."""
    with harness.Dataplane(start=False) as dataplane:
        for end in ("cl0", "cl1"):
            harness.run("ip", "-n", dataplane.namespace.name, "link", "set", end, "mtu", "8896")
        tunnel = start(dataplane, cluster={"mtu": 8896})
        flow = peers.Flow(tunnel)
        flow.out("S", options=[("MSS", 8856)])
        flow.back("SA", options=[("MSS", 1460)])
        flow.out("A")
        flow.out("PA", bytes(1300))
        big = IP(bytes(flow.from_client("PA", bytes(8000))))
        with dataplane.dropped("too-big"):
            dataplane.cluster.send_ip(big, flow.via)
            error = dataplane.cluster.take(lambda frame: frame[12:14] == b"\x08\x00" and frame[23] == 1, "an ICMP error")
        answer = IP(error[14:])
        assert (answer.payload.type, answer.payload.code) == (3, 4)
        assert len(IP(bytes(flow.from_client("PA", b"")))) + 1300 < answer.payload.nexthopmtu < 1500
        quoted = IP(bytes(answer.payload.payload))
        assert bytes(quoted)[:40] == bytes(big)[:40]


def test_addresses_without_a_subnet():
    """Both ports have a /32 as clouds give it: everything goes through the routers, which are in no subnet of ours."""
    router = "169.254.1.1"
    with harness.Dataplane(start=False) as dataplane:
        for wire in (dataplane.cluster, dataplane.uplink):
            wire.add_neighbour(router)
            wire.macs = {router: wire.macs[router]}
        dataplane.connect()
        node = dataplane.node()
        for port in (node.cluster, node.uplink):
            port.prefix_length, port.router_be = 32, c.ip_be(router)
        dataplane.control.node(node)
        dataplane.open_stats()
        dataplane.control.commit(1, *peers.configuration())
        tunnel = peers.Tunnel(dataplane, "prod", "a")
        tunnel.up()
        neighbour = peers.NEIGHBOUR  # of our own /24, if we had one
        request = IP(bytes(IP(src=neighbour, dst=peers.POD["prod"]) / ICMP(id=1, seq=1) / b"ping"))
        dataplane.cluster.send_ip(request, router)
        reply = dataplane.cluster.take(peers.matcher(peers.POD["prod"], neighbour, socket.IPPROTO_ICMP), "an echo reply")
        assert reply[:6] == harness.mac_bytes(dataplane.cluster.macs[router])
        syn = IP(bytes(IP(src=neighbour, dst=peers.POD["prod"]) / TCP(sport=4000, dport=peers.FORWARD_PORT, flags="S")))
        dataplane.cluster.send_ip(syn, router)
        sealed = dataplane.uplink.take(tunnel.pair.is_mine, "the SYN in the tunnel")
        assert sealed[:6] == harness.mac_bytes(dataplane.uplink.macs[router])
        assert set(dataplane.cluster.arp_seen) == set(dataplane.uplink.arp_seen) == {router}
