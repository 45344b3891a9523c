# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts (network namespaces), the links between them, the processes on them, and their end.

Everything belongs to a Run. A Run has a name that no other one has at the same time, a directory
for logs, captures and temporary files, and takes back all that it made when it is closed: also
after an exception or Ctrl-C, and also in another process (Run.load), which is how a kept demo is
ended. What a Run of a process that died left behind, the next one removes.
"""

import contextlib
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time

PREFIX = "splab"
_numbers = itertools.count(1)


class LabError(Exception):
    """The laboratory itself could not do what it was asked for."""


def wait_until(condition, timeout, what):
    """Calls CONDITION until it returns something true, and returns that."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() >= deadline:
            raise LabError(f"not within {timeout} s: {what}")
        time.sleep(0.02)


def _command(*argv, check=True):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if check and done.returncode != 0:
        raise LabError(f"{shlex.join(argv)}: {done.stdout.strip()}")
    return done.stdout


def _started_at(pid):
    """The start time of process PID in clock ticks: with the pid it names a process for good."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return int(stat.read().rpartition(")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return None


def _is_running(pid, started_at):
    if started_at is None or _started_at(pid) != started_at:
        return False
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        return stat.read().rpartition(")")[2].split()[0] != "Z"


def _signal(pid, started_at, number):
    if _is_running(pid, started_at):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def _end(pids):
    """Ends the processes of PIDS, (pid, start time): asks first, then forces. Newest first."""
    for number, patience in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        for pid, started_at in reversed(pids):
            _signal(pid, started_at, number)
        deadline = time.monotonic() + patience
        while any(_is_running(*p) for p in pids) and time.monotonic() < deadline:
            time.sleep(0.02)


def _remove_namespace(name):
    if name in _namespaces():
        strays = [int(pid) for pid in _command("ip", "netns", "pids", name).split()]
        _end([(pid, _started_at(pid)) for pid in strays])
        _command("ip", "netns", "delete", name)
    shutil.rmtree(f"/etc/netns/{name}", ignore_errors=True)
    with contextlib.suppress(OSError):  # others have theirs there
        os.rmdir("/etc/netns")


def _namespaces():
    return [line.split()[0] for line in _command("ip", "netns", "list").splitlines()]


def sweep():
    """Removes what runs of processes that are gone left behind."""
    for name in _namespaces():
        owner = re.match(rf"{PREFIX}(\d+)x\d+-", name)
        if owner and not os.path.exists(f"/proc/{owner.group(1)}"):
            _remove_namespace(name)


class Run:
    """One use of the laboratory."""

    def __init__(self, name=None):
        sweep()
        self.name = name or f"{PREFIX}{os.getpid()}x{next(_numbers)}"
        parent = os.environ.get("SALLYPORT_ARTIFACTS")
        if parent:
            os.makedirs(parent, exist_ok=True)
        self.directory = tempfile.mkdtemp(prefix=f"sallyport-{self.name}-", dir=parent)
        os.chmod(self.directory, 0o755)
        self._namespaces = []
        self._processes = []
        self._popen = []
        self._save()

    @classmethod
    def load(cls, directory):
        """The run that another process made in DIRECTORY."""
        run = cls.__new__(cls)
        with open(os.path.join(directory, "run.json"), encoding="utf-8") as state:
            saved = json.load(state)
        run.name = saved["name"]
        run.directory = directory
        run._namespaces = saved["namespaces"]
        run._processes = [tuple(p) for p in saved["processes"]]
        run._popen = []
        return run

    def _save(self):
        with open(self.path("run.json"), "w", encoding="utf-8") as state:
            json.dump({"name": self.name, "namespaces": self._namespaces,
                       "processes": self._processes}, state)

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def add_namespace(self, name):
        if name in _namespaces():
            raise LabError(f"there is a network namespace {name} already")
        self._namespaces.append(name)
        self._save()
        _command("ip", "netns", "add", name)

    def add_process(self, popen):
        self._popen.append(popen)
        self._processes.append((popen.pid, _started_at(popen.pid)))
        self._save()

    def adopt(self, pid):
        """Process PID, a child of one of ours, will be ended with the run; returns its start time."""
        self._processes.append((pid, _started_at(pid)))
        self._save()
        return self._processes[-1][1]

    def close(self, keep_files=False):
        """Ends every process, removes every namespace, and the files unless KEEP_FILES."""
        interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._reap_while_ending()
            for name in reversed(self._namespaces):
                _remove_namespace(name)
            self._namespaces = []
            if not keep_files:
                shutil.rmtree(self.directory)
        finally:
            signal.signal(signal.SIGINT, interrupted)

    def _reap_while_ending(self):
        _end(self._processes)
        for popen in self._popen:
            popen.wait(timeout=10)
        self._processes = []
        self._popen = []


class Process:
    """A program running on a host; its output goes to LOG."""

    def __init__(self, popen, name, log):
        self.name = name
        self.log = log
        self._popen = popen

    @property
    def pid(self):
        return self._popen.pid

    @property
    def status(self):
        """None while it runs, then what it ended with (negative: by that signal)."""
        return self._popen.poll()

    def output(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def waited_s(self):
        """For how long its threads were ready to run while others ran, all of them together."""
        waited_ns = 0
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                with open(f"/proc/{self.pid}/task/{task}/schedstat", encoding="ascii") as stat:
                    waited_ns += int(stat.read().split()[1])
        return waited_ns / 1e9

    def wait(self, timeout=60):
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name} did not end within {timeout} s, see {self.log}") from None

    def kill(self):
        """SIGKILL: it gets no chance to clean up."""
        self._popen.kill()
        self._popen.wait(10)

    def send_signal(self, number):
        self._popen.send_signal(number)

    def stop(self, timeout=15, number=signal.SIGTERM):
        """Asks it to end; returns the exit status."""
        self._popen.send_signal(number)
        return self.wait(timeout)

    def require_running(self):
        if self.status is not None:
            raise LabError(f"{self.name} ended with status {self.status}:\n"
                           + self.output()[-3000:])


class Heir:
    """A program that another one started, which it outlives; as Process. What it ended with nobody
    is told: 0."""

    def __init__(self, run, pid, process):
        self.pid = pid
        self.name = process.name
        self.log = process.log
        self.output = process.output
        self._started_at = run.adopt(pid)

    @property
    def status(self):
        return None if _is_running(self.pid, self._started_at) else 0

    def wait(self, timeout=60):
        wait_until(lambda: self.status is not None, timeout, f"{self.name} ends")
        return 0

    def kill(self):
        self.stop(number=signal.SIGKILL)

    def stop(self, timeout=15, number=signal.SIGTERM):
        _signal(self.pid, self._started_at, number)
        return self.wait(timeout)

    def require_running(self):
        if self.status is not None:
            raise LabError(f"{self.name} ended:\n" + self.output()[-3000:])


class Host:
    """A network namespace; interfaces come with link()."""

    def __init__(self, run, name, names=None):
        """NAMES: what /etc/hosts says there, a dictionary of name to address or addresses."""
        self._run = run
        self.name = name
        self.namespace = f"{run.name}-{name}"
        run.add_namespace(self.namespace)
        self.set_names(names or {})
        for setting in ("net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1",
                        "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0"):
            self.run("sysctl", "-qw", setting)
        self.ip("link", "set", "lo", "up")

    def set_names(self, names):
        lines = ["127.0.0.1 localhost"]
        for name, addresses in names.items():
            for address in [addresses] if isinstance(addresses, str) else addresses:
                lines.append(f"{address} {name}")
        self._write_own("hosts", lines)

    def set_name_server(self, address):
        """For programs that are started from now on."""
        self._write_own("resolv.conf", [f"nameserver {address}", "options timeout:1 attempts:1"])

    def _write_own(self, name, lines):
        """/etc/NAME, as the programs on this host see it."""
        directory = f"/etc/netns/{self.namespace}"
        while not os.path.isdir(directory):
            with contextlib.suppress(FileNotFoundError):  # another run just removed /etc/netns
                os.makedirs(directory, exist_ok=True)
        with open(f"{directory}/{name}", "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)

    def ip(self, *argv):
        return _command("ip", "-netns", self.namespace, *argv)

    def interface(self, name):
        """What `ip link` knows of it: "address" (MAC), "stats64", ..."""
        return json.loads(self.ip("-json", "-statistics", "link", "show", "dev", name))[0]

    def load_nft(self, ruleset):
        """Rules of netfilter, in nft's syntax."""
        path = self._run.path(f"{self.name}.nft")
        with open(path, "w", encoding="utf-8") as file:
            file.write(ruleset)
        self.run("nft", "--file", path)

    def command(self, *argv):
        return ["ip", "netns", "exec", self.namespace, *argv]

    def run(self, *argv, check=True, timeout=60, env=None):
        """Runs a program to its end; returns the CompletedProcess with stdout and stderr."""
        try:
            done = subprocess.run(self.command(*argv), stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=timeout, check=False,
                                  env={**os.environ, **(env or {})})
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name}: not within {timeout} s: {shlex.join(argv)}") from None
        if check and done.returncode != 0:
            raise LabError(f"{self.name}: {shlex.join(argv)}: status {done.returncode}: "
                           f"{done.stderr.strip() or done.stdout.strip()}")
        return done

    def start(self, *argv, name=None, env=None):
        """Starts a program that stays; its output is appended to NAME.log of the run."""
        name = name or f"{self.name}-{os.path.basename(argv[0])}"
        log = self._run.path(f"{name}.log")
        with open(log, "ab") as output:
            popen = subprocess.Popen(self.command(*argv), stdin=subprocess.DEVNULL, stdout=output,
                                     stderr=subprocess.STDOUT, start_new_session=True,
                                     env={**os.environ, **(env or {})})
        self._run.add_process(popen)
        return Process(popen, name, log)

    def capture(self, interface, name, snaplen=2048, expression=""):
        """Records what passes INTERFACE in NAME.pcap until the run ends or it is stopped."""
        path = self._run.path(f"{name}.pcap")
        argv = ["tcpdump", "-Z", "root", "-i", interface, "-n", "-U", "--immediate-mode",
                "-B", "16384", "-s", str(snaplen), "-w", path]
        process = self.start(*argv, *expression.split(), name=f"tcpdump-{name}")
        wait_until(lambda: process.require_running() or "listening on" in process.output(), 10,
                   f"tcpdump on {self.name} {interface}")
        return Capture(process, path)


