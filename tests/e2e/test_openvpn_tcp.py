# SPDX-License-Identifier: GPL-2.0-or-later
"""OpenVPN over TCP: from the static address, through the exception port."""

import re

from lab.server import PAGE
from lab.topology import TARGET
from zones import Zones


def serve_tcp(server):
    server.settings["proto"] = "tcp4-server"


def start(lab):
    serve_tcp(lab.site.server)
    lab.site.start()
    lab.add_gateway([lab.environment(servers=[lab.site.as_server(options={"transport": "tcp"})])]).start()
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
