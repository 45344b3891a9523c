# SPDX-License-Identifier: GPL-2.0-or-later
"""What a gateway passes from one memif port to the other, without loss and with 0.1 % of it.

  +--------------------------+  memif "cluster"  +-----------------+
  | generator: sends, counts, --------------------- the gateway,   |
  | answers as the Internet, |                   | one worker that |
  | takes ESP as the server  --------------------- polls its core  |
  +--------------------------+  memif "uplink"   +-----------------+
     | cluster        | uplink: what is not the generator's own goes on to the laboratory's
     | client         | network namespaces (tests/lab/topology.py), where a stock strongSwan
     | (ARP)          | server negotiates the tunnel

`forward`: UDP to a forwarded port, AES-GCM in ESP in UDP into the tunnel, one way. `egress`: UDP to
the Internet and back, translated twice; a rate of so many packets a second is that in each way. The
rates are searched as RFC 2544 section 26.1 has it, by halving the interval, in trials that are
shorter than its 60 s.
"""

import argparse
import json
import os
import subprocess
import sys

from laboratory import ROOT, in_run, say  # first: it says where the others are

from lab.host import LabError, wait_until
from lab.topology import FORWARDS, TARGET, Topology

PATHS = ("forward", "egress")
SIZES = (64, 256, 512, 1024, 1420, "imix")
IMIX_BYTES = (7 * 64 + 4 * 576 + 1420) / 12  # as bench/stream.c makes it
FLOWS = 1024
LOSSES = {"zero_loss": 0, "loss_0.1%": 0.001}
LOADS = (50, 90)
STEPS = 7  # the rate is known to 1/128 of the highest one
TRIES = 6  # of a trial in which a core was taken away
TAKEN_MAX = 0.001  # of its time that a core may be away in a trial that failed
LEAST = 1000  # packets a second; nobody looks below
EGRESS = 'egress: { sources = ["10.0.0.0/16"]; };'


def waited_ns(thread):
    """How long a thread was ready to run but did not, because others did."""
    with open(f"/proc/{thread}/schedstat", encoding="ascii") as stat:
        return int(stat.read().split()[1])


def stolen_ticks(cpu):
    """What the host took of a processor for its other guests, as far as it says so."""
    with open("/proc/stat", encoding="ascii") as stat:
        for line in stat:
            if line.startswith(f"cpu{cpu} "):
                return int(line.split()[8])
    return 0


def prefer(thread):
    """Others get what this thread leaves, and what the kernel keeps for them of real-time tasks' time."""
    try:
        os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        say("no real-time scheduling here: the threads are merely preferred")
        os.setpriority(os.PRIO_PROCESS, thread, -20)


class Clock:
    """How much of the time the two threads that poll were away from their cores."""

    def __init__(self, threads):
        self._threads = threads  # by name: (pid/task/tid, cpu)
        self._before = self._look()

    def _look(self):
        return {name: waited_ns(thread) / 1e9 + stolen_ticks(cpu) / os.sysconf("SC_CLK_TCK")
                for name, (thread, cpu) in self._threads.items()}

    def share(self, seconds):
        after = self._look()
        return {name: min(1, (after[name] - self._before[name]) / seconds) for name in after}


class Generator:
    """The process build/bench/generator."""

    def __init__(self, run, host, cpu):
        self.sockets = {side: run.path(f"{side}.memif") for side in ("uplink", "cluster")}
        self._log = run.path("generator.log")
        build = os.path.join(ROOT, os.environ.get("SALLYPORT_BUILD", "build"))
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen(
                host.command(os.path.join(build, "bench", "generator"), self.sockets["uplink"],
                             self.sockets["cluster"], str(cpu)),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                start_new_session=True)
        run.add_process(self.process)
        self._require(self._line() == "ready")
        prefer(self.process.pid)

    def _line(self):
        return self.process.stdout.readline().strip()

    def _require(self, is_well, answer=""):
        if not is_well:
            with open(self._log, encoding="utf-8", errors="replace") as log:
                raise LabError(f"the generator: {answer or log.read()[-2000:]}")

    def trial(self, path, rate, size, milliseconds):
        self.process.stdin.write(f"trial {path} {round(rate)} {0 if size == 'imix' else size} "
                                 f"{FLOWS} {milliseconds}\n")
        self.process.stdin.flush()
        answer = self._line()
        self._require(answer.startswith("{"), answer)
        return json.loads(answer)


