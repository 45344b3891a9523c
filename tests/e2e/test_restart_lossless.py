# SPDX-License-Identifier: GPL-2.0-or-later
"""A control plane that ends, whatever way, costs no packet: docs/restart.md."""

import json

import pytest

from datagrams import PORT, TARGET_PORT, Datagrams
from lab.loss import LostAnswer
from lab.topology import TARGET

IPSEC_CONF = "ipsec.conf"  # the server is configured by that, and has its default: "replace"
UNIQUE = ("no", "never", "keep", "replace", IPSEC_CONF)
FORWARDS = {PORT: {"to": f"{TARGET}:{TARGET_PORT}", "transport": "udp"}}


class Restarts:
    """A gateway whose tunnel is up and carries the stream."""

    def __init__(self, lab, unique, **server):
        if unique == IPSEC_CONF:
            lab.site.server.use_ipsec_conf()
        else:
            lab.site.server.set_unique(unique)
        lab.site.start()
        servers = [lab.site.as_server(**server)]
        lab.add_gateway([lab.environment(servers=servers, forwards=FORWARDS)]).start()
        self.lab = lab
        self.inner = lab.gateway.wait_up()["inner_address"]
        self.stream = Datagrams(lab)

    def end(self, is_killed=True):
        if is_killed:
            self.lab.gateway.kill_controlplane()
        else:
            assert self.lab.gateway.controlplane.stop() == 0
        self.stream.wait_for_more(1000)

    def start(self):
        self.lab.gateway.start_controlplane()

    def wait_up(self):
        assert self.lab.gateway.wait_up()["inner_address"] == self.inner

    def check(self, lost_on_purpose=0):
        """No packet was lost or came twice, and the tunnel has the inner address it had."""
        self.wait_up()
        self.stream.wait_for_more(2000)
        report = self.stream.end(lost_on_purpose)
        assert (report["out"], report["back"]) == (0, 0), json.dumps(report)
        assert max(report["others"].values()) < 50, json.dumps(report)  # IKE's messages at most
        assert report["again"] == 0 and report["target"]["again"] == 0, json.dumps(report)
        assert report["rate"] > 5000, f"the laboratory is too slow for this test: {report}"


@pytest.mark.parametrize("is_killed", (True, False), ids=("SIGKILL", "SIGTERM"))
@pytest.mark.parametrize("unique", UNIQUE)
def test_no_packet_is_lost(lab, unique, is_killed):
    gateway = Restarts(lab, unique)
    gateway.end(is_killed)
    gateway.start()
    gateway.wait_up()
    gateway.stream.wait_for_more(25000)  # the old SAs are gone meanwhile
    gateway.check()


@pytest.mark.parametrize("unique", UNIQUE)
def test_last_answer_is_lost(lab, unique):
    """The server sends on the new SA from its last answer on, whether or not that arrives."""
    loss = LostAnswer(lab)
    gateway = Restarts(lab, unique)
    gateway.end()
    loss.begin(message_id=5)  # of IKE_AUTH with EAP-MSCHAPv2
    gateway.start()
    assert loss.wait() == 1
    gateway.check(lost_on_purpose=1)
