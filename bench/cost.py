# SPDX-License-Identifier: GPL-2.0-or-later
"""What a packet costs beyond its encryption: the figures of docs/performance.md.

bench/cost.c takes samples, in several processes; here they are judged. A sample is quiet if the
probes beside it ran nearly as fast as the fastest one of all, busy if they were much slower: another
guest of the machine then shares the core's units. Figures are TSC cycles per packet, medians of the
processes' medians.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys

import plot

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, os.environ.get("SALLYPORT_BUILD", "build"))
PROCESSES = 5
ROUNDS = 200
QUIET, BUSY = 1.10, 1.30  # probes, as parts of the fastest
FEWEST = 5  # samples that a process must have for its median to count


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def parse(argv):
    parser = argparse.ArgumentParser(prog="bench cost", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--stages", action="store_true",
                        help="cycles of each stage too, added up; its clocks cost some themselves")
    parser.add_argument("--path", help="one path alone: forward-out, egress-in, ...")
    parser.add_argument("--cipher", help="one cipher alone: aes128gcm, ...")
    parser.add_argument("--size", type=int, help="one size alone, IPv4 bytes")
    parser.add_argument("--sessions", type=int, default=1024, help="default: 1024")
    parser.add_argument("--tunnels", type=int, default=None,
                        help="spread over so many tunnels, a multiple of 4 (default: one)")
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="passes in each process")
    parser.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)),
                        help="where to run (default: the last one)")
    parser.add_argument("--no-huge", action="store_true", help="no hugepages even if there are")
    parser.add_argument("--svg", metavar="FILE", help="draw the cost by size")
    return parser.parse_args(argv)


def run(program, options, *arguments):
    """One process of bench/PROGRAM.c: what it says of itself, and its cases."""
    argv = [os.path.join(BUILD, "bench", program), *map(str, arguments)]
    if options.no_huge:
        argv.append("--no-huge")
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          check=False)
    if done.returncode != 0:
        say(f"error: {program} ended with status {done.returncode}")
        sys.exit(1)
    head, *cases = map(json.loads, done.stdout.splitlines())
    return head, cases


def measure(program, options):
    """One process: what it says of itself, and its cases."""
    arguments = ["--rounds", options.rounds, "--sessions", options.sessions, "--cpu", options.cpu]
    for name in ("path", "cipher", "size", "tunnels"):
        if getattr(options, name, None) is not None:
            arguments += [f"--{name}", getattr(options, name)]
    head, cases = run(program, options, *arguments)
    if not cases:
        say("error: there is no such path, cipher or size")
        sys.exit(2)
    return head, cases


class Judge:
    """Tells quiet samples from busy ones."""

    def __init__(self, processes):
        self.fastest = min(probe for _, cases in processes for case in cases
                           for _, probe in case["samples"] + case.get("raw_samples", []))

    def is_quiet(self, probe):
        return probe <= self.fastest * QUIET

    def is_busy(self, probe):
        return probe > self.fastest * BUSY

    @staticmethod
    def is_any(_):
        return True


def median(samples, is_counted, packets):
    """The median of the samples that count, per packet; None: too few."""
    counted = [cycles for cycles, probe in samples if is_counted(probe)]
    return statistics.median(counted) / packets if len(counted) >= FEWEST else None


def middle(values):
    """The median over processes; None: no process had one."""
    known = [value for value in values if value is not None]
    return round(statistics.median(known), 1) if known else None


def figures(runs, is_counted, packets):
    """Cost, raw cost and what is between them, of one case's RUNS in a state of the machine."""
    cycles, raw, overhead = [], [], []
    for run in runs:
        cycles.append(median(run["samples"], is_counted, packets))
        raw.append(median(run["raw_samples"], is_counted, packets) if "raw_samples" in run else 0)
        overhead.append(None if cycles[-1] is None or raw[-1] is None else cycles[-1] - raw[-1])
    return middle(cycles), middle(raw), middle(overhead)


