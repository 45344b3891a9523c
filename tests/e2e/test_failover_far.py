# SPDX-License-Identifier: GPL-2.0-or-later
"""A server that is far away, at the end of a bad line, is not dead."""

import pytest

from lab.delay import LongWay
from lab.pulse import Pulse
from zones import Zones


@pytest.mark.parametrize("rate", (1000, 10))
def test_no_false_moves(redundant_masquerading, rate):
    """200 ms there and back, give or take 50, and of a hundred packets two are lost: half a minute
    with much traffic, and with little."""
    lab = redundant_masquerading
    for letter in lab.site.zones:
        LongWay(lab, letter, delay=0.1, jitter=0.025, loss=0.01)
    zones = Zones(lab)
    stream = Pulse(lab, rate=rate)
    zones.wait_ready()
    moves = zones.moves()
    stream.wait_for_more(rate * 30, timeout=60)
    environment = zones.environment()
    assert environment["moves"] == moves, environment["last_move"]
    tunnels = {t["server"]: t for t in environment["tunnels"]}
    assert all(150 < t["rtt_ms"] < 500 for t in tunnels.values()), tunnels
    assert tunnels["a"]["deaths"] == 0, tunnels
