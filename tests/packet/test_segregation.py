# SPDX-License-Identifier: GPL-2.0-or-later
"""
Three environments with the same customer network, the same targets and the same virtual IP: no packet of one becomes a packet
of another, and none can starve another.

The ports are AF_XDP: behind net_af_packet the kernel puts fragments together before the dataplane sees them. With two workers
and one queue, production and development live on the worker without a queue, staging on the other one.
"""
import itertools
import os
import socket

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.packet import Raw

import conftest
import contract as c
import harness
import peers
from harness import CLUSTER_ROUTER
from peers import FORWARD_PORT, INNER, NAME_SERVER, TARGET, TARGET_PORT, UDP_FORWARD_PORT, Flow, matcher
from test_icmp import error_about

PRODUCTION, STAGING, DEVELOPMENT = "production", "staging", "development"
NAMES = (PRODUCTION, STAGING, DEVELOPMENT)
POD = {PRODUCTION: "10.0.0.41", STAGING: "10.0.0.42", DEVELOPMENT: "10.0.0.43"}
CLIENT = {PRODUCTION: "10.0.1.5", STAGING: "10.0.2.5", DEVELOPMENT: "10.0.3.5"}
ON_LINK = "10.0.0.{}"  # the nodes' own network: development's, too
REMOTE = {PRODUCTION: "198.51.100.111", STAGING: "198.51.100.112", DEVELOPMENT: "198.51.100.113"}
PAIRS = list(itertools.permutations(NAMES, 2))
QUOTA = 20
SESSIONS = 2048


def environments(**changes):
    """CHANGES: of an environment, fields that differ."""
    made, servers, forwards = [], [], []
    for name in NAMES:
        environment = c.Environment(name=name.encode(), pod_address_be=c.ip_be(POD[name]), source_count=2, session_quota=10000,
                                    flags=c.ENVIRONMENT_UNPROBED)
        environment.sources[0] = c.prefix(CLIENT[name].rsplit(".", 1)[0] + ".0/24")
        environment.sources[1] = c.prefix("10.0.0.128/25" if name == DEVELOPMENT else ON_LINK.format(20 + NAMES.index(name)) + "/32")
        for field, value in changes.get(name, {}).items():
            setattr(environment, field, value)
        made.append(environment)
        servers.append(c.Server(id=c.tunnel_id(name, "a")))
        forwards.append(peers.forward(name, FORWARD_PORT, TARGET, TARGET_PORT))
        forwards.append(peers.forward(name, UDP_FORWARD_PORT, NAME_SERVER, 53, socket.IPPROTO_UDP))
    return made, servers, forwards


def commit(dataplane, **changes):
    dataplane.generation += 1
    dataplane.control.commit(dataplane.generation, *environments(**changes))


@pytest.fixture(scope="module", params=conftest.SHAPES)
def gateway(request, known_leaks):
    workers, _ = conftest.SHAPES[request.param]
    with conftest.running(request.param, driver="af_xdp", sessions=SESSIONS * workers) as dataplane:
        commit(dataplane)
        dataplane.tunnels = {n: peers.Tunnel(dataplane, n, "a", remote=REMOTE[n], pod=POD[n]) for n in NAMES}
        for name, tunnel in dataplane.tunnels.items():
            tunnel.up()
            connect(dataplane, name)
        yield dataplane


@pytest.fixture
def dp(gateway):
    gateway.begin_test()
    commit(gateway)
    for tunnel in gateway.tunnels.values():
        tunnel.up()
    gateway.uplink.flush()
    yield gateway
    gateway.check_alive()


def connect(dp, name, **how):
    return Flow(dp.tunnels[name], client=CLIENT[name], **how).connect()


def connect_apart(dp, one, other):
    """A connection of ONE whose inner port nobody of OTHER has towards that target."""
    while True:
        flow = connect(dp, one)
        if flow.inner_port not in {c.port_number(s.inner_port_be) for s in dp.control.sessions(other)}:
            return flow


