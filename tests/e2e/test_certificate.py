# SPDX-License-Identifier: GPL-2.0-or-later
"""We prove who we are with a certificate: plain, or inside EAP-TLS; and what may be wrong with ours."""

import re

import pytest

from lab import pki
from lab.pki import Authority
from lab.server import PAGE

NAME = "gateway.cluster.example"
QUICK_RETRY = {"retry": {"min": 1, "max": 2}}


def _serve(lab, auth, authority):
    """The customer's server takes certificates of AUTHORITY."""
    server = lab.site.server
    server.trust(authority.certificate)
    remote = {"auth": auth}
    if auth == "eap-tls":
        remote["eap_id"] = "%any"
    server.accounts["remote"] = remote
    lab.site.start()


def _start(lab, auth, key, certificate, **changes):
    our_auth = {"pubkey": "certificate"}.get(auth, auth)
    server = lab.site.as_certificate_server(our_auth, key, certificate,
                                            **{"options": QUICK_RETRY, **changes})
    gateway = lab.add_gateway([lab.environment(servers=[server])])
    gateway.start()
    return gateway


@pytest.mark.parametrize("key_type", ["rsa", "ecdsa", "ed25519"])
@pytest.mark.parametrize("auth", ["pubkey", "eap-tls"])
def test_certificate(lab, auth, key_type):
    authority = Authority(lab.run.path("pki-clients"), "Clients", key_type=key_type)
    key, certificate = authority.issue_client(NAME, key_type=key_type)
    lab.site.server.use_certificate(*lab.site.authority.issue(
        lab.site.server.identity, lab.site.server.address, key_type=key_type))
    _serve(lab, auth, authority)
    _start(lab, auth, pki.to_pkcs8(key) if key_type == "rsa" else key, certificate).wait_up()
    assert lab.curl().stdout == PAGE
    # without an account we are who the certificate says
    assert f"CN={NAME}" in lab.site.server.list_sas()


def test_account_that_the_certificate_names(lab):
    authority = Authority(lab.run.path("pki-clients"), "Clients")
    key, certificate = authority.issue_client(NAME)
    _serve(lab, "pubkey", authority)
    _start(lab, "pubkey", key, certificate, account=NAME).wait_up()
    assert f"'{NAME}'" in lab.site.server.list_sas()


def test_intermediate_authority_of_ours_is_sent(lab):
    root = Authority(lab.run.path("pki-root"), "Clients")
    issuing = Authority(lab.run.path("pki-issuing"), "Clients", parent=root)
    key, certificate = issuing.issue_client(NAME)
    chain = lab.run.path("chain.pem")
    with open(chain, "w", encoding="ascii") as file:
        for path in (certificate, issuing.certificate):
            with open(path, encoding="ascii") as part:
                file.write(part.read())
    _serve(lab, "pubkey", root)
    _start(lab, "pubkey", key, chain).wait_up()


@pytest.mark.parametrize("auth", ["pubkey", "eap-tls"])
def test_server_refuses_our_certificate(lab, auth):
    stranger = Authority(lab.run.path("pki-stranger"), "Stranger")
    _serve(lab, auth, Authority(lab.run.path("pki-clients"), "Clients"))
    _start(lab, auth, *stranger.issue_client(NAME)).wait_why(
        re.compile("the server refused our certificate"))


FAULTS = {
    "expired": (lambda a: a.issue_client(NAME, valid=(-9, -2)),
                r"our own certificate in .* expired on"),
    "early": (lambda a: a.issue_client(NAME, valid=(2, 9)),
              r"our own certificate in .* is not valid before"),
    "other key": (lambda a: (a.issue_client("other")[0], a.issue_client(NAME)[1]),
                  r"is not that of the certificate in"),
    "no certificate": (lambda a: (lambda key, _: (key, key))(*a.issue_client(NAME)),
                       r"has no certificate in it"),
    "no key": (lambda a: (lambda _, certificate: (certificate, certificate))(*a.issue_client(NAME)),
               r"cannot be read as a private key"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_our_own_is_told(lab, fault):
    make, why = FAULTS[fault]
    authority = Authority(lab.run.path("pki-clients"), "Clients")
    gateway = _start(lab, "pubkey", *make(authority))
    gateway.wait_why(re.compile(why))


def test_encrypted_key_is_a_mistake(lab):
    authority = Authority(lab.run.path("pki-clients"), "Clients")
    key, certificate = authority.issue_client(NAME)
    server = lab.site.as_certificate_server("certificate", pki.encrypt(key), certificate)
    gateway = lab.add_gateway([lab.environment(servers=[server])])
    check = gateway.command("check")
    assert check.returncode == 2
    assert re.search(r"key_file: .*must not be encrypted", check.stdout + check.stderr)


def test_key_is_read_again_at_each_authentication(lab):
    authority = Authority(lab.run.path("pki-clients"), "Clients")
    key, certificate = authority.issue_client(NAME)
    _serve(lab, "pubkey", authority)
    gateway = _start(lab, "pubkey", authority.issue_client("other")[0], certificate)
    gateway.wait_why(re.compile("is not that of the certificate"))
    with open(key, encoding="ascii") as file:
        gateway.write_secret("production-a", file.read())
    gateway.wait_up()
