# SPDX-License-Identifier: GPL-2.0-or-later
"""What the Internet may see: ARP and UDP between gateway and server, nothing readable in it."""

import socket

from lab.server import PAGE
from lab.topology import TARGET, UPLINK_ADDRESS


def test_uplink_shows_only_encrypted_packets(lab):
    captures = lab.capture("uplink", "lan-a")
    lab.site.start()
    lab.add_gateway().start()
    inner = lab.gateway.wait_up()["inner_address"]
    assert lab.curl().stdout == PAGE
    for capture in captures.values():
        capture.stop()
    uplink = captures["uplink"]

    # the recordings are what they should be: the request is seen in clear where it must be
    assert captures["lan-a"].contains(PAGE.encode())
    assert captures["lan-a"].select(f"src host {inner} and dst host {TARGET} and tcp port 8080")
    server = lab.site.server.address
    tunnel = f"udp and host {UPLINK_ADDRESS} and host {server} and (port 500 or port 4500)"
    assert len(uplink.select(tunnel)) > 10

    assert uplink.select(f"not arp and not ({tunnel})") == []
    assert not uplink.contains(PAGE.encode())
    assert not uplink.contains(b"GET / HTTP")
    addresses = [socket.inet_aton(a) for a in (inner, TARGET)]
    assert not uplink.contains(addresses[0] + addresses[1])
    assert not uplink.contains(addresses[1] + addresses[0])


def test_logs_show_no_secret(up):
    assert up.curl().stdout == PAGE
    for process in (up.gateway.dataplane, up.gateway.controlplane):
        assert up.site.server.password not in process.output()


def test_dead_tunnel_leaks_nothing(lab):
    """While the tunnel is down, connections fail: nothing goes out untranslated."""
    uplink = lab.capture("uplink")["uplink"]
    lab.site.web.start()
    lab.add_gateway().start()
    lab.gateway.wait_phase("waiting")
    assert lab.curl(timeout=8).returncode != 0
    uplink.stop()
    assert uplink.select("arp or udp port 500")
    assert uplink.select("tcp or net 10.0.0.0/8 or net 192.168.0.0/16") == []
    assert uplink.select(f"ip src host {UPLINK_ADDRESS} and not udp port 500") == []
