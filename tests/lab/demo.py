# SPDX-License-Identifier: GPL-2.0-or-later
"""What scripts/demo shows: `curl vpn:33000`, from the service to the customer's web server, and a
zone of the customer's that fails under it."""

import os
import shlex
import signal
import sys
import textwrap

from . import crowd
from .cut import Cut
from .gateway import program
from .host import LabError, Run, wait_until
from .server import PAGE
from .topology import ACCOUNT, TARGET, Topology

NAME = "demo"
DOWNLOAD_MB = 64
RATE_MB = 16  # a second
TICKS = 33001
LETTERS = ("a", "b")
SERVERS = {
    "ipsec": ("Two strongSwan servers (stock Debian)",
              "accounts with passwords (EAP-MSCHAPv2) and virtual addresses"),
    "openvpn": ("Two OpenVPN servers (stock Debian)", "accounts with passwords"),
}
OUTER = {"ipsec": ("udp port 4500", "udp port 500"), "openvpn": ("udp port 1194",)}
STATE = "/run/sallyport-demo"  # of a demo that was kept: a symbolic link to its directory


# Writes a line every 10 ms into curl, and notes when each one came back.
_TICKING = """
import subprocess, sys, threading, time
curl = subprocess.Popen(["curl", "--silent", "--show-error", "--no-buffer", sys.argv[1]],
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
def listen():
    for line in curl.stdout:
        print("tick", int(line), "%.3f" % time.monotonic(), flush=True)
threading.Thread(target=listen, daemon=True).start()
number = 0
while curl.poll() is None:
    curl.stdin.write(b"%d\\n" % number)
    curl.stdin.flush()
    number += 1
    time.sleep(0.01)
sys.exit(curl.returncode)
"""


def say(text=""):
    print(textwrap.fill(" ".join(text.split()), 100), flush=True)


def show(command, output):
    print(f"\n  $ {command}")
    print(textwrap.indent(output.rstrip("\n"), "  "), end="\n\n", flush=True)


def build(topology, protocol):
    servers, accounts = SERVERS[protocol]
    say(f"""1. The customer. {servers} in two zones, 198.51.100.101 and 198.51.100.102, with
        certificates of the customer's own authority and {accounts}; behind both a private network
        with nginx on {TARGET}:8080.""")
    topology.site.start()
    say("""2. The gateway. sallyport-dataplane has the two ports, the cluster's and the Internet's;
        the kernel has no address on either. sallyport-controlplane reads the configuration, and
        dials the customer's server through the dataplane.""")
    gateway = topology.add_gateway([topology.environment(
        servers=topology.site.as_servers(),
        forwards={33000: f"{TARGET}:8080", TICKS: f"{TARGET}:{crowd.TARGET_PORT}"},
        options={"probe": {"target": topology.site.probe_target}, "keep_sessions": True})])
    with open(os.path.join(gateway.config_dir, "environments.d", "production.conf"),
              encoding="utf-8") as file:
        show("cat environments.d/production.conf", file.read())
    gateway.start()
    tunnel = gateway.wait_up()
    gateway.wait_up(server="b")
    wait_until(lambda: gateway.tunnel().get("active"), 20, "the preferred server is active")
    say(f"""Both tunnels are up: the servers verified by their certificates, we by the account
        {ACCOUNT}; our address inside is {tunnel['inner_address']}. Server a carries the traffic.""")


def fetch(topology):
    say("""3. The service. It knows a name and a port: `vpn` is the gateway's address for its
        environment. The dataplane translates the connection, encrypts it and sends it to the
        customer; the answer comes back the same way.""")
    done = topology.curl()
    show("curl vpn:33000", done.stdout or done.stderr)
    if done.returncode != 0 or done.stdout != PAGE:
        raise LabError(f"that is not the customer's page: {done.stdout!r} {done.stderr.strip()}")


def watch(topology, capture, protocol):
    capture.stop()
    seen = capture.select(OUTER[protocol][0])
    clear = capture.select(" and ".join(["not arp", *(f"not {port}" for port in OUTER[protocol])]))
    if not seen or clear or capture.contains(b"Hello"):
        raise LabError(f"the Internet saw what it should not: {clear}")
    say(f"""4. The Internet. It saw {len(seen)} packets between the gateway and the server, every one
        of them encrypted, and no private address.""")
    done = topology.gateway.command("status")
    show("sallyport status", done.stdout or done.stderr)
    if done.returncode != 0:
        raise LabError(f"`sallyport status` says that something is wrong: {done.returncode}")


def _ticks(process):
    """(number, time) of each line that came back."""
    lines = [line.split() for line in process.output().rpartition("\n")[0].splitlines()]
    return [(int(line[1]), float(line[2])) for line in lines if line[:1] == ["tick"]]


