# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers in two zones fail in every way there is: docs/failover.md."""

import contextlib
import os
import signal
import time

import pytest

from lab.crowd import Crowd
from lab.cut import ESP_ONLY, IKE_ONLY, Cut
from lab.host import wait_until
from lab.pulse import Pulse
from lab.server import PAGE
from zones import Zones

CONNECTIONS = 50
PATIENCE = 1.0  # s: five times what it takes on a machine that has nothing else to do


class Traffic:
    """The stream and the connections of a customer that routes."""

    def __init__(self, lab):
        self.zones = Zones(lab)
        self.stream = Pulse(lab)
        self.connections = Crowd(lab, CONNECTIONS)


@pytest.fixture(scope="module")
def routing(redundant_shared):
    return Traffic(redundant_shared)


@contextlib.contextmanager
def _esp_cut(zones, letter):
    with Cut(zones.lab, letter, ESP_ONLY):
        yield


@contextlib.contextmanager
def _all_cut(zones, letter):
    with Cut(zones.lab, letter):
        yield


@contextlib.contextmanager
def _link_down(zones, letter):
    host = zones.site.zones[letter].host
    host.ip("link", "set", "wan", "down")
    yield
    host.ip("link", "set", "wan", "up")
    host.ip("route", "add", "default", "via", "198.51.100.1")


@contextlib.contextmanager
def _stopped(zones, letter):
    os.kill(zones.server(letter).process.pid, signal.SIGSTOP)
    yield
    os.kill(zones.server(letter).process.pid, signal.SIGCONT)


@contextlib.contextmanager
def _killed(zones, letter):
    """And started anew: it knows nothing of us."""
    zones.server(letter).kill()
    yield
    zones.server(letter).start()


@pytest.mark.parametrize("failure", (_all_cut, _esp_cut, _link_down, _stopped, _killed),
                         ids=("packets", "ESP", "link", "SIGSTOP", "SIGKILL"))
@pytest.mark.parametrize("turn", (1, 2))
def test_zone_fails(routing, failure, turn):
    """One move, soon, and no connection of a customer that routes is lost. In turn: both zones."""
    zones, stream = routing.zones, routing.stream
    active = zones.wait_ready()
    moves = zones.moves()
    begin = time.monotonic()
    stream.wait_for_more(100)
    with failure(zones, active):
        gap = wait_until(lambda: stream.longest_gap(begin), 20, "the stream goes on elsewhere")
        environment = zones.wait_active(zones.other(active))
        stream.wait_for_more(100)
    assert gap[1] - gap[0] < PATIENCE
    assert environment["moves"] == moves + 1
    assert environment["last_move"]["reason"] == "dead"
    assert environment["last_move"]["from"] == active
    assert environment["last_move"]["sessions_reset"] == 0
    assert environment["last_move"]["sessions_kept"] >= CONNECTIONS
    assert routing.connections.ended() == []
    assert zones.lab.curl().stdout == PAGE
    zones.wait_ready()
    assert zones.moves() == moves + 1
    log = zones.gateway.controlplane.output()
    assert log.count("moves: moved environment=production") == environment["moves"]


def test_ike_fails_alone(routing):
    """Traffic passes: no reason to move."""
    zones, stream = routing.zones, routing.stream
    active = zones.wait_ready()
    moves = zones.moves()
    begin = time.monotonic()
    with Cut(zones.lab, active, IKE_ONLY):
        stream.wait_for_more(2000)
    assert zones.moves() == moves
    assert stream.longest_gap(begin) is None
    assert zones.wait_ready() == active


def test_dataplane_stopped(routing):
    """It was not looking: nobody is dead."""
    zones, stream = routing.zones, routing.stream
    active = zones.wait_ready()
    moves = zones.moves()
    for _ in range(10):
        begin = time.monotonic()
        os.kill(zones.gateway.dataplane.pid, signal.SIGSTOP)
        time.sleep(0.3)  # not a wait: it is what is tested
        os.kill(zones.gateway.dataplane.pid, signal.SIGCONT)
        wait_until(lambda: stream.longest_gap(begin), 20, "the stream had noticed")
        stream.wait_for_more(200)
    assert zones.moves() == moves
    assert zones.wait_ready() == active


def test_rebooted_server_is_back_soon(routing):
    """IKE asks a dead one at once: it is not left to its DPD of half a minute."""
    zones = routing.zones
    active = zones.wait_ready()
    zones.server(active).kill()
    zones.server(active).start()
    begin = time.monotonic()
    zones.wait_liveness(**{active: "dead"})
    zones.wait_ready()
    assert time.monotonic() - begin < 8
    assert zones.server(active).list_sas().count("ESTABLISHED") == 1


def test_connections_lived(routing):
    """After all of the above: each one still carries data both ways."""
    assert routing.connections.ended() == []
    assert routing.connections.stop() == 0
    routing.stream.stop()


def test_masquerading_customer(redundant_masquerading):
    """The LAN sees another source: connections are reset at once, new ones work."""
    lab = redundant_masquerading
    zones = Zones(lab)
    stream = Pulse(lab)
    connections = Crowd(lab, CONNECTIONS)
    zones.wait_ready()
    begin = time.monotonic()
    with Cut(lab, "a"):
        gap = wait_until(lambda: stream.longest_gap(begin), 20, "the stream goes on elsewhere")
        environment = zones.wait_active("b")
        wait_until(lambda: connections.opened(begin) >= CONNECTIONS, 20, "all are open again")
        assert lab.curl().stdout == PAGE
    ended = connections.ended(begin)
    assert [why for _, why in ended] == ["ECONNRESET"] * CONNECTIONS
    assert max(at for at, _ in ended) - gap[0] < PATIENCE
    assert environment["last_move"]["sessions_reset"] >= CONNECTIONS
    assert connections.stop() == 0


