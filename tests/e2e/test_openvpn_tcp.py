# SPDX-License-Identifier: GPL-2.0-or-later
"""OpenVPN over TCP: from the static address, through the exception port."""

import re
import time

import pytest

from lab import pulse
from lab.host import wait_until
from lab.pulse import Pulse
from lab.server import PAGE
from lab.topology import FORWARDS, TARGET
from zones import Zones

PULSE = {pulse.PORT: {"to": f"{TARGET}:{pulse.TARGET_PORT}", "transport": "udp"}}


def serve_tcp(server):
    server.settings["proto"] = "tcp4-server"


def start(lab):
    serve_tcp(lab.site.server)
    lab.site.start()
    server = lab.site.as_server(options={"transport": "tcp"})
    lab.add_gateway([lab.environment(servers=[server], forwards={**FORWARDS, **PULSE})]).start()
    return lab.gateway.wait_up()


def test_one(openvpn):
    """The tunnel's packets are in one TCP connection of the static address, and nothing else is."""
    captures = openvpn.capture("uplink", "lan-a")
    tunnel = start(openvpn)
    assert tunnel["protocol"] == "openvpn"
    done = openvpn.curl()
    assert (done.returncode, done.stdout) == (0, PAGE), done.stderr
    server = openvpn.site.server
    clients = server.clients()
    assert [client[2] for client in clients] == [tunnel["inner_address"]]
    assert clients[0][1].startswith("203.0.113.10:"), clients
    for capture in captures.values():
        capture.stop()
    assert captures["uplink"].select(
        f"not arp and not (tcp and host 203.0.113.10 and host {server.address} and port 1194)") == []
    assert not captures["uplink"].contains(b"Hello")
    assert captures["lan-a"].select(f"src {tunnel['inner_address']} and dst {TARGET}")


def test_server_restarts(openvpn):
    """The connection breaks off: the reason is told, and another one is made."""
    start(openvpn)
    openvpn.site.server.stop()
    openvpn.gateway.wait_why(re.compile("TCP connection"))
    openvpn.site.server.start()
    openvpn.gateway.wait_up()
    done = openvpn.curl()
    assert (done.returncode, done.stdout) == (0, PAGE), done.stderr


def test_failover(redundant_openvpn):
    """From UDP to TCP when the machine with the server dies, and back."""
    lab = redundant_openvpn
    serve_tcp(lab.site.zones["b"].server)
    zones = Zones(lab, servers=lab.site.as_servers(b={"transport": "tcp"}))
    zones.wait_liveness(a="alive", b="alive")
    zones.server("a").kill()
    zones.wait_active("b")
    assert lab.curl().stdout == PAGE
    zones.server("a").start()
    zones.wait_liveness(a="alive", b="alive")
    zones.server("b").kill()
    zones.wait_active("a")
    assert lab.curl().stdout == PAGE


def restart_controlplane(gateway):
    gateway.kill_controlplane()
    gateway.start_controlplane()


def restart_dataplane(gateway):
    gateway.kill_dataplane()
    wait_until(lambda: gateway.tunnel().get("phase") == "idle", 20, "it is known to be gone")
    gateway.start_dataplane()


def upgrade(gateway):
    done = gateway.upgrade()
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("restart", (restart_controlplane, upgrade, restart_dataplane))
def test_restart(openvpn, restart):
    """The connection ends with either process, and with it the session: a new one takes its place."""
    start(openvpn)
    gateway, server = openvpn.gateway, openvpn.site.server
    stream = Pulse(openvpn)
    begin = time.monotonic()
    restart(gateway)
    wait_until(lambda: server.counted("Peer Connection Initiated") == 2, 60, "it logs in again")
    gateway.wait_up()
    stream.wait_for_more(100)
    gap = stream.longest_gap(begin)
    print(f"{restart.__name__}: the longest time without an answer",
          f"{gap[1] - gap[0]:.2f} s," if gap else "under 0.1 s,", f"{stream.stop()} answers are missing")
    assert openvpn.curl().stdout == PAGE
    assert len(server.clients()) == 1
