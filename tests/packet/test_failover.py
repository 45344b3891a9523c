# SPDX-License-Identifier: GPL-2.0-or-later
"""
Failover by the dataplane alone: two servers of one environment, behind both the same hosts, which answer by themselves.

    client ── cluster ── dataplane ══ tunnel a ══ server a ──┐
                                   ══ tunnel b ══ server b ──┴── 192.168.100.30 (TCP 8080), .53 (UDP 53)
"""
import os
import signal
import socket
import struct
import threading
import time

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Raw
from scapy.utils import checksum

import contract as c
import harness
import peers
from peers import CLIENT, FORWARD_PORT, NAME_SERVER, TARGET, TARGET_PORT, UDP_FORWARD_PORT

ENVIRONMENT = "prod"
POD = peers.POD[ENVIRONMENT]
PREFERRED = 33002  # server b
SYN, RST, ACK, SYN_ACK = 0x02, 0x04, 0x10, 0x12
INNER = {"a": "10.9.8.7", "b": "10.9.8.8"}


class Host:
    """What is behind a server: answers echo, connects TCP, returns UDP; and what becomes of it when something fails."""

    def __init__(self, tunnel, filters_echo=False):
        self.tunnel = tunnel
        self.is_cut = False          # the server does not hear and says nothing
        self.filters_echo = filters_echo
        self.is_dead = False         # the server lives, the hosts do not
        self.delay = 0.0
        self.received = []           # (time, inner packet), all but probes
        self.probes = []             # likewise, echo and SYN from our own ports
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        self.ending.set()
        self.thread.join()

    def _run(self):
        wire = self.tunnel.dataplane.uplink
        while not self.ending.is_set():
            try:
                frame = wire.take(self.tunnel.pair.is_mine, timeout=0.05)
            except AssertionError:
                continue
            self._take(frame)

    def _take(self, frame):
        esp = frame[42:14 + struct.unpack_from("!H", frame, 16)[0]]
        plain = self.tunnel.pair.decrypt(esp, struct.unpack_from("!I", esp, 4)[0])
        inner = plain[:struct.unpack_from("!H", plain, 2)[0]]
        is_probe = inner[9] == 1 or inner[9] == 6 and struct.unpack_from("!H", inner, 20)[0] < 1024
        (self.probes if is_probe else self.received).append((time.monotonic(), inner))
        if self.is_cut or self.is_dead:
            return
        if self.delay:
            timer = threading.Timer(self.delay, self.answer, (inner,))
            timer.daemon = True
            timer.start()
        else:
            self.answer(inner)

    def answer(self, inner):
        protocol = inner[9]
        if protocol == 1 and inner[20] == 8 and not self.filters_echo:
            self.send(inner, b"\0\0\0\0" + inner[24:])
        elif protocol == 17:
            ports = inner[22:24] + inner[20:22]
            self.send(inner, ports + inner[24:26] + b"\0\0" + inner[28:])
        elif protocol == 6 and inner[33] == SYN:
            sequence = struct.unpack_from("!I", inner, 24)[0]
            self.send(inner, inner[22:24] + inner[20:22] +
                      struct.pack("!IIBBHHH", 5000, sequence + 1 & 0xffffffff, 0x50, SYN_ACK, 4096, 0, 0))

    def send(self, inner, payload):
        """PAYLOAD back to where INNER came from; transport checksums are filled in."""
        source, destination, protocol = inner[16:20], inner[12:16], inner[9]
        payload = bytearray(payload)
        if protocol == 1:
            payload[2:4] = struct.pack("!H", checksum(bytes(payload)))
        elif protocol == 6:
            pseudo = source + destination + struct.pack("!HH", protocol, len(payload))
            payload[16:18] = struct.pack("!H", checksum(pseudo + bytes(payload)))
        head = bytearray(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 60, protocol, 0, source, destination))
        head[10:12] = struct.pack("!H", checksum(bytes(head)))
        self.send_inner(bytes(head) + bytes(payload))

    def send_inner(self, packet):
        pad = -(len(packet) + 2) % 4
        if not self.is_cut:
            self.tunnel.dataplane.uplink.send_ip(
                self.tunnel.pair.seal_plaintext(packet + bytes(range(1, pad + 1)) + bytes([pad, 4])))