class Datagrams:
    """A UDP session of an environment: asks and answers, of any size."""

    def __init__(self, dp, name):
        self.dp, self.name, self.tunnel = dp, name, dp.tunnels[name]
        self.port, self.inner_port = next(peers.fresh_ports), None
        self.identification = self.port  # its own: what other tests leave half waits for 15 s

    def query(self, payload=b"?", client=None):
        return IP(bytes(IP(src=client or CLIENT[self.name], dst=POD[self.name], id=self.identification) /
                        UDP(sport=self.port, dport=UDP_FORWARD_PORT) / Raw(payload)))

    def ask(self):
        self.dp.cluster.send_ip(self.query())
        self.inner = self.tunnel.take("the query")[1]
        self.inner_port = self.inner[UDP].sport
        return self

    def answer(self, payload):
        return IP(bytes(IP(src=NAME_SERVER, dst=INNER, id=self.identification) / UDP(sport=53, dport=self.inner_port) / Raw(payload)))

    def take_answer(self):
        wire = self.dp.cluster
        frame = wire.take(matcher(POD[self.name], CLIENT[self.name], socket.IPPROTO_UDP, UDP_FORWARD_PORT, self.port), "the answer")
        return bytes(peers.parse(wire, frame, CLUSTER_ROUTER)[UDP].payload)


def take_error(dp, client, about, kind=(3, 13)):
    """The ICMP error that tells CLIENT about its packet; the dataplane itself says so."""
    def is_it(frame):
        return matcher(None, client, socket.IPPROTO_ICMP)(frame) and frame[34:36] == bytes(kind)

    error = peers.parse(dp.cluster, dp.cluster.take(is_it, f"an ICMP error {kind}"), CLUSTER_ROUTER)
    assert bytes(error[ICMP])[8:36] == bytes(about)[:28]


class NothingPasses:
    """What is sent inside is dropped as REASON, and nothing of it leaves by either port but an answer to its sender.

    RESETS: a tunnel into which a RST goes, and nothing else.
    """

    def __init__(self, dp, reason, times=1, resets=None):
        self.dp, self.reason, self.times, self.resets = dp, reason, times, resets

    def __enter__(self):
        self.sent = {n: s.packets_out for n, s in self.dp.control.state().items()}
        self.came = {n: s.packets_in for n, s in self.dp.control.state().items()}
        self.dropped = self.dp.dropped(self.reason, self.times)
        self.dropped.__enter__()

    def __exit__(self, kind, value, trace):
        self.dropped.__exit__(kind, value, trace)
        if kind is None:
            state = self.dp.control.state()
            assert {n: s.packets_out for n, s in state.items()} == self.sent, "nothing went into a tunnel"
            assert {n: s.packets_in for n, s in state.items()} == self.came, "nothing came out of one"
            if self.resets:
                _, inner = self.resets.take("a RST to the sender")
                assert inner[TCP].flags == "R", inner.summary()
            assert not self.dp.uplink.take_all()


# ---- who calls another environment's address ----

@pytest.mark.parametrize("caller,called", PAIRS)
class TestForeignCaller:
    @pytest.fixture(autouse=True)
    def is_counted(self, dp, called):
        before = dp.control.state()
        yield
        after = dp.control.state()
        for name in NAMES:
            risen = after[name].refused_sources - before[name].refused_sources
            assert (risen > 0) == (name == called), name

    def test_tcp(self, dp, caller, called):
        flow = Flow(dp.tunnels[called], client=CLIENT[caller])
        packet = IP(bytes(flow.from_client("S")))
        with NothingPasses(dp, "source-refused"):
            dp.cluster.send_ip(packet)
            flow.take_reset(packet)
        assert c.ip_text(dp.control.state()[called].refused_source_be) == CLIENT[caller]

    def test_udp(self, dp, caller, called):
        query = Datagrams(dp, called).query(client=CLIENT[caller])
        with NothingPasses(dp, "source-refused"):
            dp.cluster.send_ip(query)
            take_error(dp, CLIENT[caller], query)

    def test_fragments(self, dp, caller, called):
        query = Datagrams(dp, called).query(os.urandom(2000), CLIENT[caller])
        with NothingPasses(dp, "source-refused"):
            for piece in fragment(query, 1200):
                dp.cluster.send_ip(piece)
            dp.cluster.take(matcher(None, CLIENT[caller], socket.IPPROTO_ICMP), "an ICMP error")

    def test_echo(self, dp, caller, called):
        ping = IP(bytes(IP(src=CLIENT[caller], dst=POD[called]) / ICMP() / Raw(b"ping")))
        with NothingPasses(dp, "source-refused"):
            dp.cluster.send_ip(ping)
            take_error(dp, CLIENT[caller], ping)

    def test_icmp_error_about_a_reply(self, dp, caller, called):
        """With every number of a reply that it cannot have seen."""
        flow = connect(dp, called)
        reply = flow.back("PA", b"reply")
        with NothingPasses(dp, "source-refused"):
            dp.cluster.send_ip(error_about(reply, CLIENT[caller]))
        flow.out("A")


