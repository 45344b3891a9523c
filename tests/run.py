# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the suites that scripts/test names, one after the other, cheap and telling ones first, and counts.

A suite that dies, hangs or runs no test counts as one failure.
"""

import concurrent.futures
import functools
import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FUZZ_SECONDS = int(os.environ.get("FUZZ_SECONDS", "30"))
LIMIT_S = 900  # for one program
LANES = 2  # of tests that spend most of their time waiting
SECOND_TRIES = 5  # at most, in a suite of pytest
# These count every packet at a high rate (those that use tests/e2e/datagrams.py), measure time, or
# want whole cores.
ALONE = ("test_restart_lossless.py", "test_soak.py", "test_openvpn_soak.py", "test_upgrade.py",
         "test_failover.py", "test_bench.py")
# The longest ones begin first, so that the lanes end together.
LONG = ("test_suites.py", "test_rekey_limits.py", "test_restart.py", "test_bad_server.py",
        "test_revocation.py", "test_rekey.py", "test_rekey_cut.py", "test_failover_far.py")
NO_TESTS_COLLECTED = 5  # pytest's: all of a file were deselected

_printing = threading.Lock()


class Outcome:
    """What a suite came to."""

    def __init__(self):
        self.passed = 0
        self.skipped = 0
        self.failed = []
        self.second_try = []  # those of the passed ones that failed at first

    def add(self, name, is_passed):
        if is_passed:
            self.passed += 1
        else:
            self.failed.append(name)

    def add_junit(self, path, status):
        """Counts the cases of a JUnit file of a program that ended with STATUS."""
        try:
            cases = list(xml.etree.ElementTree.parse(path).getroot().iter("testcase"))
        except (FileNotFoundError, xml.etree.ElementTree.ParseError):
            cases = []
        for case in cases:
            name = "::".join(filter(None, (case.get("classname"), case.get("name"))))
            if case.find("failure") is not None or case.find("error") is not None:
                self.failed.append(name)
            elif case.find("skipped") is not None:
                self.skipped += 1
            else:
                self.passed += 1
        if status != 0 and not self.failed:
            self.failed.append(f"{os.path.basename(path)}: ended with status {status}")

    def take(self, other):
        """Adds what a part of the suite came to."""
        self.passed += other.passed
        self.skipped += other.skipped
        self.failed += other.failed
        self.second_try += other.second_try

    def pass_at_second_try(self, name):
        self.failed.remove(name)
        self.second_try.append(name)
        self.passed += 1

    def require_some(self):
        if self.passed + len(self.failed) == 0:
            self.failed.append("no test was run")


_running = set()


def _run(argv, limit=LIMIT_S, output=None, **environment):
    """Runs ARGV to its end; a program that takes too long is asked to clean up, then ended."""
    process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output,
                               stderr=output and subprocess.STDOUT, start_new_session=True,
                               env={**os.environ, **environment})
    _running.add(process)
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        print(f"test: not done within {limit} s: {' '.join(argv)}")
        return _end(process)
    except KeyboardInterrupt:
        _end(process)
        raise
    finally:
        _running.discard(process)


def _end(process):
    process.terminate()
    try:
        return process.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


def _side_by_side(jobs):
    """Calls JOBS, LANES at a time; returns what they return. Whoever is interrupted ends them."""
    pool = concurrent.futures.ThreadPoolExecutor(LANES)
    try:
        return list(pool.map(lambda job: job(), jobs))
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list(_running):
            _end(process)
        raise
    finally:
        pool.shutdown()


def _meson(build, *options):
    def suite(outcome, _):
        junit = os.path.join(ROOT, build, "meson-logs", "testlog.junit.xml")
        if os.path.exists(junit):
            os.unlink(junit)
        status = _run(["meson", "test", "-C", build, "--no-rebuild", "--print-errorlogs", *options],
                      ASAN_OPTIONS="detect_leaks=1", UBSAN_OPTIONS="halt_on_error=1",
                      TSAN_OPTIONS="suppressions=" + os.path.join(ROOT, "tests", "unit", "tsan.suppressions"))
        outcome.add_junit(junit, status)
        outcome.require_some()
    return suite


def _pytest_job(what, build, temporary, *options, name=None):
    """A pytest of its own for WHAT, whose output is shown when it is done; returns its outcome."""
    name = name or os.path.basename(what)

    def job():
        path = os.path.join(temporary, name)
        with open(f"{path}.log", "wb") as log:
            status = _run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
                           f"--junit-xml={path}.xml", *options, what], output=log,
                          SALLYPORT_BUILD=build, UBSAN_OPTIONS="print_stacktrace=1")
        outcome = Outcome()
        if status != NO_TESTS_COLLECTED:
            outcome.add_junit(f"{path}.xml", status)
        with open(f"{path}.log", encoding="utf-8", errors="replace") as log:
            lines = log.read()
        with _printing:
            print(f"{name}: {lines.strip()}" if outcome.failed else
                  f"{name}: {lines.strip().rpartition(chr(10))[2]}", flush=True)
        return outcome
    return job


def _try_again(outcome, build, temporary):
    """Runs what failed once more, with the machine for itself: its packets and timers share two cores
    with whatever else runs there. What then passes is reported as such. Many failures are no accident."""
    if len(outcome.failed) > SECOND_TRIES:
        return
    for number, name in enumerate(list(outcome.failed)):
        module, _, case = name.partition("::")
        path = os.path.join(ROOT, *module.split(".")) + ".py"
        if case and os.path.exists(path):
            again = _pytest_job(f"{path}::{case}", build, temporary, name=f"again-{number}")()
            if again.passed and not again.failed:
                outcome.pass_at_second_try(name)


def _pytest(directory, build="build", *options):
    """All tests of DIRECTORY one after the other: they share what is slow to start."""
    def suite(outcome, temporary):
        outcome.take(_pytest_job(directory, build, temporary, *options)())
        _try_again(outcome, build, temporary)
        outcome.require_some()
    return suite


def _pytest_by_file(directory, build="build", *options):
    """The files of DIRECTORY side by side, but for those that want the machine for themselves."""
    def suite(outcome, temporary):
        files = sorted(glob.glob(os.path.join(ROOT, directory, "test_*.py")),
                       key=lambda path: (os.path.basename(path) not in LONG, path))
        jobs = {path: _pytest_job(path, build, temporary, *options) for path in files}
        alone = [jobs.pop(path) for path in files if os.path.basename(path) in ALONE]
        for part in _side_by_side(jobs.values()) + [job() for job in alone]:
            outcome.take(part)
        _try_again(outcome, build, temporary)
        outcome.require_some()
    return suite


def _fuzz_targets():
    done = subprocess.run(["meson", "introspect", "--targets", os.path.join(ROOT, "build-fuzz")],
                          stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return sorted(target["filename"][0] for target in json.loads(done.stdout)
                  if target["type"] == "executable"
                  and os.path.basename(target["filename"][0]).startswith("fuzz_"))


def _fuzz_job(target, temporary):
    """Runs TARGET for a while, from its corpus in the tree; returns its name and whether all is well."""
    def job():
        name = os.path.basename(target)
        found = os.path.join(temporary, name)
        os.makedirs(found)
        corpus = glob.glob(os.path.join(ROOT, "tests", "fuzz", "corpus",
                                        name.removeprefix("fuzz_")))
        with open(f"{found}.log", "wb") as log:
            status = _run(["nice", target, f"-max_total_time={FUZZ_SECONDS}", "-timeout=5",
                           "-rss_limit_mb=2048", f"-artifact_prefix={found}/", found, *corpus],
                          limit=FUZZ_SECONDS + 120, output=log)
        with open(f"{found}.log", encoding="utf-8", errors="replace") as log:
            lines = log.read().strip().splitlines()
        with _printing:
            print(f"{name}: status {status}: {lines[-1] if lines else ''}", flush=True)
            if status != 0:
                print("\n".join(lines[-60:]))
        return name, status == 0
    return job


def _fuzz(outcome, temporary):
    for name, is_well in _side_by_side([_fuzz_job(target, temporary)
                                        for target in _fuzz_targets()]):
        outcome.add(name, is_well)
    outcome.require_some()


SUITES = {
    "style": _pytest("tests/style"),
    "unit": _meson("build"),
    "unit-asan": _meson("build-asan"),
    "unit-tsan": _meson("build-tsan", "--suite", "threads"),
    "packet": _pytest("tests/packet"),
    "e2e": _pytest_by_file("tests/e2e"),
    "fuzz": _fuzz,
    "packet-asan": _pytest("tests/packet", "build-asan"),
    "e2e-asan": _pytest_by_file("tests/e2e", "build-asan", "-m", "sanitized"),
}


# These run side by side, the rest one after the other. Fuzzing is nice: it takes what others leave.
TOGETHER = ("packet-asan", "fuzz")


def _run_suite(name):
    print(f"---- {name}", flush=True)
    outcome = Outcome()
    start = time.monotonic()
    temporary = tempfile.mkdtemp(prefix=f"sallyport-test-{name}-")
    SUITES[name](outcome, temporary)
    outcome.seconds = time.monotonic() - start
    if outcome.failed:
        print(f"test: files of {name}: {temporary}", flush=True)
    else:
        subprocess.run(["rm", "-rf", temporary], check=True)
    return outcome


def main(names):
    names = list(names or SUITES)
    together = [name for name in names if name in TOGETHER]
    outcomes = {}
    for name in names:
        if name in outcomes:
            continue
        group = together if name in together else [name]
        outcomes.update(zip(group, _side_by_side([functools.partial(_run_suite, suite)
                                                  for suite in group])))
    print("---- outcome")
    for name, outcome in outcomes.items():
        skipped = f", {outcome.skipped} skipped" if outcome.skipped else ""
        print(f"{name}: {outcome.passed} passed, {len(outcome.failed)} failed{skipped} "
              f"in {outcome.seconds:.0f} s")
        for case in outcome.failed:
            print(f"  failed: {case}")
        for case in outcome.second_try:
            print(f"  passed only when tried again: {case}")
    passed = sum(outcome.passed for outcome in outcomes.values())
    failed = sum(len(outcome.failed) for outcome in outcomes.values())
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    # Whoever ends us with SIGTERM gets the clean-up of the suite that runs.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
