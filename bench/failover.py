# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a failing zone is felt, and what it costs: the figures of docs/failover.md.

Two stock servers, strongSwan or OpenVPN, in two zones. The active one is cut off (packets vanish,
no ICMP) under a stream of 1,000 packets a second and with 1,000 open TCP connections, again and
again, so that both zones fail in turn. A customer that routes must not lose a connection; one that
masquerades must have every connection reset at once. Moves by hand under 10,000 packets a second
must lose nothing.
"""

import argparse
import json
import sys
import time

from laboratory import in_run, say  # first: it says where the others are

import datagrams
from lab import crowd, cut, pulse
from lab.host import LabError, wait_until
from lab.topology import TARGET, Topology
from lab.zones import LETTERS

CONNECTIONS = 1000
CUTS = 30
MASQUERADING_CUTS = 10
MOVES_BY_HAND = 10
REQUIRED = {"p50": 200, "p99": 300}  # ms

FORWARDS = {
    33000: f"{TARGET}:8080",
    crowd.PORT: f"{TARGET}:{crowd.TARGET_PORT}",
    pulse.PORT: {"to": f"{TARGET}:{pulse.TARGET_PORT}", "transport": "udp"},
    datagrams.PORT: {"to": f"{TARGET}:{datagrams.TARGET_PORT}", "transport": "udp"},
}


def percentile(values, part):
    """The smallest value that PART of all are not above."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * part // 100) - 1)]


def summary(values):
    return {name: round(value, 1) for name, value in
            (("p50", percentile(values, 50)), ("p99", percentile(values, 99)),
             ("max", max(values)))}


