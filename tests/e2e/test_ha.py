# SPDX-License-Identifier: GPL-2.0-or-later
"""Two gateways side by side, the route to them moved by the platform (docs/ha.md).

Both have the same environment, with an address of their own and an account of their own. The client's route to the
pod address goes to one of them; the test plays the platform that moves it.
"""

import json

from lab.gateway import Gateway
from lab.host import Host, link, wait_until
from lab.server import PAGE
from streams import Stream

POD_ADDRESS = "10.9.0.33"  # behind the gateways, not beside them
HEALTH = "127.0.0.1:9180"
# cluster port, uplink port, router
PORTS = {"a": ("10.0.0.2", "203.0.113.10/24", "203.0.113.1"),
         "b": ("10.0.0.3", "192.0.2.138/25", "192.0.2.129")}


def _wire_second(lab):
    """The host of the second gateway, beside the first one; it has another way to the Internet."""
    host = Host(lab.run, "gateway-b")
    link(host, "cluster", lab.cluster, "to-gateway-b")
    lab.cluster.ip("link", "set", "to-gateway-b", "master", "pods")
    link(host, "uplink", lab.internet, "to-gateway-b")
    lab.internet.ip("address", "add", "192.0.2.129/25", "dev", "to-gateway-b")
    return host


def _add_account(server, name):
    server.secrets[f"eap-{name}"] = {"id": name, "secret": '"another one"'}


def _gateway(lab, host, name, servers):
    cluster, uplink, router = PORTS[name]
    return Gateway(lab.run, host, name=name,
                   environments=[lab.environment(pod_address=POD_ADDRESS, servers=servers)],
                   uplink={"device": "af_packet:uplink", "address": uplink, "router": router},
                   cluster={"device": "af_packet:cluster", "address": f"{cluster}/16"},
                   controlplane={"health": HEALTH})


def _route(lab, name):
    lab.client.ip("route", "replace", f"{POD_ADDRESS}/32", "via", PORTS[name][0])


def _ask(gateway, path="/health/production", *argv):
    """As the platform asks: the status and the answer."""
    done = gateway.host.run("curl", "--silent", "--max-time", "5", "--write-out", "\n%{http_code}",
                            *argv, f"http://{HEALTH}{path}", check=False)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body) if body else None


def test_two_gateways(lab):
    site = lab.site
    _add_account(site.server, "gw-b")
    site.start()
    lab.client.set_names({"vpn": POD_ADDRESS})
    first = _gateway(lab, lab.gateway_host, "a", [site.as_server()])
    lab.gateway = first
    second = _gateway(lab, _wire_second(lab), "b",
                      [site.as_server(account="gw-b", secret="another one")])
    try:
        for gateway in (first, second):
            gateway.start()
            gateway.wait_up()
            status, health = _ask(gateway)
            assert status == 200 and health["state"] == "ready", health
            assert _ask(gateway, "/health")[0] == 200
        for name in ("b", "a"):  # both serve, whichever the route goes to
            _route(lab, name)
            assert lab.curl().stdout == PAGE
        stream = Stream(lab)
        # planned: the first one is drained, the platform sees it and moves the route
        assert first.query("drain", "--deadline", "0")[0] == 1
        status, health = _ask(first)
        assert status == 503 and health["state"] == "draining"
        assert lab.curl(timeout=8).returncode == 7
        stream.wait_for_more(10)
        assert stream.end() is None and stream.is_complete()
        _route(lab, "b")
        assert lab.curl().stdout == PAGE
        assert stream.wait_end(15) == "ConnectionResetError"  # the other one does not know it
        assert first.command("undrain").returncode == 0 and _ask(first)[0] == 200
        # not planned: the second one dies, the platform gets no answer and moves the route back
        stream = Stream(lab, name="second-stream")
        second.kill_controlplane()
        second.kill_dataplane()
        wait_until(lambda: _ask(second)[0] == 0, 10, "the dead one does not answer")
        _route(lab, "a")
        assert lab.curl().stdout == PAGE
        assert stream.wait_end(15) == "ConnectionResetError"
        assert lab.client.run("curl", "--silent", f"{POD_ADDRESS}:33000").stdout == PAGE
    finally:
        second.stop()


def test_health_is_told_to_anybody_who_asks_rightly(lab):
    lab.site.start()
    gateway = lab.add_gateway(controlplane={"health": HEALTH})
    gateway.start()
    gateway.wait_up()
    assert _ask(gateway, "/health/")[0] == 200
    assert _ask(gateway, "/health/nowhere")[0] == 404
    assert _ask(gateway, "/health/%22%7d")[0] == 404
    assert _ask(gateway, "/")[0] == 404
    assert _ask(gateway, "/health" + "x" * 20000)[0] in (404, 414, 431)
    assert _ask(gateway, "/health", "--data", "x" * 100000)[0] == 405
    assert gateway.query("health")[0] == 0
    gateway.kill_dataplane()
    wait_until(lambda: _ask(gateway)[0] == 503, 10, "it is down")
    assert _ask(gateway)[1]["state"] == "down"
    gateway.start_dataplane()
    gateway.wait_up()