def _longest_gap(process):
    times = [time for _, time in _ticks(process)]
    return max(b - a for a, b in zip(times, times[1:]))


def fail(topology):
    web, gateway = topology.site.web, topology.gateway
    digest = web.add_document("large", DOWNLOAD_MB)
    crowd.start_target(web)
    path = topology.run.path("download")
    command = f"curl --limit-rate {RATE_MB}M --output download vpn:33000/large"
    say(f"""5. A zone fails. The service downloads {DOWNLOAD_MB} MB (`{command}`), and another curl,
        `curl telnet://vpn:{TICKS}`, sends a line every 10 ms and gets it back. Meanwhile
        everything to and from server a vanishes: no error message tells anybody.""")
    ticking = topology.client.start(sys.executable, "-c", _TICKING, f"telnet://vpn:{TICKS}",
                                    name="ticking")
    download = topology.client.start(
        "curl", "--silent", "--show-error", "--limit-rate", f"{RATE_MB}M", "--max-time", "60",
        "--output", path, "vpn:33000/large", name="download")
    wait_until(lambda: os.path.exists(path) and os.path.getsize(path) > DOWNLOAD_MB << 18
               and len(_ticks(ticking)) > 50, 30, "a quarter of the download")
    before = _longest_gap(ticking)
    with Cut(topology, "a"):
        count = len(_ticks(ticking))
        wait_until(lambda: gateway.tunnel(server="b").get("active"), 20, "server b is active")
        wait_until(lambda: len(_ticks(ticking)) > count + 100, 20, "the ticking curl goes on")
        if download.status is not None:
            raise LabError("the download ended before the zone failed")
        if download.wait(60) != 0:
            raise LabError(f"the download failed: {download.output()}")
        status = gateway.command("status")
    ticking.stop()
    sent = topology.client.run("sha256sum", path).stdout.split()[0]
    numbers = [number for number, _ in _ticks(ticking)]
    if sent != digest or numbers != list(range(len(numbers))):
        raise LabError("what came is not what was sent")
    show("sallyport status", status.stdout or status.stderr)
    say(f"""The ticking curl saw no line for {_longest_gap(ticking) * 1000:.0f} ms (before that:
        {before * 1000:.0f} ms at most), then all of them; the download ended intact, its SHA-256 is
        right. No connection was lost.""")


def explain(topology):
    gateway = topology.gateway
    options = shlex.join(["--instance", gateway.instance, "--run-dir", gateway.run_dir,
                          "--config-dir", gateway.config_dir])
    hosts = {topology.client: "the service: curl vpn:33000",
             topology.gateway_host: "the gateway: two ports, no address of the kernel's",
             topology.internet: "the Internet: tcpdump -ni to-gateway",
             topology.site.zones["a"].host: "the customer's VPN server in zone a",
             topology.site.zones["b"].host: "the customer's VPN server in zone b",
             topology.site.lan_host: "the customer's web server"}
    print("It is left running. To enter a host:\n")
    for host, what in hosts.items():
        print(f"  ip netns exec {host.namespace:<14} bash    # {what}")
    print(f"\nTo ask the gateway, from anywhere:\n\n  {program('sallyport')} {options} status\n")
    print(f"Logs and configuration: {topology.run.directory}")
    print("To end it: scripts/demo --stop", flush=True)


def stop():
    if not os.path.islink(STATE):
        print("demo: none was left running")
        return
    directory = os.readlink(STATE)
    if os.path.isdir(directory):
        Run.load(directory).close()
    os.unlink(STATE)
    print("demo: ended, nothing is left")


def demonstrate(is_kept, protocol):
    if is_kept and os.path.islink(STATE):
        stop()
    say("""A service in a private cluster needs a page of a customer's internal web server. Every host
        of this demo is a network namespace of this machine.""")
    print()
    run = Run(NAME) if is_kept else Run()
    is_done = False
    if is_kept:
        os.symlink(run.directory, STATE)
    try:
        topology = Topology(run, redundant="routes",
                            protocols={letter: protocol for letter in LETTERS})
        capture = topology.capture("uplink")["uplink"]
        build(topology, protocol)
        fetch(topology)
        watch(topology, capture, protocol)
        fail(topology)
        if is_kept:
            explain(topology)
        else:
            topology.gateway.stop()
        is_done = True
    finally:
        if not is_done:
            print(f"demo: logs and captures: {run.directory}", file=sys.stderr)
        if not (is_done and is_kept):
            run.close(keep_files=not is_done)
            if is_kept:
                os.unlink(STATE)
    if not is_kept:
        print("Everything was ended and removed.")


def main(arguments):
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if "--stop" in arguments:
            stop()
        else:
            protocol = arguments[arguments.index("--protocol") + 1] \
                if "--protocol" in arguments else "ipsec"
            demonstrate("--keep" in arguments, protocol)
    except LabError as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
