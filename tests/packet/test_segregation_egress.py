# SPDX-License-Identifier: GPL-2.0-or-later
"""
Three environments on their way to the Internet, each with a static address of its own: no packet of one becomes a packet of
another. Every pair of them, every protocol, every way in: a single frame that leaves by a port, but for the answer to its
sender, fails the test.

With two workers and one queue, half of the remote addresses belong to the worker without a queue.
"""
import itertools
import struct
import time

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.packet import Raw

import conftest
import contract as c
import harness
import peers
import test_segregation as tunnels
from harness import CLUSTER_ROUTER, UPLINK_ROUTER
from peers import matcher
from test_egress import rule
from test_segregation import CLIENT, DEVELOPMENT, NAMES, PAIRS, POD, PRODUCTION, REMOTE

STATIC = {name: f"203.0.113.{41 + i}" for i, name in enumerate(NAMES)}
REMOTES = ["198.51.100.1", "198.51.100.2"]  # of both workers
MARK = b"<who sent this?>"
WHOLE = 2000  # bytes of a datagram that comes in fragments


def commit(dataplane, **changes):
    dataplane.generation += 1
    dataplane.control.commit(dataplane.generation, *tunnels.environments(**changes),
                             egress=[rule([STATIC[n]], [CLIENT[n].rsplit(".", 1)[0] + ".0/24"], n) for n in NAMES])


@pytest.fixture(scope="module", params=conftest.SHAPES)
def gateway(request, known_leaks):
    with conftest.running(request.param, driver="af_xdp") as dataplane:
        commit(dataplane)
        dataplane.tunnels = {n: peers.Tunnel(dataplane, n, "a", remote=REMOTE[n], pod=POD[n]) for n in NAMES}
        for name, tunnel in dataplane.tunnels.items():
            tunnel.up()
            tunnels.connect(dataplane, name)
            for remote in REMOTES:
                Echo(dataplane, name, remote)
        yield dataplane


@pytest.fixture
def dp(gateway):
    gateway.begin_test()
    yield gateway
    gateway.check_alive()


# ---- a session of each protocol: asked by a pod, answered by a host in the Internet ----

class Session:
    """An open session of an environment with a remote host; LEFT is the pod's packet as the Internet has it."""

    protocol = 0

    def __init__(self, dp, name, remote, port=None):
        self.dp, self.name, self.remote = dp, name, remote
        self.port = port or next(peers.fresh_ports)
        self.asked = self.ask(name.encode())
        dp.cluster.send_ip(self.asked)
        self.left = self.take(dp.uplink, matcher(None, remote, self.protocol), UPLINK_ROUTER)
        assert self.left.src == STATIC[name]

    def ask(self, data):
        return IP(bytes(IP(src=CLIENT[self.name], dst=self.remote, id=self.port) / self.question() / Raw(data)))

    def take(self, wire, match, to):
        return peers.parse(wire, wire.take(match, f"{type(self).__name__} of {self.name}"), to)

    def reply(self, data, to=None):
        """What the remote host answers, to another address on request."""
        return IP(bytes(IP(src=self.remote, dst=to or self.left.src, id=self.port) / self.answer() / Raw(data)))

    def packets(self, packet):
        """As they are on the wire."""
        return [packet]

    def is_answered(self):
        self.brings(self.reply(b"for " + self.name.encode()))

    def brings(self, reply):
        self.dp.uplink.send_ip(reply)
        got = self.take(self.dp.cluster, matcher(self.remote, CLIENT[self.name], self.protocol), CLUSTER_ROUTER)
        assert bytes(got).endswith(b"for " + self.name.encode())


class Datagram(Session):
    protocol = 17

    def question(self):
        return UDP(sport=self.port, dport=53)

    def answer(self):
        return UDP(sport=53, dport=self.left[UDP].sport)


class Fragments(Datagram):
    def packets(self, packet):
        return [IP(bytes(piece)) for piece in fragment(packet, 1200)]


