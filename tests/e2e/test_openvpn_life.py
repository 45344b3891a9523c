# SPDX-License-Identifier: GPL-2.0-or-later
"""What an OpenVPN tunnel lives through: new keys, and restarts of either process and of the server."""

import json

import pytest

from datagrams import PORT, TARGET_PORT, Datagrams
from lab.cut import Cut, openvpn_control
from lab.host import wait_until
from lab.server import PAGE
from lab.topology import FORWARDS, TARGET

STREAM = {PORT: {"to": f"{TARGET}:{TARGET_PORT}", "transport": "udp"}}
RATE = 5000


class Life:
    """A gateway whose tunnel is up and carries a stream."""

    def __init__(self, lab, settings=None, secret_files=None, profile="", rate=RATE, **options):
        lab.site.server.settings.update(settings or {})
        lab.site.start()
        servers = [lab.site.as_server(options=options, secret_files=secret_files or {},
                                      profile=profile)]
        self.gateway = lab.add_gateway([lab.environment(servers=servers,
                                                        forwards={**FORWARDS, **STREAM})])
        self.gateway.start()
        self.inner = self.gateway.wait_up(timeout=150)["inner_address"]
        self.stream = Datagrams(lab, rate=rate)

    def check(self):
        """No packet was lost or came twice."""
        report = self.stream.end()
        assert (report["out"], report["back"]) == (0, 0), json.dumps(report)
        assert report["again"] == 0 and report["target"]["again"] == 0, json.dumps(report)
        tunnel = self.gateway.tunnel()
        assert (tunnel["phase"], tunnel["inner_address"]) == ("up", self.inner)


@pytest.mark.parametrize("side", ("us", "server"))
def test_new_keys_under_load(openvpn, side):
    """Key ids go round in the session that there is: it is not begun anew."""
    life = Life(openvpn, {"reneg-sec": "5"} if side == "server" else None,
                **({"child_rekey": 5} if side == "us" else {}))
    wait_until(lambda: life.gateway.tunnel()["child_rekeys"] >= 2, 60, "two renegotiations")
    life.stream.wait_for_more(RATE)
    life.check()
    assert life.gateway.tunnel()["connects"] == 1


def test_control_packets_get_lost(openvpn):
    """Every fifth one, either way: login and new keys take longer, data does not notice."""
    lossy = Cut(openvpn, "a", openvpn_control(5))
    life = Life(openvpn, rate=1000, child_rekey_packets=1000)
    wait_until(lambda: life.gateway.tunnel()["child_rekeys"] >= 2, 180, "two renegotiations")
    life.stream.wait_for_more(1000)
    assert lossy.dropped() > 0
    life.check()
    assert openvpn.site.server.counted("Peer Connection Initiated") == 1


def test_new_keys_are_late(openvpn):
    """Control packets vanish: the old key carries on, status says why, and in the end the session
    gets its new one. They vanish between two renegotiations, since a server that has answered one
    has lost the session. We ask it 0, 2 and 6 s into a window of 12: whenever the cut ends, what
    comes through next has 6 s left."""
    site = openvpn.site
    profile = site.server.profile(extra=["hand-window 12", "reneg-sec 10"])
    life = Life(openvpn, profile=profile)
    wait_until(lambda: life.gateway.tunnel()["child_rekeys"] > 0, 60, "a renegotiation is over")
    with Cut(openvpn, "a", openvpn_control(1)):
        why = "the server did not answer when new keys were due"
        wait_until(lambda: life.gateway.tunnel()["renewal"] == why, 60, "new keys are missed")
        assert f"tunnel production/a is up, but not renewed: {why}" in \
            life.gateway.command("status").stdout
        rekeys = life.gateway.tunnel()["child_rekeys"]
    wait_until(lambda: life.gateway.tunnel()["child_rekeys"] > rekeys, 60, "there are new keys")
    assert life.gateway.tunnel()["renewal"] == ""
    life.stream.wait_for_more(RATE)
    life.check()
    assert site.server.counted("Peer Connection Initiated") == 1


def test_leave(openvpn):
    """A tunnel that is removed says so in the data channel, since control packets need not arrive:
    the server drops it at once, and not after its ping-restart."""
    server = openvpn.site.server
    life = Life(openvpn)
    life.stream.end()
    assert server.clients()
    with Cut(openvpn, "a", openvpn_control(1)):
        life.gateway.configure([])
        assert life.gateway.command("reload").returncode == 0
        wait_until(lambda: not server.clients(), 60, "the server has dropped us")


@pytest.mark.parametrize("wrapping", (None, "tls-crypt"))
def test_control_plane_is_killed(openvpn, wrapping):
    """The next one goes on with the session: the server sees new keys, not a new client."""
    server = openvpn.site.server
    if wrapping:
        server.wrap(wrapping)
    life = Life(openvpn, secret_files={"tls_crypt_file": server.wrapping[1]} if wrapping else None)
    life.gateway.kill_controlplane()
    life.stream.wait_for_more(RATE // 5)
    life.gateway.start_controlplane()
    life.gateway.wait_up()
    wait_until(lambda: "retired an orphan" in life.gateway.controlplane.output(), 30,
               "the old keys are gone")
    life.stream.wait_for_more(RATE)
    life.check()
    assert server.counted("Peer Connection Initiated") == 1


def test_dataplane_is_killed(openvpn):
    """Its keys are gone: the session gives new ones."""
    openvpn.site.start()
    gateway = openvpn.add_gateway()
    gateway.start()
    gateway.wait_up()
    gateway.kill_dataplane()
    wait_until(lambda: gateway.tunnel().get("phase") == "idle", 20, "it is known to be gone")
    gateway.start_dataplane()
    gateway.wait_up()
    assert openvpn.curl().stdout == PAGE
    assert openvpn.site.server.counted("Peer Connection Initiated") == 1


@pytest.mark.parametrize("notice", (True, False), ids=("told", "untold"))
def test_server_restarts(openvpn, notice):
    """With `explicit-exit-notify` it tells; otherwise its silence does."""
    life = Life(openvpn, {"explicit-exit-notify": "1"} if notice else None)
    server = openvpn.site.server
    if notice:
        server.stop()
    else:
        server.kill()
    server.start()
    wait_until(server.clients, 40, "the server knows us again")
    life.gateway.wait_up()
    wait_until(lambda: openvpn.curl(timeout=8).stdout == PAGE, 40, "the page comes")


def test_upgrade(openvpn):
    """The successor goes on with the session that the old control plane has put down."""
    life = Life(openvpn)
    done = life.gateway.upgrade()
    assert done.returncode == 0, done.stderr
    life.stream.wait_for_more(RATE)
    life.check()
    assert openvpn.site.server.counted("Peer Connection Initiated") == 1


def test_reconnect(openvpn):
    """An operator's new login: the server first forgets the old one, which carries until then."""
    life = Life(openvpn)
    assert life.gateway.command("reconnect", "production").returncode == 0
    wait_until(lambda: openvpn.site.server.counted("Peer Connection Initiated") == 2, 30,
               "it logs in again")
    life.stream.wait_for_more(RATE)
    assert life.gateway.wait_up()["connects"] == 1, "the tunnel was up all the time"
