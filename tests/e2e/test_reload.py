# SPDX-License-Identifier: GPL-2.0-or-later
"""Live change: what is not touched does not notice, and a mistake changes nothing."""

import os
import signal
import sys
import time

from datagrams import PORT, TARGET_PORT, Datagrams
from lab.gateway import Environment
from lab.host import wait_until
from lab.server import PAGE
from lab.topology import FORWARDS, TARGET

ALL_FORWARDS = {**FORWARDS, PORT: {"to": f"{TARGET}:{TARGET_PORT}", "transport": "udp"}}


def _reload(gateway, expected=0, command="reload"):
    """Runs it; returns what it says has changed, as (what, name, change)."""
    status, reply = gateway.query(command)
    assert status == expected, (status, reply)
    return reply


def _tell(reply):
    return sorted((c["what"], c["key"] or (c["forward"] or {}).get("port") or c["server"]
                   or c["environment"], c["change"]) for c in reply["changes"])


def _generation(gateway):
    return gateway.query("status")[1]["dataplane"]["generation"]


def _more(first, port=8080):
    return {number: f"{TARGET}:{port}" for number in range(first, first + 100)}


def _untouched(tunnel):
    """What a tunnel that nobody touched keeps."""
    return {key: tunnel[key] for key in ("up", "connects", "inner_address", "ike_rekeys",
                                         "child_rekeys", "renewal")}


def test_hundred_forwards_come_change_and_go_under_load(lab):
    """No packet of any other is lost, counted; nor is a tunnel negotiated. Nor by a rollback."""
    lab.site.start()
    gateway = lab.add_gateway([lab.environment(forwards=ALL_FORWARDS)])
    gateway.start()
    before = _untouched(gateway.wait_up())
    datagrams = Datagrams(lab, rate=4000)
    lab.site.web.start_iperf3(5201)
    iperf3 = lab.client.start("iperf3", "--client", "vpn", "--port", "33002", "--bidir", "--bitrate", "8M",
                              "--window", "64K", "--time", "600", name="iperf3-client")
    for forwards, change in ((_more(40000), "added"), (_more(40000, 8082), "changed"),
                             ({}, "removed")):
        datagrams.wait_for_more(2000)
        gateway.configure([lab.environment(forwards={**ALL_FORWARDS, **forwards})])
        reply = _reload(gateway)
        assert reply["applied"] and reply["total"] == 100
        assert {c[2] for c in _tell(reply)} == {change}
        if change == "added":
            assert lab.curl("vpn:40099").stdout == PAGE
    assert lab.curl("vpn:40099", timeout=8).returncode == 7  # refused
    for change in ("added", "removed"):
        datagrams.wait_for_more(2000)
        reply = _reload(gateway, command="rollback")
        assert reply["total"] == 100 and {c[2] for c in _tell(reply)} == {change}
    datagrams.wait_for_more(2000)
    iperf3.require_running()
    iperf3.stop(number=signal.SIGINT)
    report = datagrams.end()
    assert (report["out"], report["back"], report["again"]) == (0, 0, 0), report
    assert _untouched(gateway.tunnel()) == before


# Connects, says so, and waits for the other side's word; says what came.
_WAITER = """
import socket, sys
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10)
connection.settimeout(20)
print("connected", flush=True)
try:
    print("read", connection.recv(100), flush=True)
except OSError as error:
    print("end", type(error).__name__, flush=True)
"""


def test_sessions_of_a_removed_forward_are_reset(up):
    """Those that only wait are told at once, at a number that their kernel takes; no others are."""
    gateway = up.gateway
    gateway.configure([up.environment(forwards={**FORWARDS, **_more(40000)})])
    _reload(gateway)
    waiters = {port: up.client.start(sys.executable, "-c", _WAITER, "vpn", str(port),
                                     name=f"waiter-{port}")
               for port in (33000, *range(40000, 40060))}
    wait_until(lambda: all("connected" in w.output() for w in waiters.values()), 20,
               "all are connected")
    gateway.configure([up.environment()])
    _reload(gateway)
    gone = [waiter for port, waiter in waiters.items() if port != 33000]
    wait_until(lambda: all("end" in w.output() for w in gone), 5, "they are told")
    assert all("end ConnectionResetError" in w.output() for w in gone)
    assert waiters[33000].output() == "connected\n" and waiters[33000].status is None