class Site:
    """A dataplane with one environment, both its tunnels and their hosts."""

    def __init__(self, dataplane):
        self.dataplane = dataplane
        self.control = dataplane.control
        self.hosts = {}
        self.tunnels = {}
        self.filters_echo = False    # of hosts to come

    def configure(self, flags=0, inner=None, target=None, servers=("a", "b")):
        """A new generation; tunnels that are not up come up, with hosts behind them."""
        self.dataplane.generation += 1
        environment = c.Environment(name=ENVIRONMENT.encode(), pod_address_be=c.ip_be(POD), source_count=1, session_quota=10000,
                                    flags=flags, probe_target_be=c.ip_be(target) if target else 0)
        environment.sources[0] = c.prefix("10.0.1.0/24")
        forwards = [peers.forward(ENVIRONMENT, FORWARD_PORT, TARGET, TARGET_PORT),
                    peers.forward(ENVIRONMENT, UDP_FORWARD_PORT, NAME_SERVER, 53, socket.IPPROTO_UDP)]
        if "b" in servers:
            forwards.append(peers.forward(ENVIRONMENT, PREFERRED, TARGET, TARGET_PORT, server="b"))
        self.control.commit(self.dataplane.generation, [environment],
                            [c.Server(id=c.tunnel_id(ENVIRONMENT, s), priority=i) for i, s in enumerate(servers)], forwards)
        for name in servers:
            if name not in self.tunnels:
                self.tunnels[name] = peers.Tunnel(self.dataplane, ENVIRONMENT, name, inner=(inner or INNER)[name])
                self.hosts[name] = Host(self.tunnels[name], self.filters_echo)
                self.tunnels[name].up()
                self.hosts[name].start()
        return self

    def end(self):
        for host in self.hosts.values():
            host.stop()
        self.dataplane.generation += 1
        self.control.commit(self.dataplane.generation)
        self.dataplane.uplink.flush()

    @property
    def state(self):
        return self.control.state()[ENVIRONMENT]

    def liveness(self, server):
        return self.control.tunnels()[ENVIRONMENT, server].liveness

    def wait_alive(self, *servers):
        """Each has answered a few probes, so its round trip is known."""
        for server in servers:
            harness.wait_for(lambda s=server: self.control.tunnels()[ENVIRONMENT, s].probes_answered >= 3,
                             f"answers through {server}")
            assert self.liveness(server) == c.LIVENESS_ALIVE
        return self

    def wait_moved(self, counter, timeout=5.0):
        return harness.wait_for(lambda: self.state.move_counter > counter and self.state, "a move", timeout)

    def wait_settled(self):
        return harness.wait_for(lambda: self.state.is_settled and self.state, "sessions settled")


class Stream(threading.Thread):
    """UDP requests of the client, some hundreds a second, until it is stopped; when each answer came."""

    def __init__(self, dataplane, interval=0.004):
        super().__init__(daemon=True)
        self.dataplane, self.interval = dataplane, interval
        self.port = next(peers.fresh_ports)
        self.answers = []
        self.ending = threading.Event()

    def run(self):
        frame = IP(bytes(IP(src=CLIENT, dst=POD, id=1) / UDP(sport=self.port, dport=UDP_FORWARD_PORT, chksum=0) / Raw(b"?")))
        match = peers.matcher(POD, CLIENT, 17, UDP_FORWARD_PORT, self.port)
        wire = self.dataplane.cluster
        while not self.ending.is_set():
            wire.send_ip(frame)
            until = time.monotonic() + self.interval
            while (left := until - time.monotonic()) > 0:
                try:
                    wire.take(match, timeout=left)
                    self.answers.append(time.monotonic())
                except AssertionError:
                    break

    def __enter__(self):
        self.start()
        harness.wait_for(lambda: len(self.answers) > 10, "answers to the stream")
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.join()

    def wait_answered(self):
        count = len(self.answers)
        harness.wait_for(lambda: len(self.answers) > count + 10, "answers to the stream again")

    def longest_gap(self):
        return max(b - a for a, b in zip(self.answers, self.answers[1:]))


