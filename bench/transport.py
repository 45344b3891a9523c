# SPDX-License-Identifier: GPL-2.0-or-later
"""What one TCP connection carries through an OpenVPN tunnel over UDP, and through one over TCP.

The laboratory's drawing (tests/lab/topology.py) with a stock OpenVPN server: iperf3 between the client and the
customer's LAN, in either direction, and how much of a core each process needs for it. The server is a program that
moves packet by packet through a TUN device and shares the machine with everything else: it may be what limits.
"""

import argparse
import json
import os
import statistics
import sys

from laboratory import in_run, say  # first: it says where the others are

from lab.host import LabError
from lab.topology import Topology

IPERF3_PORT = 33002
DIRECTIONS = {"out": (), "in": ("--reverse",)}


def cpu_seconds(process):
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(lab, direction, seconds):
    """(Mbit/s, cores in use by process)."""
    processes = {"dataplane": lab.gateway.dataplane, "controlplane": lab.gateway.controlplane,
                 "server": lab.site.server.process}
    before = {name: cpu_seconds(process) for name, process in processes.items()}
    done = lab.client.run("iperf3", "--client", "vpn", "--port", str(IPERF3_PORT), "--time",
                          str(seconds), "--json", *DIRECTIONS[direction], timeout=seconds + 30)
    report = json.loads(done.stdout)
    if "error" in report:
        raise LabError(f"iperf3: {report['error']}")
    cores = {name: (cpu_seconds(process) - before[name]) / seconds
             for name, process in processes.items()}
    return report["end"]["sum_received"]["bits_per_second"] / 1e6, cores


def measure_transport(run, transport, seconds, runs):
    """The figures of both directions."""
    lab = Topology(run, protocols={"a": "openvpn"})
    if transport == "tcp":
        lab.site.server.settings["proto"] = "tcp4-server"
    lab.site.start()
    server = lab.site.as_server(options={"transport": transport})
    lab.add_gateway([lab.environment(servers=[server])]).start()
    lab.gateway.wait_up()
    lab.site.web.start_iperf3(5201)
    cases = []
    for direction in DIRECTIONS:
        results = [measure(lab, direction, seconds) for _ in range(runs)]
        cases.append({"transport": transport, "direction": direction,
                      "mbps": [round(rate) for rate, _ in results],
                      "cores": {name: round(statistics.median(cores[name] for _, cores in results), 2)
                                for name in results[0][1]}})
    return cases


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench transport", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--seconds", type=int, default=5, help="of a run (default: 5)")
    parser.add_argument("--runs", type=int, default=5, help="in each direction (default: 5)")
    options = parser.parse_args()
    cases = []
    for transport in ("udp", "tcp"):
        say(f"over {transport}")
        cases += in_run(measure_transport, transport, options.seconds, options.runs)
    if options.json:
        print(json.dumps({"cases": cases}))
        return 0
    print(f"{'over':<6}{'way':<5}{'Mbit/s: median':>15}{'least':>8}{'most':>8}"
          f"{'  cores: dataplane':>20}{'controlplane':>14}{'server':>8}")
    for case in cases:
        rates, cores = case["mbps"], case["cores"]
        print(f"{case['transport']:<6}{case['direction']:<5}{statistics.median(rates):>15.0f}"
              f"{min(rates):>8}{max(rates):>8}{cores['dataplane']:>20}{cores['controlplane']:>14}"
              f"{cores['server']:>8}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
