# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a gateway with a thousand tunnels is down when it starts, and where the time goes.

Eight stock strongSwan servers with an account for each of 125 environments: EAP-MSCHAPv2, a server's
certificate (RSA, 2048 bits), virtual addresses. Every environment has a tunnel to every server. The
clock runs from the start of the control plane, with its configuration still to be read, until every
tunnel is up. Servers and gateway share this machine's cores.
"""

import argparse
import json
import os
import re
import sys
import time

from laboratory import in_run, say  # first: it says where the others are

from lab.gateway import Environment
from lab.host import LabError, wait_until
from lab.topology import Topology

TUNNELS = 1000
SERVERS = "abcdefgh"
REQUIRED_S = 20
PATIENCE_S = 300
LOOK_S = 0.1
UP = re.compile(r"supervisor: up (environment=\S+ server=\S+) ")
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """The processor time of a process and of the children that it waited for."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        return sum(int(field) for field in stat.read().rpartition(")")[2].split()[11:15]) / TICKS


def spread(tunnels):
    """How many environments, and which servers each of them has."""
    count = min(len(SERVERS), tunnels)
    return -(-tunnels // count), SERVERS[:count]


class Fleet:
    """A gateway and its customers' servers; as many environments as make TUNNELS tunnels."""

    def __init__(self, run, tunnels):
        self.tunnels = tunnels
        self.environments, self.letters = spread(tunnels)
        self.topology = Topology(run, sites=self.letters)
        self.servers = [site.server for site in self.topology.sites.values()]
        for server in self.servers:
            server.secrets = {f"eap-{number}": {"id": f"account-{number}", "secret": '"a password"'}
                              for number in range(self.environments)}
            # what a thousand handshakes would write costs more than they do
            server.settings["filelog"]["stderr"]["default"] = 0
        self.gateway = self.topology.add_gateway(
            [self._environment(number) for number in range(self.environments)])

    def _environment(self, number):
        left = self.tunnels - number * len(self.letters)
        servers = [site.as_server(letter, account=f"account-{number}", secret="a password")
                   for letter, site in list(self.topology.sites.items())[:left]]
        return Environment(name=f"e{number}", pod_address=f"10.0.100.{number + 1}",
                           sources=["10.0.1.0/24"], servers=servers,
                           forwards={33000: "192.168.100.30:8080"})

    def processes(self):
        return {"dataplane": [self.gateway.dataplane.pid],
                "controlplane": [self.gateway.controlplane.pid],
                "servers": [server.process.pid for server in self.servers]}

    def cpu(self):
        return {name: sum(map(cpu_seconds, pids)) for name, pids in self.processes().items()}

    def count_up(self):
        """By the control plane's log: to ask for a list of all tunnels would cost it time."""
        self.gateway.require_running()
        return len(set(UP.findall(self.gateway.controlplane.output())))

    def run(self):
        for server in self.servers:
            server.start()
        self.gateway.start_dataplane()
        before = {name: sum(map(cpu_seconds, pids)) for name, pids in
                  (("dataplane", [self.gateway.dataplane.pid]),
                   ("servers", [server.process.pid for server in self.servers]))}
        progress = []
        begin = time.monotonic()
        self.gateway.start_controlplane()

        def are_up():
            up = self.count_up()
            progress.append((round(time.monotonic() - begin, 2), up))
            if up < self.tunnels:
                time.sleep(LOOK_S)
            return up == self.tunnels
        wait_until(are_up, PATIENCE_S, f"{self.tunnels} tunnels are up")
        seconds = progress[-1][0]
        cpu = {name: round(used - before.get(name, 0), 2) for name, used in self.cpu().items()}
        phases = [tunnel["phase"] for tunnel in self.gateway.tunnels().values()]
        if phases != ["up"] * self.tunnels:
            raise LabError("some did not stay up")
        held = sum(server.list_sas().count("ESTABLISHED") for server in self.servers)
        if held != self.tunnels:
            raise LabError(f"the servers hold {held} IKE_SAs, not {self.tunnels}")
        return {"tunnels": self.tunnels, "servers": len(self.servers),
                "environments": self.environments, "seconds": seconds,
                "per_second": round(self.tunnels / seconds), "cpu_seconds": cpu,
                "cores": os.cpu_count(), "progress": progress}


def measure(run, tunnels):
    return Fleet(run, tunnels).run()


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench ike")
    parser.add_argument("--json", action="store_true", help="the figures and nothing else")
    parser.add_argument("--tunnels", type=int, default=TUNNELS, help=f"default {TUNNELS}")
    options = parser.parse_args()
    if not 1 <= options.tunnels <= TUNNELS:
        parser.error(f"--tunnels must be 1 to {TUNNELS}")
    try:
        result = in_run(measure, options.tunnels)
    except LabError as error:
        say(f"error: {error}")
        return 1
    if options.json:
        print(json.dumps(result))
    else:
        cpu = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in
                        result["cpu_seconds"].items())
        print(f"{result['tunnels']} tunnels to {result['servers']} servers are up after "
              f"{result['seconds']:.1f} s, {result['per_second']} a second")
        print(f"processor time on {result['cores']} cores: {cpu}")
    if options.tunnels == TUNNELS and result["seconds"] > REQUIRED_S:
        say(f"that is more than {REQUIRED_S} s")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
