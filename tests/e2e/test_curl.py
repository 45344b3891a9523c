# SPDX-License-Identifier: GPL-2.0-or-later
"""The main job: a service in the cluster runs `curl vpn:33000`."""

from collections import Counter

import pytest

from lab.server import PAGE


@pytest.mark.sanitized
def test_one(up):
    done = up.curl()
    assert (done.returncode, done.stdout) == (0, PAGE), done.stderr


def test_1000_one_after_another(up):
    done = up.client.run(
        "sh", "-c", "for i in $(seq 1000); do "
        "curl --silent --show-error --max-time 10 --write-out '\\n' vpn:33000 || exit; done",
        check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert Counter(done.stdout.splitlines()) == {PAGE: 1000}
    assert up.site.web.requests_served() == 1000


@pytest.mark.sanitized
def test_200_at_once(up):
    done = up.client.run(
        "sh", "-c", "seq 200 | xargs -P 200 -I{} sh -c "
        "'page=$(curl --silent --show-error --max-time 30 vpn:33000/?{}) && echo \"$page\"'",
        check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert Counter(done.stdout.splitlines()) == {PAGE: 200}
    assert up.site.web.requests_served() == 200


def test_port_that_is_not_forwarded_is_not_answered_with_the_page(up):
    done = up.curl("vpn:33999", timeout=8)
    assert done.returncode != 0
    assert up.site.web.requests_served() == 0


def test_stranger_is_not_served(up):
    """A pod that is not among the environment's sources gets nothing through."""
    up.client.ip("address", "add", "10.0.9.9/16", "dev", "eth0")
    done = up.curl("--interface", "10.0.9.9", "vpn:33000", timeout=8)
    assert done.returncode != 0
    assert up.site.web.requests_served() == 0
    assert up.curl().stdout == PAGE
