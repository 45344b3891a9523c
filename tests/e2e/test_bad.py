# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes wrong at customers and with configurations: it stays up and says so in words."""

import os
import re

import pytest

from lab.host import wait_until
from lab.pki import Authority
from lab.server import PAGE
from lab.topology import PASSWORD

pytestmark = pytest.mark.sanitized

QUICK_RETRY = {"retry": {"min": 1, "max": 2}}


def _start(lab, **changes):
    server = lab.site.as_server(options=QUICK_RETRY, **changes)
    gateway = lab.add_gateway([lab.environment(servers=[server])])
    gateway.start()
    return gateway


def _require_reported(lab, expression):
    """The tunnel is down for that reason, in `status` too, and the gateway goes on trying."""
    gateway = lab.gateway
    tunnel = gateway.wait_why(expression)
    assert tunnel["phase"] in ("waiting", "connecting")
    status = gateway.command("status")
    assert status.returncode == 1
    assert re.search(expression, status.stdout), status.stdout
    attempts = tunnel["attempts"]
    wait_until(lambda: gateway.tunnel().get("attempts", 0) >= attempts + 2, 30,
               "further attempts are made")
    gateway.require_running()
    # once per attempt, not a flood
    said = [line for line in gateway.controlplane.output().splitlines() if expression.search(line)]
    assert 1 <= len(said) <= 3 * gateway.tunnel()["attempts"] + 3


def test_wrong_password_and_then_the_right_one(lab):
    lab.site.start()
    gateway = _start(lab, secret="not the one")
    _require_reported(lab, re.compile("password", re.IGNORECASE))
    gateway.write_secret("production-a", PASSWORD)
    gateway.wait_up()
    assert lab.curl().stdout == PAGE


def test_wrong_authority(lab):
    lab.site.start()
    other = Authority(lab.run.path("pki-other"), "Somebody else")
    _start(lab, authority=other.certificate)
    _require_reported(lab, re.compile("certificate|authority", re.IGNORECASE))


def test_wrong_server_identity(lab):
    lab.site.start()
    _start(lab, identity="vpn.elsewhere.example")
    _require_reported(lab, re.compile("identity", re.IGNORECASE))


def test_unreachable_server_that_comes_later(lab):
    lab.site.web.start()
    gateway = _start(lab)
    gateway.wait_why(re.compile("answer|reach", re.IGNORECASE), timeout=60)
    assert gateway.command("status").returncode == 1
    lab.site.server.start()
    gateway.wait_up(timeout=60)
    assert lab.curl().stdout == PAGE
    assert gateway.command("status").returncode == 0


MISTAKES = {
    "gateway.conf": (r'address = "203.0.113.10/24"', 'address = "203.0.113.300/24"',
                     "uplink.address"),
    "environments.d/production.conf": (r'to = "192.168.100.30:8080"', 'to = "192.168.100.30"',
                                       r"forwards.*to"),
}


def _spoil(gateway):
    for name, (right, wrong, _) in MISTAKES.items():
        path = os.path.join(gateway.config_dir, name)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        assert right in text
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace(right, wrong))


def _require_all_listed(text):
    for name, (_, _, key) in MISTAKES.items():
        assert re.search(rf"{re.escape(name)}:\d+: .*{key}", text), text


def test_configuration_mistakes_start_nothing_and_are_all_listed(lab):
    gateway = lab.add_gateway()
    _spoil(gateway)
    check = gateway.command("check")
    assert check.returncode == 2
    _require_all_listed(check.stdout + check.stderr)

    gateway.start()
    assert gateway.controlplane.wait(15) == 2
    _require_all_listed(gateway.controlplane.output())
    gateway.dataplane.require_running()
    assert gateway.command("status").returncode == 3


def test_syntax_error_names_file_and_line(lab):
    gateway = lab.add_gateway()
    path = os.path.join(gateway.config_dir, "gateway.conf")
    with open(path, "a", encoding="utf-8") as file:
        file.write("dataplane: {\n")
    lines = sum(1 for _ in open(path, encoding="utf-8"))
    check = gateway.command("check")
    assert check.returncode == 2
    assert re.search(rf"gateway\.conf:({lines - 1}|{lines}|{lines + 1}): ",
                     check.stdout + check.stderr), check.stdout + check.stderr


@pytest.mark.parametrize("mode", [0o444, 0o604, 0o644])
def test_secret_that_others_can_read_is_a_mistake(lab, mode):
    gateway = lab.add_gateway()
    assert gateway.command("check").returncode == 0
    os.chmod(os.path.join(gateway.config_dir, "secrets", "production-a"), mode)
    check = gateway.command("check")
    assert check.returncode == 2
    assert "password_file" in check.stdout + check.stderr
