# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the suites that scripts/test names, one after the other, and counts.

A suite that dies, hangs or runs no test counts as one failure.
"""

import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FUZZ_SECONDS = int(os.environ.get("FUZZ_SECONDS", "10"))
LIMIT_S = 900  # for one suite


class Outcome:
    """What a suite came to."""

    def __init__(self):
        self.passed = 0
        self.skipped = 0
        self.failed = []

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
            name = ".".join(filter(None, (case.get("classname"), case.get("name"))))
            if case.find("failure") is not None or case.find("error") is not None:
                self.failed.append(name)
            elif case.find("skipped") is not None:
                self.skipped += 1
            else:
                self.passed += 1
        if self.passed + len(self.failed) == 0:
            self.failed.append(f"no test was run (status {status})")
        elif status != 0 and not self.failed:
            self.failed.append(f"the suite ended with status {status}")


def _run(argv, limit=LIMIT_S, **environment):
    """Runs ARGV to its end; a program that takes too long is asked to clean up, then ended."""
    process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True,
                               env={**os.environ, **environment})
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        print(f"test: not done within {limit} s: {' '.join(argv)}")
        process.terminate()
        try:
            return process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait(60)
        raise


def _meson(build, *options):
    def suite(outcome, _):
        junit = os.path.join(ROOT, build, "meson-logs", "testlog.junit.xml")
        if os.path.exists(junit):
            os.unlink(junit)
        status = _run(["meson", "test", "-C", build, "--no-rebuild", "--print-errorlogs", *options],
                      ASAN_OPTIONS="detect_leaks=1", UBSAN_OPTIONS="halt_on_error=1",
                      TSAN_OPTIONS="suppressions=" + os.path.join(ROOT, "tests", "unit", "tsan.suppressions"))
        outcome.add_junit(junit, status)
    return suite


def _pytest(directory, build="build", *options):
    def suite(outcome, temporary):
        junit = os.path.join(temporary, "junit.xml")
        status = _run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
                       f"--junit-xml={junit}", *options, directory], SALLYPORT_BUILD=build,
                      UBSAN_OPTIONS="print_stacktrace=1")
        outcome.add_junit(junit, status)
    return suite


def _fuzz_targets():
    done = subprocess.run(["meson", "introspect", "--targets", os.path.join(ROOT, "build-fuzz")],
                          stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return sorted(target["filename"][0] for target in json.loads(done.stdout)
                  if target["type"] == "executable"
                  and os.path.basename(target["filename"][0]).startswith("fuzz_"))


def _fuzz(outcome, temporary):
    """Each target for a while, from the corpus in the tree; two at a time."""
    targets = _fuzz_targets()
    for pair in (targets[i:i + 2] for i in range(0, len(targets), 2)):
        running = []
        for target in pair:
            name = os.path.basename(target)
            found = os.path.join(temporary, name)
            os.makedirs(found)
            corpus = glob.glob(os.path.join(ROOT, "tests", "fuzz", "corpus",
                                            name.removeprefix("fuzz_")))
            log = os.path.join(temporary, f"{name}.log")
            with open(log, "wb") as output:
                running.append((name, log, subprocess.Popen(
                    [target, f"-max_total_time={FUZZ_SECONDS}", "-timeout=5", "-rss_limit_mb=2048",
                     f"-artifact_prefix={found}/", found, *corpus], stdin=subprocess.DEVNULL,
                    stdout=output, stderr=subprocess.STDOUT)))
        for name, log, process in running:
            try:
                status = process.wait(FUZZ_SECONDS + 120)
            except subprocess.TimeoutExpired:
                process.kill()
                status = process.wait()
            outcome.add(name, status == 0)
            with open(log, encoding="utf-8", errors="replace") as output:
                lines = output.read().splitlines()
            print(f"{name}: status {status}: {lines[-1] if lines else ''}")
            if status != 0:
                print("\n".join(lines[-60:]))
    if not targets:
        outcome.failed.append("there is no fuzz target")


SUITES = {
    "style": _pytest("tests/style"),
    "unit": _meson("build"),
    "unit-asan": _meson("build-asan"),
    "unit-tsan": _meson("build-tsan", "--suite", "threads"),
    "fuzz": _fuzz,
    "packet": _pytest("tests/packet"),
    "packet-asan": _pytest("tests/packet", "build-asan"),
    "e2e": _pytest("tests/e2e"),
    "e2e-asan": _pytest("tests/e2e", "build-asan", "-m", "sanitized"),
}


def main(names):
    outcomes = {}
    for name in names or SUITES:
        print(f"---- {name}", flush=True)
        outcome = outcomes[name] = Outcome()
        start = time.monotonic()
        temporary = tempfile.mkdtemp(prefix=f"sallyport-test-{name}-")
        SUITES[name](outcome, temporary)
        outcome.seconds = time.monotonic() - start
        if outcome.failed:
            print(f"test: files of this suite: {temporary}")
        else:
            subprocess.run(["rm", "-rf", temporary], check=True)
    print("---- outcome")
    for name, outcome in outcomes.items():
        skipped = f", {outcome.skipped} skipped" if outcome.skipped else ""
        print(f"{name}: {outcome.passed} passed, {len(outcome.failed)} failed{skipped} "
              f"in {outcome.seconds:.0f} s")
        for case in outcome.failed:
            print(f"  failed: {case}")
    passed = sum(outcome.passed for outcome in outcomes.values())
    failed = sum(len(outcome.failed) for outcome in outcomes.values())
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    # Whoever ends us with SIGTERM gets the clean-up of the suite that runs.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
