# SPDX-License-Identifier: GPL-2.0-or-later
"""OpenVPN's control channel against stock servers, without the gateway around it.

    client 198.51.100.2, .6, .10 ... ---- 198.51.100.1, .5, .9 ... one server in each namespace

The client is tests/openvpn/client.c: the engine of the control plane on a plain socket, whose data
channel is a ping. All sessions of this file run at the same time, since they mostly wait; each test
looks at one of them.
"""

import os
import subprocess

import pytest

from lab.host import Host, Run, link, wait_until
from lab.openvpn import OpenvpnServer
from lab.pki import Authority

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CLIENT = os.path.join(os.environ.get("SALLYPORT_BUILD", os.path.join(ROOT, "build")),
                      "tests/openvpn/openvpn-client")
NAME = "vpn.customer.example"
PASSWORD = "p\u00e4ss, w\u00f6rd"


class Site:
    """The hosts: a client, and servers that are added by name."""

    def __init__(self, run):
        self.run = run
        self.authority = Authority(run.path("ca"), "Customer")
        self.stranger = Authority(run.path("stranger"), "Stranger")
        self.client = Host(run, "client")
        self.servers = {}
        self.sessions = {}

    def add_server(self, name, **settings):
        """An OpenvpnServer, not started; `None` takes a directive away."""
        number = len(self.servers)
        host = Host(self.run, name)
        link(host, "uplink", self.client, f"to{number}")
        host.ip("addr", "add", f"198.51.100.{4 * number + 1}/30", "dev", "uplink")
        self.client.ip("addr", "add", f"198.51.100.{4 * number + 2}/30", "dev", f"to{number}")
        server = OpenvpnServer(self.run, host, self.authority, identity=NAME,
                               address=f"198.51.100.{4 * number + 1}",
                               pool=f"10.8.{number}.0/24", account="alice", password=PASSWORD)
        server.settings["duplicate-cn"] = ""
        server.settings.update({key.replace("_", "-"): value for key, value in settings.items()})
        server.target = f"10.8.{number}.1"
        self.servers[name] = server
        return server

    def connect(self, session, server, /, **options):
        """Starts SESSION with the server SERVER: options as in tests/openvpn/client.c."""
        server = self.servers[server]
        values = {"server": server.address, "port": server.settings["port"], "keys": 1,
                  "target": server.target, "ca": self.authority.certificate, "account": "alice",
                  "password": PASSWORD, "remote-cert-tls": 1}
        if server.wrapping:
            kind, key, direction = server.wrapping
            values[kind] = key
            if direction is not None:
                values["direction"] = direction
        values.update({key.replace("_", "-"): value for key, value in options.items()})
        self.sessions[session] = self.client.start(
            CLIENT, *(f"{key}={value}" for key, value in values.items() if value is not None),
            name=f"session-{session}")


def _fingerprint(certificate):
    text = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-fingerprint",
                           "-sha256"], capture_output=True, text=True, check=True).stdout
    return text.strip().partition("=")[2].replace(":", "")


def _crl(site, path, *revoked):
    der = site.authority.revocation_list(*revoked)
    with open(path, "wb") as file:
        file.write(subprocess.run(["openssl", "crl", "-inform", "der"], input=der,
                                  capture_output=True, check=True).stdout)
    return path


def _add_servers(site):
    site.add_server("plain", keepalive="1 10")
    site.add_server("auth").wrap("tls-auth", 1)
    site.add_server("auth-256", auth="SHA256").wrap("tls-auth")
    site.add_server("crypt").wrap("tls-crypt")
    site.add_server("crypt-v2").wrap("tls-crypt-v2")
    site.add_server("certificates").require_certificates()
    site.add_server("hurried", reneg_sec="5")
    site.add_server("tcp", proto="tcp-server")
    site.add_server("tokens", auth_gen_token="600")
    site.add_server("leaving", explicit_exit_notify="1")
    site.add_server("old").use_certificate(
        *site.authority.issue_as_easy_rsa("old.customer.example", valid=(-3, -1)))
    for server in site.servers.values():
        server.start()


def _connect(site):
    key, certificate = site.authority.issue_as_easy_rsa("gateway", flag="clientAuth")
    server_certificate = site.servers["plain"].settings["cert"]
    again = {"renegotiate": 1, "keys": 9}  # over 7 to 1
    site.connect("plain", "plain", **again)
    site.connect("tls-1.2", "plain", tls_max="1.2", **again)
    site.connect("small", "plain", control_bytes=300)
    site.connect("chacha", "plain", ciphers="CHACHA20-POLY1305")
    site.connect("loss", "plain", loss=20, seed=1)
    site.connect("auth", "auth", **again)
    site.connect("auth-256", "auth-256", digest="SHA256")
    site.connect("crypt", "crypt", **again)
    site.connect("crypt-loss", "crypt-v2", loss=20, seed=2)
    site.connect("crypt-v2", "crypt-v2", **again)
    site.connect("certificate", "certificates", cert=certificate, key=key, account=None,
                 password=None)
    site.connect("hurried", "hurried", keys=3)
    site.connect("tcp", "tcp", tcp=1, **again)
    site.connect("token", "tokens", renegotiate=1, keys=2)
    # who the server is
    site.connect("subject", "plain", name_mode=1, name=f"O=Customer, CN={NAME}")
    site.connect("common-name", "plain", name_mode=2, name=NAME)
    site.connect("prefix", "plain", name_mode=3, name="vpn.")
    site.connect("fingerprint", "plain", ca=None, fingerprint=_fingerprint(server_certificate))
    site.connect("not-revoked", "plain", crl=_crl(site, site.run.path("empty.crl")))
    site.connect("other-subject", "plain", name_mode=1, name=f"CN={NAME}")
    site.connect("other-name", "plain", name_mode=2, name="vpn.customer")
    site.connect("other-prefix", "plain", name_mode=3, name="vpn2.")
    site.connect("other-fingerprint", "plain", fingerprint="5a" * 32)
    site.connect("other-authority", "plain", ca=site.stranger.certificate)
    site.connect("other-usage", "plain", eku="TLS Web Client Authentication")
    site.connect("revoked", "plain", crl=_crl(site, site.run.path("full.crl"), server_certificate))
    site.connect("expired", "old")
    # who we are
    site.connect("wrong-password", "plain", password="guessed")
    site.connect("no-certificate", "certificates", hand_window=5)
    site.connect("no-cipher", "plain", ciphers="AES-192-GCM")
    # nobody there
    site.connect("no-answer", "plain", port=1195, hand_window=2)
    site.connect("other-key", "crypt", tls_crypt=site.servers["auth"].wrapping[1], hand_window=2)
    # the server ends it
    site.connect("restart", "leaving", keys=None)
    site.connect("halt", "tokens", keys=None)


