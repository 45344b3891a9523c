# SPDX-License-Identifier: GPL-2.0-or-later
"""OpenVPN tunnels under load whose keys change every few seconds: nothing is lost.

SALLYPORT_OPENVPN_REKEYS says how many of all tunnels together; `scripts/soak --openvpn-rekeys` sets it.
"""

import json
import os
import time

from datagrams import PORT, TARGET_PORT, Datagrams
from lab.gateway import Environment
from lab.host import wait_until
from lab.topology import CLIENTS, TARGET

REKEYS = int(os.environ.get("SALLYPORT_OPENVPN_REKEYS", "40"))
TUNNELS = 24  # each in an environment of its own: none has another one to move to
RATE = 3000  # datagrams a second, all tunnels together
SERVER_EVERY_S = 8  # or up to a tenth less, as stock servers do
OUR_EVERY_S = (5, 6, 7, 8, 9)  # by tunnel in turn: so either side begins, or both at once
ADDRESSES = [f"10.0.0.{100 + number}" for number in range(TUNNELS)]
EXPECTED_DROPS = {"drop/not-for-us", "drop/openvpn-ping", "drop/openvpn-occ"}


class Tunnels:
    """The gateway with tunnels to one server, one account each, all up."""

    def __init__(self, lab):
        self.server = lab.site.server
        # With tokens it runs no script at new keys, for whose time it would take no packets; and
        # those that come while it signs wait for it.
        self.server.settings.update({"reneg-sec": str(SERVER_EVERY_S), "auth-gen-token": "7200 3600",
                                     "txqueuelen": "20000", "rcvbuf": "212992"})
        environments = [self._environment(lab, number) for number in range(TUNNELS)]
        lab.site.start()
        self.gateway = lab.add_gateway(environments)
        self.gateway.start()
        for environment in environments:
            self.gateway.wait_up(environment.name)
        self.free_mbufs = max(self._free_mbufs() for _ in range(20))

    def _environment(self, lab, number):
        name, account = f"customer-{number}", f"gateway-{number}"
        self.server.add_account(account, "a password")
        server = lab.site.as_server(account=account, secret="a password",
                                    options={"child_rekey": OUR_EVERY_S[number % len(OUR_EVERY_S)]})
        return Environment(name=name, pod_address=ADDRESSES[number],
                           sources=[f"{CLIENTS['production'][1]}/32"], servers=[server],
                           forwards={PORT: {"to": f"{TARGET}:{TARGET_PORT}", "transport": "udp"}})

    def _free_mbufs(self):
        return self.gateway.counters()["mbufs-free"]

    def all(self):
        return self.gateway.ask("tunnels")["tunnels"]

    def rekeys(self):
        self.gateway.require_running()
        return sum(tunnel["child_rekeys"] for tunnel in self.all())

    def check(self):
        """They are the sessions of the beginning, on both sides, and what was taken is given back."""
        assert [tunnel["connects"] for tunnel in self.all()] == [1] * TUNNELS
        assert self.server.counted("Peer Connection Initiated") == TUNNELS
        assert self.server.counted("packet error") == 0, "a packet that the server cannot open"
        assert set(self.gateway.drops()) <= EXPECTED_DROPS, self.gateway.drops()
        wait_until(lambda: self._free_mbufs() >= self.free_mbufs, 20,
                   f"{self.free_mbufs} buffers are free again (now: {self._free_mbufs()})")


def test_many_rekeys(openvpn):
    """Both sides ask for new keys, often at once, while datagrams are counted in both directions."""
    tunnels = Tunnels(openvpn)
    datagrams = Datagrams(openvpn, RATE, ADDRESSES)
    before, begun = tunnels.rekeys(), time.monotonic()
    wait_until(lambda: tunnels.rekeys() - before >= REKEYS, 60 + REKEYS,
               f"{REKEYS} new keys (now: {tunnels.rekeys()})")
    least = min(tunnel["child_rekeys"] for tunnel in tunnels.all())
    print(f"{tunnels.rekeys() - before} rekeys of {TUNNELS} tunnels, {least} at least of each, in",
          f"{time.monotonic() - begun:.0f} s; the server began",
          f"{tunnels.server.counted('TLS: soft reset')} of them")
    report = datagrams.end()
    print(f"datagrams: {json.dumps(report)}")
    assert (report["out"], report["back"]) == (0, 0), report
    assert report["again"] == 0 and report["target"]["again"] == 0, report
    assert report["rate"] > RATE / 2, f"the laboratory is too slow for this test: {report}"
    tunnels.check()
