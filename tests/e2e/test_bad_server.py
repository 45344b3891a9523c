# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers that answer what they should not, or only half; and floods that pretend to be IKE."""

import re

import pytest

from lab import responder
from lab.gateway import Environment
from lab.host import wait_until
from lab.server import PAGE
from lab.topology import UPLINK_ADDRESS
from streams import Stream

QUICK_RETRY = {"retry": {"min": 1, "max": 1}}

WORDS = {
    "truncated": "cannot be understood",
    "payload-too-large": "cannot be understood",
    "unknown-critical": "critical payload that is not known",
    "silent": "^no answer from the server$",
    "auth-garbage": "cannot be understood",
    "auth-empty": "neither AUTH nor EAP",
    "auth-without-proof": "neither AUTH nor EAP",
    "auth-nonsense": "cannot be understood",
    "auth-unknown-critical": "critical payload that is not known",
    "auth-payload-too-large": "cannot be understood",
}


def _start(lab, **changes):
    server = lab.site.as_server(**{"options": QUICK_RETRY, **changes})
    gateway = lab.add_gateway([lab.environment(servers=[server])])
    gateway.start()
    return gateway


def _broken_servers(lab):
    """A responder for each fault, at an address of its own; returns the processes by fault."""
    processes = {}
    for number, fault in enumerate(responder.FAULTS):
        address = f"198.51.100.{120 + number}"
        lab.internet.ip("address", "add", f"{address}/24", "dev", "servers")
        processes[fault] = lab.internet.start(
            "/usr/bin/python3", responder.__file__, address, fault, name=f"broken-{fault}")
    for process in processes.values():
        wait_until(lambda p=process: p.require_running() or "ready" in p.output(), 20,
                   "the responder listens")
    return processes


def _environments(lab):
    """They are named by number, with six broken servers each."""
    for number in range(0, len(responder.FAULTS), 6):
        servers = [lab.site.as_server(fault, address=f"198.51.100.{120 + number + place}",
                                      options=QUICK_RETRY)
                   for place, fault in enumerate(responder.FAULTS[number:number + 6])]
        yield Environment(name=f"bad-{number}", pod_address=f"10.0.0.{100 + number}",
                          sources=["10.0.1.0/24"], servers=servers, forwards={})


def test_broken_answers(lab):
    """Every fault at once, again and again; each attempt ends with words. The good server's tunnel
    does not notice."""
    processes = _broken_servers(lab)
    lab.site.start()
    gateway = lab.add_gateway([lab.environment(), *_environments(lab)])
    gateway.start()
    gateway.wait_up()
    stream = Stream(lab)

    def bad():
        return {server: tunnel for (environment, server), tunnel in gateway.tunnels().items()
                if environment.startswith("bad")}
    wait_until(lambda: gateway.require_running() or
               all(tunnel["attempts"] >= 2 for tunnel in bad().values()), 60, "second attempts")
    tunnels = bad()
    assert sorted(tunnels) == sorted(responder.FAULTS)
    for fault, tunnel in tunnels.items():
        processes[fault].require_running()
        assert re.search(WORDS.get(fault, "."), tunnel["why"]), f"{fault}: {tunnel['why']!r}"
        # it came as far as the fault
        kind = 35 if fault in responder.AUTH_FAULTS else 34
        assert f"request {kind}" in processes[fault].output(), fault
    stream.wait_for_more(50)
    assert stream.is_complete()
    assert gateway.tunnel()["connects"] == 1
    for process in processes.values():
        process.kill()


def test_no_virtual_ip(lab):
    del lab.site.server.accounts["pools"]
    lab.site.start()
    _start(lab).wait_why(re.compile("no virtual IP address"))


def test_forwards_that_the_selectors_leave_out_are_told(lab):
    lab.site.server.accounts["children"]["office"]["local_ts"] = "192.168.100.0/27"
    lab.site.start()
    forwards = {33000: "192.168.100.30:8080", 33001: "192.168.100.32:80", 33002: "10.1.2.3:80"}
    gateway = lab.add_gateway([lab.environment(forwards=forwards)])
    gateway.start()
    tunnel = gateway.wait_up()
    assert tunnel["unreachable"] == ("the server's selectors leave out 2 of 3 forwards:"
                                     " 33001 to 192.168.100.32:80 33002 to 10.1.2.3:80")
    assert lab.curl().stdout == PAGE
    assert "33001 to 192.168.100.32:80" in gateway.command("tunnels").stdout
    lines = [line for line in gateway.controlplane.output().splitlines() if "unreachable" in line]
    assert len(lines) == 1


_FLOOD = """
import os, socket, struct, sys, time
target, seconds = sys.argv[1], float(sys.argv[2])
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
if len(sys.argv) > 3:
    out.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
sent, answers, end = 0, 0, time.monotonic() + seconds
def hear():
    try:
        while True:
            out.recv(2000, socket.MSG_DONTWAIT)
            yield
    except BlockingIOError:
        return
while time.monotonic() < end:
    for exchange, flags in ((34, 0x08), (34, 0x20), (35, 0x20), (36, 0x08), (37, 0x00), (2, 0), (4, 0)):
        version, first, number = (0x10, 1, 0) if exchange < 34 else (0x20, 46, sent & 7)
        spis = os.urandom(16) if exchange > 33 else os.urandom(8) + bytes(8)
        body = os.urandom(100)
        message = spis + struct.pack("!BBBBII", first, version, exchange, flags, number, 128) + body
        out.sendto(message, (target, 500))
        out.sendto(b"\\0\\0\\0\\0" + message, (target, 4500))
        sent += 2
    answers += sum(1 for _ in hear())
print("sent", sent, "answers", answers, flush=True)
"""


@pytest.mark.parametrize("source", ["configured", "unknown"])
def test_flood(lab, source):
    """Thousands of packets a second that look like IKE, of both versions: the tunnel carries on, is rekeyed, and nobody
    is answered."""
    lab.site.start()
    gateway = _start(lab, options={"child_rekey": 0, **QUICK_RETRY})
    gateway.wait_up()
    stream = Stream(lab)
    host = lab.site.server_host if source == "configured" else lab.internet
    flood = host.start("/usr/bin/python3", "-c", _FLOOD, UPLINK_ADDRESS, "6", name="flood")
    for rekeys in range(1, 4):
        stream.wait_for_more(50)
        lab.site.server.rekey_child()
        wait_until(lambda: gateway.tunnel()["child_rekeys"] >= rekeys, 20, "rekeyed in the flood")
    assert flood.wait(30) == 0
    said = flood.output().split()
    assert int(said[1]) > 3000 and said[2:] == ["answers", "0"]
    gateway.require_running()
    assert gateway.tunnel()["connects"] == 1
    assert stream.is_complete()
    drops = sum(count for name, count in gateway.counters().items() if name.startswith("drop/"))
    assert drops > 1000
