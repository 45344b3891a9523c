# SPDX-License-Identifier: GPL-2.0-or-later
"""Two environments whose customers have the same private network: they never meet."""

import pytest

from lab.server import PAGE
from lab.topology import POD_ADDRESSES

pytestmark = pytest.mark.sanitized


def _start(lab):
    for site in lab.sites.values():
        site.start()
    captures = lab.capture("uplink", "lan-a", "lan-b")
    lab.add_gateway([
        lab.environment("production", servers=[lab.sites["a"].as_server("a")]),
        lab.environment("staging", servers=[lab.sites["b"].as_server("b")]),
    ]).start()
    lab.gateway.wait_up("production", "a")
    lab.gateway.wait_up("staging", "b")
    return captures


def test_each_reaches_its_own_customer(lab_with_two):
    lab = lab_with_two
    captures = _start(lab)
    for _ in range(20):
        assert lab.curl(environment="production").stdout == PAGE
        assert lab.curl(environment="staging").stdout == PAGE.replace("world", "customer B")
    assert lab.sites["a"].web.requests_served() == 20
    assert lab.sites["b"].web.requests_served() == 20
    for capture in captures.values():
        capture.stop()
    servers = " or ".join(f"host {s.server.address}" for s in lab.sites.values())
    assert captures["uplink"].select(
        f"not arp and not (udp and ({servers}) and (port 500 or port 4500))") == []
    assert not captures["uplink"].contains(b"Hello")
    assert not captures["lan-a"].contains(b"customer B")
    assert not captures["lan-b"].contains(b"Hello world")


def test_one_is_not_served_by_the_other(lab_with_two):
    """Staging's service calls production's address: it is no source of that environment."""
    lab = lab_with_two
    _start(lab)
    done = lab.curl(f"{POD_ADDRESSES['production']}:33000", environment="staging", timeout=8)
    assert done.returncode != 0
    assert lab.sites["a"].web.requests_served() == 0


def test_one_tunnel_down_leaves_the_other_alone(lab_with_two):
    lab = lab_with_two
    lab.sites["a"].start()
    lab.sites["b"].web.start()
    lab.add_gateway([
        lab.environment("production", servers=[lab.sites["a"].as_server("a")]),
        lab.environment("staging", servers=[lab.sites["b"].as_server("b")]),
    ]).start()
    lab.gateway.wait_up("production", "a")
    assert lab.curl(environment="production").stdout == PAGE
    assert lab.curl(environment="staging", timeout=8).returncode != 0
    assert lab.gateway.command("status").returncode == 1
