# SPDX-License-Identifier: GPL-2.0-or-later
"""A new control plane beside the old one, which ends when it is not needed any more, or goes on: docs/restart.md."""

import os
import re
import shutil
import socket

import pytest

from datagrams import PORT, TARGET_PORT, Datagrams
from lab.gateway import program
from lab.host import Heir, wait_until
from lab.server import PAGE
from lab.topology import TARGET
from streams import Stream

FORWARDS = {33000: f"{TARGET}:8080", 33001: f"{TARGET}:8081",
            PORT: {"to": f"{TARGET}:{TARGET_PORT}", "transport": "udp"}}


def _start(lab, unique="no", **changes):
    lab.site.server.set_unique(unique)
    lab.site.start()
    lab.add_gateway([lab.environment(forwards=FORWARDS)]).start_dataplane()
    lab.gateway.start_controlplane(**changes)
    return lab.gateway.wait_up()


def _ike_sas(site):
    """The numbers of the IKE_SAs that the server has."""
    return re.findall(r"^\S+: #(\d+), ESTABLISHED", site.server.list_sas(), re.MULTILINE)


def _installed(lab):
    """A copy of the program, which may be replaced."""
    path = lab.run.path("sallyport-controlplane")
    shutil.copy2(program("sallyport-controlplane"), path)
    return path


def _install(path, text):
    os.unlink(path)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    os.chmod(path, 0o755)


@pytest.mark.sanitized
def test_successor_serves(lab):
    """Old connections go on; the command, the signals and the next upgrade find the new process."""
    inner = _start(lab)["inner_address"]
    stream = Stream(lab)
    old = lab.gateway.controlplane
    for _ in range(2):
        before = lab.gateway.controlplane.pid
        done = lab.gateway.upgrade()
        assert done.returncode == 0, done.stderr
        assert lab.gateway.controlplane.pid != before
        assert str(lab.gateway.controlplane.pid) in done.stdout
        assert lab.gateway.wait_up()["inner_address"] == inner
        assert lab.curl().stdout == PAGE
    assert old.status == 0
    stream.wait_for_more(200)
    assert stream.is_complete() and stream.longest_gap() < 1.0
    wait_until(lambda: len(_ike_sas(lab.site)) == 1, 20, "one IKE_SA is left")
    assert lab.gateway.controlplane.stop() == 0
    assert lab.gateway.command("status").returncode == 3
    lab.gateway.start_controlplane()
    lab.gateway.wait_up()


def _check_privileges(pid):
    """Of every thread: an unprivileged user, no capability, and no way to get one."""
    for thread in os.scandir(f"/proc/{pid}/task"):
        with open(os.path.join(thread.path, "status"), encoding="ascii") as file:
            status = dict(line.split(":\t", 1) for line in file.read().splitlines())
        assert status["NoNewPrivs"] == "1", thread.name
        assert "0" not in status["Uid"].split(), thread.name
        for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(status[kind], 16) == 0, f"{thread.name} {kind}"


def test_no_privileges(lab):
    """Neither the one that was started by root nor its successor has any."""
    _start(lab)
    _check_privileges(lab.gateway.controlplane.pid)
    assert lab.gateway.upgrade().returncode == 0
    _check_privileges(lab.gateway.controlplane.pid)


@pytest.mark.parametrize("unique", ("no", "replace"))
def test_no_packet_is_lost(lab, unique):
    inner = _start(lab, unique)["inner_address"]
    stream = Datagrams(lab)
    assert lab.gateway.upgrade().returncode == 0
    stream.wait_for_more(25000)  # the old SAs are gone meanwhile
    assert lab.gateway.wait_up()["inner_address"] == inner
    report = stream.end()
    assert (report["out"], report["back"]) == (0, 0), report
    assert report["again"] == 0 and report["target"]["again"] == 0, report


def test_broken_configuration(lab):
    """Nothing is changed, at the server neither: the old one goes on."""
    _start(lab)
    old = lab.gateway.controlplane
    with open(os.path.join(lab.gateway.config_dir, "gateway.conf"), "a", encoding="ascii") as file:
        file.write("nonsense: { };\n")
    done = lab.gateway.upgrade()
    assert done.returncode == 1
    assert "goes on" in done.stderr and "status 2" in done.stderr
    assert old.status is None and "nonsense" in old.output()
    assert lab.gateway.tunnel()["phase"] == "up" and _ike_sas(lab.site) == ["1"]
    assert lab.gateway.dataplane.output().count("control: connected") == 1
    assert lab.curl().stdout == PAGE


@pytest.mark.parametrize("text, why", [("#!/bin/sh\nexit 7\n", "status 7"),
                                       ("#!/bin/sh\nkill -SEGV $$\n", "signal 11"),
                                       ("no program\n", "cannot be started")])
