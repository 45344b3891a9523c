# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line against a running gateway: plain tables, JSON and exit codes."""

import os
import shutil

import pytest

from lab.gateway import program
from lab.server import PAGE
from streams import Stream

pytestmark = pytest.mark.sanitized

COMMANDS = {
    "check": "",
    "status": "production",
    "tunnels": "production",
    "forwards": "33000",
    "sessions": "production",
    "counters": "port/uplink/rx-packets",
}


@pytest.fixture(scope="module")
def busy(shared):
    """With an open connection, so that there is something to show."""
    assert shared.curl().stdout == PAGE
    shared.stream = Stream(shared)
    return shared


@pytest.mark.parametrize("command", COMMANDS)
def test_plain(busy, command):
    done = busy.gateway.command(command)
    assert done.returncode == 0, done.stderr
    assert COMMANDS[command] in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_json(busy, command):
    status, reply = busy.gateway.query(command)
    assert status == 0
    assert isinstance(reply, dict) and reply


def test_tunnels_tell_the_tunnel(busy):
    tunnel = busy.gateway.tunnel()
    assert tunnel["phase"] == "up"
    assert tunnel["inner_address"].startswith("10.20.30.")
    assert "GCM" in tunnel["suite"]


def test_open_connection_is_a_session(busy):
    _, reply = busy.gateway.query("sessions")
    busy.stream.wait_for_more(1)
    assert any(s["client_port"] and s["forward_port"] == 33001 for s in reply["sessions"]), reply


def test_counters_count(busy):
    before = busy.gateway.counters()
    assert busy.curl().stdout == PAGE
    after = busy.gateway.counters()
    assert any(after[name] > before.get(name, 0) for name in after), after


@pytest.mark.parametrize("argv", [["nonsense"], ["status", "--nonsense"], []])
def test_wrong_usage(busy, argv):
    done = busy.gateway.command(*argv)
    assert done.returncode == 2
    assert done.stderr


def test_nobody_there(busy):
    done = busy.gateway.host.run(program("sallyport"), "--instance", "nowhere", "--run-dir",
                                 busy.run.path("nowhere"), "status", check=False)
    assert done.returncode == 3
    assert "not reachable" in done.stdout


@pytest.mark.parametrize("directory, key", [("secrets", "password_file"), ("ca", "server_ca"), (".", "")])
def test_check_tells_what_the_user_cannot_read(lab, directory, key):
    """Root can read all of it; the control plane, which is not root, could not."""
    gateway = lab.add_gateway()
    assert gateway.command("check").returncode == 0
    where = os.path.normpath(os.path.join(gateway.config_dir, directory))
    path = next(entry.path for entry in os.scandir(where) if entry.is_file())
    shutil.chown(path, "root", "root")
    os.chmod(path, 0o400)
    done = gateway.command("check")
    assert done.returncode == 2
    assert "user sallyport" in done.stdout and key in done.stdout and path in done.stdout, done.stdout