class Connection:
    """The client's side of a TCP connection that a Host answers."""

    def __init__(self, dataplane, forward_port=FORWARD_PORT):
        self.dataplane, self.forward_port = dataplane, forward_port
        self.port = next(peers.fresh_ports)
        self.next, self.expected = 1000, 0

    def send(self, flags, data=b"", **fields):
        tcp = {"seq": self.next, "ack": self.expected, **fields}
        self.dataplane.cluster.send_ip(IP(bytes(IP(src=CLIENT, dst=POD, id=7, flags="DF") / TCP(
            sport=self.port, dport=self.forward_port, flags=flags, **tcp) / Raw(data))))
        self.next += len(data) + ("S" in flags)

    def take(self, what, timeout=harness.WAIT):
        frame = self.dataplane.cluster.take(
            peers.matcher(POD, CLIENT, socket.IPPROTO_TCP, self.forward_port, self.port), what, timeout)
        return peers.parse(self.dataplane.cluster, frame)[TCP]

    def connect(self):
        self.send("S", ack=0)
        answer = self.take("a SYN-ACK")
        assert answer.flags == "SA", answer.summary()
        self.expected = answer.seq + 1
        self.send("A")
        return self

    def refused(self):
        self.send("S", ack=0)
        answer = self.take("a RST")
        return answer.flags == "RA" and answer.ack == self.next


@pytest.fixture(scope="module", params=[(1, 1), (2, 1)], ids=["one-worker", "wrong-worker"])
def process(request):
    with harness.Dataplane(workers=request.param[0], queues=request.param[1]) as dataplane:
        yield dataplane


@pytest.fixture
def site(process):
    process.begin_test()
    process.control.changed = 0
    site = Site(process)
    yield site
    site.end()
    process.check_alive()


def seen(host, port):
    """Packets to this port that came to the host."""
    return [packet for _, packet in host.received if struct.unpack_from("!H", packet, 22)[0] == port]


# ---- a server dies ----

def test_dead_server(site):
    site.configure().wait_alive("a", "b")
    counter = site.state.move_counter
    with Stream(site.dataplane) as stream:
        site.hosts["a"].is_cut = True
        state = site.wait_moved(counter)
        stream.wait_answered()
    assert (state.active, state.moved_from, state.move_reason) == (b"b", b"a", c.MOVE_DEAD)
    assert state.move_counter == counter + 1 and state.moves[c.MOVE_DEAD] == 1
    assert 0.1e9 < state.detection_ns < 0.3e9 and state.switch_ns < 0.1e9
    assert stream.longest_gap() < 0.4, "generous: the harness is part of it"
    assert site.liveness("a") == c.LIVENESS_DEAD and site.liveness("b") == c.LIVENESS_ALIVE
    assert site.control.tunnels()[ENVIRONMENT, "a"].deaths == 1
    assert site.control.changed & c.CHANGED_TUNNELS
    assert site.wait_settled().is_settled
    # it comes back: known, and left alone
    site.hosts["a"].is_cut = False
    harness.wait_for(lambda: site.liveness("a") == c.LIVENESS_ALIVE, "a is alive again")
    assert site.state.active == b"b" and site.state.move_counter == counter + 1


def test_idle_server_dies(site):
    site.configure(target=TARGET).wait_alive("a", "b")
    counter = site.state.move_counter
    site.hosts["a"].is_cut = True
    assert site.wait_moved(counter).active == b"b"
    assert all(packet[16:20] == socket.inet_aton(TARGET) for _, packet in site.hosts["b"].probes)