class Segment(Session):
    protocol = 6

    def question(self):
        return TCP(sport=self.port, dport=80, flags="S", seq=self.port)

    def answer(self):
        return TCP(sport=80, dport=self.left[TCP].sport, flags="SA", seq=7, ack=self.port + 1 + len(self.name))


class Echo(Session):
    protocol = 1

    def question(self):
        return ICMP(type=8, id=self.port, seq=1)

    def answer(self):
        return ICMP(type=0, id=self.left[ICMP].id, seq=1)


class Error(Datagram):
    """A router's error about the datagram; of its own no session."""

    def reply(self, data, to=None):
        quoted = self.left.copy()
        quoted.src = to or quoted.src
        del quoted.chksum, quoted[UDP].chksum
        return IP(bytes(IP(src=self.remote, dst=quoted.src, id=9) / ICMP(type=3, code=3) / Raw(bytes(quoted) + data)))

    def is_answered(self):
        self.dp.uplink.send_ip(self.reply(b""))
        got = self.take(self.dp.cluster, matcher(self.remote, CLIENT[self.name], 1), CLUSTER_ROUTER)
        quoted = IP(bytes(got[ICMP].payload))
        assert (quoted.src, quoted.dst, quoted.id, quoted[UDP].sport) == (CLIENT[self.name], self.remote, self.port, self.port)


class Esp(Datagram):
    """ESP has no sessions: beside the datagram's, whose it is not."""

    def reply(self, data, to=None):
        return IP(bytes(IP(src=self.remote, dst=to or self.left.src, proto=50) / Raw(struct.pack("!II", self.port << 8, 1) + data)))

    def is_answered(self):
        self.brings(super().reply(b"for " + self.name.encode()))


PROTOCOLS = [Segment, Datagram, Echo, Error, Fragments, Esp]


@pytest.fixture(params=PROTOCOLS, ids=[p.__name__.lower() for p in PROTOCOLS])
def protocol(request):
    return request.param


# Why it is dropped: a pod's call to another static address, an answer to another one's, an answer out of a tunnel; and how often
# where that is not once.
REFUSED = {Segment: ("egress-destination", "egress-unsolicited", "inner-no-session"),
           Datagram: ("egress-destination", "egress-unsolicited", "inner-no-session"),
           Echo: ("not-for-us", "egress-unsolicited", "no-session-quoted"),
           Error: ("not-for-us", "no-session-quoted", "no-session-quoted"),
           Fragments: ("egress-destination", "egress-unsolicited", "inner-no-session"),
           Esp: ("egress-destination", "egress-protocol", "inner-no-session")}
CALL, ANSWER, INSIDE = range(3)
TIMES = {(Fragments, CALL): 2}  # nobody puts together what nobody may send


class NothingCrosses:
    """What is sent inside is dropped, for the reason that the table has, and nothing leaves by a port but the answer to SENDER."""

    def __init__(self, dp, protocol, way, sender=None):
        self.dp, self.sender = dp, sender
        self.dropped = dp.dropped(REFUSED[protocol][way], TIMES.get((protocol, way), 1))

    def __enter__(self):
        for wire in (self.dp.uplink, self.dp.cluster):
            wire.flush()
        self.dropped.__enter__()

    def __exit__(self, kind, value, trace):
        self.dropped.__exit__(kind, value, trace)
        if kind is not None:
            return
        assert not [f for f in self.dp.uplink.take_all() if f[12:14] == b"\x08\x00"]
        for frame in self.dp.cluster.take_all():
            assert frame[12:14] != b"\x08\x00" or IP(frame[14:]).dst == self.sender, harness.describe(frame)


def reversed_for(packet, source, destination):
    """The same packet between other hosts."""
    packet = packet.copy()
    packet.src, packet.dst = source, destination
    del packet.chksum
    if packet.haslayer(TCP) or packet.haslayer(UDP):
        del packet[packet.payload.name].chksum
    return IP(bytes(packet))