def test_mistake_changes_nothing(up):
    gateway = up.gateway
    generation, before = _generation(gateway), _untouched(gateway.tunnel())
    gateway.configure([up.environment(forwards={33000: f"{TARGET}:8080", 40000: "nowhere"},
                                      options={"quota": {"sessions": 0}, "colour": "blue"})])
    path = os.path.join(gateway.config_dir, "environments.d", "production.conf")
    for command in ("diff", "reload"):
        reply = _reload(gateway, 2, command)
        assert not reply["applied"] and reply["changes"] == []
        assert {(m["file"], m["key"]) for m in reply["mistakes"]} == {
            (path, "environment.forwards.[1].to"), (path, "environment.quota.sessions"),
            (path, "environment.colour")}
        assert all(m["line"] > 0 and m["text"] for m in reply["mistakes"])
    said = gateway.command("reload")
    assert said.returncode == 2 and "3 mistakes: nothing has changed" in said.stderr
    assert _generation(gateway) == generation and _untouched(gateway.tunnel()) == before
    assert up.curl().stdout == PAGE and up.curl("vpn:40000", timeout=8).returncode == 7


def test_signal_and_rollback(up):
    """SIGHUP is a reload; a rollback returns to what was before, also after a restart."""
    gateway = up.gateway
    assert gateway.command("rollback").returncode == 2  # nothing was replaced yet
    gateway.configure([up.environment(forwards={33009: f"{TARGET}:8080"})])
    assert _tell(_reload(gateway, command="diff")) == [
        ("forward", 33000, "removed"), ("forward", 33001, "removed"),
        ("forward", 33002, "removed"), ("forward", 33009, "added")]
    gateway.controlplane.send_signal(signal.SIGHUP)
    wait_until(lambda: up.curl("vpn:33009", timeout=8).stdout == PAGE, 10, "the new forward works")
    assert up.curl(timeout=8).returncode == 7
    assert _reload(gateway, command="diff")["total"] == 0
    gateway.kill_controlplane()
    gateway.start_controlplane()
    gateway.wait_up()
    assert _reload(gateway, command="rollback")["total"] == 4
    assert up.curl().stdout == PAGE and up.curl("vpn:33009", timeout=8).returncode == 7
    assert _reload(gateway, command="diff")["total"] == 4  # the files are as they were
    assert _reload(gateway, command="rollback")["total"] == 4
    assert up.curl("vpn:33009").stdout == PAGE


def test_changed_settings_renew_that_tunnel_alone(lab_with_two):
    """Make before break: a stream through it loses nothing; the other environment's does not notice."""
    lab = lab_with_two

    def environments(password="", **options):
        secret = {"secret": password} if password else {}
        return [lab.environment("production", forwards=ALL_FORWARDS, servers=[
                    lab.sites["a"].as_server("a", options=options, **secret)]),
                lab.environment("staging", servers=[lab.sites["b"].as_server("b")])]
    for site in lab.sites.values():
        site.start()
    gateway = lab.add_gateway(environments())
    gateway.start()
    inner = gateway.wait_up("production", "a")["inner_address"]
    other = _untouched(gateway.wait_up("staging", "b"))
    datagrams = Datagrams(lab, rate=2000)
    gateway.configure(environments(dpd=20, esp_proposals=["aes128gcm16"]))
    assert {(c["key"], c["effect"]) for c in _reload(gateway)["changes"]} == {
        ("dpd", "renegotiates"), ("esp_proposals", "renegotiates")}

    def is_renewed():
        tunnel = gateway.tunnel("production", "a")
        assert tunnel["up"], tunnel
        return "GCM_16_128" in tunnel["suite"] and not tunnel["renewal"]
    wait_until(is_renewed, 20, "the new proposal is in use")
    assert gateway.tunnel("production", "a")["inner_address"] == inner
    # a password that the server refuses leaves the old login alone, and is told
    gateway.configure(environments(password="wrong", dpd=20, esp_proposals=["aes128gcm16"]))
    assert gateway.query("reconnect", "production")[0] == 0
    wait_until(lambda: "refused" in gateway.tunnel("production", "a")["renewal"], 20,
               "the new login is refused")
    assert gateway.tunnel("production", "a")["up"]
    gateway.configure(environments(dpd=20, esp_proposals=["aes128gcm16"]))
    assert gateway.query("reconnect", "production", "a")[0] == 0
    wait_until(lambda: not gateway.tunnel("production", "a")["renewal"], 20, "it is accepted")
    datagrams.wait_for_more(10000)  # the old logins are gone meanwhile
    report = datagrams.end()
    assert (report["out"], report["back"], report["again"]) == (0, 0, 0), report
    wait_until(lambda: lab.sites["a"].server.swanctl("--list-sas").count("ESTABLISHED") == 1, 20,
               "one login is left")
    assert _untouched(gateway.tunnel("staging", "b")) == other


