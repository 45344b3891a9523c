# SPDX-License-Identifier: GPL-2.0-or-later
"""
The dataplane that most tests share, in two shapes, and what a failed test leaves behind.

wrong-worker: two workers, one receive queue. The first worker does all port I/O while prod and staging live on the second, so
every packet for them takes the hand-off, in both directions.
"""
import contextlib
import re

import pytest

import harness
import peers

SHAPES = {"one-worker": (1, 1), "wrong-worker": (2, 1)}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    used = {id(value): value for value in getattr(item, "funcargs", {}).values()}
    for value in used.values():
        if isinstance(value, harness.Dataplane) and value.uplink and not value.uplink.ending:
            path = value.keep(re.sub(r"[^\w-]+", "-", item.name))
            report.sections.append(("kept", f"captures, counters and log of the dataplane: {path}"))


@contextlib.contextmanager
def running(shape, kind=harness.Dataplane, **how):
    """A dataplane in one of SHAPES, which has to end well."""
    workers, queues = SHAPES[shape]
    with kind(workers=workers, queues=queues, **how) as dataplane:
        yield dataplane
    status, log = dataplane.status, dataplane.last_log
    assert status == 0, f"SIGTERM ends the dataplane with status 0, not {status}:\n{log[-4000:]}"
    assert "runtime error:" not in log, log  # of UndefinedBehaviorSanitizer


@pytest.fixture(scope="module")
def known_leaks(tmp_path_factory):
    """What libxdp itself does not free: for dataplanes on AF_XDP."""
    path = tmp_path_factory.mktemp("lsan") / "suppressions"
    path.write_text("leak:xsk_umem__create\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LSAN_OPTIONS", f"suppressions={path}:print_suppressions=0")
        yield


@pytest.fixture(scope="session", params=SHAPES)
def shared(request):
    """One dataplane for many tests: started, configured, its tunnels up."""
    with running(request.param) as dataplane:
        dataplane.cluster.add_neighbour(peers.NEIGHBOUR)
        dataplane.generation = 1
        dataplane.control.commit(1, *peers.configuration())
        dataplane.tunnels = {i: peers.Tunnel(dataplane, *i) for i in peers.SERVERS}
        for tunnel_id, tunnel in dataplane.tunnels.items():
            if tunnel_id not in (("dark", "a"), ("prod", "b")):
                tunnel.up()
        warm_up(dataplane)
        yield dataplane


def warm_up(dataplane):
    """ARP of both routers is resolved before a test counts drops."""
    for tunnel_id in (("prod", "a"), ("staging", "a")):
        peers.Flow(dataplane.tunnels[tunnel_id]).connect()
    peers.Flow(dataplane.tunnels["prod", "a"], client=peers.NEIGHBOUR).connect()


@pytest.fixture
def dp(shared):
    shared.begin_test()
    yield shared
    shared.check_alive()


@pytest.fixture
def tunnel(dp):
    """prod's active tunnel, with fresh SAs of the default suite for each test."""
    tunnel = dp.tunnels["prod", "a"]
    tunnel.up()
    return tunnel


@pytest.fixture
def flow(tunnel):
    """An established connection through it."""
    return peers.Flow(tunnel).connect()
