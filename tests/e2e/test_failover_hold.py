# SPDX-License-Identifier: GPL-2.0-or-later
"""What comes back after a failure, and when: a server that flaps, and one that a forward prefers."""

import time

from lab.cut import Cut
from lab.host import wait_until
from lab.pulse import Pulse
from zones import Zones

HOLD_DOWN = 6  # s
FLAPPING = 15


def test_over_whole_hold_downs(redundant):
    """Back to a server that flaps at most once per hold_down, and for good when it stays; a forward
    that prefers the other one returns to that, on its own."""
    lab = redundant
    lab.site.web.start_ticker(8081)
    zones = Zones(lab, failback="after 1 s", hold_down=HOLD_DOWN)
    Pulse(lab)
    zones.wait_ready()
    assert zones.server_of_new(40001) == ["b"]
    with Cut(lab, "b"):
        zones.wait_liveness(b="dead")
        assert zones.server_of_new(40002) == ["a"]
    zones.wait_liveness(b="alive")

    before, begun = zones.environment()["moves_by_reason"], time.monotonic()
    while time.monotonic() - begun < FLAPPING:
        with Cut(lab, "a"):
            zones.wait_liveness(a="dead")
        zones.wait_liveness(a="alive")
        time.sleep(1.3)  # not a wait: long enough for failback, if it were not for hold_down
    after, seconds = zones.environment()["moves_by_reason"], time.monotonic() - begun
    back, away = (after[reason] - before[reason] for reason in ("back", "dead"))
    print(f"{seconds:.0f} s: {away} times away, {back} times back")
    assert away >= 1 and back <= seconds / HOLD_DOWN

    zones.wait_active("a", 30)
    ports = iter(range(40003, 41000))
    wait_until(lambda: zones.server_of_new(next(ports)) == ["b"], 60, "the forward is back on b")
    assert zones.environment()["active"] == "a"
