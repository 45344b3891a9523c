# SPDX-License-Identifier: GPL-2.0-or-later
"""Before anything runs: who may connect, what is a HELLO, what is a message, and NODE."""
import ctypes
import errno
import os
import signal
import socket
import struct
import subprocess
import sys
import time

import pytest

import contract as c
import harness
import peers


@pytest.fixture(scope="module")
def idle():
    """A dataplane without NODE."""
    with harness.Dataplane(start=False) as dataplane:
        yield dataplane


@pytest.fixture
def waiting(idle):
    """The same; whatever the test does to its socket, it must answer a proper control plane afterwards."""
    idle.check_alive()
    yield idle
    idle.check_alive()
    c.Contract(idle.socket_path, idle.instance).close()


@pytest.fixture
def raw(waiting):
    connection = c.Raw(waiting.socket_path)
    yield connection
    connection.close()


@pytest.fixture
def greeted(waiting):
    connection = c.Contract(waiting.socket_path, waiting.instance)
    yield connection
    connection.close()


def refused(connection, deadline=harness.WAIT):
    """An error reply, or the connection's end; returns the status, None at the end. A HELLO of theirs is no answer."""
    while True:
        try:
            header, _ = connection.receive(deadline)
        except c.Closed:
            return None
        if header.status:
            return -header.status
        assert header.type == c.HELLO, header


def test_hello(waiting):
    one = c.Contract(waiting.socket_path, waiting.instance)
    assert (one.peer.magic, one.peer.major) == (c.MAGIC, c.VERSION_MAJOR)
    assert one.peer.instance == waiting.instance.encode()
    assert one.peer.epoch != 0 and one.peer.generation == 0
    assert not one.peer.flags & c.HELLO_STARTED
    assert one.peer.pid == waiting.process.pid
    two = c.Contract(waiting.socket_path, waiting.instance)
    assert two.peer.epoch == one.peer.epoch, "one epoch per process start"
    one.close()
    two.close()


def test_hello_of_a_later_minor_version(waiting):
    """Fields are appended: a longer HELLO of the same major version is understood."""
    connection = c.Raw(waiting.socket_path)
    mine = c.hello(waiting.instance, minor=c.VERSION_MINOR + 5)
    connection.send(c.message(c.HELLO, bytes(mine) + bytes(8), seq=1))
    header, _ = connection.receive(harness.WAIT)
    assert header.type == c.HELLO and header.status == 0
    connection.close()


@pytest.mark.parametrize("change", [{"magic": 0x12345678}, {"major": c.VERSION_MAJOR + 1}, {"major": 0}, {"epoch": 0}],
                         ids=["magic", "newer", "older", "epoch"])
def test_hello_refused(raw, waiting, change):
    raw.send(c.message(c.HELLO, c.hello(waiting.instance, **change), seq=1))
    refused(raw)


@pytest.mark.parametrize("other", [lambda name: "other", lambda name: "", lambda name: name[:-1], lambda name: name + "2"],
                         ids=["other", "empty", "shorter", "longer"])
def test_hello_of_another_instance(raw, waiting, other):
    raw.send(c.message(c.HELLO, c.hello(other(waiting.instance)), seq=1))
    refused(raw)


def test_nothing_before_hello(raw):
    raw.send(c.message(c.STATE, c.Cursor(0), seq=1))
    refused(raw)


def test_a_refused_hello_does_not_end_the_one_that_is_served(greeted, waiting):
    intruder = c.Raw(waiting.socket_path)
    intruder.send(c.message(c.HELLO, c.hello("other"), seq=1))
    refused(intruder)
    intruder.close()
    with pytest.raises(c.ContractError):  # not started, but answered
        greeted.state()


# ---- uids ----

CLIENT = """
import os, sys
sys.path.insert(0, sys.argv[1])
import contract
os.setgid(65534)
os.setuid(65534)
try:
    contract.Contract(sys.argv[2], sys.argv[3], timeout=5)
except contract.Closed:
    sys.exit(10)
except OSError as error:
    sys.exit(20 if isinstance(error, PermissionError) else 10)
"""


def connect_as_nobody(waiting):
    arguments = [sys.executable, "-c", CLIENT, os.path.dirname(c.__file__), waiting.socket_path, waiting.instance]
    return subprocess.run(arguments, check=False, timeout=30, cwd="/", stderr=subprocess.PIPE)