def test_environments_come_and_go(lab_with_two):
    lab = lab_with_two
    for site in lab.sites.values():
        site.start()
    production = lab.environment("production", servers=[lab.sites["a"].as_server("a")])
    staging = lab.environment("staging", servers=[lab.sites["b"].as_server("b")])
    gateway = lab.add_gateway([production])
    gateway.start()
    before = _untouched(gateway.wait_up("production", "a"))
    for _ in range(2):
        gateway.configure([production, staging])
        assert _tell(_reload(gateway)) == [("environment", "staging", "added")]
        gateway.wait_up("staging", "b")
        assert "customer B" in lab.curl(environment="staging").stdout
        gateway.configure([production])
        assert _tell(_reload(gateway)) == [("environment", "staging", "removed")]
        assert lab.curl(environment="staging", timeout=8).returncode != 0
        wait_until(lambda: "ESTABLISHED" not in lab.sites["b"].server.swanctl("--list-sas"), 10,
                   "the server was told")
        assert set(gateway.tunnels()) == {("production", "a")}
    assert _untouched(gateway.tunnel("production", "a")) == before
    assert lab.curl().stdout == PAGE


def test_what_needs_a_restart_is_told(up):
    gateway = up.gateway
    gateway.dataplane_settings["sessions"] = 32768
    gateway.configure([up.environment(forwards={**FORWARDS, 33009: f"{TARGET}:8080"},
                                      options={"quota": {"sessions": 65536}})])
    reply = _reload(gateway)
    assert [(c["key"], c["to"], c["effect"]) for c in reply["changes"] if c["key"]] == [
        ("dataplane.sessions", "32768", "needs-restart")]
    assert up.curl("vpn:33009").stdout == PAGE
    assert _reload(gateway, command="diff")["total"] == 1  # it is still told


def test_ten_thousand_forwards(up):
    """They and 63 further environments are in force within a second; a busy machine may take longer."""
    gateway, site = up.gateway, up.site
    before = _untouched(gateway.tunnel())
    forwards = {**_more(20000), **{port: f"{TARGET}:8080" for port in range(30000, 30059)}}
    others = [Environment(f"e{n}", f"10.0.3.{n}", ["10.0.2.0/24"],
                          [site.as_psk_server(address=f"198.51.100.{100 + n}")],
                          forwards) for n in range(10, 73)]
    gateway.configure([up.environment(), *others])
    begun = time.monotonic()
    assert _reload(gateway)["total"] == 63
    seconds = time.monotonic() - begun
    print(f"{63 * len(forwards)} forwards in 64 environments: {seconds:.2f} s")
    assert seconds < 10
    assert len(gateway.query("status")[1]["environments"]) == 64
    gateway.configure([up.environment()])
    assert _reload(gateway)["total"] == 63
    assert _untouched(gateway.tunnel()) == before and up.curl().stdout == PAGE