def test_target_dead_through_all(site):
    site.configure().wait_alive("a", "b")
    counter = site.state.move_counter
    for host in site.hosts.values():
        host.is_dead = True
    harness.wait_for(lambda: site.state.is_lost, "that nobody answers")
    assert site.state.move_counter == counter and site.state.active == b"a"
    assert Connection(site.dataplane).refused(), "nobody hangs"
    # the next host that is called answers: what is refused is asked for
    for host in site.hosts.values():
        host.is_dead = False
    harness.wait_for(lambda: not site.state.is_lost, "that somebody answers")
    Connection(site.dataplane).connect()


def test_paused_dataplane(site):
    site.configure().wait_alive("a", "b")
    counter = site.state.move_counter
    with Stream(site.dataplane) as stream:
        for _ in range(5):
            os.kill(site.dataplane.process.pid, signal.SIGSTOP)
            time.sleep(0.3)  # the pause itself is what is tested
            os.kill(site.dataplane.process.pid, signal.SIGCONT)
            stream.wait_answered()
    assert site.state.move_counter == counter
    assert site.control.tunnels()[ENVIRONMENT, "a"].deaths == 0


# ---- sessions ----

def test_connections_are_reset(site):
    """At the number that the client expects; what it says afterwards is answered, too; new ones succeed."""
    site.configure().wait_alive("a", "b")
    flow = Connection(site.dataplane).connect()
    idle = Connection(site.dataplane).connect()
    ahead = Connection(site.dataplane).connect()  # has not acknowledged all it got
    server_port = struct.unpack_from("!H", seen(site.hosts["a"], TARGET_PORT)[-1], 20)[0]
    head = struct.pack("!HHIIBBHHH", TARGET_PORT, server_port, 5001, ahead.next, 0x50, ACK, 4096, 0, 0)
    site.hosts["a"].send(seen(site.hosts["a"], TARGET_PORT)[-1], head + b"unacknowledged")
    assert bytes(ahead.take("data").payload) == b"unacknowledged"
    counter = site.state.move_counter
    before = site.dataplane.count("sessions/reset")
    site.hosts["a"].is_cut = True
    flow.send("PA", b"into the void")
    site.wait_moved(counter)
    for connection in (flow, idle):
        reset = connection.take("a RST")
        assert (reset.flags, reset.seq) == ("R", 5001)
    assert [ahead.take("a RST").seq, ahead.take("a second RST").seq] == [5001, 5001 + len(b"unacknowledged")]
    assert site.wait_settled().sessions_reset == 3 and site.state.sessions_kept == 0
    assert site.dataplane.count("sessions/reset") == before + 3
    assert not site.control.sessions(ENVIRONMENT)
    idle.send("A", ack=5003)  # RFC 5961: a challenge
    assert idle.take("a RST").seq == 5003
    again = Connection(site.dataplane).connect()
    assert site.control.sessions(ENVIRONMENT)[0].tunnel.server == b"b"
    again.send("PA", b"hello")
    harness.wait_for(lambda: any(p.endswith(b"hello") for p in seen(site.hosts["b"], TARGET_PORT)), "data at b")


