# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the scripts of bench/pktgen against a gateway of the laboratory (tests/lab/topology.py), whose
cluster port is a memif to Pktgen; its uplink is AF_PACKET, where a stock strongSwan negotiates.

That shows that the scripts do what they are for. What the gateway can do they show on real ports:
here the uplink is slow.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys

from laboratory import ROOT, in_run, say  # first: it says where the others are

from lab.gateway import program
from lab.host import LabError
from lab.topology import FORWARDS, TARGET, Topology

SCRIPTS = ("forward", "egress", "imix", "rfc2544", "sessions")
EGRESS = 'egress: { sources = ["10.0.0.0/16"]; };'


def start(run):
    """A gateway with its tunnel up; returns it and the memif socket of its cluster port."""
    lab = Topology(run)
    # what comes to the Internet ends there, without an answer
    lab.internet.load_nft("table ip sink { chain forward { type filter hook forward priority 0; "
                          "policy accept; udp dport { 9, 10001-10006 } drop; }; }")
    socket = run.path("cluster.memif")
    cpu = str(max(os.sched_getaffinity(0)))
    gateway = lab.add_gateway(
        [lab.environment(forwards={**FORWARDS, 33003: {"to": f"{TARGET}:9", "transport": "udp"}},
                         options={"probe": {"target": "none"}})],
        devices={"cluster": f"memif:{socket},role=server"}, egress=EGRESS,
        dataplane={"cores": cpu, "sessions": 262144})
    lab.site.start()
    gateway.start()
    gateway.wait_up()
    return gateway, socket


def run_script(script, gateway, socket, seconds):
    """The results of a script, one object each."""
    counters = shlex.join([program("sallyport"), "--instance", gateway.instance, "--run-dir",
                           gateway.run_dir, "--json", "counters", "--all"])
    device = f"vdev:net_memif0,role=client,id=0,socket-abstract=no,socket={socket}"
    done = subprocess.run(
        [os.path.join(ROOT, "bench", "pktgen", "run"), script, "--device", device, "--config",
         gateway.config_dir, "--counters", counters, "--cores", "0,0", "--seconds", str(seconds)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=3600)
    gateway.require_running()
    if done.returncode != 0:
        raise LabError(f"{script}: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def try_script(run, script, seconds):
    gateway, socket = start(run)
    results = run_script(script, gateway, socket, seconds)
    gateway.stop()
    return results


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench pktgen")
    parser.add_argument("--script", action="append", choices=SCRIPTS, help="default: all")
    parser.add_argument("--seconds", type=float, default=2, help="of a trial; default 2")
    parser.add_argument("--json", action="store_true", help="one list")
    options = parser.parse_args()
    results = []
    try:
        for script in options.script or SCRIPTS:
            # Pktgen's end takes the link with it: each script gets a gateway of its own
            results += in_run(try_script, script, options.seconds)
    except LabError as error:
        say(f"error: {error}")
        return 1
    if options.json:
        print(json.dumps(results))
    else:
        for result in results:
            print("  ".join(f"{key} {value}" for key, value in sorted(result.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
