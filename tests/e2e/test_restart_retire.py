# SPDX-License-Identifier: GPL-2.0-or-later
"""What a control plane leaves behind at the server is ended by its successor."""

import re

import pytest

from lab.host import wait_until
from lab.server import PAGE

RESTARTS = 10


def _sas(lab):
    """The IKE_SAs and CHILD_SAs that the server has: (number, number)."""
    text = lab.site.server.list_sas()
    return (len(re.findall(r"^\S+: #\d+, ESTABLISHED", text, re.MULTILINE)),
            len(re.findall(r"^  \S+: #\d+, reqid \d+, INSTALLED", text, re.MULTILINE)))


def _leases(lab):
    """The addresses that the server gave out. (What it says of who is online is wrong in 5.9.8, once
    two IKE_SAs had one address: the end of one of them takes it off the list.)"""
    text = lab.site.server.swanctl("--list-pools", "--leases")
    return set(re.findall(r"^ +(\d+\.\d+\.\d+\.\d+) +(?:online|offline)", text, re.MULTILINE))


def _restart(lab, is_killed=True):
    if is_killed:
        lab.gateway.kill_controlplane()
    else:
        assert lab.gateway.controlplane.stop() == 0
    lab.gateway.start_controlplane()
    return lab.gateway.wait_up()


def _start(lab, unique="no", **server):
    lab.site.server.set_unique(unique)
    lab.site.start()
    lab.add_gateway([lab.environment(servers=[lab.site.as_server(**server)])]).start()
    return lab.gateway.wait_up()["inner_address"]


@pytest.mark.parametrize("unique", ("no", "keep", "replace"))
def test_predecessor_is_retired(lab, unique):
    """Its IKE_SA is gone long before the server would find out by itself."""
    inner = _start(lab, unique)
    assert lab.curl().stdout == PAGE
    assert _restart(lab)["inner_address"] == inner
    assert _sas(lab) == (2, 2)
    assert lab.curl().stdout == PAGE
    wait_until(lambda: _sas(lab) == (1, 1), 9, f"one IKE_SA is left (now: {_sas(lab)})")
    assert lab.curl().stdout == PAGE
    assert "ending a predecessor's IKE_SA" in lab.gateway.controlplane.output()


def test_after_rekeying(lab):
    """The keys of an IKE_SA that was rekeyed, by either side, are the ones that count."""
    _start(lab)
    for done in (1, 2):
        lab.site.server.rekey_ike()
        wait_until(lambda n=done: lab.gateway.tunnel().get("ike_rekeys", 0) >= n, 15, "rekeyed")
    _restart(lab)
    wait_until(lambda: _sas(lab) == (1, 1), 20, "one IKE_SA is left")


def test_ten_restarts_in_a_row(lab):
    """One IKE_SA, one CHILD_SA and one lease are left, however fast they follow each other."""
    inner = _start(lab)
    for number in range(RESTARTS):
        assert _restart(lab, is_killed=number % 2 == 0)["inner_address"] == inner
        assert lab.curl().stdout == PAGE
        if number % 3 == 0:
            wait_until(lambda: _sas(lab) == (1, 1), 20, "one IKE_SA is left")
    wait_until(lambda: _sas(lab) == (1, 1), 20, f"one IKE_SA is left (now: {_sas(lab)})")
    assert _leases(lab) == {inner}
    assert lab.curl().stdout == PAGE
