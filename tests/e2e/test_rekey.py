# SPDX-License-Identifier: GPL-2.0-or-later
"""New keys, from either side, while a transfer runs: nobody notices."""

import json
import signal

import pytest

from lab.host import wait_until
from streams import Stream

pytestmark = pytest.mark.sanitized

REKEYS = 4


def _rekeyed(up, field, at_least):
    return lambda: up.gateway.tunnel().get(field, 0) >= at_least


def _by_server(rekey, field):
    def trigger(up, stream):
        for done in range(1, REKEYS + 1):
            stream.wait_for_more(100)
            getattr(up.site.server, rekey)()
            wait_until(_rekeyed(up, field, done), 15, f"{field} {done}")
    return trigger


def _by_us(field):
    def trigger(up, _):
        wait_until(_rekeyed(up, field, REKEYS), 60, f"{REKEYS} {field}")
    return trigger


CASES = {
    "child-by-server": ({}, _by_server("rekey_child", "child_rekeys")),
    "ike-by-server": ({}, _by_server("rekey_ike", "ike_rekeys")),
    "child-by-us": ({"child_rekey": 5}, _by_us("child_rekeys")),
    "ike-by-us": ({"ike_rekey": 5}, _by_us("ike_rekeys")),
}


@pytest.fixture(params=CASES)
def case(request, lab):
    options, trigger = CASES[request.param]
    lab.site.start()
    lab.capture("uplink")
    lab.add_gateway([lab.environment(servers=[lab.site.as_server(options=options)])]).start()
    lab.gateway.wait_up()
    return lab, trigger


def test_rekey_under_load(case):
    up, trigger = case
    stream = Stream(up)
    up.site.web.start_iperf3(5201)
    load = up.client.start("iperf3", "--client", "vpn", "--port", "33002", "--time", "120",
                           "--bitrate", "40M", "--reverse", "--forceflush", "--json",
                           name="iperf3-client")
    trigger(up, stream)
    stream.wait_for_more(100)
    assert load.status is None, load.output()
    load.stop(number=signal.SIGINT)
    assert stream.is_complete()
    assert stream.longest_gap() < 0.5
    report = json.loads(load.output())
    stalled = [i["sum"]["start"] for i in report["intervals"][:-1] if i["sum"]["bytes"] == 0]
    assert len(report["intervals"]) > 2 and stalled == []
    assert up.gateway.tunnel()["connects"] == 1, "rekeyed, not connected anew"