def test_socket_mode(waiting):
    assert os.stat(waiting.socket_path).st_mode & 0o007 == 0
    assert connect_as_nobody(waiting).returncode == 20, "permission denied"


def test_uid_is_checked(waiting):
    """Even where the mode would let it in."""
    mode = os.stat(waiting.socket_path).st_mode & 0o777
    os.chmod(waiting.socket_path, 0o666)
    try:
        result = connect_as_nobody(waiting)
    finally:
        os.chmod(waiting.socket_path, mode)
    assert result.returncode == 10, result.stderr.decode()


# ---- messages ----

def test_half_a_header(greeted):
    greeted.send(c.message(c.STATE, c.Cursor(0), seq=9)[:7])
    refused(greeted)


def test_oversize(waiting):
    connection = c.Contract(waiting.socket_path, waiting.instance)
    try:
        connection.send(c.message(c.STATE, bytes(c.MSG_MAX + 1), seq=9))
    except OSError as error:
        assert error.errno == errno.EMSGSIZE
    else:
        refused(connection)
    connection.close()


@pytest.mark.parametrize("kind", [0, 2, 15, 22, 40, 52, 255, 65535])
def test_unknown_type(greeted, kind):
    greeted.send(c.message(kind, b"", seq=9))
    refused(greeted)


REQUESTS = {c.NODE: c.Node, c.CONFIG_BEGIN: c.Generation, c.CONFIG_ENVIRONMENT: c.Environment, c.CONFIG_SERVER: c.Server,
            c.CONFIG_FORWARDS: c.Forward, c.CONFIG_COMMIT: c.Generation, c.PEER_SET: c.Peer, c.TUNNEL_SET: c.TunnelState,
            c.SPI_ALLOC: c.TunnelId, c.SA_ADD: c.SaAdd, c.SA_UPDATE: c.SaUpdate, c.SA_DEL: c.SaId, c.SA_QUERY: c.SaId,
            c.SA_LIST: c.Cursor, c.STATE: c.Cursor, c.TUNNELS: c.Cursor, c.SESSIONS: c.SessionQuery, c.MOVE: c.Move}


@pytest.mark.parametrize("change", [-1, 1, -1000, 8000], ids=["short", "long", "empty", "much-longer"])
@pytest.mark.parametrize("kind", REQUESTS)
def test_body_of_wrong_length(waiting, kind, change):
    connection = c.Contract(waiting.socket_path, waiting.instance)
    size = max(0, ctypes.sizeof(REQUESTS[kind]) + change)
    connection.send(c.message(kind, bytes(size), seq=9))
    refused(connection)
    connection.close()


@pytest.mark.parametrize("kind", REQUESTS)
def test_body_of_zeros_and_of_ones(waiting, kind):
    """Not started, or invalid: an error either way."""
    for byte in (b"\0", b"\xff"):
        connection = c.Contract(waiting.socket_path, waiting.instance)
        connection.send(c.message(kind, byte * ctypes.sizeof(REQUESTS[kind]), seq=9))
        refused(connection)
        connection.close()


@pytest.mark.parametrize("header", [{"length": 23}, {"length": 25}, {"length": 0}, {"length": 0xFFFFFFFF}, {"flags": c.REPLY},
                                    {"flags": 0x8000}, {"status": -1}], ids=str)
def test_header_that_lies(greeted, header):
    greeted.send(c.message(c.STATE, c.Cursor(0), seq=9, **header))
    refused(greeted)


def test_many_connections_that_say_nothing(waiting):
    """They neither fill the dataplane's descriptors nor keep the proper control plane out."""
    silent = []
    try:
        for _ in range(200):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            silent.append(connection)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("=qq", 5, 0))  # connect() may wait
            connection.connect(waiting.socket_path)
        c.Contract(waiting.socket_path, waiting.instance).close()
    finally:
        for connection in silent:
            connection.close()


# ---- NODE ----

def refused_node(control, dataplane, device):
    node = dataplane.node()
    node.uplink.device = device
    with pytest.raises(c.ContractError) as error:
        control.node(node)
    return error.value.reason


