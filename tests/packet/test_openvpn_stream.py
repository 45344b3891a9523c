# SPDX-License-Identifier: GPL-2.0-or-later
"""OpenVPN over TCP: packets of the data channel go to the control plane and come from it, in place of the uplink."""
import os

import pytest
from scapy.layers.inet import IP, UDP
from scapy.packet import Raw

import contract as c
import openvpn
from harness import UPLINK_ADDRESS
from openvpn import PORT, Flow

STREAM_PORT = 50123  # the TCP connection's


class Key(openvpn.Key):
    def message(self, direction):
        add = super().message(direction)
        add.flags |= c.SA_STREAM
        if direction == c.OUT:
            add.local_port_be = c.port_be(STREAM_PORT)
        return add


class Tunnel(openvpn.Tunnel):
    """Its server is at the other end of a TCP connection, which the test has as the control plane."""

    key_kind = Key

    def take_payload(self, what="a packet in the tunnel", pair=None, timeout=5.0):
        punt, packet = self.control.wait_stream(timeout)
        while packet[:1] != (pair or self.pair).head[:1]:  # of a key before, still on its way
            punt, packet = self.control.wait_stream(timeout)
        assert punt.length == len(packet)
        assert (punt.source_be, c.port_number(punt.source_port_be)) == (c.ip_be(UPLINK_ADDRESS), STREAM_PORT)
        assert (punt.destination_be, c.port_number(punt.destination_port_be)) == (c.ip_be(self.remote), self.server_port)
        payload = (pair or self.pair).open(packet)
        return IP(src=UPLINK_ADDRESS, dst=self.remote, tos=payload[1] & 0xFC) / UDP() / Raw(packet), payload

    def stream(self, packet, source=None, source_port=None, port=PORT, destination=UPLINK_ADDRESS):
        punt = c.Punt(source_be=c.ip_be(source or self.remote), destination_be=c.ip_be(destination),
                      source_port_be=c.port_be(source_port or self.server_port), destination_port_be=c.port_be(port),
                      length=len(packet))
        self.control.send(c.message(c.STREAM_TX, bytes(punt) + packet))

    def send_payload(self, payload, pair=None, number=None, **where):
        packet = (pair or self.pair).seal(payload, number)
        self.stream(packet, **where)
        return packet


@pytest.fixture
def vpn(dp):
    """prod's active tunnel, over TCP for the time of a test."""
    ipsec = dp.tunnels["prod", "a"]
    ipsec.down()
    tunnel = Tunnel(dp, "prod", "a")
    tunnel.up()
    yield tunnel
    tunnel.down()
    ipsec.up()


@pytest.mark.parametrize("algorithm", [c.AES256_GCM16, c.AES256_CBC_SHA256_256], ids=["gcm", "cbc"])
@pytest.mark.parametrize("framing", [c.OPENVPN_FRAMING_NONE, c.OPENVPN_FRAMING_STUB], ids=["none", "stub"])
def test_both_ways(dp, vpn, framing, algorithm):
    key = vpn.up(algorithm=algorithm, framing=framing)
    with dp.nothing_dropped():
        flow = Flow(vpn).connect()
        for size in (0, 1, 100, key.inner_mtu - 40):
            flow.out("PA", os.urandom(size))
            flow.back("PA", os.urandom(size))


def test_the_uplink_sees_nothing(dp, vpn):
    flow = Flow(vpn).connect()
    dp.uplink.take_all()
    for _ in range(10):
        flow.out("PA", b"x" * 1000)
    assert not [frame for frame in dp.uplink.take_all() if frame[12:14] == b"\x08\x00"]


def test_a_server_that_fills_its_packets(dp, vpn):
    """With what TCP adds a packet may be larger than the uplink's MTU: there is none to keep to."""
    flow = Flow(vpn).connect()
    with dp.nothing_dropped():
        flow.back("A", os.urandom(1460))


def test_ping(dp, vpn):
    """Pings go the same way as everything else."""
    before = dp.count("openvpn/out-pings")
    vpn.up(ping_s=1)
    vpn.control.wait_stream()
    dp.wait_count("openvpn/out-pings", before + 1)


def test_what_is_not_the_servers(dp, vpn):
    """A packet has to name the tunnel's server and port, and to be of the data channel; then the key decides."""
    flow = Flow(vpn).connect()
    for where in ({"source": "198.51.100.77"}, {"source_port": vpn.server_port + 1}, {"port": PORT + 1},
                  {"destination": "203.0.113.77"}):
        with dp.dropped("openvpn-peer"):
            vpn.send(IP(bytes(flow.from_server("PA", b"x"))), **where)
    with dp.dropped("openvpn-peer"):
        vpn.stream(b"\x20" + os.urandom(50))
    forged = bytearray(vpn.pair.seal(bytes(flow.from_server("PA", b"x"))))
    forged[-1] ^= 1
    with dp.dropped("openvpn-icv"):
        vpn.stream(bytes(forged))
    flow.back("PA", b"the right one")


def test_another_server_is_tried(dp, vpn):
    """While a second login is made at another server, what comes from the first one is still taken."""
    flow = Flow(vpn).connect()
    dp.control.openvpn_peer_set(*vpn.id, "198.51.100.77", vpn.server_port, PORT)
    with dp.nothing_dropped():
        flow.out("PA", b"to the old one")
        flow.back("PA", b"from the old one")


def test_a_control_plane_that_does_not_read(dp, vpn):
    """What it does not take is dropped and counted; the connection and the tunnel go on."""
    flow = Flow(vpn).connect()
    before = dp.count("drop/openvpn-stream-full")
    sent = 0
    while dp.count("drop/openvpn-stream-full") == before:
        dp.cluster.send_ip(bytes(flow.from_client("A", b"x" * 1000)))
        sent += 1
        assert sent < 100000, "somewhere there is no bound"
    vpn.up(key_id=1)
    Flow(vpn).connect()