# ---- what comes out of one tunnel with the numbers of another environment ----

@pytest.mark.parametrize("attacker,victim", PAIRS)
class TestForeignTunnel:
    def test_tcp(self, dp, attacker, victim):
        flow = connect_apart(dp, victim, attacker)
        for flags in ("A", "PA", "R", "SA", "F"):
            with NothingPasses(dp, "inner-no-session", resets=dp.tunnels[attacker] if "A" in flags else None):
                dp.tunnels[attacker].send(IP(bytes(flow.from_server(flags, b"" if flags in "RSA" else b"x"))))
        flow.back("PA", b"the right one")

    def test_udp(self, dp, attacker, victim):
        session = Datagrams(dp, victim).ask()
        with NothingPasses(dp, "inner-no-session"):
            dp.tunnels[attacker].send(session.answer(b"forged"))
        session.tunnel.send(session.answer(b"true"))
        assert session.take_answer() == b"true"

    def test_icmp_error(self, dp, attacker, victim):
        session = Datagrams(dp, victim).ask()
        for kind in ((3, 3), (3, 4), (11, 0)):
            with NothingPasses(dp, "no-session-quoted"):
                dp.tunnels[attacker].send(error_about(session.inner, NAME_SERVER, kind, mtu=1000))
        session.tunnel.send(error_about(session.inner, NAME_SERVER))
        dp.cluster.take(matcher(POD[victim], CLIENT[victim], socket.IPPROTO_ICMP), "the error through its own tunnel")

    def test_fragments_never_meet(self, dp, attacker, victim):
        """The same addresses and identification: one half in each tunnel is no datagram."""
        session = Datagrams(dp, victim).ask()
        pieces = {n: [IP(bytes(f)) for f in fragment(session.answer(n.encode()[:1] * 1400), 800)] for n in (attacker, victim)}
        waiting = dp.count("fragments/waiting")
        dp.tunnels[victim].send(pieces[victim][0])
        dp.tunnels[attacker].send(pieces[attacker][1])
        harness.wait_for(lambda: dp.count("fragments/waiting") == waiting + 2, "both wait")
        assert not dp.cluster.take_all()
        dp.tunnels[victim].send(pieces[victim][1])
        assert session.take_answer() == victim.encode()[:1] * 1400
        with dp.dropped("inner-no-session"):
            dp.tunnels[attacker].send(pieces[attacker][0])

    def test_fragments_of_another_ones_reply(self, dp, attacker, victim):
        session = Datagrams(dp, victim).ask()
        with NothingPasses(dp, "inner-no-session"):
            for piece in fragment(session.answer(b"f" * 2000), 1200):
                dp.tunnels[attacker].send(IP(bytes(piece)))

    def test_virtual_ip_that_changed_hands(self, dp, attacker, victim):
        """The victim has another one after a rekey; the attacker has the old one now, and answers to it."""
        flow, session = connect_apart(dp, victim, attacker), Datagrams(dp, victim).ask()
        old, tunnel = INNER, dp.tunnels[victim]
        try:
            tunnel.inner = "10.9.8.99"
            tunnel.up()
            for packet in (flow.from_server("PA", b"late"), session.answer(b"late")):
                packet = IP(bytes(packet))
                packet.dst = old
                del packet.chksum, packet[packet.payload.name].chksum
                with NothingPasses(dp, "inner-no-session", resets=dp.tunnels[attacker] if TCP in packet else None):
                    dp.tunnels[attacker].send(IP(bytes(packet)))
            fresh = connect(dp, victim)
            assert fresh.tunnel.inner == "10.9.8.99"
        finally:
            tunnel.inner = old
            tunnel.up()

    def test_spi(self, dp, attacker, victim):
        """The victim's SA, from the attacker's server."""
        flow = connect(dp, victim)
        outer = dp.tunnels[victim].pair.seal(IP(bytes(flow.from_server("PA", b"x"))))
        outer.src = REMOTE[attacker]
        del outer.chksum
        with NothingPasses(dp, "esp-peer"):
            dp.uplink.send_ip(IP(bytes(outer)))


