# SPDX-License-Identifier: GPL-2.0-or-later
"""A server that wants a shared secret instead of an account."""

import re

import pytest

from lab.host import wait_until
from lab.server import PAGE

pytestmark = pytest.mark.sanitized


def _start(lab, **changes):
    lab.site.start()
    gateway = lab.add_gateway([lab.environment(servers=[lab.site.as_psk_server(**changes)])])
    gateway.start()
    return gateway


def test_shared_secret(lab):
    lab.site.server.pools["office"]["dns"] = "192.168.100.53, 192.168.100.54"
    tunnel = _start(lab, options={"child_rekey": 5}).wait_up()
    assert tunnel["name_servers"] == ["192.168.100.53", "192.168.100.54"]
    assert lab.curl().stdout == PAGE
    wait_until(lambda: lab.gateway.tunnel()["child_rekeys"], 30, "new keys")
    assert lab.gateway.tunnel()["name_servers"] == tunnel["name_servers"]
    assert "shared:" in lab.site.server.list_sas()


def test_wrong_shared_secret(lab):
    gateway = _start(lab, secret="not the one")
    gateway.wait_why(re.compile("secret|refused|authentication", re.IGNORECASE))
    assert lab.curl(timeout=8).returncode != 0