def stages(runs, of, packets):
    """[stage, cycles up to and with it] of quiet samples, or of all where too few are."""
    state = of.is_quiet if all(median(run["samples"], of.is_quiet, packets) is not None
                               for run in runs) else of.is_any
    total, listed = 0, []
    for name, number in runs[0]["stages"]:
        cycles = middle([median([(stage[number], probe) for stage, (_, probe)
                                 in zip(run["stage_samples"], run["samples"])], state, packets)
                         for run in runs])
        total += cycles
        if cycles:
            listed.append([name, round(total, 1)])
    return listed


def judge(runs, of, packets):
    cycles, raw, overhead = figures(runs, of.is_quiet, packets)
    samples = [sample for run in runs for sample in run["samples"]]
    case = {"path": runs[0]["path"], "cipher": runs[0]["cipher"], "size": runs[0]["size"],
            "cycles": cycles, "raw": raw, "overhead": overhead,
            "busy_overhead": figures(runs, of.is_busy, packets)[2],
            "any_overhead": figures(runs, of.is_any, packets)[2],
            "quiet_share": round(sum(of.is_quiet(probe) for _, probe in samples) / len(samples), 3)}
    if "stages" in runs[0]:
        case["stages"] = stages(runs, of, packets)
    return case


def output_of(*argv):
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def machine(head):
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        fields = [line.partition(":") for line in file]
    return {"cpu": next((value.strip() for name, _, value in fields
                         if name.strip() == "model name"), platform.machine()),
            "cpus": os.cpu_count(), "kernel": platform.release(), "tsc_hz": head["tsc_hz"],
            "core_cycles_per_tsc_cycle": head["core_cycles_per_tsc_cycle"],
            "crypto": head["crypto"], "hugepages": head["hugepages"]}


def build():
    listed = output_of("meson", "introspect", "--buildoptions", BUILD)
    options = {option["name"]: option["value"] for option in json.loads(listed)} if listed else {}
    return {"commit": output_of("git", "describe", "--always", "--dirty"),
            "buildtype": options.get("buildtype"), "optimization": options.get("optimization")}


def show(result):
    def cell(value):
        return "-" if value is None else f"{value:g}"

    print(f"{'path':16} {'cipher':17} {'size':>5} {'cycles':>8} {'raw':>8} {'above':>7} {'busy':>7} "
          f"{'any':>7} {'quiet':>6}")
    for case in result["cases"]:
        print(f"{case['path']:16} {case['cipher'] or '-':17} {case['size']:5} "
              + " ".join(f"{cell(case[name]):>{width}}" for name, width in
                         (("cycles", 8), ("raw", 8), ("overhead", 7), ("busy_overhead", 7),
                          ("any_overhead", 7)))
              + f" {case['quiet_share']:6.0%}")
        for name, cycles in case.get("stages", []):
            print(f"    {cycles:8.1f}  {name}")


def draw(cases, path):
    """A line for each path, and one for what its cipher takes alone."""
    lines = []
    for name in dict.fromkeys((case["path"], case["cipher"]) for case in cases):
        listed = [case for case in cases if (case["path"], case["cipher"]) == name]
        title = " ".join(filter(None, name))
        lines.append((title, [(case["size"], case["cycles"]) for case in listed
                              if case["cycles"] is not None]))
        if name[1]:
            lines.append((f"{title} alone", [(case["size"], case["raw"]) for case in listed
                                             if case["raw"] is not None]))
    plot.write(path, title="TSC cycles of a packet, by size", x="IPv4 bytes", y="cycles",
               lines=lines)


def main(argv):
    options = parse(argv)
    processes = []
    for i in range(options.processes):
        say(f"process {i + 1} of {options.processes}")
        processes.append(measure("stages" if options.stages else "cost", options))
    head, of = processes[0][0], Judge(processes)
    result = {"machine": machine(head), "build": build(), "sessions": head["sessions"],
              "processes": options.processes,
              "cases": [judge(runs, of, head["packets_per_sample"])
                        for runs in zip(*(cases for _, cases in processes))]}
    if options.svg:
        draw(result["cases"], options.svg)
    if options.json:
        print(json.dumps(result))
    else:
        show(result)


if __name__ == "__main__":
    main(sys.argv[1:])
