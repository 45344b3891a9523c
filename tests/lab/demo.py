# SPDX-License-Identifier: GPL-2.0-or-later
"""What scripts/demo shows: `curl vpn:33000`, from the service to the customer's web server."""

import os
import shlex
import signal
import sys
import textwrap

from .gateway import program
from .host import LabError, Run
from .server import PAGE
from .topology import ACCOUNT, TARGET, Topology

NAME = "demo"
STATE = "/run/sallyport-demo"  # of a demo that was kept: a symbolic link to its directory


def say(text=""):
    print(textwrap.fill(" ".join(text.split()), 100), flush=True)


def show(command, output):
    print(f"\n  $ {command}")
    print(textwrap.indent(output.rstrip("\n"), "  "), end="\n\n", flush=True)


def build(topology):
    say(f"""1. The customer. A strongSwan server (stock Debian) at 198.51.100.101 with a certificate
        of the customer's own authority, accounts with passwords (EAP-MSCHAPv2) and a pool of
        virtual addresses; behind it a private network with nginx on {TARGET}:8080.""")
    topology.site.start()
    say("""2. The gateway. sallyport-dataplane has the two ports, the cluster's and the Internet's;
        the kernel has no address on either. sallyport-controlplane reads the configuration, and
        dials the customer's server through the dataplane.""")
    gateway = topology.add_gateway(
        [topology.environment(forwards={33000: f"{TARGET}:8080"})])
    with open(os.path.join(gateway.config_dir, "environments.d", "production.conf"),
              encoding="utf-8") as file:
        show("cat environments.d/production.conf", file.read())
    gateway.start()
    tunnel = gateway.wait_up()
    say(f"""The tunnel is up: the server verified by its certificate, we by the account {ACCOUNT};
        our address inside is {tunnel['inner_address']}.""")


def fetch(topology):
    say("""3. The service. It knows a name and a port: `vpn` is the gateway's address for its
        environment. The dataplane translates the connection, encrypts it and sends it to the
        customer; the answer comes back the same way.""")
    done = topology.curl()
    show("curl vpn:33000", done.stdout or done.stderr)
    if done.returncode != 0 or done.stdout != PAGE:
        raise LabError(f"that is not the customer's page: {done.stdout!r} {done.stderr.strip()}")


def watch(topology, capture):
    capture.stop()
    seen = capture.select("udp port 4500")
    clear = capture.select("not arp and not udp port 500 and not udp port 4500")
    if not seen or clear or capture.contains(b"Hello"):
        raise LabError(f"the Internet saw what it should not: {clear}")
    say(f"""4. The Internet. It saw {len(seen)} packets between the gateway and the server, every one
        of them encrypted, and no private address.""")
    done = topology.gateway.command("status")
    show("sallyport status", done.stdout or done.stderr)
    if done.returncode != 0:
        raise LabError(f"`sallyport status` says that something is wrong: {done.returncode}")


def explain(topology):
    gateway = topology.gateway
    options = shlex.join(["--instance", gateway.instance, "--run-dir", gateway.run_dir,
                          "--config-dir", gateway.config_dir])
    hosts = {topology.client: "the service: curl vpn:33000",
             topology.gateway_host: "the gateway: two ports, no address of the kernel's",
             topology.internet: "the Internet: tcpdump -ni to-gateway",
             topology.site.server_host: "the customer's VPN server",
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


def demonstrate(is_kept):
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
        topology = Topology(run)
        capture = topology.capture("uplink")["uplink"]
        build(topology)
        fetch(topology)
        watch(topology, capture)
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
        if arguments == ["--stop"]:
            stop()
        else:
            demonstrate(arguments == ["--keep"])
    except LabError as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
