# SPDX-License-Identifier: GPL-2.0-or-later
"""Why an OpenVPN tunnel is down is told in words."""

import re

import pytest


def _wrong_password(lab):
    return {"secret": "not the password"}


def _other_ciphers(lab):
    lab.site.server.settings["data-ciphers"] = "AES-256-GCM"
    return {"options": {"data_ciphers": ["CHACHA20-POLY1305"]}}


def _other_name(lab):
    return {"identity": "vpn.elsewhere.example"}


CASES = {
    "password": (_wrong_password, "AUTH_FAILED"),
    "ciphers": (_other_ciphers, "no common cipher.*ours are CHACHA20-POLY1305"),
    "name": (_other_name, "vpn-a.customer.example"),
}


@pytest.mark.parametrize("name", CASES)
def test_in_words(openvpn, name):
    prepare, words = CASES[name]
    changes = prepare(openvpn)
    openvpn.site.start()
    openvpn.add_gateway([openvpn.environment(
        servers=[openvpn.site.as_server(**changes)])]).start()
    openvpn.gateway.wait_why(re.compile(words))
    assert re.search(words, openvpn.gateway.command("status").stdout)
