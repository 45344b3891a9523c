# SPDX-License-Identifier: GPL-2.0-or-later
"""Each ESP suite with a stock server that accepts nothing else."""

import re

import pytest

from lab.host import wait_until
from lab.server import PAGE

pytestmark = pytest.mark.sanitized

# All that we do, in three proposals: the server chooses.
OURS = ["aes256gcm16-aes192gcm16-aes128gcm16", "chacha20poly1305",
        "aes256-aes192-aes128-sha512-sha384-sha256-sha1"]
HMACS = {"sha1": "HMAC_SHA1_96", "sha256": "HMAC_SHA2_256_128", "sha384": "HMAC_SHA2_384_192",
         "sha512": "HMAC_SHA2_512_256"}
SUITES = {"chacha20poly1305": "CHACHA20_POLY1305",
          **{f"aes{bits}gcm16": f"AES_GCM_16_{bits}" for bits in (128, 192, 256)},
          **{f"aes{bits}-{short}": f"AES_CBC_{bits} {name}" for bits in (128, 192, 256)
             for short, name in HMACS.items()}}
MEGABYTES = 5


@pytest.fixture(scope="module")
def site(shared):
    """The shared topology, the gateway offering every suite and the widest replay window."""
    gateway = shared.gateway
    gateway.stop()
    gateway.dataplane_settings["replay_window"] = 4096
    gateway.configure([shared.environment(servers=[shared.site.as_server(
        options={"esp_proposals": OURS, "retry": {"min": 1, "max": 2}})])])
    gateway.start_dataplane()
    gateway.start_controlplane("--log-level", "3")
    gateway.wait_up()
    shared.digest = shared.site.web.add_document("five", MEGABYTES)
    return shared


@pytest.mark.parametrize("proposal", SUITES)
def test_suite(site, proposal):
    gateway, server = site.gateway, site.site.server
    server.accept_only(proposal)
    suite = SUITES[proposal]

    def is_up():
        gateway.require_running()
        tunnel = gateway.tunnel()
        return tunnel.get("phase") == "up" and tunnel.get("suite") == suite
    wait_until(is_up, 30, f"a tunnel with {suite}")
    assert site.curl().stdout == PAGE
    target = site.run.path("five")
    done = site.curl("--output", target, "vpn:33000/five", timeout=40)
    assert done.returncode == 0, done.stderr
    assert site.client.run("sha256sum", target).stdout.split()[0] == site.digest


def test_window_as_configured(site):
    """dataplane.replay_window is what the dataplane gets with each inbound SA."""
    windows = re.findall(r"added an SA .* direction=in .* window=(\d+)",
                         site.gateway.controlplane.output())
    assert windows and set(windows) == {"4096"}
