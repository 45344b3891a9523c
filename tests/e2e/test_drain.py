# SPDX-License-Identifier: GPL-2.0-or-later
"""A node that goes away: new sessions are refused, old ones go on; what others are told of it."""

import time

from lab.host import wait_until
from lab.server import PAGE
from streams import Stream


def _health(gateway, *argv):
    status, reply = gateway.query("health", *argv)
    return status, reply["state"], [(e["name"], e["state"]) for e in reply["environments"]]


def test_drain(up):
    gateway = up.gateway
    stream = Stream(up)
    assert _health(gateway) == (0, "ready", [("production", "ready")])
    refused = gateway.drops().get("drop/draining", 0)
    status, reply = gateway.query("drain", "--deadline", "1")
    assert status == 1 and not reply["drained"] and reply["sessions"] >= 1
    assert up.curl(timeout=8).returncode == 7  # refused at once
    assert gateway.drops()["drop/draining"] > refused
    assert _health(gateway, "production") == (1, "draining", [("production", "draining")])
    # it lasts over a reload and a restart
    gateway.configure([up.environment()])
    assert gateway.query("reload")[0] == 0
    gateway.kill_controlplane()
    gateway.start_controlplane()
    gateway.wait_up()
    assert up.curl(timeout=8).returncode == 7
    assert _health(gateway)[1] == "draining"
    stream.wait_for_more(10)
    assert stream.end() is None and stream.is_complete()
    assert gateway.command("undrain", "production").returncode == 0
    assert up.curl().stdout == PAGE and _health(gateway)[1] == "ready"
    assert gateway.command("drain", "nowhere").returncode == 2


def test_drained_and_down(up):
    """It is drained when the last connection is closed; without a tunnel it is down, drained or not."""
    gateway = up.gateway
    up.site.web.start_iperf3(5201)
    iperf3 = up.client.start("iperf3", "--client", "vpn", "--port", "33002", "--time", "4", "--bitrate", "8M",
                             name="iperf3-client")
    wait_until(lambda: gateway.query("health")[1]["environments"][0]["sessions_open"] >= 2, 10,
               "its connections are open")
    assert gateway.query("drain", "--deadline", "0")[1]["sessions"] >= 2
    drain = gateway.start_command("drain", "production", "--deadline", "60")
    assert iperf3.wait() == 0, iperf3.output()  # it went on to its end
    drained = time.monotonic()
    assert drain.wait() == 0 and "drained" in drain.output()
    assert time.monotonic() - drained < 20  # a closed connection is remembered for two minutes
    assert gateway.query("drain", "production", "--deadline", "5") == (
        0, {"drained": True, "sessions": 0})
    up.site.server.stop()
    wait_until(lambda: _health(gateway)[1] == "down", 20, "its health is down")
    up.site.server.start()
    gateway.command("undrain")
    gateway.wait_up()
    wait_until(lambda: _health(gateway)[1] == "ready", 20, "its health is ready")
    gateway.kill_dataplane()
    wait_until(lambda: _health(gateway)[1] == "down", 20, "its health is down")
    gateway.start_dataplane()
    gateway.wait_up()
