# SPDX-License-Identifier: GPL-2.0-or-later
"""The control plane's side while traffic runs: IKE datagrams, reconnecting, generations, moves."""
import errno
import os
import socket

import pytest
from scapy.layers.inet import IP, UDP
from scapy.packet import Raw

import contract as c
import harness
import peers
from harness import UPLINK_ADDRESS, UPLINK_ROUTER
from peers import Flow, SERVERS

SERVER = SERVERS["prod", "a"]


def ike(source, port, payload, **udp):
    return IP(bytes(IP(src=source, dst=UPLINK_ADDRESS) / UDP(sport=port, dport=port, **udp) / Raw(payload)))


# ---- IKE ----

@pytest.mark.parametrize("size", [28, 29, 300, 1472])
def test_ike_to_the_control_plane(dp, tunnel, size):
    payload = os.urandom(size)
    dp.uplink.send_ip(ike(SERVER, 500, payload))
    punt, got = dp.control.wait_punt()
    assert (c.ip_text(punt.source_be), c.ip_text(punt.destination_be)) == (SERVER, UPLINK_ADDRESS)
    assert (c.port_number(punt.source_port_be), c.port_number(punt.destination_port_be)) == (500, 500)
    assert got == payload and punt.length == size


def test_ike_on_the_nat_traversal_port(dp, tunnel):
    """Told from ESP by four zero bytes (RFC 3948 section 2.2), which stay."""
    payload = bytes(4) + os.urandom(200)
    dp.uplink.send_ip(ike(SERVER, 4500, payload))
    punt, got = dp.control.wait_punt()
    assert c.port_number(punt.destination_port_be) == 4500
    assert got == payload


def test_ike_behind_a_nat(dp, tunnel):
    packet = ike(SERVER, 500, os.urandom(100))
    packet[UDP].sport = 40123
    del packet[UDP].chksum
    dp.uplink.send_ip(packet)
    punt, _ = dp.control.wait_punt()
    assert c.port_number(punt.source_port_be) == 40123


def test_ike_without_udp_checksum(dp, tunnel):
    dp.uplink.send_ip(ike(SERVER, 500, b"z" * 40, chksum=0))
    assert dp.control.wait_punt()[1] == b"z" * 40


@pytest.mark.parametrize("port", [500, 4500])
def test_ike_from_a_stranger(dp, tunnel, port):
    with dp.dropped("ike-unknown-peer"):
        dp.uplink.send_ip(ike("198.51.100.250", port, bytes(64)))


@pytest.mark.parametrize("payload", [b"", b"\0" * 27], ids=len)
def test_ike_malformed(dp, tunnel, payload):
    with dp.dropped("ike-malformed"):
        dp.uplink.send_ip(ike(SERVER, 500, payload))


def test_ike_damaged(dp, tunnel):
    packet = ike(SERVER, 500, bytes(64))
    packet[UDP].chksum ^= 0x0101
    with dp.dropped("ike-malformed"):
        dp.uplink.send_ip(packet)


def test_a_flood_of_ike_leaves_room_for_replies(dp, tunnel):
    """Whoever forges a server's address must not part us from a control plane that is busy for a moment."""
    packet = ike(SERVER, 500, bytes(1400))
    refused, received, sent = dp.count("drop/punt-queue-full"), dp.count("port/uplink/rx-packets"), 0

    def is_full():
        nonlocal sent
        for _ in range(25):
            dp.uplink.send_ip(packet)
            sent += 1
        dp.wait_count("port/uplink/rx-packets", received + sent)
        return dp.count("drop/punt-queue-full") > refused

    harness.wait_for(is_full, "the queue is full")
    for _ in range(20):
        dp.control.send(c.message(c.STATE, c.Cursor(), seq=4711))
    replies = 0
    while replies < 20:
        header, _ = dp.control.receive(5.0)
        replies += header.type == c.STATE
    for _ in range(2):  # what is still on its way is of no interest to the next test
        dp.control.state()
    dp.control.punts.clear()


def test_natt_keepalive(dp, tunnel):
    with dp.dropped("natt-keepalive"):
        dp.uplink.send_ip(ike(SERVER, 4500, b"\xff"))


@pytest.mark.parametrize("port, size", [(500, 28), (4500, 500), (500, 1472)])
def test_ike_from_the_control_plane(dp, tunnel, port, size):
    payload = os.urandom(size)
    dp.control.punt_tx(UPLINK_ADDRESS, port, SERVER, port, payload)
    frame = dp.uplink.take(peers.matcher(UPLINK_ADDRESS, SERVER, socket.IPPROTO_UDP, port, port), "the datagram")
    packet = peers.parse(dp.uplink, frame, UPLINK_ROUTER)
    assert bytes(packet[UDP].payload) == payload and packet[UDP].len == 8 + size