def test_side_by_side(dp):
    """The same client port, inner address and target in all three, interleaved: each gets its own."""
    port = next(peers.fresh_ports)
    flows = {n: Flow(dp.tunnels[n], client=CLIENT[n], client_port=port) for n in NAMES}
    with dp.nothing_dropped():
        for flow in flows.values():
            flow.connect()
        for i in range(10):
            for name, flow in flows.items():
                flow.out("PA", b"%s %d" % (name.encode(), i))
            for name, flow in reversed(flows.items()):
                flow.back("PA", b"for %s %d" % (name.encode(), i))


def test_slot_of_another(dp):
    """An environment goes and another one comes, again and again, while packets of the first one are under way."""
    made, servers, forwards = environments()
    for i in range(6):
        flow = connect(dp, DEVELOPMENT)
        half = fragment(Datagrams(dp, DEVELOPMENT).query(os.urandom(2000)), 1200)[0]
        dp.cluster.send_ip(IP(bytes(half)))
        for _ in range(20):
            dp.cluster.send_ip(IP(bytes(flow.from_client("PA", b"under way"))))
        keep = [[x for x in list_ if (x.name if hasattr(x, "name") else x.id.environment if hasattr(x, "id") else x.environment)
                 != DEVELOPMENT.encode()] for list_ in (made, servers, forwards)]
        dp.generation += 1
        dp.control.commit(dp.generation, *keep)
        dp.tunnels[DEVELOPMENT].pair = None
        commit(dp)
        dp.tunnels[DEVELOPMENT].up()
        dp.uplink.flush()
        assert not dp.control.sessions(DEVELOPMENT)
        flow.refused("no-session", "PA", data=b"who are you")
    connect(dp, PRODUCTION)


# ---- nobody starves another ----

def knock(dp, name, port, client=None):
    """A SYN; nothing is waited for."""
    dp.cluster.send_ip(IP(bytes(IP(src=client or CLIENT[name], dst=POD[name]) /
                                TCP(sport=port, dport=FORWARD_PORT, flags="S", seq=port))))


def flood(dp, count, each=lambda i: None):
    ports = itertools.islice(itertools.cycle(range(1024, 65000)), count)
    for i, port in enumerate(ports):
        knock(dp, DEVELOPMENT, port, "10.0.3.%d" % (6 + i % 200))
        each(i)


def clear(dp):
    """No sessions of development's: it goes and comes."""
    made, servers, forwards = environments()
    dp.generation += 1
    dp.control.commit(dp.generation, [e for e in made if e.name != DEVELOPMENT.encode()],
                      [s for s in servers if s.id.environment != DEVELOPMENT.encode()],
                      [f for f in forwards if f.environment != DEVELOPMENT.encode()])
    dp.tunnels[DEVELOPMENT].pair = None