def test_server_is_reset_too(site):
    """What a customer's host still sends of a connection that is over here gets a RST at the number it acknowledges, through its own
    tunnel; a RST or a SYN gets nothing."""
    site.configure().wait_alive("a", "b")
    flow = Connection(site.dataplane).connect()
    host = site.hosts["a"]
    request = seen(host, TARGET_PORT)[-1]
    inner_port = struct.unpack_from("!H", request, 20)[0]
    counter = site.state.move_counter
    host.is_cut = True
    flow.send("PA", b"into the void")
    site.wait_moved(counter)
    assert flow.take("a RST").flags == "R"
    host.is_cut = False

    def from_server(flags, acknowledged):
        host.send(request, struct.pack("!HHIIBBHHH", TARGET_PORT, inner_port, 5001, acknowledged, 0x50, flags, 4096, 0, 0) + b"late")

    def resets():
        return [p for p in seen(host, TARGET_PORT) if p[33] & RST]
    assert not resets()
    with site.dataplane.dropped("inner-no-session", 4):
        from_server(RST, 1)
        from_server(SYN, 0)
        from_server(ACK, 0xfffffff0)
        from_server(SYN_ACK, 77)
    harness.wait_for(lambda: len(resets()) == 2, "two RSTs")
    assert [struct.unpack_from("!I", p, 24)[0] for p in resets()] == [0xfffffff0, 77]
    for packet in resets():
        assert packet[12:24] == request[12:24] and packet[33] == RST
        peers.check_checksums(IP(packet))
    assert not any(p[33] & RST for p in seen(site.hosts["b"], TARGET_PORT))


def test_many_connections_are_reset_at_once(site):
    site.configure().wait_alive("a", "b")
    connections = [Connection(site.dataplane).connect() for _ in range(300)]
    counter = site.state.move_counter
    site.hosts["a"].is_cut = True
    connections[0].send("PA", b"?")
    site.wait_moved(counter)
    for connection in connections:
        assert connection.take("a RST").flags == "R"
    state = site.wait_settled()
    assert state.sessions_reset == 300 and state.sessions == 0
    assert site.dataplane.count("sessions/now") == 0


def test_connections_are_kept(site):
    """The customer routes the inner address: the same connection goes on through the other server."""
    site.configure(flags=c.ENVIRONMENT_KEEP_SESSIONS, inner={"a": "10.9.8.7", "b": "10.9.8.7"}).wait_alive("a", "b")
    flow, idle = Connection(site.dataplane).connect(), Connection(site.dataplane).connect()
    counter = site.state.move_counter
    before = site.dataplane.count("sessions/reset")
    site.hosts["a"].is_cut = True
    flow.send("PA", b"one")
    site.wait_moved(counter)
    state = site.wait_settled()
    assert (state.sessions_kept, state.sessions_reset) == (2, 0)
    flow.send("PA", b"two")
    harness.wait_for(lambda: any(p.endswith(b"two") for p in seen(site.hosts["b"], TARGET_PORT)), "data at b")
    packet = next(p for p in seen(site.hosts["b"], TARGET_PORT) if p.endswith(b"two"))
    assert packet[20:22] in [p[20:22] for p in seen(site.hosts["a"], TARGET_PORT)], "the port is the same"
    head = struct.pack("!HHIIBBHHH", TARGET_PORT, struct.unpack_from("!H", packet, 20)[0], 5001, flow.next, 0x50, ACK, 4096, 0, 0)
    site.hosts["b"].send(packet, head + b"back")
    assert bytes(flow.take("data through b").payload) == b"back"
    idle.send("PA", b"awake")
    harness.wait_for(lambda: any(p.endswith(b"awake") for p in seen(site.hosts["b"], TARGET_PORT)), "the idle one's data at b")
    assert site.dataplane.count("sessions/reset") == before


def test_kept_connection_is_announced(site):
    """Its client is silent: the host behind the new server hears from us all the same, so that its network learns the way."""
    same = {"a": "10.9.8.7", "b": "10.9.8.7"}
    site.configure(flags=c.ENVIRONMENT_KEEP_SESSIONS, inner=same, target="192.168.100.1").wait_alive("a", "b")
    Connection(site.dataplane).connect()

    def greetings():
        return [p for _, p in site.hosts["b"].probes if p[9] == 1 and p[16:20] == socket.inet_aton(TARGET)]
    assert not greetings()
    counter = site.state.move_counter
    site.hosts["a"].is_cut = True
    site.wait_moved(counter)
    harness.wait_for(lambda: len(greetings()) == 3, "greetings of the connection's target")
    assert greetings()[0][12:16] == socket.inet_aton("10.9.8.7")
    peers.check_checksums(IP(greetings()[0]))


