# SPDX-License-Identifier: GPL-2.0-or-later
"""What a second worker brings, and what many tunnels, environments and forwards cost: the figures of
docs/performance.md.

bench/scale.c takes samples; those of processes that are compared are taken in turns. Where there are
two workers, both are busy all the time, and a rate is the sum of both.
"""

import argparse
import json
import statistics
import sys

import cost

PROCESSES = 3
PATHS = ("forward-out", "forward-in", "egress-out", "egress-in")
# for the paths named: one worker and two, with so many environments
WORKERS = (("64 environments", 64, ("forward-out", "forward-in")),
           ("egress", 1, ("egress-out", "egress-in")),
           ("one environment", 1, ("forward-out", "forward-in")))
FORWARDS_EACH = 4  # of an environment, for the forwards' table


def parse(argv):
    parser = argparse.ArgumentParser(prog="bench scale", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--chunks", type=int, default=400, help="samples of each worker and case")
    parser.add_argument("--part", choices=("workers", "tunnels", "forwards"), action="append",
                        help="only this part (may be given again)")
    parser.add_argument("--tunnels", type=int, default=10000, help="how many are many")
    parser.add_argument("--environments", type=int, default=4096, help="how many are many")
    parser.add_argument("--no-huge", action="store_true", help="no hugepages even if there are")
    options = parser.parse_args(argv)
    if options.tunnels % 4 or not 4 <= options.tunnels <= 16384:
        parser.error("--tunnels: a multiple of 4, 16384 at most")
    if not 64 <= options.environments <= 4096:
        parser.error("--environments: 64 to 4096")
    return options


def measure(options, *arguments):
    """One process: what it says of itself, and its cases by path and arrival."""
    head, cases = cost.run("scale", options, "--chunks", options.chunks, *arguments)
    return head, {(case["path"], case["arrival"]): case for case in cases}


def in_turns(options, variants):
    """PROCESSES runs of each variant, one after the other: {name: [run, ...]}."""
    runs = {name: [] for name in variants}
    for i in range(options.processes):
        for name, arguments in variants.items():
            cost.say(f"{name}, process {i + 1} of {options.processes}")
            runs[name].append(measure(options, *arguments(i)))
    return runs


class Judge:
    """Tells quiet samples from others, by the fastest probe of all that is compared."""

    def __init__(self, cases):
        self.fastest = min(probe for case in cases for worker in case["workers"]
                           for _, _, probe in worker)

    def worker(self, samples):
        """Cycles a packet of one worker, quiet and in any state; None: too few, or none left."""
        each = [(cycles / packets, probe) for cycles, packets, probe in samples if packets]
        quiet = [value for value, probe in each if probe <= self.fastest * cost.QUIET]
        return (statistics.median(quiet) if len(quiet) >= cost.FEWEST else None,
                statistics.median(value for value, _ in each) if each else None)

    def rates(self, case, hz):
        """Packets a second of all workers, quiet and in any state. One that hands over all it gets
        sends nothing."""
        workers = [self.worker(samples) for samples in case["workers"]
                   if any(packets for _, packets, _ in samples)]
        return [None if None in values else sum(hz / value for value in values)
                for values in zip(*workers)]


def ratio(more, less):
    return round(more / less, 3) if more and less else None


def compare_workers(name, paths, one, two, hz):
    """One line for each path and arrival: what two workers bring."""
    listed = []
    for path in paths:
        for arrival in ("steered", "spread"):
            if (path, arrival) not in two[0][1]:
                continue  # all is one worker's: there is nobody to steer to
            cases = {1: [cases[path, "steered"] for _, cases in one],
                     2: [cases[path, arrival] for _, cases in two]}
            of = Judge(cases[1] + cases[2])
            rates = {n: [of.rates(case, hz) for case in runs] for n, runs in cases.items()}
            quiet, any_ = ([cost.middle([rate[state] for rate in rates[n]]) for n in (1, 2)]
                           for state in (0, 1))
            listed.append({"what": name, "path": path, "arrival": arrival,
                           "one_pps": any_[0], "two_pps": any_[1],
                           "ratio": ratio(quiet[1], quiet[0]), "any_ratio": ratio(any_[1], any_[0]),
                           "dropped": sum(case["dropped"] for case in cases[2])})
    return listed


def workers(options, hz_of):
    listed = []
    for name, environments, paths in WORKERS:
        variants = {f"{name}, one worker": lambda i, e=environments: (
                        "--workers", 1, "--environments", e, "--cpu", i % 2),
                    f"{name}, two workers": lambda _, e=environments: (
                        "--workers", 2, "--environments", e)}
        runs = in_turns(options, variants)
        one, two = runs.values()
        hz_of.append(one[0][0])
        listed += compare_workers(name, paths, one, two, one[0][0]["tsc_hz"])
    return listed


def compare_cost(runs, paths):
    """Cycles a packet of each variant beside those of the first one."""
    listed = []
    for path in paths:
        of = Judge([cases[path, "steered"] for processes in runs.values()
                    for _, cases in processes])
        first = None
        for name, processes in runs.items():
            each = [of.worker(cases[path, "steered"]["workers"][0]) for _, cases in processes]
            cycles = [cost.middle([value[state] for value in each]) for state in (0, 1)]
            first = first or cycles
            head = processes[0][0]
            listed.append({"what": name, "path": path, "cycles": cycles[0],
                           "any_cycles": cycles[1], "ratio": ratio(cycles[0], first[0]),
                           "any_ratio": ratio(cycles[1], first[1]),
                           **{key: head[key] for key in ("tunnels", "environments", "forwards",
                                                         "sessions")}})
    return listed


def tunnels(options):
    environments, sessions = options.tunnels // 4, 4 * options.tunnels
    many = ("--environments", environments, "--servers", 4, "--forwards", 4)
    return compare_cost(in_turns(options, {
        "one tunnel": lambda _: ("--sessions", 1024),
        f"one tunnel, {sessions} sessions": lambda _: ("--sessions", sessions),
        f"{options.tunnels} tunnels": lambda _: ("--sessions", sessions, *many)}), PATHS[:2])


def forwards(options):
    """What is configured grows; who speaks are the same 1,024 sessions of one environment. Beside it
    the same with packets of all environments, which is about tunnels and sessions too."""
    def configured(count):
        return ("--environments", count, "--used", 1, "--forwards", FORWARDS_EACH)

    def spread(count):
        return ("--environments", count, "--forwards", FORWARDS_EACH, "--sessions", 4 * count)

    counts = (1, 64, options.environments)
    variants = {f"{n} environments' forwards": lambda _, n=n: configured(n) for n in counts}
    variants[f"{counts[-1]} environments, all of them busy"] = lambda _: spread(counts[-1])
    return compare_cost(in_turns(options, variants), PATHS[:2])


def show(result):
    def cell(value):
        return "-" if value is None else f"{value:g}"

    for case in result["workers"]:
        print(f"{case['what']:16} {case['path']:12} {case['arrival']:8} one "
              f"{case['one_pps'] / 1e6:6.2f} two {case['two_pps'] / 1e6:6.2f} Mpps, quiet "
              f"x {cell(case['ratio'])}, any x {cell(case['any_ratio'])}, dropped "
              f"{case['dropped']}")
    for case in result["tunnels"] + result["forwards"]:
        print(f"{case['what']:36} {case['path']:12} cycles {cell(case['cycles']):>6} x "
              f"{cell(case['ratio']):>5}, any {cell(case['any_cycles']):>6} x "
              f"{cell(case['any_ratio'])}")


def main(argv):
    options = parse(argv)
    parts = options.part or ["workers", "tunnels", "forwards"]
    result = {"machine": None, "build": cost.build(), "processes": options.processes,
              "workers": [], "tunnels": [], "forwards": []}
    heads = []
    if "workers" in parts:
        result["workers"] = workers(options, heads)
    if "tunnels" in parts:
        result["tunnels"] = tunnels(options)
    if "forwards" in parts:
        result["forwards"] = forwards(options)
    head = heads[0] if heads else measure(options, "--path", "egress-out")[0]
    result["machine"] = cost.machine({"core_cycles_per_tsc_cycle": None, **head})
    if options.json:
        print(json.dumps(result))
    else:
        show(result)


if __name__ == "__main__":
    main(sys.argv[1:])