def test_ike_from_an_address_that_is_not_ours(dp, tunnel):
    """Not sent, counted each time, told of once a second."""
    said = dp.log().count("source=198.51.100.250")
    for _ in range(20):
        with dp.dropped("ike-source"):
            dp.control.punt_tx("198.51.100.250", 500, SERVER, 500, bytes(40))
    assert 1 <= dp.log().count("source=198.51.100.250") - said < 20


def test_a_peer_that_was_withdrawn(dp):
    """PEER_SET with no address: its datagrams are a stranger's."""
    remote = SERVERS["prod", "b"]
    dp.control.peer_set("prod", "b", remote)
    dp.uplink.send_ip(ike(remote, 500, bytes(40)))
    dp.control.wait_punt()
    dp.control.peer_set("prod", "b", None)
    with dp.dropped("ike-unknown-peer"):
        dp.uplink.send_ip(ike(remote, 500, bytes(40)))


# ---- the connection ----

def test_traffic_without_a_control_plane(dp, flow):
    """It goes on; what is for the control plane is dropped and counted; a new one finds everything as it was."""
    state, leases = dp.control.state()["prod"], {bytes(i.id) for i in dp.control.sa_list()}
    old_epoch = dp.control.epoch
    dp.control.close()
    for i in range(20):
        flow.out("PA", b"alone %d" % i)
        flow.back("PA", b"alone %d" % i)
    Flow(flow.tunnel).connect()
    with dp.dropped("no-control-plane"):
        dp.uplink.send_ip(ike(SERVER, 500, bytes(64)))
    control = dp.connect()
    assert control.epoch != old_epoch
    assert control.peer.flags & c.HELLO_STARTED and control.peer.generation == dp.generation
    infos = control.sa_list()
    assert {bytes(i.id) for i in infos} == leases
    assert {i.control_epoch for i in infos} == {old_epoch}, "orphans of the control plane that is gone"
    again = control.state()["prod"]
    assert (again.active, again.move_counter) == (state.active, state.move_counter)
    assert flow.session() is not None
    flow.out("PA", b"with company")
    flow.back("PA", b"with company")


def test_a_successor_takes_over(dp, flow):
    """The newer connection is served after its HELLO, the older one is closed."""
    old = dp.control
    dp.control = c.Contract(dp.socket_path, dp.instance)
    with pytest.raises((c.Closed, BrokenPipeError, ConnectionResetError)):
        old.state()
    old.close()
    assert dp.control.state()["prod"].active == b"a"
    flow.out("PA", b"x")


def test_a_keepsake_survives_a_control_plane(dp, tunnel):
    """It goes with its tunnel's place in the configuration, and it is another tunnel's business nowhere."""
    dp.control.keepsake_set("prod", "a", b"for my successor")
    dp.control.keepsake_set("prod", "b", bytes(range(256)) * 4)
    dp.control.close()
    dp.control = dp.connect()
    assert dp.control.keepsake("prod", "a") == b"for my successor"
    assert dp.control.keepsake("prod", "b") == bytes(range(256)) * 4
    assert dp.control.keepsake("staging", "a") == b""
    dp.control.keepsake_set("prod", "a", b"shorter")
    assert dp.control.keepsake("prod", "a") == b"shorter"
    dp.control.keepsake_set("prod", "a", b"")
    assert dp.control.keepsake("prod", "a") == b""
    environments, servers, forwards = peers.configuration()
    without = [s for s in servers if (s.id.environment, s.id.server) != (b"prod", b"b")]
    for kept in (without, servers):
        dp.generation += 1
        dp.control.commit(dp.generation, environments, kept,
                          [f for f in forwards if kept is servers or f.server != b"b"])
    assert dp.control.keepsake("prod", "b") == b""
    with pytest.raises(c.ContractError):
        dp.control.keepsake_set("prod", "z", b"x")
    assert "successor" not in dp.log()


def test_orphans_can_be_retired(dp, flow):
    """A control plane of another epoch may delete what its predecessor added, after its own are there."""
    tunnel, orphan = flow.tunnel, flow.tunnel.pair
    dp.connect()
    tunnel.add_pair()
    flow.out("PA", b"new")
    flow.back("PA", b"orphan still good", pair=orphan)
    tunnel.delete_pair(orphan)
    mine = [i for i in dp.control.sa_list() if i.tunnel.server == b"a" and i.tunnel.environment == b"prod"]
    assert {i.control_epoch for i in mine} == {dp.control.epoch}
    flow.back("PA", b"new")


# ---- generations ----