def test_customers_host_is_reset(redundant_masquerading):
    """Of a connection that was reset here its other end hears nothing in the cut: it learns so by its first retransmission after that."""
    lab = redundant_masquerading
    lab.site.web.start_ticker(8081)
    zones = Zones(lab)
    zones.wait_ready()

    def established():
        return lab.site.lan_host.run("ss", "-Htn", "state", "established", "( sport = :8081 )").stdout.strip()
    caller = lab.client.start("curl", "--silent", "--http0.9", "--max-time", "60", "vpn:33001", name="caller")
    wait_until(established, 20, "a connection to the ticker")
    with Cut(lab, "b"):
        wait_until(lambda: caller.status is not None, 20, "the client is reset")
        assert established()
    wait_until(lambda: not established(), 30, "the customer's host is reset")


def test_target_is_dead(redundant_masquerading):
    """Through every tunnel nobody answers: nothing moves, for nothing would be better."""
    lab = redundant_masquerading
    zones = Zones(lab)
    Pulse(lab)
    zones.wait_ready()
    moves = zones.moves()
    lab.site.lan_host.ip("link", "set", "lan", "down")
    zones.wait_liveness(a="dead", b="dead")
    assert zones.environment()["lost"]
    lab.site.lan_host.ip("link", "set", "lan", "up")
    zones.wait_ready()
    assert zones.moves() == moves
    assert lab.curl().stdout == PAGE


def test_all_servers_dead(redundant_masquerading):
    """Old connections are reset and new ones refused at once: nothing hangs."""
    lab = redundant_masquerading
    zones = Zones(lab)
    connections = Crowd(lab, CONNECTIONS)
    zones.wait_ready()
    begin = time.monotonic()
    with Cut(lab, "a"), Cut(lab, "b"):
        wait_until(lambda: len(connections.ended(begin)) >= CONNECTIONS, 30, "all are reset")
        assert {why for _, why in connections.ended(begin)} == {"ECONNRESET"}
        # dead, or down already: IKE is given up after ten seconds, too
        wait_until(lambda: zones.environment()["lost"] or not zones.environment()["active"], 10,
                   "nobody answers")
        begun = time.monotonic()
        done = lab.curl(timeout=10)
        assert done.returncode == 7, done.stderr  # refused
        assert time.monotonic() - begun < 2
        assert zones.gateway.command("status").returncode == 1
    wait_until(lambda: lab.curl(timeout=8).stdout == PAGE, 20, "it works again")


def test_preferred_server(redundant):
    """A forward that prefers b uses it while that lives, whichever is active."""
    lab = redundant
    lab.site.web.start_ticker(8081)
    zones = Zones(lab)
    zones.wait_ready()
    assert zones.server_of_new(40001) == ["b"]
    with Cut(lab, "b"):
        zones.wait_liveness(b="dead")
        assert zones.server_of_new(40002) == ["a"]
    assert zones.environment()["active"] == "a"


def test_moves_back(redundant):
    lab = redundant
    zones = Zones(lab, failback="after 2 s", hold_down=4)
    stream = Pulse(lab)
    zones.wait_ready()
    begin = time.monotonic()
    with Cut(lab, "a"):
        zones.wait_active("b")
    moved = time.monotonic()
    environment = zones.wait_active("a", 30)
    assert time.monotonic() - moved > 3  # hold_down, less what the first look took
    assert environment["last_move"]["reason"] == "back"
    stream.wait_for_more(200)
    assert len(stream.gaps(begin)) == 1  # of the cut; the way back cost none


def test_flapping_server(redundant):
    """A second dead, a second alive: away, and not back before hold_down is over."""
    lab = redundant
    zones = Zones(lab, failback="after 1 s", hold_down=3600)
    Pulse(lab)
    zones.wait_ready()
    moves = zones.moves()
    for _ in range(4):
        with Cut(lab, "a"):
            zones.wait_liveness(a="dead")
        zones.wait_liveness(a="alive")
    assert zones.moves() == moves + 1
    assert zones.environment()["active"] == "b"


def test_move_by_hand(redundant):
    zones = Zones(redundant, failback="after 1 s", hold_down=1)
    stream = Pulse(redundant)
    connections = Crowd(redundant, CONNECTIONS)
    zones.wait_ready()
    begin = time.monotonic()
    for letter in ("b", "a", "b"):
        done = zones.gateway.command("move", "production")
        assert done.stdout == f"production moved from {zones.other(letter)} to {letter}\n"
        assert zones.wait_active(letter)["last_move"]["reason"] == "by-hand"
        stream.wait_for_more(500)
    stream.wait_for_more(2000)
    assert zones.environment()["active"] == "b"  # and stays
    assert stream.longest_gap(begin) is None
    assert stream.stop() == 0
    assert connections.ended() == [] and connections.stop() == 0

    zones.server("a").kill()
    zones.wait_liveness(a="dead")
    done = zones.gateway.command("move", "production", "--to", "a")
    assert done.returncode == 1
    assert "server a does not answer" in done.stderr or "server a is not up" in done.stderr
    assert zones.environment()["active"] == "b"