@pytest.mark.parametrize("is_keeping", [False, True], ids=["masqueraded", "routed"])
def test_move_by_hand(site, is_keeping):
    """Nothing is lost: sessions end where they are, or follow; what is still on its way back through the old tunnel comes in."""
    flags, inner = (c.ENVIRONMENT_KEEP_SESSIONS, "10.9.8.7") if is_keeping else (0, "10.9.8.8")
    site.configure(flags=flags, inner={"a": "10.9.8.7", "b": inner}).wait_alive("a", "b")
    flow = Connection(site.dataplane).connect()
    request = seen(site.hosts["a"], TARGET_PORT)[-1]
    state = site.state
    moved = site.control.move(ENVIRONMENT, "b", state.move_counter, c.MOVE_BACK)
    assert moved.move_counter == state.move_counter + 1
    state = site.wait_settled()
    assert (state.move_reason, state.moved_from, state.sessions_kept, state.sessions_reset) == (c.MOVE_BACK, b"a", 1, 0)
    head = struct.pack("!HHIIBBHHH", TARGET_PORT, struct.unpack_from("!H", request, 20)[0], 5001, flow.next, 0x50, ACK, 4096, 0, 0)
    site.hosts["a"].send(request, head + b"late")
    assert bytes(flow.take("data through the old tunnel").payload) == b"late"
    flow.send("PA", b"onward")
    where = "b" if is_keeping else "a"
    harness.wait_for(lambda: any(p.endswith(b"onward") for p in seen(site.hosts[where], TARGET_PORT)), f"data at {where}")
    Connection(site.dataplane).connect()
    assert any(p[33] == SYN for p in seen(site.hosts["b"], TARGET_PORT)), "new ones go to b"
    with pytest.raises(c.ContractError) as refusal:
        site.control.move(ENVIRONMENT, "a", moved.move_counter - 1)
    assert "ESTALE" in str(refusal.value)


def test_tunnel_goes_down(site):
    """The control plane says so: nobody waits for a probe."""
    site.configure().wait_alive("a", "b")
    flow = Connection(site.dataplane).connect()
    site.control.tunnel_set(ENVIRONMENT, "a", None)
    state = site.state
    assert (state.active, state.move_reason) == (b"b", c.MOVE_DOWN)
    assert flow.take("a RST").seq == 5001
    flow = Connection(site.dataplane).connect()
    site.control.tunnel_set(ENVIRONMENT, "b", None)
    assert flow.take("a RST").seq == 5001
    assert site.state.active == b"" and site.state.sessions == 0
    assert Connection(site.dataplane).refused()


def test_preferred_server_dies(site):
    site.configure().wait_alive("a", "b")
    flow = Connection(site.dataplane, PREFERRED).connect()
    other = Connection(site.dataplane).connect()
    assert {s.tunnel.server for s in site.control.sessions(ENVIRONMENT)} == {b"a", b"b"}
    counter = site.state.move_counter
    site.hosts["b"].is_cut = True
    assert flow.take("a RST").seq == 5001
    assert site.liveness("b") == c.LIVENESS_DEAD
    Connection(site.dataplane, PREFERRED).connect()
    other.send("PA", b"undisturbed")
    harness.wait_for(lambda: any(p.endswith(b"undisturbed") for p in seen(site.hosts["a"], TARGET_PORT)), "data at a")
    assert site.state.move_counter == counter


def test_server_is_removed(site):
    """By a reload: a routed customer's sessions go on."""
    site.configure(flags=c.ENVIRONMENT_KEEP_SESSIONS, inner={"a": "10.9.8.7", "b": "10.9.8.7"}).wait_alive("a", "b")
    flow = Connection(site.dataplane).connect()
    site.configure(flags=c.ENVIRONMENT_KEEP_SESSIONS, servers=("b",))
    state = site.state
    assert (state.active, state.move_reason, state.moved_from) == (b"b", c.MOVE_REMOVED, b"")
    flow.send("PA", b"onward")
    harness.wait_for(lambda: any(p.endswith(b"onward") for p in seen(site.hosts["b"], TARGET_PORT)), "data at b")