def broken_configurations():
    def duplicate_address(environments, servers, forwards):
        environments[1].pod_address_be = environments[0].pod_address_be

    def duplicate_name(environments, servers, forwards):
        environments[1].name = environments[0].name

    def orphan_forward(environments, servers, forwards):
        forwards.append(peers.forward("nobody", 1, "192.168.1.1", 1))

    def orphan_server(environments, servers, forwards):
        servers.append(c.Server(id=c.tunnel_id("nobody", "a")))

    def duplicate_forward(environments, servers, forwards):
        forwards.append(peers.forward("prod", peers.FORWARD_PORT, "192.168.1.1", 1))

    def duplicate_server(environments, servers, forwards):
        servers.append(c.Server(id=c.tunnel_id("prod", "a"), priority=9))

    def unknown_preferred_server(environments, servers, forwards):
        forwards.append(peers.forward("prod", 33007, "192.168.1.1", 1, server="nowhere"))

    def own_address(environments, servers, forwards):
        environments[0].pod_address_be = c.ip_be(harness.CLUSTER_ADDRESS)

    return [duplicate_address, duplicate_name, orphan_forward, orphan_server, duplicate_forward, duplicate_server,
            unknown_preferred_server, own_address]


@pytest.mark.parametrize("spoil", broken_configurations(), ids=lambda f: f.__name__)
def test_a_faulty_generation_is_refused_whole(dp, flow, spoil):
    """Everything before the mistake is good and new: nothing of it may come into force."""
    environments, servers, forwards = peers.configuration()
    forwards.append(peers.forward("prod", 33066, "192.168.100.66", 66))
    spoil(environments, servers, forwards)
    with pytest.raises(c.ContractError) as refusal:
        dp.control.commit(dp.generation + 1, environments, servers, forwards)
    assert refusal.value.reason, "it says why in words"
    Flow(flow.tunnel, forward_port=33066).refused("no-forward")
    flow.out("PA", b"untouched")
    flow.back("PA", b"untouched")
    assert set(dp.control.state()) == set(peers.POD)
    dp.connect()
    assert dp.control.peer.generation == dp.generation


def test_commit_without_begin(dp):
    dp.connect()
    with pytest.raises(c.ContractError):
        dp.control.request(c.CONFIG_COMMIT, c.Generation(dp.generation + 1))


def test_commit_of_another_generation_than_begun(dp):
    dp.control.request(c.CONFIG_BEGIN, c.Generation(dp.generation + 1))
    with pytest.raises(c.ContractError):
        dp.control.request(c.CONFIG_COMMIT, c.Generation(dp.generation + 2))


def commit(dp, *configuration):
    dp.generation += 1
    dp.control.commit(dp.generation, *configuration)


def test_the_same_configuration_again_touches_nothing(dp, flow):
    with dp.nothing_dropped():
        for _ in range(5):
            commit(dp, *peers.configuration())
            flow.out("PA", b"x")
            flow.back("PA", b"y")
    assert dp.control.tunnels()["prod", "a"].is_up


def test_a_forward_more(dp, flow):
    """A generation that adds a forward serves it; connections that were there go on."""
    environments, servers, forwards = peers.configuration()
    Flow(flow.tunnel, forward_port=33066).refused("no-forward")
    commit(dp, environments, servers, [*forwards, peers.forward("prod", 33066, "192.168.100.66", 66)])
    new = Flow(flow.tunnel, forward_port=33066, target=("192.168.100.66", 66)).connect()
    flow.out("PA", b"x")
    flow.back("PA", b"y")
    commit(dp, environments, servers, forwards)
    Flow(flow.tunnel, forward_port=33066).refused("no-forward")
    flow.out("PA", b"x")
    flow.back("PA", b"y")
    harness.wait_for(lambda: new.session() is None, "the session of the forward that is gone ends")


def test_an_environment_more_and_less(dp, flow):
    environments, servers, forwards = peers.configuration()
    more = c.Environment(name=b"extra", pod_address_be=c.ip_be("10.0.0.37"), session_quota=10, source_count=1)
    more.sources[0] = c.prefix("10.0.1.0/24")
    commit(dp, [*environments, more], [*servers, c.Server(id=c.tunnel_id("extra", "a"))],
           [*forwards, peers.forward("extra", 1000, "192.168.100.30", 8080)])
    assert "extra" in dp.control.state() and ("extra", "a") in dp.control.tunnels()
    flow.out("PA", b"x")
    commit(dp, environments, servers, forwards)
    assert set(dp.control.state()) == set(peers.POD)
    flow.out("PA", b"x")
    flow.back("PA", b"y")