def test_broken_program(lab, text, why):
    path = _installed(lab)
    _start(lab, path=path)
    _install(path, text)
    done = lab.gateway.upgrade()
    assert done.returncode == 1 and why in done.stderr, done.stderr
    lab.gateway.controlplane.require_running()
    assert _ike_sas(lab.site) == ["1"]
    os.unlink(path)
    shutil.copy2(program("sallyport-controlplane"), path)
    assert lab.gateway.upgrade().returncode == 0
    assert lab.curl().stdout == PAGE


def _start_two(lab):
    for site in lab.sites.values():
        site.start()
    lab.add_gateway([
        lab.environment("production", servers=[lab.sites["a"].as_server("a")], forwards=FORWARDS),
        lab.environment("staging", servers=[lab.sites["b"].as_server("b")]),
    ]).start()
    lab.gateway.wait_up("production", "a")
    lab.gateway.wait_up("staging", "b")


def test_successor_is_refused(lab_with_two):
    """One server does not let it in: the old one takes both tunnels back, and has the IKE_SA that it
    could not get again."""
    lab = lab_with_two
    server = lab.sites["b"].server
    _start_two(lab)
    stream = Stream(lab)
    server.secrets["eap-account"]["secret"] = '"another one"'
    server.reload()
    done = lab.gateway.upgrade()
    assert done.returncode == 1 and "staging/b" in done.stderr and "password" in done.stderr
    lab.gateway.wait_up("production", "a")
    lab.gateway.wait_up("staging", "b")
    assert lab.curl(environment="staging").returncode == 0
    assert _ike_sas(lab.sites["b"]) == ["1"]
    server.rekey_ike()
    wait_until(lambda: lab.gateway.tunnel("staging", "b").get("ike_rekeys"), 15, "it is rekeyed")
    stream.wait_for_more(100)
    assert stream.is_complete() and stream.longest_gap() < 1.0
    wait_until(lambda: len(_ike_sas(lab.sites["a"])) == 1, 20, "one IKE_SA is left")
    assert lab.curl().stdout == PAGE


def _begin_half(lab):
    """An upgrade that waits for its second tunnel, as that server is dead: the command and the
    successor."""
    old = lab.gateway.controlplane
    lab.sites["b"].server.kill()
    upgrade = lab.gateway.start_command("upgrade")
    wait_until(lambda: "supervisor: up environment=production" in
               old.output().partition("started a successor")[2], 20, "it has the first tunnel")
    pid = int(re.search(r"started a successor pid=(\d+)", old.output()).group(1))
    return upgrade, Heir(lab.run, pid, old)


def test_stopped_meanwhile(lab_with_two):
    """Who ends the control plane in the middle of an upgrade ends both."""
    lab = lab_with_two
    _start_two(lab)
    _, successor = _begin_half(lab)
    assert lab.gateway.controlplane.stop() == 0
    successor.wait(10)
    assert lab.gateway.command("status").returncode == 3
    lab.gateway.start_controlplane()
    lab.gateway.wait_up("production", "a")


@pytest.mark.parametrize("unique", ("no", "replace"))
def test_successor_dies(lab_with_two, unique):
    """It has one tunnel and waits for the other one when it is killed: no packet is lost."""
    lab = lab_with_two
    lab.site.server.set_unique(unique)
    _start_two(lab)
    old = lab.gateway.controlplane
    stream = Datagrams(lab)
    upgrade, successor = _begin_half(lab)
    stream.wait_for_more(1000)
    successor.kill()
    assert upgrade.wait() == 1
    assert "signal 9" in upgrade.output()
    lab.gateway.wait_up("production", "a")
    stream.wait_for_more(100000 if unique == "replace" else 30000, timeout=60)
    report = stream.end()
    assert (report["out"], report["back"]) == (0, 0), report
    old.require_running()
    wait_until(lambda: len(_ike_sas(lab.sites["a"])) == 1, 20, "one IKE_SA is left")
    assert lab.gateway.tunnel("production", "a")["phase"] == "up"


def test_service_manager_is_told(lab):
    """As sd_notify(3) has it: the main process is another one, before the old one ends."""
    path = lab.run.path("notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        os.chmod(path, 0o666)
        manager.settimeout(20)
        _start(lab, env={"NOTIFY_SOCKET": path})
        upgrade = lab.gateway.start_command("upgrade")
        told = manager.recv(100).decode()
        barrier, descriptors, _, _ = socket.recv_fds(manager, 100, 1)
        assert barrier == b"BARRIER=1" and lab.gateway.controlplane.status is None
        os.close(descriptors[0])
    assert lab.gateway.controlplane.wait() == 0
    assert upgrade.wait() == 0
    pid = lab.gateway.query("status")[1]["controlplane"]["pid"]
    assert told == f"MAINPID={pid}"
    lab.gateway.follow(pid)