def _end_by_server(site):
    for name in ("restart", "halt"):
        wait_until(lambda: site.sessions[name].require_running() or  # noqa: B023
                   "answered" in site.sessions[name].output(), 30, f"session {name} is up")
    clients = site.servers["tokens"].command("status 2").splitlines()
    for line in clients:
        fields = line.split(",")
        if fields[0] == "CLIENT_LIST":  # the other one of this server is through by then, or is not
            site.servers["tokens"].command(f"client-kill {fields[10]} HALT")
    site.servers["leaving"].stop()


@pytest.fixture(scope="module")
def sessions(request):
    """Of each session its exit status and what its client printed."""
    failures_before = request.session.testsfailed
    run = Run()
    is_clean = False
    try:
        site = Site(run)
        _add_servers(site)
        _connect(site)
        wait_until(lambda: site.sessions["token"].status is not None, 60, "the token's session")
        _end_by_server(site)
        for process in site.sessions.values():
            process.wait(90)
        yield {name: (process.status, process.output()) for name, process in site.sessions.items()}
        is_clean = request.session.testsfailed == failures_before
    finally:
        if not is_clean:
            print(f"logs of the servers: {run.directory}")
        run.close(keep_files=not is_clean)


def _lines(output, word):
    return [line for line in output.splitlines() if line.split()[0] == word]


@pytest.mark.sanitized
@pytest.mark.parametrize("name, keys", [
    ("plain", 9), ("tls-1.2", 9), ("small", 1), ("chacha", 1), ("auth", 9), ("auth-256", 1),
    ("crypt", 9), ("crypt-v2", 9), ("certificate", 1), ("hurried", 3), ("tcp", 9), ("token", 2),
    ("subject", 1), ("common-name", 1), ("prefix", 1), ("fingerprint", 1), ("not-revoked", 1),
    ("loss", 1), ("crypt-loss", 1)])
def test_connects(sessions, name, keys):
    """Up, and a ping comes back under each key; the old key ends when the one after the next is
    there."""
    status, output = sessions[name]
    assert status == 0, output
    identifiers = ([0] + [1, 2, 3, 4, 5, 6, 7] * 2)[:keys]
    assert [int(line.split()[1]) for line in _lines(output, "key")] == identifiers
    assert [int(line.split()[1]) for line in _lines(output, "use")] == identifiers
    assert [int(line.split()[1]) for line in _lines(output, "forget")] == identifiers[:-2]
    assert not _lines(output, "undecipherable")
    up, = _lines(output, "up")
    assert ("tls=TLSv1.2" if name == "tls-1.2" else "tls=TLSv1.3") in up
    assert _lines(output, "ended")[0].endswith("we took leave")


def test_token_takes_the_place_of_the_password(sessions):
    assert "token=1" in sessions["token"][1]
    assert "token=0" in sessions["plain"][1]


@pytest.mark.parametrize("name, why", [
    ("other-subject", f'the server\'s name is not "CN={NAME}" (verify-x509-name) but '
                      f'"O=Customer, CN={NAME}"'),
    ("other-name", f'the server\'s name is not "vpn.customer" (verify-x509-name) but "{NAME}"'),
    ("other-prefix", f'the server\'s name is not "vpn2." (verify-x509-name) but "{NAME}"'),
    ("other-fingerprint", "none of peer-fingerprint"),
    ("other-authority", "the server's certificate is not from our CA"),
    ("other-usage", 'lacks the extended key usage "TLS Web Client Authentication"'),
    ("revoked", "the server's certificate is not valid, certificate revoked"),
    ("expired", "the server's certificate is not valid, certificate has expired"),
    ("wrong-password", "AUTH_FAILED: the server refuses account and password"),
    ("no-certificate", "it may refuse our certificate, or want one"),
    ("no-cipher", "no common cipher: the server says \"Data channel cipher negotiation failed"),
    ("no-answer", "no answer (a server that wants tls-auth or tls-crypt gives none)"),
    ("other-key", "no answer (nor if its key for tls-crypt is not ours)"),
    ("restart", "the server restarts"),
    ("halt", "the server sent us away for good (HALT)")])
def test_says_why_not(sessions, name, why):
    status, output = sessions[name]
    assert status == 1, output
    ended, = _lines(output, "ended")
    assert why in ended
    assert PASSWORD not in output and "guessed" not in output


def test_what_comes_next(sessions):
    """1: again, 2: with another server, 3: not before something changed."""
    following = {name: output.partition("ended next=")[2][:1]
                 for name, (_, output) in sessions.items()}
    assert following["restart"] == following["wrong-password"] == following["expired"] == "1"
    assert following["no-answer"] == following["no-certificate"] == "2"
    assert following["halt"] == "3"
