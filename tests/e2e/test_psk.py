# SPDX-License-Identifier: GPL-2.0-or-later
"""A server that wants a shared secret instead of an account."""

import re

import pytest

from lab.server import PAGE

pytestmark = pytest.mark.sanitized


def _start(lab, **changes):
    lab.site.start()
    gateway = lab.add_gateway([lab.environment(servers=[lab.site.as_psk_server(**changes)])])
    gateway.start()
    return gateway


def test_shared_secret(lab):
    _start(lab).wait_up()
    assert lab.curl().stdout == PAGE
    assert "shared:" in lab.site.server.list_sas()


def test_wrong_shared_secret(lab):
    gateway = _start(lab, secret="not the one")
    gateway.wait_why(re.compile("secret|refused|authentication", re.IGNORECASE))
    assert lab.curl(timeout=8).returncode != 0
