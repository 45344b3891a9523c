# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the end-to-end tests: a topology per test, and what is kept of one that failed."""

import os
import re
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lab.host import LabError, Run  # noqa: E402
from lab.topology import Topology  # noqa: E402

_kept = []
_SANITIZER = re.compile(r"^(==\d+==ERROR: .*|.*: runtime error: .*)$", re.MULTILINE)


def pytest_configure(config):
    config.addinivalue_line("markers", "sanitized: runs with the programs of build-asan, too")
    # Whoever ends us with SIGTERM gets the same clean-up as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter):
    for name, directory in _kept:
        terminalreporter.write_line(f"logs and captures of {name}: {directory}")


def _check_processes(topology):
    """Both processes end in an orderly way, and no sanitizer had anything to say."""
    gateway = topology.gateway
    if gateway is None:
        return
    gateway.stop()
    for process in (gateway.dataplane, gateway.controlplane):
        if process and (found := _SANITIZER.search(process.output())):
            raise LabError(f"{process.name}: {found.group(0)}, see {process.log}")


def _use(request, **options):
    failures_before = request.session.testsfailed
    run = Run()
    is_clean = False
    try:
        topology = Topology(run, **options)
        yield topology
        _check_processes(topology)
        is_clean = request.session.testsfailed == failures_before
    finally:
        if not is_clean:
            _kept.append((request.node.name, run.directory))
        run.close(keep_files=not is_clean)


@pytest.fixture
def lab(request):
    """The topology with one customer; nothing is started."""
    yield from _use(request)


@pytest.fixture
def lab_with_two(request):
    """The topology with two customers and two environments; nothing is started."""
    yield from _use(request, environments=("production", "staging"), sites=("a", "b"))


@pytest.fixture
def lab_with_three(request):
    """The topology with two customers and three environments; nothing is started."""
    yield from _use(request, environments=("production", "staging", "development"),
                    sites=("a", "b"))


@pytest.fixture
def openvpn(request):
    """The topology with one customer who runs OpenVPN; nothing is started."""
    yield from _use(request, protocols={"a": "openvpn"})


@pytest.fixture
def two_openvpn(request):
    """As `lab_with_two`, but both customers run OpenVPN."""
    yield from _use(request, environments=("production", "staging"), sites=("a", "b"),
                    protocols={"a": "openvpn", "b": "openvpn"})


@pytest.fixture
def mixed(request):
    """As `lab_with_two`, but the second customer runs OpenVPN."""
    yield from _use(request, environments=("production", "staging"), sites=("a", "b"),
                    protocols={"b": "openvpn"})


@pytest.fixture
def redundant(request):
    """The topology with servers in two zones and a customer that routes; nothing is started."""
    yield from _use(request, redundant="routes")


@pytest.fixture(scope="module")
def redundant_shared(request):
    """As `redundant`, one for tests of a module."""
    yield from _use(request, redundant="routes")


@pytest.fixture
def redundant_masquerading(request):
    """The topology with servers in two zones and a customer that masquerades."""
    yield from _use(request, redundant="masquerades")


@pytest.fixture
def redundant_openvpn(request):
    """The same with OpenVPN in both zones."""
    yield from _use(request, redundant="masquerades", protocols={"a": "openvpn", "b": "openvpn"})


@pytest.fixture
def up(lab):
    """The topology with everything running and the tunnel up."""
    lab.site.start()
    lab.capture("uplink", "cluster", "lan-a", snaplen=128)
    lab.add_gateway().start()
    lab.gateway.wait_up()
    return lab


@pytest.fixture(scope="module")
def shared(request):
    """As `up`, one for all tests of a module: for tests that only look."""
    for topology in _use(request):
        topology.site.start()
        topology.add_gateway().start()
        topology.gateway.wait_up()
        yield topology