class Capture:
    """A recording by tcpdump."""

    def __init__(self, process, path):
        self._process = process
        self.path = path

    def stop(self):
        """Ends the recording, with all that was seen until now in the file."""
        if self._process.status is None:
            sizes = []

            def is_quiet():
                sizes.append(os.path.getsize(self.path))
                return len(sizes) > 10 and sizes[-1] == sizes[-10]
            wait_until(is_quiet, 10, f"nothing more is recorded in {self.path}")
            self._process.stop()

    def select(self, expression):
        """The recorded packets that match a pcap filter expression, one text line each."""
        done = subprocess.run(["tcpdump", "-n", "-v", "-r", self.path, *shlex.split(expression)],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LabError(f"tcpdump -r {self.path} {expression}: {done.stderr.strip()}")
        return [line for line in done.stdout.splitlines() if line and not line[0].isspace()]

    def details(self, expression):
        """The same with the lines that tcpdump -v continues a packet on."""
        return subprocess.run(["tcpdump", "-n", "-v", "-r", self.path, *shlex.split(expression)],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=True).stdout

    def contains(self, data):
        """Whether the bytes DATA occur anywhere in the recorded packets."""
        with open(self.path, "rb") as file:
            tail = b""
            while block := file.read(1 << 20):
                if data in tail + block:
                    return True
                tail = block[-len(data):]
        return False


def link(a, a_interface, b, b_interface):
    """A cable between two hosts.

    Offloads are off: a frame on a veth is what it would be on a wire, with its checksums filled in
    and no longer than the MTU allows; the dataplane gets it as it is.
    """
    _command("ip", "link", "add", "name", a_interface, "netns", a.namespace, "type", "veth",
             "peer", "name", b_interface, "netns", b.namespace)
    for host, interface in ((a, a_interface), (b, b_interface)):
        host.run("ethtool", "-K", interface, "tx", "off", "tso", "off", "gso", "off", "gro", "off")
        host.ip("link", "set", interface, "up")


def bridge(host, name, interfaces):
    """A switch on HOST with INTERFACES as its ports. It says nothing itself: one that looks for
    listeners to multicast sends IGMP reports when it comes up."""
    host.ip("link", "add", "name", name, "type", "bridge", "mcast_snooping", "0")
    for interface in interfaces:
        host.ip("link", "set", interface, "master", name)
    host.ip("link", "set", name, "up")
