# SPDX-License-Identifier: GPL-2.0-or-later
"""A control plane that ends, whatever way, costs no packet: docs/restart.md."""

import pytest

from datagrams import PORT, TARGET_PORT, Datagrams
from lab.topology import TARGET

UNIQUE = ("no", "never", "keep", "replace")
FORWARDS = {PORT: {"to": f"{TARGET}:{TARGET_PORT}", "transport": "udp"}}


@pytest.fixture(params=UNIQUE)
def streaming(request, lab):
    """The tunnel is up towards a server with that `unique`, and the stream runs."""
    lab.site.server.set_unique(request.param)
    lab.site.start()
    lab.add_gateway([lab.environment(forwards=FORWARDS)]).start()
    lab.gateway.wait_up()
    return lab, Datagrams(lab)


def _check(report):
    print({k: v for k, v in report.items() if k not in ("target",)})
    assert (report["out"], report["back"]) == (0, 0), report
    assert report["again"] == 0 and report["target"]["again"] == 0, report
    assert report["rate"] > 5000, f"the laboratory is too slow for this test: {report}"


def _start_again(lab):
    inner = lab.gateway.tunnel_inner
    lab.gateway.start_controlplane()
    assert lab.gateway.wait_up()["inner_address"] == inner


def _end(lab, is_killed):
    lab.gateway.tunnel_inner = lab.gateway.tunnel()["inner_address"]
    if is_killed:
        lab.gateway.kill_controlplane()
    else:
        assert lab.gateway.controlplane.stop() == 0


@pytest.mark.parametrize("is_killed", (True, False), ids=("SIGKILL", "SIGTERM"))
def test_lossless(streaming, is_killed):
    lab, stream = streaming
    _end(lab, is_killed)
    stream.wait_for_more(2000)
    _start_again(lab)
    stream.wait_for_more(10000)
    report = stream.end()
    report['drops'] = lab.gateway.drops()
    report['held'] = lab.gateway.counters().get('esp/held-packets', 0)
    _check(report)
