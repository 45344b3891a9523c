# SPDX-License-Identifier: GPL-2.0-or-later
"""Static egress with the kernel's own TCP, UDP and ping, towards a host of the Internet."""

import json
import sys

import pytest

from lab.host import wait_until
from lab.topology import CLIENTS, UPLINK_ADDRESS

pytestmark = pytest.mark.sanitized

HOST, SECOND = "198.51.100.1", "203.0.113.20"
PORT, MAPPED, TARGET_PORT = 8000, 443, 8443
EGRESS = """\
egress: {{
  sources = [ "10.0.1.0/24" ];
  snat_address = [ "{0}" ];
  inbound = ( {{ port = 443; to = "10.0.1.20:8443"; }} );
}};
"""

# argv: address, port. Tells each client who it is, and gives back what it sends, up to its end.
_SERVER = """
import socketserver, sys
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(self.client_address[0].encode() + b"\\n")
        while data := self.request.recv(65536):
            self.wfile.write(data)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads = True, True
Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""

# argv: address, port, bytes. Prints who the server says we are, and whether all came back; or the error.
_CALL = """
import json, os, socket, sys, threading
address, port, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
data, got = os.urandom(size), b""
try:
    with socket.create_connection((address, port), timeout=10) as s:
        name = s.makefile("rb").readline().decode().strip()
        def send():
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
        sender = threading.Thread(target=send)
        sender.start()
        while part := s.recv(65536):
            got += part
        sender.join()
    print(json.dumps([name, got == data]))
except OSError as error:
    print(json.dumps([type(error).__name__, False]))
"""


def serve(host, address, port, name):
    process = host.start(sys.executable, "-c", _SERVER, address, str(port), name=name)
    wait_until(lambda: f"{address}:{port} " in host.run("ss", "-Hltn").stdout, 10, f"{name} listens")
    return process


def call(host, address, port=PORT, size=10000):
    done = host.run(sys.executable, "-c", _CALL, address, str(port), str(size), timeout=90)
    return json.loads(done.stdout)


def start(lab, snat=UPLINK_ADDRESS, **options):
    """The VPN server stays down: egress needs none."""
    serve(lab.internet, HOST, PORT, "internet-server")
    lab.add_gateway(egress=EGRESS.format(snat), **options).start()
    for client in lab.clients.values():
        client.ip("route", "add", "default", "via", "10.0.0.2")
    wait_until(lambda: call(lab.client, HOST)[1], 30, "the first connection through egress")


@pytest.mark.parametrize("snat", [UPLINK_ADDRESS, SECOND])
@pytest.mark.parametrize("workers", [1, 2])
def test_everything_leaves_with_the_static_address(lab, snat, workers):
    start(lab, snat, dataplane={"workers": workers})
    capture = lab.capture("uplink")["uplink"]
    assert call(lab.client, HOST, size=20_000_000) == [snat, True]
    for _ in range(20):
        assert call(lab.client, HOST, size=1) == [snat, True]
    done = lab.client.run("ping", "-c", "5", "-i", "0.2", "-W", "5", HOST)
    assert " 0% packet loss" in done.stdout
    capture.stop()
    assert capture.select("ip and icmp"), "the echo requests are recorded"
    assert not capture.select("ip and net 10.0.0.0/8"), "nothing leaves with an address of the cluster"
    assert not capture.select(f"ip and dst host {HOST} and not src host {snat}")
    sessions = json.loads(lab.gateway.command("--json", "sessions").stdout)["sessions"]
    assert {s["kind"] for s in sessions} == {"egress"} and {s["inner_address"] for s in sessions} == {snat}

    def use():
        entries = json.loads(lab.gateway.command("--json", "egress").stdout)["egress"]
        return [e for e in entries if e["remote_address"] == HOST and e["remote_port"] == PORT]
    assert wait_until(use, 10, "the destination among the busiest ones")[0]["capacity"] > 64000


def test_refused_at_once(lab):
    start(lab)
    for address in ("169.254.169.254", "192.168.1.1", "10.9.9.9", UPLINK_ADDRESS):
        assert call(lab.client, address) == ["ConnectionRefusedError", False]


def test_mapped_port(lab_with_two):
    """From the Internet and, as a hairpin, from another pod, which may leave."""
    lab = lab_with_two
    environments = [lab.environment(name, [site.as_server()]) for name, site in
                    zip(("production", "staging"), lab.sites.values())]
    environments[1].options["snat_address"] = SECOND
    start(lab, environments=environments)
    serve(lab.client, CLIENTS["production"][1], TARGET_PORT, "mapped-server")
    assert call(lab.internet, UPLINK_ADDRESS, MAPPED, 1_000_000) == ["203.0.113.1", True]
    assert call(lab.clients["staging"], UPLINK_ADDRESS, MAPPED, 100_000) == [UPLINK_ADDRESS, True]
    assert call(lab.clients["staging"], HOST) == [SECOND, True]
    assert call(lab.internet, UPLINK_ADDRESS, MAPPED + 1)[1] is False, "no other port leads in"
