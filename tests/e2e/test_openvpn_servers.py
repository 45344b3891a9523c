# SPDX-License-Identifier: GPL-2.0-or-later
"""OpenVPN servers as customers set them up: wrappings, ciphers, certificates, compression."""

import pytest

from lab.server import PAGE
from test_openvpn_curl import start

CIPHERS = {
    "AES-128-GCM": ("AES-128-GCM", None),
    "AES-192-GCM": ("AES-192-GCM", None),
    "CHACHA20-POLY1305": ("CHACHA20-POLY1305", None),
    "AES-256-CBC-SHA256": ("AES-256-CBC", "SHA256"),
    "AES-192-CBC-SHA512": ("AES-192-CBC", "SHA512"),
    "AES-128-CBC-SHA1": ("AES-128-CBC", "SHA1"),
}
WRAPPINGS = {
    "tls-auth": ("tls-auth", 1, "tls_auth_file", {}),
    "tls-auth-SHA256": ("tls-auth", None, "tls_auth_file", {"digest": "SHA256"}),
    "tls-crypt": ("tls-crypt", None, "tls_crypt_file", {}),
    "tls-crypt-v2": ("tls-crypt-v2", None, "tls_crypt_v2_file", {}),
}


def fetch(lab):
    done = lab.curl()
    assert (done.returncode, done.stdout) == (0, PAGE), done.stderr


@pytest.mark.parametrize("name", CIPHERS)
def test_cipher(openvpn, name):
    cipher, digest = CIPHERS[name]
    openvpn.site.server.settings.update({"data-ciphers": cipher, "auth": digest or "SHA1"})
    options = {"data_ciphers": [cipher], **({"digest": digest} if digest else {})}
    assert start(openvpn, options=options)["suite"].startswith(cipher)
    fetch(openvpn)


@pytest.mark.parametrize("name", WRAPPINGS)
def test_wrapping(openvpn, name):
    kind, direction, key, options = WRAPPINGS[name]
    server = openvpn.site.server
    server.settings["auth"] = options.get("digest", "SHA1")
    server.wrap(kind, direction)
    if direction is not None:
        options = {**options, "key_direction": direction}
    start(openvpn, options=options, secret_files={key: server.wrapping[1]})
    fetch(openvpn)


def test_as_customers_run_it(openvpn):
    """Accounts by PAM, an old cipher, LZ4 that the server uses and we do not, notice of its end."""
    server = openvpn.site.server
    server.use_pam()
    server.settings.update({"data-ciphers": "AES-256-CBC", "auth": "SHA256",
                            "explicit-exit-notify": "1", "allow-compression": "yes",
                            "compress": "lz4-v2"})
    server.pushes.append("compress lz4-v2")
    start(openvpn, options={"data_ciphers": ["AES-256-CBC"], "digest": "SHA256"})
    text = "compressible " * 20000
    with open(f"{openvpn.site.web.documents}/text", "w", encoding="ascii") as file:
        file.write(text)
    assert openvpn.curl("vpn:33000/text").stdout == text


def test_client_certificate(openvpn):
    site = openvpn.site
    site.server.require_certificates()
    key, certificate = site.authority.issue_as_easy_rsa("gateway", flag="clientAuth")
    start(openvpn, account="", secret="", certificate=certificate, secret_files={"key_file": key})
    fetch(openvpn)
    assert [client[0] for client in site.server.clients()] == ["gateway"]