def answer_of(session, to=None):
    """Large enough for two fragments."""
    return session.reply(MARK * (WHOLE // len(MARK)) if isinstance(session, Fragments) else MARK, to)


def remote_of(attacker, victim, protocol=Segment):
    """Both workers' in turn."""
    return REMOTES[(PAIRS.index((attacker, victim)) + PROTOCOLS.index(protocol)) % 2]


# ---- every pair, every protocol ----

@pytest.mark.parametrize("attacker,victim", PAIRS)
class TestPairs:
    def test_pod_calls_the_static_address(self, dp, protocol, attacker, victim):
        """A pod sends to another environment's address what that one's remote host would answer."""
        remote = remote_of(attacker, victim, protocol)
        session = protocol(dp, victim, remote)
        packets = session.packets(reversed_for(answer_of(session), CLIENT[attacker],
                                               STATIC[victim]))
        with NothingCrosses(dp, protocol, CALL, CLIENT[attacker]):
            for packet in packets:
                dp.cluster.send_ip(packet)
        session.is_answered()

    def test_reply_to_another_ones_address(self, dp, protocol, attacker, victim):
        """The victim's remote host answers, to the victim's port, but to the attacker's address."""
        remote = remote_of(attacker, victim, protocol)
        session = protocol(dp, victim, remote)
        packets = session.packets(answer_of(session, STATIC[attacker]))
        with NothingCrosses(dp, protocol, ANSWER):
            for packet in packets:
                dp.uplink.send_ip(packet)
        session.is_answered()

    @pytest.mark.parametrize("to", [STATIC, CLIENT], ids=["static-address", "pod"])
    def test_reply_out_of_a_tunnel(self, dp, protocol, attacker, victim, to):
        """The attacker's customer sends it through the tunnel."""
        remote = remote_of(attacker, victim, protocol)
        session = protocol(dp, victim, remote)
        answer = answer_of(session)
        packets = session.packets(reversed_for(answer, remote, to[victim]))
        with NothingCrosses(dp, protocol, INSIDE):
            for packet in packets:
                dp.tunnels[attacker].send(packet)
        session.is_answered()

    def test_halves_never_meet(self, dp, attacker, victim):
        """Fragments with the same identification from one host, to two static addresses."""
        remote = remote_of(attacker, victim)
        sessions = {n: Fragments(dp, n, remote) for n in (attacker, victim)}
        number = next(peers.fresh_ports)
        pieces = {}
        for name, session in sessions.items():
            whole = session.reply(name[:1].encode() * WHOLE)
            whole.id = number
            del whole.chksum
            pieces[name] = session.packets(IP(bytes(whole)))
        waiting = dp.count("fragments/waiting")
        dp.uplink.send_ip(pieces[victim][0])
        dp.uplink.send_ip(pieces[attacker][1])
        harness.wait_for(lambda: dp.count("fragments/waiting") == waiting + 2, "both wait")
        assert not dp.cluster.take_all()
        for name, at in ((victim, 1), (attacker, 0)):
            dp.uplink.send_ip(pieces[name][at])
            got = [dp.cluster.take(lambda f, n=name: f[30:34] == IP(dst=CLIENT[n]).build()[16:20] and f[12:14] == b"\x08\x00",
                                   "a piece of the answer") for _ in range(2)]
            data = b"".join(bytes(IP(f[14:]).payload) for f in sorted(got, key=lambda f: IP(f[14:]).frag))
            assert data[8:] == name[:1].encode() * WHOLE

    def test_halves_of_pods_never_meet(self, dp, attacker, victim):
        """Likewise on the way out: the same identification and remote host, from two pods."""
        remote = remote_of(attacker, victim)
        number, port = next(peers.fresh_ports), next(peers.fresh_ports)
        whole = {n: IP(bytes(IP(src=CLIENT[n], dst=remote, id=number) / UDP(sport=port, dport=53) / Raw(n[:1].encode() * WHOLE)))
                 for n in (attacker, victim)}
        pieces = {n: [IP(bytes(f)) for f in fragment(whole[n], 1200)] for n in whole}
        waiting = dp.count("fragments/waiting")
        dp.cluster.send_ip(pieces[victim][0])
        dp.cluster.send_ip(pieces[attacker][1])
        harness.wait_for(lambda: dp.count("fragments/waiting") == waiting + 2, "both wait")
        assert not [f for f in dp.uplink.take_all() if f[12:14] == b"\x08\x00"]
        for name, at in ((victim, 1), (attacker, 0)):
            dp.cluster.send_ip(pieces[name][at])
            got = [IP(dp.uplink.take(matcher(STATIC[name], remote, 17), "a piece")[14:]) for _ in range(2)]
            data = b"".join(bytes(p.payload)[:p.len - 20] for p in sorted(got, key=lambda p: p.frag))
            assert data[8:] == name[:1].encode() * WHOLE


@pytest.mark.parametrize("remote", REMOTES)
def test_side_by_side(dp, protocol, remote):
    """The same pod port towards the same host in all three: each has its own address and gets its own answer."""
    port = next(peers.fresh_ports)
    sessions = [protocol(dp, name, remote, port) for name in NAMES]
    with dp.nothing_dropped():
        for first, second in itertools.permutations(sessions, 2):
            first.is_answered()
            second.is_answered()


# ---- one's rate ----

SIZE, COUNT = 1200, 200
BURST, EACH_SECOND = 65536, 8000  # of the least rate, bytes


def offer(dp, wire, other, packets):
    """Sends COUNT of the packets in turn; how many come out at the other wire, the others are dropped for their rate."""
    before, drops = dp.count("drop/rate"), dp.drops()
    other.flush()
    for packet in itertools.islice(itertools.cycle(packets), COUNT):
        wire.send_ip(packet)
    harness.wait_for(lambda: dp.count("drop/rate") - before + len(other.frames) >= COUNT, lambda: f"all went somewhere: {dp.drops()}")
    assert {k: v for k, v in dp.drops().items() if k != "rate"} == {k: v for k, v in drops.items() if k != "rate"}
    return len(other.take_all())


def test_rate(dp):
    """Development's rate is one for both remote hosts, whoever owns them, and for its tunnel; production's is its own."""
    commit(dp, development={"rate_bps": c.RATE_MIN})
    try:
        mine = [Datagram(dp, DEVELOPMENT, remote) for remote in REMOTES]
        other = [Datagram(dp, PRODUCTION, remote) for remote in REMOTES]
        inside = tunnels.Datagrams(dp, DEVELOPMENT).ask()
        for wire, far, packets in ((dp.cluster, dp.uplink, Datagram.ask), (dp.uplink, dp.cluster, Datagram.reply)):
            began = time.monotonic()
            passed = offer(dp, wire, far, [packets(s, bytes(SIZE)) for s in mine])
            most = (BURST + EACH_SECOND * (time.monotonic() - began)) / SIZE
            assert BURST // (SIZE + 100) <= passed <= most + 10, (passed, most)
            assert offer(dp, wire, far, [packets(s, bytes(SIZE)) for s in other]) == COUNT
        state = dp.control.state()
        assert state[DEVELOPMENT].rate_dropped_out and state[DEVELOPMENT].rate_dropped_in
        assert not state[PRODUCTION].rate_dropped_out and not state[PRODUCTION].rate_dropped_in
        before = dp.count("drop/rate")
        for _ in range(COUNT):  # its tunnel has no rate of its own
            dp.cluster.send_ip(inside.query(bytes(SIZE)))
        dp.wait_count("drop/rate", before + COUNT // 2)
    finally:
        commit(dp)