class Zones:
    """A gateway whose environment has a server in each of two zones."""

    def __init__(self, run, protocol, customer):
        self.topology = Topology(run, redundant=customer,
                                 protocols=dict.fromkeys(LETTERS, protocol))
        site = self.topology.site
        options = {"probe": {"target": site.probe_target},
                   "keep_sessions": customer == "routes", "failback": "manual"}
        self.gateway = self.topology.add_gateway([self.topology.environment(
            servers=site.as_servers(), forwards=FORWARDS, options=options)])
        site.start()
        self.gateway.start()
        for letter in site.zones:
            self.gateway.wait_up(server=letter)
        self.wait_ready()

    def environment(self):
        _, status = self.gateway.query("status")
        return status["environments"][0]

    def wait_ready(self):
        """Both tunnels live, and the last move is over; returns the environment."""
        def is_ready():
            self.gateway.require_running()
            environment = self.environment()
            move = environment["last_move"] or {"settled": True}
            return (environment if move["settled"] and all(
                t["liveness"] == "alive" for t in environment["tunnels"]) else None)
        return wait_until(is_ready, 60, f"both tunnels live (now: {self.environment()})")

    def fail(self, stream):
        """The active server is cut off until the other one carries the stream. Returns the gap that
        the stream saw, (begin, end), and the environment afterwards."""
        before = self.wait_ready()
        stream.wait_for_more(pulse.RATE // 4)
        begin = time.monotonic()
        with cut.Cut(self.topology, before["active"]):
            wait_until(lambda: stream.longest_gap(begin), 20, "the stream goes on elsewhere")
            stream.wait_for_more(pulse.RATE // 4)
            after = self.environment()
        if after["moves"] != before["moves"] + 1 or after["active"] == before["active"]:
            raise LabError(f"that was not one move: {before} {after}")
        return stream.longest_gap(begin)


def fail_routing(run, protocol, cuts):
    """The gaps in ms, the moves, and how many of CONNECTIONS were lost."""
    zones = Zones(run, protocol, "routes")
    stream = pulse.Pulse(zones.topology)
    connections = crowd.Crowd(zones.topology, CONNECTIONS)
    before = zones.wait_ready()["moves"]
    gaps = []
    for number in range(cuts):
        begin, end = zones.fail(stream)
        gaps.append((end - begin) * 1000)
        say(f"cut {number + 1} of {cuts}: {gaps[-1]:.1f} ms without an answer")
    moves = zones.wait_ready()["moves"] - before
    ended = connections.ended()
    lost = len(ended) + connections.stop()
    for _, why in ended[:5]:
        say(f"a connection was lost: {why}")
    return gaps, moves, lost


def fail_masquerading(run, protocol, cuts):
    """How long after the last answer each connection of each cut was reset, ms; and how many of them
    were not, or could not be opened anew."""
    zones = Zones(run, protocol, "masquerades")
    stream = pulse.Pulse(zones.topology)
    connections = crowd.Crowd(zones.topology, CONNECTIONS)
    resets, gaps, hung = [], [], 0
    for number in range(cuts):
        asked = time.monotonic()
        begin, end = zones.fail(stream)
        gaps.append((end - begin) * 1000)
        wait_until(lambda: connections.opened(asked) >= CONNECTIONS, 30, "all are open again")
        ended = connections.ended(asked)
        times = [(at - begin) * 1000 for at, why in ended if why == "ECONNRESET"]
        hung += CONNECTIONS - len(times)
        resets += times
        say(f"cut {number + 1} of {cuts}: {gaps[-1]:.1f} ms without an answer, {len(times)} "
            f"connections reset within {max(times, default=0):.1f} ms")
    hung += connections.stop()
    return {"switch_ms": summary(gaps), "reset_ms": summary(resets), "moves": cuts,
            "connections": CONNECTIONS, "not_reset": hung}


def move_by_hand(run, protocol, moves):
    """What moves by hand cost a stream of 10,000 packets a second."""
    zones = Zones(run, protocol, "routes")
    stream = datagrams.Datagrams(zones.topology)
    for _ in range(moves):
        zones.wait_ready()
        stream.wait_for_more(5000)
        done = zones.gateway.command("move", "production")
        if done.returncode != 0:
            raise LabError(f"it did not move: {done.stderr}")
        stream.wait_for_more(5000)
    report = stream.end()
    say(f"{moves} moves by hand at {report['rate']:.0f} packets/s each way: "
        f"{report['out']} lost on the way out, {report['back']} on the way back")
    return {"moves": moves, "packets": report["sent"], "rate": round(report["rate"]),
            "lost": report["out"] + report["back"]}


def judge(result):
    """What of the requirements is not met, in words."""
    faults = []
    for part, figures in (("routing", result["switch_ms"]),
                          ("masquerading", result["masquerading"]["switch_ms"]),
                          ("resets", result["masquerading"]["reset_ms"])):
        faults += [f"{part}: {name} is {figures[name]} ms, more than {most}"
                   for name, most in REQUIRED.items() if figures[name] > most]
    if result["lost"]:
        faults.append(f"{result['lost']} connections were lost")
    if result["masquerading"]["not_reset"]:
        faults.append(f"{result['masquerading']['not_reset']} connections were not reset")
    if result["by_hand"]["lost"]:
        faults.append(f"moves by hand lost {result['by_hand']['lost']} packets")
    return faults


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench failover")
    parser.add_argument("--json", action="store_true", help="the figures and nothing else")
    parser.add_argument("--cuts", type=int, default=CUTS, help=f"default {CUTS}")
    parser.add_argument("--protocol", choices=("ipsec", "openvpn"), default="ipsec",
                        help="what the servers speak, default ipsec")
    options = parser.parse_args()
    if options.cuts < 1:
        parser.error("--cuts must be 1 at least")
    try:
        gaps, moves, lost = in_run(fail_routing, options.protocol, options.cuts)
        masquerading = in_run(fail_masquerading, options.protocol,
                              min(options.cuts, MASQUERADING_CUTS))
        by_hand = in_run(move_by_hand, options.protocol, MOVES_BY_HAND)
    except LabError as error:
        say(f"error: {error}")
        return 1
    result = {"switch_ms": summary(gaps), "moves": moves, "connections": CONNECTIONS, "lost": lost,
              "masquerading": masquerading, "by_hand": by_hand}
    faults = judge(result)
    print(json.dumps(result) if options.json else json.dumps(result, indent=2))
    for fault in faults:
        say(f"not met: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
