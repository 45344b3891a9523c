# SPDX-License-Identifier: GPL-2.0-or-later
"""OpenVPN does what IPsec does: beside it on one gateway, through two zones, over a reload."""

from lab.cut import Cut
from lab.host import wait_until
from lab.pulse import Pulse
from lab.server import PAGE
from lab.topology import TARGET
from zones import Zones


def test_one_of_each(mixed):
    """Two customers with the same private network, one behind strongSwan, one behind OpenVPN."""
    for site in mixed.sites.values():
        site.start()
    captures = mixed.capture("lan-a", "lan-b")
    mixed.add_gateway([
        mixed.environment("production", servers=[mixed.sites["a"].as_server("a")]),
        mixed.environment("staging", servers=[mixed.sites["b"].as_server("b")]),
    ]).start()
    mixed.gateway.wait_up("production", "a")
    mixed.gateway.wait_up("staging", "b")
    for _ in range(10):
        assert mixed.curl(environment="production").stdout == PAGE
        assert mixed.curl(environment="staging").stdout == PAGE.replace("world", "customer B")
    for capture in captures.values():
        capture.stop()
    assert not captures["lan-a"].contains(b"customer B")
    assert not captures["lan-b"].contains(b"Hello world")
    protocols = {key: tunnel["protocol"] for key, tunnel in mixed.gateway.tunnels().items()}
    assert protocols == {("production", "a"): "ipsec", ("staging", "b"): "openvpn"}


def test_a_zone_fails(redundant_openvpn):
    """The other one takes over, and sessions go on: the customer routes the inner address."""
    zones = Zones(redundant_openvpn)
    zones.wait_ready()
    stream = Pulse(zones.lab)
    begin = stream.received
    with Cut(zones.lab, "a"):
        environment = zones.wait_active("b")
        stream.wait_for_more(500)
    assert begin and environment["last_move"]["reason"] == "dead"
    assert environment["last_move"]["sessions_reset"] == 0
    gap = stream.longest_gap()
    assert gap is None or gap[1] - gap[0] < 3


def test_reload(openvpn):
    """A new forward does not touch the tunnel; another cipher is a new login."""
    site = openvpn.site
    site.start()
    gateway = openvpn.add_gateway()
    gateway.start()
    gateway.wait_up()
    gateway.configure([openvpn.environment(forwards={34000: f"{TARGET}:8080"})])
    done = gateway.command("reload")
    assert done.returncode == 0, done.stdout + done.stderr
    assert openvpn.curl("vpn:34000").stdout == PAGE
    assert site.server.counted("Peer Connection Initiated") == 1
    gateway.configure([openvpn.environment(servers=[
        site.as_server(options={"data_ciphers": ["AES-128-GCM"]})])])
    done = gateway.command("reload")
    assert done.returncode == 0, done.stdout + done.stderr
    wait_until(lambda: gateway.tunnel()["suite"] == "AES-128-GCM", 60, "the other cipher is used")
    wait_until(lambda: openvpn.curl(timeout=8).stdout == PAGE, 40, "the page comes")
