# SPDX-License-Identifier: GPL-2.0-or-later
"""Either process may die: the other one goes on, and they find each other again."""

import pytest

from lab.host import wait_until
from lab.server import PAGE
from streams import Stream

pytestmark = pytest.mark.sanitized


def test_controlplane_killed(up):
    """Traffic goes on, old connections and new ones; the next control plane takes over."""
    stream = Stream(up)
    up.gateway.kill_controlplane()
    stream.wait_for_more(200)
    assert up.curl().stdout == PAGE
    assert up.gateway.command("status").returncode == 3

    up.gateway.start_controlplane()
    up.gateway.wait_up()
    stream.wait_for_more(200)
    assert up.curl().stdout == PAGE
    assert stream.is_complete()
    assert stream.longest_gap() < 1.0
    assert up.gateway.drops() == {}


def test_controlplane_stopped_in_order(up):
    """SIGTERM: it ends with 0, sends no DELETE and leaves the tunnel's SAs where they are."""
    stream = Stream(up)
    assert up.gateway.controlplane.stop() == 0
    stream.wait_for_more(200)
    assert "ESTABLISHED" in up.site.server.list_sas()
    up.gateway.start_controlplane()
    up.gateway.wait_up()
    stream.wait_for_more(100)
    assert stream.longest_gap() < 1.0


def test_controlplane_killed_again_and_again(up):
    stream = Stream(up)
    for _ in range(4):
        up.gateway.kill_controlplane()
        stream.wait_for_more(20)
        up.gateway.start_controlplane()
        up.gateway.wait_up()
        stream.wait_for_more(20)
        assert up.curl().stdout == PAGE
    assert stream.is_complete()


def _dataplane_epoch(up):
    _, status = up.gateway.query("status")
    return status and status["dataplane"]["epoch"]


def test_dataplane_killed(up):
    """Tunnels are negotiated anew, new connections work; an old one is told, it does not hang."""
    stream = Stream(up)
    epoch = _dataplane_epoch(up)
    up.gateway.kill_dataplane()
    up.gateway.start_dataplane()
    wait_until(lambda: _dataplane_epoch(up) not in (None, epoch), 15,
               "the control plane found the new dataplane")
    up.gateway.wait_up(timeout=10)
    assert up.curl().stdout == PAGE
    assert stream.wait_end(15) == "ConnectionResetError"


def test_both_killed(up):
    up.gateway.kill_controlplane()
    up.gateway.kill_dataplane()
    up.gateway.start()
    up.gateway.wait_up()
    assert up.curl().stdout == PAGE


def test_controlplane_started_first(lab):
    """The order does not matter: it waits for the dataplane, and says so."""
    lab.site.start()
    gateway = lab.add_gateway()
    gateway.start_controlplane()
    wait_until(lambda: gateway.command("status").returncode == 4, 15, "status says no dataplane")
    gateway.start_dataplane()
    gateway.wait_up()
    assert lab.curl().stdout == PAGE


def test_server_restarted(up):
    """The customer's server dies without a word and comes back: the tunnel does, too."""
    assert up.curl().stdout == PAGE
    up.site.server.kill()
    up.site.server.start()
    up.gateway.kill_controlplane()
    up.gateway.start_controlplane()
    up.gateway.wait_up()
    assert wait_until(lambda: up.curl(timeout=7).stdout == PAGE, 15, "a new connection works")
