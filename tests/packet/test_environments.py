# SPDX-License-Identifier: GPL-2.0-or-later
"""Two environments with the same customer subnet, the same virtual IP and the same clients never meet."""
import pytest
from scapy.layers.inet import IP, TCP

import contract as c
import peers
from peers import Flow, fresh_ports


@pytest.fixture
def other(dp):
    tunnel = dp.tunnels["staging", "a"]
    tunnel.up()
    return tunnel


def test_side_by_side(dp, tunnel, other):
    """The same client port to both at once, to targets with the same address."""
    port = next(fresh_ports)
    one, two = Flow(tunnel, client_port=port), Flow(other, client_port=port)
    with dp.nothing_dropped():
        one.connect()
        two.connect()
        for i in range(20):
            one.out("PA", b"production %d" % i)
            two.out("PA", b"staging %d" % i)
            two.back("PA", b"for staging %d" % i)
            one.back("PA", b"for production %d" % i)
    assert (one.session().inner_be, one.session().target_be) == (two.session().inner_be, two.session().target_be)


def flow_with_a_port_the_other_does_not_use(tunnel, other):
    while True:
        flow = Flow(tunnel).connect()
        used = {c.port_number(s.inner_port_be) for s in tunnel.control.sessions(other.id[0])}
        if flow.inner_port not in used:
            return flow


def test_a_reply_through_the_other_tunnel(dp, tunnel, other):
    """Genuine ESP of staging's server with the addresses and ports of production's session."""
    flow = flow_with_a_port_the_other_does_not_use(tunnel, other)
    with dp.dropped("inner-no-session"):
        other.send(IP(bytes(flow.from_server("PA", b"from the wrong side"))))
    flow.back("PA", b"the right one")


def test_equal_sessions_get_their_own_replies(dp, tunnel, other):
    """Even with equal inner ports a reply goes to the environment of its tunnel."""
    flows = {}
    for _ in range(3000):
        for t in (tunnel, other):
            flow = Flow(t)
            flow.out("S")
            flows[t.id[0], flow.inner_port] = flow
            twin = flows.get(("staging" if t is tunnel else "prod", flow.inner_port))
            if twin:
                for one in (flow, twin):
                    one.back("SA")
                    one.out("A")
                    one.back("PA", b"for %s" % one.pod.encode())
                return
            flow.out("R", ack=0)
    pytest.fail("no two equal inner ports in 6000 connections")


def test_spi_of_the_other_environment(dp, tunnel, other):
    """Staging's server with production's SPI: it is not production's peer."""
    flow = Flow(tunnel).connect()
    outer = IP(bytes(tunnel.pair.seal(IP(bytes(flow.from_server("PA", b"x"))))))
    outer.src = other.remote
    del outer.chksum
    with dp.dropped("esp-peer"):
        dp.uplink.send_ip(outer)


def test_to_a_pod_address_through_the_tunnel(dp, tunnel):
    """A server may not reach into the cluster or to another environment's address."""
    flow = Flow(tunnel).connect()
    for destination in (*peers.POD.values(), peers.CLIENT, "10.0.0.2", "203.0.113.10"):
        inner = IP(bytes(flow.from_server("S")))
        inner.dst = destination
        del inner.chksum, inner[TCP].chksum
        with dp.dropped("inner-no-session"):
            tunnel.send(IP(bytes(inner)))


def test_counts_are_apart(dp, tunnel, other):
    flow = Flow(other).connect()
    before = dp.control.state()
    flow.out("PA", b"x")
    flow.back("PA", b"y")
    after = dp.control.state()
    assert after["staging"].packets_out == before["staging"].packets_out + 1
    assert after["staging"].packets_in == before["staging"].packets_in + 1
    for field in ("packets_out", "packets_in", "bytes_out", "bytes_in", "sessions"):
        assert getattr(after["prod"], field) == getattr(before["prod"], field)


def test_session_lists_are_apart(dp, tunnel, other):
    one, two = Flow(tunnel).connect(), Flow(other).connect()
    assert one.session() and two.session()
    for environment in ("prod", "staging"):
        assert {s.tunnel.environment for s in dp.control.sessions(environment)} == {environment.encode()}
    both = {s.tunnel.environment for s in dp.control.sessions()}
    assert {b"prod", b"staging"} <= both


def test_one_tunnel_down_leaves_the_other(dp, tunnel, other):
    one = Flow(tunnel).connect()
    other.down()
    Flow(other).refused("no-tunnel")
    one.out("PA", b"x")
    one.back("PA", b"y")
    other.up()
    Flow(other).connect()