@pytest.mark.parametrize("quota", [QUOTA, 1000000], ids=["quota", "no-quota"])
def test_session_flood(dp, quota):
    """Ten times its quota, or more than the whole table: production's connections all succeed meanwhile."""
    clear(dp)
    commit(dp, development={"session_quota": quota})
    dp.tunnels[DEVELOPMENT].up()
    before = dp.control.state()
    reason = "session-quota" if quota == QUOTA else "session-table-full"
    count = 10 * QUOTA if quota == QUOTA else 2 * SESSIONS
    refused = dp.count(f"drop/{reason}")
    drops = dp.drops()

    def production(i):
        if i % (count // 50) == 0:
            dp.uplink.flush()
            connect(dp, PRODUCTION)

    flood(dp, count, production)
    harness.wait_for(lambda: dp.control.state()[DEVELOPMENT].sessions + dp.count(f"drop/{reason}") - refused >= count,
                     lambda: f"all were dealt with: {dp.control.state()[DEVELOPMENT]} {dp.drops()}")
    after = dp.control.state()
    assert after[PRODUCTION].refused_sessions == before[PRODUCTION].refused_sessions
    assert after[DEVELOPMENT].refused_sessions - before.get(DEVELOPMENT, after[STAGING]).refused_sessions > count // 3
    if quota == QUOTA:
        assert after[DEVELOPMENT].sessions == QUOTA
    else:
        assert after[DEVELOPMENT].sessions > SESSIONS // 2
    risen = {name for name, value in dp.drops().items() if value != drops.get(name, 0)}
    assert risen == {reason}
    flow = Flow(dp.tunnels[DEVELOPMENT], client=CLIENT[DEVELOPMENT])
    flow.refused(reason)  # a RST at once
    dp.uplink.flush()
    connect(dp, PRODUCTION)
    connect(dp, STAGING)
    clear(dp)


def test_port_quota(dp):
    """Two blocks of ports towards one target for development; another target, and production, have their own."""
    clear(dp)
    commit(dp, development={"port_quota": 512})
    dp.tunnels[DEVELOPMENT].up()
    flood(dp, 700)
    harness.wait_for(lambda: dp.control.state()[DEVELOPMENT].sessions == 512 and dp.control.state()[DEVELOPMENT].refused_ports >= 188,
                     lambda: f"512 ports, the others refused: {dp.control.state()[DEVELOPMENT]} {dp.drops()}")
    dp.uplink.flush()
    Flow(dp.tunnels[DEVELOPMENT], client=CLIENT[DEVELOPMENT]).refused("port-quota")
    dp.tunnels[DEVELOPMENT].up()
    Datagrams(dp, DEVELOPMENT).ask()
    connect(dp, PRODUCTION)
    assert not dp.control.state()[PRODUCTION].refused_ports
    clear(dp)


def test_rate(dp):
    """Development may send 64 kbit/s in each direction, and is told nothing of what it loses; production may send all."""
    clear(dp)
    commit(dp, development={"rate_bps": c.RATE_MIN})
    dp.tunnels[DEVELOPMENT].up()
    mine, other = Datagrams(dp, DEVELOPMENT).ask(), Datagrams(dp, PRODUCTION).ask()
    drops = dp.count("drop/rate")
    size, count = 1200, 200  # 240,000 bytes: a burst of 65,536, then 8,000 a second
    for _ in range(count):
        dp.cluster.send_ip(mine.query(bytes(size)))
    harness.wait_for(lambda: dp.count("drop/rate") - drops > count // 3, lambda: f"drops: {dp.drops()}")
    state = dp.control.state()[DEVELOPMENT]
    assert state.rate_dropped_out > count // 3 and state.rate_dropped_in == 0
    passed = state.packets_out
    assert passed * (size + 28) > 60000, "a burst passes"
    for _ in range(count):  # the other direction has its own
        mine.tunnel.send(mine.answer(bytes(size)))
    harness.wait_for(lambda: dp.control.state()[DEVELOPMENT].rate_dropped_in > count // 3, lambda: f"drops: {dp.drops()}")
    dp.cluster.flush()
    dp.uplink.flush()
    before = dp.count("drop/rate")
    for _ in range(count):
        other.tunnel.send(other.answer(bytes(size)))
        assert other.take_answer() == bytes(size)
    assert dp.count("drop/rate") == before
    state = dp.control.state()[PRODUCTION]
    assert state.rate_dropped_out == state.rate_dropped_in == 0
    clear(dp)


def test_answers_for_nobody(dp):
    """Development's callers have addresses on the nodes' network where nobody answers ARP: the answers wait. A new neighbour
    of production's is still asked for, and gets what is for it."""
    fresh = ON_LINK.format(20)  # a source of production's on the nodes' network
    full = dp.count("drop/nexthop-queue-full")
    for i in range(129, 254):
        for port in range(1024, 1027):
            dp.cluster.send_ip(IP(bytes(IP(src=ON_LINK.format(i), dst=POD[DEVELOPMENT]) / TCP(sport=port, dport=1, flags="S"))))
    dp.wait_count("drop/nexthop-queue-full", full + 1)
    dp.cluster.add_neighbour(fresh)
    dp.uplink.flush()
    Flow(dp.tunnels[PRODUCTION], client=fresh).connect()
