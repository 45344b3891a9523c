# SPDX-License-Identifier: GPL-2.0-or-later
"""UDP through a forward."""
import os
import socket

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.packet import Raw

import contract as c
import harness
import peers
from peers import CLIENT, NAME_SERVER, POD, UDP_FORWARD_PORT, matcher
from test_link import take_icmp_error


def query(port, payload, **udp):
    return IP(bytes(IP(src=CLIENT, dst=POD["prod"], flags="DF", id=3) / UDP(sport=port, dport=UDP_FORWARD_PORT, **udp) /
                    Raw(payload)))


def ask(dp, tunnel, port, payload, **udp):
    """A datagram to the name server; returns it as it came out there."""
    packet = query(port, payload, **udp)
    dp.cluster.send_ip(packet)
    _, inner = tunnel.take("the query")
    assert (inner.src, inner.dst, inner[UDP].dport) == (tunnel.inner, NAME_SERVER, 53)
    assert inner.ttl == packet.ttl - 1 and bytes(inner[UDP].payload) == payload
    return inner


def answer(dp, tunnel, port, inner_port, payload, **udp):
    tunnel.send(IP(bytes(IP(src=NAME_SERVER, dst=tunnel.inner) / UDP(sport=53, dport=inner_port, **udp) / Raw(payload))))
    frame = dp.cluster.take(matcher(POD["prod"], CLIENT, socket.IPPROTO_UDP, UDP_FORWARD_PORT, port), "the answer")
    got = peers.parse(dp.cluster, frame, harness.CLUSTER_ROUTER)
    assert bytes(got[UDP].payload) == payload
    return got


@pytest.mark.parametrize("size", [0, 1, 2, 33, 512, 1400])
def test_question_and_answer(dp, tunnel, size):
    port = next(peers.fresh_ports)
    with dp.nothing_dropped():
        inner_port = ask(dp, tunnel, port, os.urandom(size))[UDP].sport
        answer(dp, tunnel, port, inner_port, os.urandom(size))
        assert ask(dp, tunnel, port, b"again")[UDP].sport == inner_port


def test_session(dp, tunnel):
    port = next(peers.fresh_ports)
    ask(dp, tunnel, port, b"x")
    session = [s for s in dp.control.sessions("prod") if c.port_number(s.client_port_be) == port]
    assert [s.state for s in session] == [c.SESSION_UDP] and session[0].protocol == socket.IPPROTO_UDP


def test_no_checksum_stays_none(dp, tunnel):
    """RFC 768: zero means none, in both directions."""
    port = next(peers.fresh_ports)
    inner = ask(dp, tunnel, port, b"unchecked", chksum=0)
    assert inner[UDP].chksum == 0
    assert answer(dp, tunnel, port, inner[UDP].sport, b"unchecked", chksum=0)[UDP].chksum == 0


def test_checksums_of_many_values(dp, tunnel):
    """Among them those that come out as zero, which must travel as 0xffff."""
    port = next(peers.fresh_ports)
    inner_port = ask(dp, tunnel, port, b"x")[UDP].sport
    for i in range(100):
        assert ask(dp, tunnel, port, os.urandom(2))[UDP].chksum != 0
        assert answer(dp, tunnel, port, inner_port, os.urandom(2))[UDP].chksum != 0, i


def test_a_checksum_that_comes_out_as_zero(dp, tunnel):
    port = next(peers.fresh_ports)
    probe = ask(dp, tunnel, port, bytes(2))
    assert ask(dp, tunnel, port, probe[UDP].chksum.to_bytes(2, "big"))[UDP].chksum == 0xFFFF


def test_not_from_the_name_server(dp, tunnel):
    inner_port = ask(dp, tunnel, next(peers.fresh_ports), b"x")[UDP].sport
    with dp.dropped("inner-no-session"):
        tunnel.send(IP(bytes(IP(src="192.168.100.54", dst=tunnel.inner) / UDP(sport=53, dport=inner_port) / Raw(b"x"))))


def test_too_big(dp, tunnel):
    port = next(peers.fresh_ports)
    mtu = tunnel.pair.inner_mtu
    packet = query(port, os.urandom(mtu - 28 + 1))
    ask(dp, tunnel, port, os.urandom(mtu - 28))
    with dp.dropped("too-big"):
        dp.cluster.send_ip(packet)
        error = take_icmp_error(dp.cluster, packet)
    assert (error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu) == (3, 4, mtu)


def test_the_first_datagram_is_too_big(dp, tunnel):
    """Before there is a session to know the tunnel by."""
    packet = query(next(peers.fresh_ports), os.urandom(1472))
    with dp.dropped("too-big"):
        dp.cluster.send_ip(packet)
        error = take_icmp_error(dp.cluster, packet)
    assert error[ICMP].nexthopmtu == tunnel.pair.inner_mtu


def test_tunnel_down(dp, tunnel):
    tunnel.down()
    packet = query(next(peers.fresh_ports), b"x")
    with dp.dropped("no-tunnel"):
        dp.cluster.send_ip(packet)
        error = take_icmp_error(dp.cluster, packet)
    assert (error[ICMP].type, error[ICMP].code) == (3, 0)
    tunnel.up()
