# SPDX-License-Identifier: GPL-2.0-or-later
"""What IKE has to say about a zone that fails, and what not: docs/failover.md."""

import time

import pytest

from lab import pulse
from lab.cut import ESP_ONLY, IKE_ONLY, Cut
from lab.host import wait_until
from lab.pulse import Pulse
from lab.topology import TARGET
from zones import Zones


def test_ike_fails_in_a_rekeying(redundant):
    """For more than ten seconds: ESP passes on, and the rekeying ends when IKE is back."""
    lab = redundant
    zones = Zones(lab, child_rekey=5)
    stream = Pulse(lab)
    zones.wait_ready()
    moves, connects = zones.moves(), zones.gateway.tunnel(server="a")["connects"]
    begin = time.monotonic()
    with Cut(lab, "a", IKE_ONLY):
        wait_until(lambda: "the server does not answer control packets, but data passes environment=production "
                           "server=a" in zones.gateway.controlplane.output(),
                   60, "IKE was not answered for ten seconds")
        stream.wait_for_more(500)
        rekeys = zones.gateway.tunnel(server="a")["child_rekeys"]
    wait_until(lambda: zones.gateway.tunnel(server="a")["child_rekeys"] > rekeys, 30,
               "the rekeying goes on")
    stream.wait_for_more(500)
    assert zones.moves() == moves and zones.environment()["active"] == "a"
    assert zones.gateway.tunnel(server="a")["connects"] == connects
    assert stream.longest_gap(begin) is None


@pytest.fixture
def unanswering(redundant_masquerading):
    """UDP alone is forwarded, and nobody answers an echo: no probe tells anything."""
    lab = redundant_masquerading
    lab.site.lan_host.run("sysctl", "-q", "net.ipv4.icmp_echo_ignore_all=1")
    return Zones(lab, only_forwards={
        pulse.PORT: {"to": f"{TARGET}:{pulse.TARGET_PORT}", "transport": "udp"}})


def test_no_probe_is_answered(unanswering):
    """IKE tells that the server is dead: soon, and not when ESP alone is cut, for then it lives."""
    zones = unanswering
    stream = Pulse(zones.lab)
    moves = zones.moves()
    assert zones.environment()["active"] == "a"
    with Cut(zones.lab, "a", ESP_ONLY):
        wait_until(lambda: zones.gateway.tunnel(server="a")["liveness"] == "suspect", 10,
                   "nothing comes back")
    stream.wait_for_more(100)
    begin = time.monotonic()
    with Cut(zones.lab, "a"):
        gap = wait_until(lambda: stream.longest_gap(begin), 30, "the stream goes on elsewhere")
        environment = zones.wait_active("b")
    assert environment["moves"] == moves + 1
    assert environment["last_move"]["reason"] == "dead"
    assert gap[1] - gap[0] < 6  # 1.5 to 3.5 s, on a machine that has nothing else to do
