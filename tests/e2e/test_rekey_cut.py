# SPDX-License-Identifier: GPL-2.0-or-later
"""Both sides rekey a CHILD_SA at once, an answer is late, and the IKE_SA is rekeyed in between.

strongSwan forgets then which CHILD_SA was to take the place of which: one that carries the traffic
would never be rekeyed again, and others would stay behind at one end. We log in anew beside them.
"""

import re

from datagrams import PORT, TARGET_PORT, Datagrams
from lab.host import wait_until
from lab.loss import ANSWERS, CREATE_CHILD_SA, REQUESTS, Loss
from lab.topology import FORWARDS, TARGET

RATE = 200
SHARE = "2M"  # of an SA, then we rekey it: what the datagrams need some minutes for
DOCUMENT_MB = 4  # and who loads this document, a moment


def _said(process, text):
    return process.output().count(text)


class Collision:
    """A tunnel under load, and the links on which requests or answers about CHILD_SAs get lost."""

    def __init__(self, lab, **options):
        self.lab = lab
        self.server = lab.site.server
        self.server.settings.update({"retransmit_timeout": 1.0, "retransmit_base": 1.1,
                                     "retransmit_tries": 30})
        self.to_server = Loss(lab.internet, "to-a")
        self.to_us = Loss(lab.internet, "to-gateway")
        lab.site.start()
        forwards = {**FORWARDS, PORT: {"to": f"{TARGET}:{TARGET_PORT}", "transport": "udp"}}
        server = lab.site.as_server(options={"child_rekey": 0, "ike_rekey": 0,
                                             "child_rekey_bytes": SHARE, **options})
        self.gateway = lab.add_gateway([lab.environment(servers=[server], forwards=forwards)],
                                       controlplane={"ike_log_level": 1})
        self.gateway.start()
        self.gateway.wait_up()
        lab.site.web.add_document("large", DOCUMENT_MB)
        self.datagrams = Datagrams(lab, RATE)

    def use_up(self):
        """The SAs have carried their share: we rekey them."""
        loaded = self.lab.curl("--output", "/dev/null", "vpn:33000/large")
        assert loaded.returncode == 0, loaded.stderr

    @property
    def ours(self):
        return self.gateway.controlplane

    @property
    def theirs(self):
        return self.server.process

    def wait_said(self, process, text, more_than, timeout=40):
        wait_until(lambda: _said(process, text) > more_than, timeout, f"{process.name}: {text}")

    def begin(self, first, first_at, second):
        """Both ask for new keys. Who is asked at FIRST_AT answers, what is lost; then SECOND lets
        the other request through."""
        requests = [_said(process, "generating CREATE_CHILD_SA request")
                    for process in (self.ours, self.theirs)]
        answers = _said(first_at, "generating CREATE_CHILD_SA response")
        for link in (self.to_server, self.to_us):
            link.begin(CREATE_CHILD_SA, REQUESTS)
        second.begin(CREATE_CHILD_SA, ANSWERS)
        self.server.rekey_child()
        self.use_up()
        for process, count in zip((self.ours, self.theirs), requests):
            self.wait_said(process, "generating CREATE_CHILD_SA request", count)
        first.end(REQUESTS)
        self.wait_said(first_at, "generating CREATE_CHILD_SA response", answers)
        second.end(REQUESTS)

    def check(self):
        """One pair is left, and rekeyed by either side; nothing was lost."""
        listed = self.server.list_sas
        wait_until(lambda: listed().count("INSTALLED, TUNNEL") == 1
                   and listed().count("ESTABLISHED") == 1
                   and len(re.findall(r"^  \S+: #\d+, ", listed(), re.M)) == 1, 40,
                   "one pair is left at the server")
        wait_until(lambda: self.gateway.counters()["esp/sas-now"] == 2, 40,
                   "one pair is left in the dataplane")
        done = self.gateway.tunnel()["child_rekeys"]
        self.use_up()
        wait_until(lambda: self.gateway.tunnel()["child_rekeys"] > done, 20, "we rekey it")
        self.server.rekey_child()
        wait_until(lambda: self.gateway.tunnel()["child_rekeys"] > done + 1, 20, "it rekeys it")
        self.datagrams.wait_for_more(100)

    def end(self):
        report = self.datagrams.end()
        assert report["out"] == 0 and report["back"] == 0, report
        assert self.gateway.tunnel()["connects"] == 1


    def is_cut(self):
        return "which ones the server has is not known" in self.ours.output()


def test_theirs_is_cut_short(lab):
    """The server waits for our answer when we rekey the IKE_SA."""
    both = Collision(lab, ike_rekey=15)
    for _ in range(3):  # our clock may strike while the collision is being made
        done = both.gateway.tunnel()["ike_rekeys"]
        both.begin(both.to_us, both.ours, both.to_server)
        wait_until(lambda: both.gateway.tunnel()["ike_rekeys"] > done, 40, "the IKE_SA is rekeyed")
        both.to_server.end(ANSWERS)
        both.check()
        if both.is_cut():
            break
    assert both.is_cut()
    both.end()


def test_ours_is_cut_short(lab):
    """We wait for the server's answer when it rekeys the IKE_SA."""
    both = Collision(lab)
    collisions = _said(both.theirs, "rekey collision")
    both.begin(both.to_server, both.theirs, both.to_us)
    both.wait_said(both.theirs, "rekey collision", collisions)
    both.server.rekey_ike()
    wait_until(both.is_cut, 40, "the IKE_SA is rekeyed")
    both.to_us.end(ANSWERS)
    both.check()
    both.end()
