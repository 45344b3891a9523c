# SPDX-License-Identifier: GPL-2.0-or-later
"""IKE's first messages: proposals, fragments of IKE's own, and no more handshakes than a server bears."""

import re

import pytest

from lab.host import wait_until
from lab.pki import Authority
from lab.server import PAGE
from lab.topology import ACCOUNT, PASSWORD


def _start(lab, **options):
    gateway = lab.add_gateway([lab.environment(servers=[lab.site.as_server(options=options)])])
    gateway.start()
    return gateway


def test_first_guess_suits_a_server_of_debian(lab):
    """No proposal is configured on either side: one round trip of IKE_SA_INIT."""
    lab.site.server.use_debian_defaults()
    lab.site.start()
    _start(lab).wait_up()
    said = lab.site.server.process.output()
    assert "parsed IKE_SA_INIT request" in said
    assert "INVAL_KE" not in said


def test_proposals_in_order(lab):
    """The server takes the last one of ours, with a group that our first message did not bring."""
    lab.site.server.accounts["proposals"] = "aes128-sha1-modp1024"
    lab.site.start()
    gateway = _start(lab, ike_proposals=["aes256gcm16-prfsha384-ecp384", "chacha20poly1305-prfsha512-x25519",
                                         "aes128-sha1-modp1024"])
    gateway.wait_up()
    assert "AES_CBC-128/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1024" in lab.site.server.list_sas()


def test_no_common_proposal(lab):
    for connection in lab.site.server.connections.values():
        connection["proposals"] = "aes128-sha1-modp1024"
    lab.site.start()
    _start(lab).wait_why(re.compile("no common IKE proposal"))


def test_large_certificates_need_no_ip_fragments(lab):
    """IKE splits its messages itself (RFC 7383): nothing larger than the path takes, either way."""
    for host, interface in ((lab.internet, "to-gateway"), (lab.internet, "to-a"),
                            (lab.site.server_host, "wan")):
        host.ip("link", "set", interface, "mtu", "1280")
    server, authority = lab.site.server, lab.site.authority
    server.use_certificate(*authority.issue(server.identity, server.address, padding=60))
    server.trust(authority.certificate)
    server.accounts["remote"] = {"auth": "pubkey"}
    key, certificate = authority.issue_client("gateway.cluster.example", padding=60)
    uplink = lab.capture("uplink")["uplink"]
    lab.site.start()
    gateway = lab.add_gateway([lab.environment(servers=[
        lab.site.as_certificate_server("certificate", key, certificate)])])
    gateway.start()
    gateway.wait_up()
    assert lab.curl().stdout == PAGE
    uplink.stop()
    assert uplink.select("ip[6:2] & 0x3fff != 0") == [], "IP fragments"
    assert uplink.select("ip and greater 1295") == []
    said = server.process.output()
    assert re.search(r"splitting IKE message .* into \d fragments", said)
    assert re.search(r"parsed IKE_AUTH request 1 \[ EF\(3/\d\) \]", said)


def _concurrent(said):
    """The most handshakes that the server had at once."""
    now, most = 0, 0
    for line in said.splitlines():
        if "generating IKE_SA_INIT response 0 [ SA " in line:
            now += 1
        elif "EAP/FAIL" in line:
            now -= 1
        most = max(most, now)
    return most


@pytest.mark.parametrize("fault", ["password", "authority"])
def test_many_tunnels_with_a_fault_do_not_exhaust_the_server(lab, fault):
    """Eight accounts on one server, each failing again and again: never ignored, always explained.

    A stock server ignores an address that has five handshakes half open, and keeps those that were
    given up half way for half a minute.
    """
    server = lab.site.server
    accounts = [f"{ACCOUNT}{number}" for number in range(8)]
    for account in accounts:
        server.secrets[f"eap-{account}"] = {"id": account, "secret": f'"{PASSWORD}"'}
    lab.site.start()
    changes = {"secret": "wrong"} if fault == "password" else {
        "authority": Authority(lab.run.path("pki-other"), "Other").certificate}
    servers = [lab.site.as_server(account, account=account, **changes,
                                  options={"retry": {"min": 1, "max": 1}}) for account in accounts]
    gateway = lab.add_gateway([lab.environment(servers=servers)])
    gateway.start()
    wait_until(lambda: gateway.require_running() or len(gateway.tunnels()) == 8 and
               all(t["attempts"] >= 3 for t in gateway.tunnels().values()), 60, "three attempts each")
    said = server.process.output()
    assert "half-open" not in said and "half open" not in said
    assert 1 <= _concurrent(said) <= 4
    why = "refused the account or password" if fault == "password" else "not issued by the configured CA"
    failures = [line for line in gateway.controlplane.output().splitlines() if "not connected" in line]
    assert len(failures) >= 16
    assert [line for line in failures if why not in line] == []
