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
    # a way that is cut loses all that is on it; a busy machine delays, and loses a few
    assert stream.stop() < pulse.RATE * pulse.NOTED_MS / 1000


@pytest.fixture
def unanswering(redundant_masquerading):
    """UDP alone is forwarded, and nobody answers an echo: no probe tells anything."""
    lab = redundant_masquerading
    lab.site.lan_host.run("sysctl", "-q", "net.ipv4.icmp_echo_ignore_all=1")
    return Zones(lab, only_forwards={
        pulse.PORT: {"to": f"{TARGET}:{pulse.TARGET_PORT}", "transport": "udp"}})


def _liveness_of_a(zones):
    return {tunnel["server"]: tunnel["liveness"] for tunnel in zones.gateway.ask("tunnels")["tunnels"]}["a"]


def test_no_probe_is_answered(unanswering):
    """IKE tells that the server is dead: soon, and not when ESP alone is cut, for then it lives."""
    zones = unanswering
    stream = Pulse(zones.lab)
    moves = zones.moves()
    assert zones.environment()["active"] == "a"
    with Cut(zones.lab, "a", ESP_ONLY):  # no longer than for a look: IKE's patience is a second
        wait_until(lambda: _liveness_of_a(zones) == "suspect", 10, "nothing comes back")
    stream.wait_for_more(100)
    involved = (zones.gateway.dataplane, zones.gateway.controlplane,
                *(zones.server(letter).process for letter in "ab"))
    begin, waited = time.monotonic(), sum(process.waited_s() for process in involved)
    with Cut(zones.lab, "a"):
        environment = zones.wait_active("b", timeout=30)
        stream.wait_for_more(100)
    waited = sum(process.waited_s() for process in involved) - waited
    assert environment["moves"] == moves + 1
    assert environment["last_move"]["reason"] == "dead"
    gap = stream.longest_gap(begin)
    # 1.5 to 3.5 s on a machine that has nothing else to do, and what those waited for it who do it
    assert gap[1] - gap[0] < 6 + waited, (gap, waited)