class Setup:
    """The drawing above, up and warm."""

    def __init__(self, run, milliseconds):
        self.milliseconds = milliseconds
        cpus = sorted(os.sched_getaffinity(0))
        if len(cpus) < 2:
            raise LabError("two processors are needed: one for the gateway, one for the generator")
        self.cpus = {"generator": cpus[0], "worker": cpus[-1]}
        lab = Topology(run)
        self.generator = Generator(run, lab.gateway_host, self.cpus["generator"])
        self.gateway = lab.add_gateway(
            [lab.environment(
                servers=[lab.site.as_server(options={"child_rekey": 0, "ike_rekey": 0})],
                forwards={**FORWARDS, 33003: {"to": f"{TARGET}:9", "transport": "udp"}},
                options={"probe": {"target": "none"}})],
            devices={side: f"memif:{path}" for side, path in self.generator.sockets.items()},
            egress=EGRESS, dataplane={"idle": "poll", "cores": str(self.cpus["worker"]),
                                      "hugepages": "auto"})
        lab.site.start()
        self.gateway.start()
        self.gateway.wait_up()
        # the generator sends to whom it has heard of
        wait_until(lambda: lab.client.run("ping", "-c", "1", "-W", "1", "vpn",
                                          check=False).returncode == 0, 20, "the gateway answers")
        self.lab = lab
        self._prefer_worker()
        for path in PATHS:
            result = self.generator.trial(path, 20000, 64, 200)  # a session for each flow
            if result["received"] == 0:
                raise LabError(f"nothing comes back of {path}: {result} {self.gateway.drops()}")

    def _prefer_worker(self):
        pid = self.gateway.dataplane.pid
        self.threads = {"generator": (f"{self.generator.process.pid}", self.cpus["generator"])}
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/comm", encoding="ascii") as comm:
                if comm.read().startswith("rte-worker"):
                    prefer(int(thread))
                    self.threads["worker"] = (f"{pid}/task/{thread}", self.cpus["worker"])

    def trial(self, path, rate, size):
        """One trial, with what of it the cores were away ("away")."""
        clock = Clock(self.threads)
        result = self.generator.trial(path, rate, size, self.milliseconds)
        result["away"] = clock.share(result["seconds"])
        result["loss"] = max(0, 1 - result["received"] / result["offered"])
        self.gateway.require_running()
        return result

    def passes(self, path, rate, size, loss):
        """Whether the gateway passes RATE with no more than LOSS; a trial that was disturbed from
        outside is tried again, but not for ever. Returns the last trial, or None."""
        for _ in range(TRIES):
            result = self.trial(path, rate, size)
            is_offered = result["offered"] >= 0.99 * rate * result["seconds"]
            if is_offered and result["loss"] <= loss:
                return result
            if is_offered and max(result["away"].values()) <= TAKEN_MAX:
                return None
        return None

    def search(self, path, size, loss, highest):
        """The highest rate that passes, and its trial; (0, None) if none did."""
        low, high, best = 0, highest, None
        for _ in range(STEPS if highest >= LEAST else 0):
            middle = (low + high) / 2
            result = self.passes(path, middle, size, loss)
            if result:
                low, best = middle, result
            else:
                high = middle
        return low, best

    def latency(self, path, size, rate):
        """What packets wait at RATE, us; None: some were lost in each try."""
        for _ in range(TRIES):
            result = self.trial(path, rate, size)
            if result["latency_us"] and result["received"] == result["offered"]:
                return result["latency_us"]
        return None

    def measure(self, path, size):
        flood = self.trial(path, 0, size)
        seconds = flood["seconds"]
        highest = flood["received"] / seconds
        case = {"path": path, "size": size, "saturated_pps": round(highest)}
        away = [flood["away"]]
        # what loses much loses something: the wider limit's rate bounds the narrower one's
        bound = min(flood["offered"] / seconds, 1.2 * highest)
        for name, loss in sorted(LOSSES.items(), key=lambda item: -item[1]):
            rate, trial = self.search(path, size, loss, bound)
            case[f"{name}_pps"] = round(rate)
            case[f"{name}_mbps"] = round(rate * (IMIX_BYTES if size == "imix" else size) * 8 / 1e6)
            away += [trial["away"]] if trial else []
            bound = rate * (1 + 2 ** (1 - STEPS))
        for unit in ("pps", "mbps"):  # what passes without loss passes with some, too
            case[f"loss_0.1%_{unit}"] = max(case[f"loss_0.1%_{unit}"], case[f"zero_loss_{unit}"])
        case["latency_us"] = {str(load): self.latency(path, size,
                                                      case["zero_loss_pps"] * load / 100)
                              if case["zero_loss_pps"] else None for load in LOADS}
        case["away"] = {name: round(max(share[name] for share in away), 4) for name in away[0]}
        return case


