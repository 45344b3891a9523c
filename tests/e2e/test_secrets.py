# SPDX-License-Identifier: GPL-2.0-or-later
"""No secret in any log, at the highest level of all, whichever way we log in."""

import base64

import pytest

from lab.pki import Authority
from lab.topology import PASSWORD, PSK

LEVELS = {"ike_log_level": 4}


def _log_in(lab, auth):
    """Returns what must not be seen."""
    server = lab.site.server
    if auth in ("psk", "eap-mschapv2"):
        ours = lab.site.as_psk_server() if auth == "psk" else lab.site.as_server()
        secrets = [(PSK if auth == "psk" else PASSWORD).encode()]
    else:
        authority = Authority(lab.run.path("pki-clients"), "Clients")
        key, certificate = authority.issue_client("gateway.cluster.example")
        server.trust(authority.certificate)
        server.accounts["remote"] = {"auth": "eap-tls" if auth == "eap-tls" else "pubkey"}
        ours = lab.site.as_certificate_server(auth, key, certificate)
        with open(key, encoding="ascii") as file:
            lines = [line for line in file.read().splitlines() if not line.startswith("-")]
        secrets = [base64.b64decode("".join(lines))[40:120]]
        secrets += [line.encode() for line in lines[2:-1]]
    lab.site.start()
    gateway = lab.add_gateway([lab.environment(servers=[ours])], controlplane=LEVELS)
    gateway.start_dataplane()
    gateway.start_controlplane("--log-level", "3")
    gateway.wait_up()
    return secrets


def _forms(secret):
    """As it is, as a dump of bytes prints it, and in base64; its beginning is enough."""
    start = secret[:12]
    yield start
    yield start.hex().encode()
    yield start.hex(" ").encode()
    yield start.hex(":").encode()
    yield base64.b64encode(secret[:12])


@pytest.mark.parametrize("auth", ["psk", "eap-mschapv2", "eap-tls", "certificate"])
def test_logs_at_the_highest_level(lab, auth):
    secrets = _log_in(lab, auth)
    assert lab.curl().returncode == 0
    lab.site.server.rekey_child("office-shared" if auth == "psk" else "office")
    for process in (lab.gateway.controlplane, lab.gateway.dataplane):
        with open(process.log, "rb") as file:
            said = file.read().lower()
        for secret in secrets:
            for form in _forms(secret):
                assert form.lower() not in said, f"{process.name}: {form}"
    said = lab.gateway.controlplane.output()
    assert " DEBUG " in said, "it was the highest level"
    for word in ("SK_d secret", "SK_ei secret", "encryption key", "shared Diffie Hellman secret"):
        assert word not in said
