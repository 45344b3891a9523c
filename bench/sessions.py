# SPDX-License-Identifier: GPL-2.0-or-later
"""What sessions cost: to set up, to find among many, in memory: the figures of docs/performance.md.

Set-up is measured by bench/sessions.c, finding by bench/cost.c with more and more sessions. Samples
are judged as those of `bench cost`.
"""

import argparse
import json
import os
import statistics
import sys

import cost
import plot

LOOKUPS = (1000, 10000, 100000, 1000000, 10000000)
PATHS = (("egress-out", None), ("forward-out", "aes128gcm"))
SIZE = 64  # IPv4 bytes


def parse(argv):
    parser = argparse.ArgumentParser(prog="bench sessions",
                                     description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--capacity", type=int, default=1 << 20,
                        help="of the table in which sessions are set up (default: 1048576)")
    parser.add_argument("--count", type=int, default=400000, help="new sessions of each case")
    parser.add_argument("--lookups", default=",".join(map(str, LOOKUPS)),
                        help="numbers of sessions to find one among; empty: none")
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=100, help="passes in each process (lookups)")
    parser.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)),
                        help="where to run (default: the last one)")
    parser.add_argument("--no-huge", action="store_true", help="no hugepages even if there are")
    parser.add_argument("--svg", metavar="FILE", help="draw the cost by number of sessions")
    return parser.parse_args(argv)


def set_up(options):
    """One process: what it says of itself, and its cases by name."""
    head, cases = cost.run("sessions", options, "--capacity", options.capacity,
                           "--count", options.count, "--cpu", options.cpu)
    return head, {case["case"]: case for case in cases}


def rate(name, processes):
    """New sessions a second of one case: quiet, and in any state of the machine."""
    head = processes[0][0]
    runs = [cases[name] for _, cases in processes]
    of = cost.Judge([(head, [case]) for case in runs])
    cycles = {state: cost.middle([cost.median(run["samples"], judge, head["packets_per_sample"])
                                  for run in runs])
              for state, judge in (("quiet", of.is_quiet), ("any", of.is_any))}
    last = runs[-1]
    return {"destinations": name, "open_sessions": last["sessions"], "refused": last["refused"],
            "cycles": cycles["quiet"], "any_cycles": cycles["any"],
            "per_second": round(head["tsc_hz"] / cycles["quiet"]) if cycles["quiet"] else None,
            "any_per_second": round(head["tsc_hz"] / cycles["any"])}


def single(processes):
    """Microseconds of one insertion alone; of the worst ones the least bad process counts: the
    others were stopped by somebody."""
    hz = processes[0][0]["tsc_hz"]
    runs = [cases["single"] for _, cases in processes]
    return {"median_us": round(statistics.median(run["median"] for run in runs) / hz * 1e6, 3),
            **{f"{name}_us": round(min(run[name] for run in runs) / hz * 1e6, 3)
               for name in ("p99.9", "p99.99", "worst")}}


def lookups(options):
    """What a packet costs among so many sessions."""
    listed, head = [], None
    for number in filter(None, options.lookups.split(",")):
        for path, cipher in PATHS:
            cost.say(f"{path} with {number} sessions")
            argv = ["--path", path, "--size", str(SIZE), "--sessions", number, "--rounds",
                    str(options.rounds), "--cpu", str(options.cpu)]
            argv += ["--cipher", cipher] if cipher else []
            argv += ["--no-huge"] if options.no_huge else []
            parsed = cost.parse(argv)
            processes = [cost.measure("cost", parsed) for _ in range(options.processes)]
            head = processes[0][0]
            case = cost.judge([cases[0] for _, cases in processes], cost.Judge(processes),
                              head["packets_per_sample"])
            listed.append({"sessions": int(number), "hugepages": head["hugepages"], **case})
    return listed, head


def draw(listed, path):
    def line(name, of, value):
        return (name, [(case["sessions"], case[value]) for case in listed
                       if case["path"] == of and case[value] is not None])

    plot.write(path, title="TSC cycles of a packet of 64 bytes, by sessions in the table",
               x="sessions", y="cycles", log_x=True,
               lines=[line("forward-out, AES-128-GCM", "forward-out", "cycles"),
                      line("AES-128-GCM alone", "forward-out", "raw"),
                      line("egress-out", "egress-out", "cycles")])


def show(result):
    def cell(value):
        return "-" if value is None else f"{value:g}"

    for case in result["set_up"]:
        print(f"new sessions, destinations {case['destinations']}: quiet {case['per_second']}, "
              f"any {case['any_per_second']} a second ({case['any_cycles']:g} cycles, "
              f"{case['open_sessions']} open, {case['refused']} refused)")
    print("one alone, us: " + ", ".join(f"{name[:-3]} {value:g}"
                                        for name, value in result["single"].items()))
    print("bytes: " + ", ".join(f"{name} {value:g}" for name, value in result["memory"].items()))
    for case in result["lookups"]:
        print(f"{case['sessions']:9} {case['path']:12} cycles {cell(case['cycles']):>6} raw "
              f"{cell(case['raw']):>6} above {cell(case['overhead']):>6} any "
              f"{cell(case['any_overhead']):>6} quiet {case['quiet_share']:4.0%} "
              f"{'hugepages' if case['hugepages'] else 'no hugepages'}")


def main(argv):
    options = parse(argv)
    listed, head = lookups(options)
    processes = []
    for i in range(options.processes):
        cost.say(f"set-up, process {i + 1} of {options.processes}")
        processes.append(set_up(options))
    memory = processes[0][1]["memory"]
    result = {"machine": cost.machine({"core_cycles_per_tsc_cycle": None, **processes[0][0],
                                       **(head or {})}),
              "build": cost.build(), "capacity": processes[0][0]["capacity"],
              "set_up": [rate(name, processes) for name in ("all", "hot")],
              "single": single(processes),
              "memory": {"session": memory["session_bytes"], "sa_pair": memory["sa_pair_bytes"]},
              "lookups": listed}
    if options.svg:
        draw(listed, options.svg)
    if options.json:
        print(json.dumps(result))
    else:
        show(result)


if __name__ == "__main__":
    main(sys.argv[1:])
