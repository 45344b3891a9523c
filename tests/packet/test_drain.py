# SPDX-License-Identifier: GPL-2.0-or-later
"""An environment that is drained: who is new is refused and told, who is there goes on, and what is over is counted as over."""
import socket

import pytest
from scapy.layers.inet import IP, UDP
from scapy.packet import Raw

import contract as c
import peers
from peers import CLIENT, INNER, NAME_SERVER, POD, UDP_FORWARD_PORT, Flow, fresh_ports, matcher
from test_segregation import take_error


def commit(dp, drained=()):
    environments, servers, forwards = peers.configuration()
    for environment in environments:
        if environment.name.decode() in drained:
            environment.flags |= c.ENVIRONMENT_DRAINING
    dp.generation += 1
    dp.control.commit(dp.generation, environments, servers, forwards)


@pytest.fixture
def drain(dp, tunnel):
    """Drains prod when it is called; afterwards nobody is."""
    yield lambda: commit(dp, ["prod"])
    commit(dp)


def question(port):
    return IP(bytes(IP(src=CLIENT, dst=POD["prod"]) / UDP(sport=port, dport=UDP_FORWARD_PORT) / Raw(b"?")))


def counts(dp, name="prod"):
    """(sessions, those of them that are over)"""
    state = dp.control.state()[name]
    return state.sessions, state.sessions_closed


def test_new_connections_are_refused(dp, tunnel, drain):
    drain()
    before = counts(dp)
    Flow(tunnel).refused("draining")
    Flow(tunnel, client=peers.NEIGHBOUR).refused("draining")
    Flow(tunnel, forward_port=33001, target=("192.168.100.31", 22)).refused("draining")
    query = question(next(fresh_ports))
    with dp.dropped("draining"):
        dp.cluster.send_ip(query)
        take_error(dp, CLIENT, query, kind=(3, 0))
    assert counts(dp) == before
    commit(dp)
    Flow(tunnel).connect()


def test_old_ones_go_on(dp, tunnel, drain):
    """Established, half closed, just begun, UDP: all to their ends, and nothing is dropped."""
    flow, half_closed, begun = Flow(tunnel).connect(), Flow(tunnel).connect(), Flow(tunnel)
    half_closed.out("FA")
    begun.out("S")
    port = next(fresh_ports)
    dp.cluster.send_ip(question(port))
    inner_port = tunnel.take("the question")[1][UDP].sport
    drain()
    with dp.nothing_dropped():
        flow.out("PA", b"x")
        flow.back("PA", b"y")
        half_closed.back("PA", b"last words")
        half_closed.out("A")
        half_closed.back("FA")
        half_closed.out("A")
        begun.back("SA")
        begun.out("A")
        begun.out("PA", b"z")
        tunnel.send(IP(bytes(IP(src=NAME_SERVER, dst=INNER) / UDP(sport=53, dport=inner_port) / Raw(b"!"))))
        dp.cluster.take(matcher(POD["prod"], CLIENT, socket.IPPROTO_UDP, UDP_FORWARD_PORT, port), "the answer")
        dp.cluster.send_ip(question(port))
        assert tunnel.take("the next question")[1][UDP].sport == inner_port
    flow.out("FA")
    flow.back("FA")
    flow.out("A")
    # its port and the client's may not open anything new: not the same connection, nor another one
    for over in (flow, half_closed):
        over.client_next = (over.client_next + 1000000) & 0xffffffff
        over.refused("draining")


def test_what_is_over_is_counted(dp, tunnel, drain):
    """An operator waits for the open ones only."""
    sessions, closed = counts(dp)
    flows = [Flow(tunnel).connect() for _ in range(3)]
    assert counts(dp) == (sessions + 3, closed)
    drain()
    flows[0].back("R")
    assert counts(dp) == (sessions + 3, closed + 1)
    flows[1].back("FA")
    flows[1].out("FA")
    assert counts(dp) == (sessions + 3, closed + 1), "a half of it is open"
    flows[1].back("A")
    assert counts(dp) == (sessions + 3, closed + 2)
    flows[2].out("PA", b"x")
    assert counts(dp) == (sessions + 3, closed + 2)


def test_others_do_not_notice(dp, tunnel, drain):
    other = dp.tunnels["staging", "a"]
    other.up()
    drain()
    with dp.nothing_dropped():
        Flow(other).connect().out("PA", b"x")