@pytest.mark.parametrize("device", [b"af_packet:nosuch0", b"0000:ff:1f.7", b"mac:02:de:ad:be:ef:99", b"nonsense:x", b"af_packet:"])
def test_node_with_a_bad_device(device):
    """Refused in words that name the device, and nothing crashes."""
    with harness.Dataplane(start=False) as dataplane:
        reason = refused_node(dataplane.connect(), dataplane, device)
        assert device.decode().split(":", 1)[-1] in reason or device.decode() in reason, reason
        if device not in (b"nonsense:x", b"af_packet:"):  # EAL starts once in a process: another one must try again
            assert dataplane.process.wait(20) == 1
            assert "its start failed" in dataplane.log()
            return
        dataplane.check_alive()
        # the control plane tries again, and what operators read is still the device
        assert device.decode().split(":", 1)[-1] in refused_node(dataplane.control, dataplane, device)


def test_life():
    """From NODE over the first configuration to SIGTERM, step by step."""
    with harness.Dataplane(start=False) as dataplane:
        control = dataplane.connect()
        with pytest.raises(c.ContractError):
            control.state()
        control.node(dataplane.node())
        dataplane.open_stats()
        assert dataplane.stats.header.epoch == control.peer.epoch
        assert dataplane.stats.header.workers == 2, "one worker and the control thread"
        assert "aes" in dataplane.log().lower() or "avx" in dataplane.log().lower(), "it says which crypto it chose"
        control.node(dataplane.node())  # idempotent
        with pytest.raises(c.ContractError) as refusal:  # but once per epoch
            control.node(dataplane.node(sessions=1234))
        assert refusal.value.status == errno.EBUSY and "restart" in refusal.value.reason
        again = c.Contract(dataplane.socket_path, dataplane.instance)
        assert again.peer.flags & c.HELLO_STARTED and again.peer.generation == 0
        dataplane.control.close()
        dataplane.control = again
        flow = peers.Flow(peers.Tunnel(dataplane, "prod", "a"))
        with dataplane.dropped("no-configuration"):
            dataplane.cluster.send_ip(bytes(flow.from_client("S")))
        again.commit(7, *peers.configuration())
        flow.refused("no-tunnel")
        flow.tunnel.up()
        flow.connect()
        assert c.Contract(dataplane.socket_path, dataplane.instance).peer.generation == 7
        started = time.monotonic()
        status = dataplane.end()
        assert status == 0, dataplane.last_log
        assert time.monotonic() - started < 15


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_before_node(number):
    with harness.Dataplane(start=False) as dataplane:
        assert dataplane.stop(number) == 0
        assert not os.path.exists(dataplane.socket_path), "the socket goes with the process"


@pytest.mark.parametrize("umask", [0, 0o077], ids=oct)
def test_run_directory_is_roots(tmp_path, umask):
    """Whoever took over the control plane must not be able to put links in the places of root's files."""
    run_dir = str(tmp_path / "run")
    process = subprocess.Popen([harness.dataplane_program(), "--instance", "x", "--run-dir", run_dir, "--user", "nobody"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, umask=umask)
    try:
        harness.wait_for(lambda: os.path.exists(os.path.join(run_dir, "dataplane.sock")), "the socket", 30)
        status = os.stat(run_dir)
        assert (status.st_uid, status.st_mode & 0o7777) == (0, 0o755)
    finally:
        process.terminate()
        process.wait(10)


def test_two_dataplanes_of_one_instance(idle):
    """The second one refuses to start and leaves the first one's socket alone."""
    result = subprocess.run([idle.program, "--instance", idle.instance, "--run-dir", idle.run_dir], check=False, timeout=30,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert result.returncode not in (0, -signal.SIGSEGV), result.stdout
    c.Contract(idle.socket_path, idle.instance).close()


@pytest.mark.parametrize("arguments", [[], ["--instance"], ["--instance", "Not A Name"], ["--instance", "x", "--nonsense"],
                                       ["--instance", "x", "extra"], ["--instance", "x", "--run-dir", "/nonexistent/dir"]],
                         ids=lambda a: " ".join(a) or "none")
def test_arguments_that_make_no_sense(arguments):
    result = subprocess.run([harness.dataplane_program(), *arguments], check=False, timeout=30, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert result.returncode > 0
    assert result.stdout.strip(), "it says why"