def test_server_is_removed_and_its_sessions_end(site):
    """The same where the customer masquerades: their clients are told at once."""
    site.configure().wait_alive("a", "b")
    flow, idle = Connection(site.dataplane).connect(), Connection(site.dataplane).connect()
    site.configure(servers=("b",))
    for connection in (flow, idle):
        assert connection.take("a RST", 1).seq == 5001
    assert not site.control.sessions(ENVIRONMENT)


# ---- probes ----

def test_probes_by_tcp(site):
    """Where echo is filtered: a SYN from a port that no session has, ended by a RST; and it finds out, too."""
    site.filters_echo = True
    dropped = site.dataplane.drops()
    site.configure()
    harness.wait_for(lambda: all(any(p[9] == 6 and p[33] == RST for _, p in h.probes) for h in site.hosts.values()),
                     "a RST that ends a probe's connection", 10)
    for host in site.hosts.values():
        syn = next(p for _, p in host.probes if p[9] == 6 and p[33] == SYN)
        reset = next(p for _, p in host.probes if p[9] == 6 and p[33] == RST)
        sequence = struct.unpack_from("!I", syn, 24)[0]
        assert struct.unpack_from("!I", reset, 24)[0] == sequence + 1 & 0xffffffff
        assert syn[20:22] == reset[20:22] and syn[16:20] == socket.inet_aton(TARGET)
        peers.check_checksums(IP(syn))
        peers.check_checksums(IP(reset))
    assert site.dataplane.drops() == dropped, "an answer to a probe is no drop"
    counter = site.state.move_counter
    site.hosts["a"].is_cut = True
    Connection(site.dataplane).send("S", ack=0)
    assert site.wait_moved(counter, 10).active == b"b"


def test_answers_are_no_drops(site):
    """Whoever watches drop/ does not see a healthy gateway lose packets."""
    with site.dataplane.nothing_dropped():
        site.configure().wait_alive("a", "b")


def test_answers_are_not_forged(site):
    """Another token, another sender, another tunnel's question: none of them is an answer."""
    site.configure().wait_alive("a", "b")
    host = site.hosts["b"]
    host.filters_echo = True
    harness.wait_for(lambda: host.probes and host.probes[-1][0] > time.monotonic() - 0.4 and
                     site.control.tunnels()[ENVIRONMENT, "b"].probes_missed > 0, "a probe that is not answered")
    answered = site.control.tunnels()[ENVIRONMENT, "b"].probes_answered
    probe = next(p for _, p in reversed(host.probes) if p[9] == 1)
    peers.check_checksums(IP(probe))
    forged = bytearray(probe)
    forged[-1] ^= 1
    before = site.dataplane.count("drop/no-session-quoted")
    host.send(bytes(forged), b"\0\0\0\0" + bytes(forged[24:]))
    stranger = bytearray(probe)
    stranger[19] ^= 1
    host.send(bytes(stranger), b"\0\0\0\0" + bytes(stranger[24:]))
    site.hosts["a"].send(probe, b"\0\0\0\0" + probe[24:])  # to b's inner address, out of a's tunnel
    site.dataplane.wait_count("drop/no-session-quoted", before + 2)
    assert site.control.tunnels()[ENVIRONMENT, "b"].probes_answered <= answered + 1
    taken = site.dataplane.count("failover/probes-answered")
    host.send(probe, b"\0\0\0\0" + probe[24:])
    site.dataplane.wait_count("failover/probes-answered", taken + 1)


def test_unprobed(site):
    site.configure(flags=c.ENVIRONMENT_UNPROBED)
    Connection(site.dataplane).connect()
    with Stream(site.dataplane) as stream:
        stream.wait_answered()
    assert not any(host.probes for host in site.hosts.values())
    assert site.liveness("a") == c.LIVENESS_ALIVE
