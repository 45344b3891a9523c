# SPDX-License-Identifier: GPL-2.0-or-later
"""Why an OpenVPN tunnel is down is told in words: every reason at once, each at a server of its own."""

import re

from lab.host import wait_until

WORDS = {
    "password": "AUTH_FAILED: the server refuses account and password",
    "locked": "AUTH_FAILED, the server says: this account is locked",
    "ciphers": "no common cipher: the server says .*, its cipher is .*, ours are AES-192-GCM",
    "name": 'TLS: the server\'s name is not "vpn.elsewhere.example" .* but "vpn-a.customer.example"',
    "authority": "TLS: the server's certificate is not from our CA",
    "nobody": r"no answer \(a server that wants tls-auth or tls-crypt gives none\)",
    "not-crypt": "what the server answers does not pass tls-crypt: another key",
    "other-key": r"no answer \(nor if its key for tls-crypt is not ours\)",
    "direction": "what the server answers does not pass tls-auth: another key, direction or digest",
    "certificate": "the server answered but did not finish the TLS handshake; it may refuse our certificate, or want one",
}
QUICK = "hand-window 5"


def _block(name, path):
    with open(path, encoding="ascii") as file:
        return f"<{name}>\n{file.read()}</{name}>"


def _servers(a, b):
    """By its reason to be down, one that is."""
    key = b.server.wrapping[1]
    profiles = {
        "nobody": a.server.profile(remotes=["198.51.100.77 1194"], extra=[QUICK]),
        "not-crypt": a.server.profile(extra=[QUICK, _block("tls-crypt", key)]),
        "other-key": a.server.profile(remotes=[f"{b.server.address} 1194"], extra=[QUICK, _block("tls-crypt", key)]),
        "direction": b.server.profile(extra=[QUICK, "key-direction 0"]),
        "certificate": b.server.profile(extra=[QUICK]),
    }
    others = {
        "password": {"secret": "not the password"},
        "locked": {},
        "ciphers": {"options": {"data_ciphers": ["AES-192-GCM"]}},
        "name": {"identity": "vpn.elsewhere.example"},
        "authority": {"authority": b.authority.certificate},
    }
    for account in ("ciphers", "certificate", "direction"):
        a.server.add_account(account, a.server.password)
    return [*(a.as_server(name, account=name, profile=profile) for name, profile in profiles.items()),
            *(a.as_server(name, account=name, **changes) for name, changes in others.items())]


def test_in_words(two_openvpn):
    a, b = two_openvpn.sites["a"], two_openvpn.sites["b"]
    b.server.wrap("tls-auth")
    b.server.require_certificates(with_accounts=True)
    servers = _servers(a, b)
    a.server.start()
    b.server.start()
    gateway = two_openvpn.add_gateway([
        two_openvpn.environment("production", servers=servers[::2]),
        two_openvpn.environment("staging", servers=servers[1::2])])
    gateway.start()
    told = {}  # each at any time: attempts follow each other

    def are_told():
        gateway.require_running()
        for (_, name), tunnel in gateway.tunnels().items():
            if re.search(WORDS[name], tunnel.get("why") or ""):
                told[name] = tunnel["why"]
        return len(told) == len(WORDS)
    wait_until(are_told, 120, f"every reason is told (now: {told})")
    status = gateway.command("status").stdout
    assert a.server.password not in status and "not the password" not in status
    for words in ("AUTH_FAILED", "no common cipher", "no answer", "TLS: "):
        assert words in status
