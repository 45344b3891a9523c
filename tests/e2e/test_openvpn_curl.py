# SPDX-License-Identifier: GPL-2.0-or-later
"""`curl vpn:33000` through a stock OpenVPN server."""

import pytest

from lab.server import PAGE
from lab.topology import TARGET


def start(lab, **changes):
    """Everything runs and the tunnel is up; CHANGES: of the server as the gateway knows it."""
    lab.site.start()
    lab.add_gateway([lab.environment(servers=[lab.site.as_server(**changes)])]).start()
    return lab.gateway.wait_up()


@pytest.mark.sanitized
def test_one(openvpn):
    """With an account and a password, as customers run it, and nobody else sees the page."""
    captures = openvpn.capture("uplink", "lan-a")
    tunnel = start(openvpn)
    assert (tunnel["protocol"], tunnel["suite"]) == ("openvpn", "AES-256-GCM")
    done = openvpn.curl()
    assert (done.returncode, done.stdout) == (0, PAGE), done.stderr
    assert openvpn.site.web.requests_served() == 1
    assert [client[2] for client in openvpn.site.server.clients()] == [tunnel["inner_address"]]
    for capture in captures.values():
        capture.stop()
    assert captures["uplink"].select(
        f"not arp and not (udp and host {openvpn.site.server.address} and port 1194)") == []
    assert not captures["uplink"].contains(b"Hello")
    assert captures["lan-a"].select(f"src {tunnel['inner_address']} and dst {TARGET}")