def test_many_forwards(dp, flow):
    """More than one message's worth of them."""
    environments, servers, forwards = peers.configuration()
    many = [peers.forward("prod", 40000 + i, "192.168.100.40", 1 + i) for i in range(300)]
    dp.generation += 1
    dp.control.request(c.CONFIG_BEGIN, c.Generation(dp.generation))
    for environment in environments:
        dp.control.request(c.CONFIG_ENVIRONMENT, environment)
    for server in servers:
        dp.control.request(c.CONFIG_SERVER, server)
    everything = [*forwards, *many]
    for i in range(0, len(everything), c.FORWARDS_MAX):
        dp.control.request(c.CONFIG_FORWARDS, b"".join(map(bytes, everything[i:i + c.FORWARDS_MAX])))
    dp.control.request(c.CONFIG_COMMIT, c.Generation(dp.generation))
    for i in (0, 127, 128, 299):
        Flow(flow.tunnel, forward_port=40000 + i, target=("192.168.100.40", 1 + i)).out("S")
    commit(dp, environments, servers, forwards)
    flow.out("PA", b"x")


# ---- moves ----

@pytest.fixture
def standby(dp, tunnel):
    """prod's second server is up, too; afterwards the first one is active again and the second down."""
    other = dp.tunnels["prod", "b"]
    other.up()
    yield other
    state = dp.control.state()["prod"]
    if state.active != b"a":
        dp.control.move("prod", "a", state.move_counter)
    other.down()
    dp.control.peer_set("prod", "b", None)


def test_move(dp, tunnel, standby):
    before = dp.control.state()["prod"]
    assert before.active == b"a"
    after = dp.control.move("prod", "b", before.move_counter)
    assert after.server == b"b" and after.move_counter == before.move_counter + 1
    tunnels = dp.control.tunnels()
    assert tunnels["prod", "b"].is_active and not tunnels["prod", "a"].is_active
    flow = Flow(standby).connect()
    flow.out("PA", b"through b")
    flow.back("PA", b"through b")
    back = dp.control.move("prod", "a", after.move_counter)
    assert back.server == b"a" and back.move_counter == after.move_counter + 1
    Flow(tunnel).connect()


def test_a_forward_may_prefer_a_server(dp, tunnel, standby):
    """While it is up; otherwise the active one serves."""
    flow = Flow(standby, forward_port=peers.PREFERRED_PORT).connect()
    flow.out("PA", b"through b")
    flow.back("PA", b"through b")
    assert dp.control.state()["prod"].active == b"a"
    standby.down()
    Flow(tunnel, forward_port=peers.PREFERRED_PORT).connect()
    standby.up()


def test_a_session_keeps_its_tunnel(dp, tunnel, standby):
    """A reply through the environment's other tunnel is no reply."""
    flow = Flow(tunnel).connect()
    with dp.dropped("inner-other-tunnel"):
        standby.send(IP(bytes(flow.from_server("PA", b"x"))))
    flow.back("PA", b"y")


def test_move_with_an_old_counter(dp, tunnel, standby):
    counter = dp.control.state()["prod"].move_counter
    for wrong in (counter + 1, counter - 1):
        with pytest.raises(c.ContractError) as refusal:
            dp.control.move("prod", "b", wrong & (1 << 64) - 1)
        assert refusal.value.status == errno.ESTALE
    state = dp.control.state()["prod"]
    assert (state.active, state.move_counter) == (b"a", counter)
    Flow(tunnel).connect()


@pytest.mark.parametrize("environment, server", [("prod", "nowhere"), ("nobody", "a")])
def test_move_to_nowhere(dp, tunnel, environment, server):
    counter = dp.control.state()["prod"].move_counter
    with pytest.raises(c.ContractError):
        dp.control.move(environment, server, counter)
    assert dp.control.state()["prod"].active == b"a"


def test_a_commit_does_not_revert_a_move(dp, tunnel, standby):
    moved = dp.control.move("prod", "b", dp.control.state()["prod"].move_counter)
    commit(dp, *peers.configuration())
    dp.connect()
    state = dp.control.state()["prod"]
    assert (state.active, state.move_counter) == (b"b", moved.move_counter)
    Flow(standby).connect()


def test_the_active_tunnel_goes_down(dp, tunnel, standby):
    """The other one takes over, and the control plane is told to look."""
    before = dp.control.state()["prod"]
    dp.control.changed = 0
    tunnel.down()
    after = harness.wait_for(lambda: (lambda s: s if s.active == b"b" else None)(dp.control.state()["prod"]), "the move")
    assert after.move_counter > before.move_counter
    harness.wait_for(lambda: dp.control.state() and dp.control.changed & c.CHANGED_TUNNELS, "the event")
    Flow(standby).connect()
    tunnel.up()
