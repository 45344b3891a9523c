# SPDX-License-Identifier: GPL-2.0-or-later
"""A customer's profile, taken as it is, at the server it was made for."""

import os

from lab.host import wait_until
from lab.server import PAGE


def test_profile(openvpn):
    """Everything inline: authority, certificate, key, tls-crypt; an account; a script that must never
    run. The server's routes do not have all that is forwarded."""
    site = openvpn.site
    marker = openvpn.run.path("ran")
    site.server.require_certificates(with_accounts=True)
    site.server.wrap("tls-crypt")
    site.server.pushes.append("compress lz4-v2")
    key, certificate = site.authority.issue_as_easy_rsa("gateway.cluster.example", flag="clientAuth")
    profile = site.server.profile(
        certificate=certificate, key=key,
        extra=["cipher AES-256-CBC", "auth SHA256", "script-security 2", f"up \"/usr/bin/touch {marker}\"",
               f"verify-x509-name {site.server.identity} name", "explicit-exit-notify 2",
               "setenv opt block-outside-dns", "pull-filter ignore \"dhcp-option\""])
    site.start()
    environment = openvpn.environment(servers=[site.as_server(profile=profile)])
    environment.forwards = {**environment.forwards, 33999: "172.30.0.9:80"}
    openvpn.add_gateway([environment]).start()
    tunnel = openvpn.gateway.wait_up()
    assert tunnel["suite"] == "AES-256-GCM"
    assert "33999 to 172.30.0.9:80" in tunnel["unreachable"]
    done = openvpn.curl()
    assert (done.returncode, done.stdout) == (0, PAGE), done.stderr
    assert not os.path.exists(marker)


def test_float(openvpn):
    """The server's address changes: data and control packets of the same session go on from there."""
    site, elsewhere = openvpn.site, "198.51.100.111"
    site.server.settings["local"] = None
    site.server.pushes.append("dhcp-option DNS 192.168.100.53")
    site.start()
    environment = openvpn.environment(servers=[site.as_server(
        profile=site.server.profile(extra=["float", "reneg-sec 5"]))])
    openvpn.add_gateway([environment]).start()
    tunnel = openvpn.gateway.wait_up()
    assert tunnel["remote_address"] == site.server.address
    assert tunnel["name_servers"] == ["192.168.100.53"]
    site.server_host.ip("address", "add", f"{elsewhere}/32", "dev", "wan")
    site.server_host.ip("route", "replace", "default", "via", "198.51.100.1", "src", elsewhere)
    assert openvpn.curl().stdout == PAGE
    wait_until(lambda: openvpn.gateway.tunnel()["remote_address"] == elsewhere, 20,
               "the new address is known")
    before = openvpn.gateway.tunnel()["child_rekeys"]
    wait_until(lambda: openvpn.gateway.tunnel()["child_rekeys"] >= before + 2, 60,
               "new keys, negotiated with the new address")
    openvpn.gateway.kill_controlplane()
    openvpn.gateway.start_controlplane()
    assert openvpn.gateway.wait_up()["remote_address"] == elsewhere
    assert openvpn.curl().stdout == PAGE
    assert site.server.counted("Peer Connection Initiated") == 1
