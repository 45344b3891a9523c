# SPDX-License-Identifier: GPL-2.0-or-later
"""NAT-T keepalives, on the wire once: a tunnel that says nothing, and no control plane that could. Their rules are a unit test's."""
import time

import pytest

import harness
import peers
from harness import UPLINK_ADDRESS, UPLINK_ROUTER

SILENCE = 20.0


@pytest.fixture
def silent(dp, tunnel):
    if dp.workers == 1:
        pytest.skip("once is enough: where the home worker is not the one that has the port")
    return tunnel


def test_keepalive_of_a_silent_tunnel(dp, silent):
    flow = peers.Flow(silent).connect()
    flow.out("PA", b"the last word")
    said = time.monotonic()
    dp.uplink.keepalives.clear()
    dp.control.close()
    dp.control = None
    try:
        def heard():
            return [(when, frame) for when, frame in dp.uplink.keepalives
                    if peers.matcher(UPLINK_ADDRESS, silent.remote, 17, 4500, 4500)(frame)]
        when, frame = harness.wait_for(heard, "a keepalive", SILENCE + 5)[0]
    finally:
        dp.connect()
    assert SILENCE - 0.1 <= when - said <= SILENCE + 3
    packet = peers.parse(dp.uplink, frame, UPLINK_ROUTER)
    assert bytes(packet.payload)[6:] == b"\0\0\xff", "no checksum, one byte"
    assert dp.count("esp/out-keepalives") >= 1
    flow.out("PA", b"and on it goes")