def machine():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as cpuinfo:
        model = next((line.split(":")[1].strip() for line in cpuinfo
                      if line.startswith("model name")), "?")
    return {"cpu": model, "cpus": os.cpu_count(), "load": os.getloadavg()[0]}


def measure(run, options):
    setup = Setup(run, round(options.seconds * 1000))
    result = {"machine": machine(), "seconds": options.seconds, "flows": FLOWS,
              "suite": setup.gateway.tunnel()["suite"], "cases": []}
    for path in options.path or PATHS:
        for size in options.size or SIZES:
            result["cases"].append(setup.measure(path, size))
            case = result["cases"][-1]
            say(f"{path} {size}: {case['zero_loss_pps']} packets/s without loss, "
                f"{case['loss_0.1%_pps']} with 0.1 %, {case['saturated_pps']} at most")
    result["drops"] = setup.gateway.drops()
    return result


def print_table(result):
    print(f"{result['machine']['cpu']}, {result['suite']}, {FLOWS} flows, trials of "
          f"{result['seconds']:g} s; rates in 1,000 packets/s, latency in us")
    print(f"{'path':8} {'size':>5} {'no loss':>8} {'Mbit/s':>7} {'0.1 %':>8} {'most':>8} "
          f"{'50 %: p50':>10} {'p99':>8} {'90 %: p50':>10} {'p99':>8} {'away':>6}")
    for case in result["cases"]:
        waits = []
        for load in LOADS:
            latency = case["latency_us"][str(load)] or {}
            waits += [latency.get("p50", "-"), latency.get("p99", "-")]
        print(f"{case['path']:8} {case['size']:>5} {case['zero_loss_pps'] / 1000:8.0f} "
              f"{case['zero_loss_mbps']:7} {case['loss_0.1%_pps'] / 1000:8.0f} "
              f"{case['saturated_pps'] / 1000:8.0f} {waits[0]:>10} {waits[1]:>8} {waits[2]:>10} "
              f"{waits[3]:>8} {max(case['away'].values()) * 100:5.1f}%")


def size(text):
    return text if text == "imix" else int(text)


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench throughput")
    parser.add_argument("--json", action="store_true", help="the figures and nothing else")
    parser.add_argument("--path", action="append", choices=PATHS, help="default: all")
    parser.add_argument("--size", action="append", type=size,
                        help="IPv4 bytes, 64 to 1420, or imix; default: "
                        + ", ".join(map(str, SIZES)))
    parser.add_argument("--seconds", type=float, default=0.25, help="of a trial; default 0.25")
    options = parser.parse_args()
    if not 0.05 <= options.seconds <= 3600:
        parser.error("--seconds must be 0.05 to 3600")
    if any(s != "imix" and not 64 <= s <= 1420 for s in options.size or ()):
        parser.error("--size must be 64 to 1420, or imix")
    try:
        result = in_run(measure, options)
    except LabError as error:
        say(f"error: {error}")
        return 1
    if options.json:
        print(json.dumps(result))
    else:
        print_table(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
