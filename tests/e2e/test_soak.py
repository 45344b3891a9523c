# SPDX-License-Identifier: GPL-2.0-or-later
"""New keys every second, for long, and a thousand in a row: nothing is lost, nothing grows.

SALLYPORT_SOAK_MINUTES says how long, SALLYPORT_REKEYS how many in a row; scripts/soak has more of both.
"""

import json
import os
import re
import signal
import threading
import time

import pytest

from datagrams import PORT, TARGET_PORT, Datagrams
from lab.cut import IKE_ONLY, Cut
from lab.host import wait_until
from lab.topology import FORWARDS, TARGET

SECONDS = float(os.environ.get("SALLYPORT_SOAK_MINUTES", "1")) * 60
WARM_UP_S = min(120, SECONDS / 2)
GROWTH_MAX_KB = 1024
RATE = 4000  # datagrams a second; more, and a laboratory of two cores loses some itself
IPERF3_PORT = 33002
REKEYS = int(os.environ.get("SALLYPORT_REKEYS", "1000"))
COLLISIONS = max(1, REKEYS // 200)  # besides


def _memory_kb(process):
    """The resident memory of a process."""
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        return int(re.search(r"^VmRSS:\s+(\d+) kB", status.read(), re.MULTILINE).group(1))


class Load:
    """A gateway with a tunnel that carries counted datagrams and TCP in both directions."""

    def __init__(self, lab, seconds, *, controlplane=None, **options):
        lab.site.start()
        server = lab.site.as_server(options={"child_rekey": 0, "ike_rekey": 0, **options})
        forwards = {**FORWARDS, PORT: {"to": f"{TARGET}:{TARGET_PORT}", "transport": "udp"}}
        self.lab = lab
        self.gateway = lab.add_gateway([lab.environment(servers=[server], forwards=forwards)],
                                       controlplane=controlplane)
        self.gateway.start()
        self.gateway.wait_up()
        # the most of some looks: a frame may just be on its way
        self.free_mbufs = max(self._free_mbufs() for _ in range(20))
        self.datagrams = Datagrams(lab, RATE)
        lab.site.web.start_iperf3(5201)
        self.iperf3 = lab.client.start(
            "iperf3", "--client", "vpn", "--port", str(IPERF3_PORT), "--bidir", "--bitrate", "8M",
            "--window", "64K", "--time", str(int(seconds) + 600), "--interval", "1", "--json", name="iperf3-client")

    def _free_mbufs(self):
        return self.gateway.counters()["mbufs-free"]

    def rekeys(self):
        """(of CHILD_SAs, of IKE_SAs) so far, by both sides."""
        tunnel = self.gateway.ask("tunnels")["tunnels"][0]
        return tunnel["child_rekeys"], tunnel["ike_rekeys"]

    def require_running(self):
        self.gateway.require_running()
        self.iperf3.require_running()

    def check(self):
        """Stops the load: what was sent arrived, and what was taken is given back."""
        self.require_running()
        self.iperf3.stop(number=signal.SIGINT)
        report = self.datagrams.end()
        print(f"datagrams: {json.dumps(report)}")
        # TCP's own segments may be among those that the laboratory's full buffers lost
        assert report["out"] <= 0 and report["back"] <= 0, report
        assert report["again"] == 0 and report["target"]["again"] == 0, report
        assert report["rate"] > RATE / 2, f"the laboratory is too slow for this test: {report}"
        self._check_tcp()
        assert self.gateway.tunnel()["connects"] == 1, "rekeyed, not connected anew"
        # the switch may flood a frame that is for somebody else
        assert set(self.gateway.drops()) <= {"drop/not-for-us"}, self.gateway.drops()
        wait_until(lambda: self._free_mbufs() >= self.free_mbufs, 20,
                   f"{self.free_mbufs} buffers are free again (now: {self._free_mbufs()})")
        self._check_one_pair()

    def _check_tcp(self):
        report = json.loads(self.iperf3.output())
        for direction in ("sum", "sum_bidir_reverse"):
            carried = [i[direction]["bytes"] for i in report["intervals"][:-1] if direction in i]
            # a second without a segment is one whose retransmission was lost, too
            assert len(carried) > 5 and carried.count(0) <= len(carried) / 20, (direction, carried)
        print("tcp: segments sent again:", report["end"]["streams"][0]["sender"]["retransmits"])

    def _check_one_pair(self):
        """Old SAs go within the time that they are kept, on both sides."""
        listed = self.lab.site.server.list_sas
        wait_until(lambda: listed().count("INSTALLED, TUNNEL") == 1
                   and listed().count("ESTABLISHED") == 1, 20, "one pair is left at the server")
        wait_until(lambda: self.gateway.counters()["esp/sas-now"] == 2, 20,
                   "one pair is left in the dataplane")


class Every:
    """Calls ACTION every SECONDS on a thread of its own, in a `with`; its exception is ours."""

    def __init__(self, seconds, action):
        self._seconds = seconds
        self._action = action
        self._error = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def _loop(self):
        try:
            while not self._done.wait(self._seconds):
                self._action()
        except Exception as error:  # pylint: disable=broad-except
            self._error = error

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join(30)
        if self._error:
            raise self._error


def _grown(samples):
    """By how much the largest one after the warm-up exceeds the first one after it."""
    late = [kb for second, kb in samples if second >= WARM_UP_S]
    return max(late) - late[0]


def test_rekeyed_every_second(lab):
    """The server rekeys the CHILD_SA every second, and so do we, by packets; the IKE_SA by both."""
    load = Load(lab, SECONDS, child_rekey_packets=1000, ike_rekey=7)
    samples = {process: [] for process in (load.gateway.dataplane, load.gateway.controlplane)}
    begun = time.monotonic()
    with (lab.site.server.vici() as vici,
          Every(1, lambda: vici.rekey(child="office")),
          lab.site.server.vici() as other, Every(11, lambda: other.rekey(ike="accounts"))):
        while (second := time.monotonic() - begun) < SECONDS:
            load.require_running()
            for process, taken in samples.items():
                taken.append((second, _memory_kb(process)))
            if len(taken) % 60 == 1:
                print(f"{second:6.0f} s: rekeys {load.rekeys()}", *(
                    f"{process.name} {taken[-1][1]} kB" for process, taken in samples.items()),
                    f"free mbufs {load.free_mbufs - load._free_mbufs()} less", flush=True)
            time.sleep(1)  # a sample a second
    child, ike = load.rekeys()
    print(f"rekeys in {SECONDS:.0f} s: {child} of CHILD_SAs, {ike} of IKE_SAs; memory grew since",
          f"{WARM_UP_S:.0f} s:", *(f"{process.name} {_grown(taken)} kB"
                                  for process, taken in samples.items()))
    load.check()
    assert child >= SECONDS * 0.6 and ike >= SECONDS / 12, (child, ike)
    for process, taken in samples.items():
        assert _grown(taken) < GROWTH_MAX_KB, (process.name, taken)


class Said:
    """What a program writes from now on."""

    def __init__(self, process):
        self._log = process.log
        self._begin = os.path.getsize(self._log)

    def count(self, words):
        with open(self._log, encoding="utf-8", errors="replace") as log:
            log.seek(self._begin)
            return log.read().count(words)


def _rekey(load, vici, count):
    """By the server, one after the other, as fast as both sides complete them."""
    for _ in range(count):
        done = load.rekeys()[0]
        vici.rekey(child="office")
        wait_until(lambda: load.rekeys()[0] > done, 20, f"more rekeys than {done}")


def _is_settled(server):
    """Nothing of it is on the way, and of two new SAs the one too many is gone."""
    listed = server.list_sas()
    return (listed.count("ESTABLISHED") == 1 and listed.count("INSTALLED, TUNNEL") == 1
            and not re.search("^ *(active|queued): ", listed, re.M))


def _collide(load, vici):
    """Both sides begin while no message of IKE arrives: each finds the other's request when it has
    one of its own on the way. Returns whether one of them says so."""
    gateway, server = load.gateway.controlplane, load.lab.site.server
    wait_until(lambda: _is_settled(server), 20, "the server has nothing on the way")
    ours, theirs = Said(gateway), Said(server.process)
    with Cut(load.lab, "a", IKE_ONLY):
        vici.rekey(child="office")
        wait_until(lambda: theirs.count("generating CREATE_CHILD_SA request"), 10,
                   "the server begins")
        # libcharon's own lines are limited to some in a second, this one is not; it is missing if
        # we had begun just before
        patience = time.monotonic() + 15
        wait_until(lambda: ours.count("an SA has carried its share") or time.monotonic() > patience,
                   60, "we begin")
    wait_until(lambda: _is_settled(server), 60, "both are done")
    return any(said.count("detected CHILD_REKEY collision") for said in (ours, theirs))


def test_many_in_a_row(lab):
    """The server's, as fast as they are completed; every 200, both sides begin at once."""
    lab.site.server.settings.update({"retransmit_timeout": 1.0, "retransmit_base": 1.1,
                                     "retransmit_tries": 15})
    load = Load(lab, 300 + REKEYS / 4, child_rekey_packets=1000, controlplane={"ike_log_level": 1})
    begun = time.monotonic()
    memory = {process: _memory_kb(process)
              for process in (load.gateway.dataplane, load.gateway.controlplane)}
    collisions = 0
    with lab.site.server.vici() as vici:
        for part in range(COLLISIONS):
            _rekey(load, vici, REKEYS * (part + 1) // COLLISIONS - REKEYS * part // COLLISIONS)
            collisions += _collide(load, vici)
    print(f"{load.rekeys()[0]} rekeys in {time.monotonic() - begun:.0f} s; both sides began at once",
          f"{COLLISIONS} times, {collisions} of them were told as collisions")
    for process, before in memory.items():
        print(process.name, before, "to", _memory_kb(process), "kB")
    load.check()
    assert load.rekeys()[0] >= REKEYS and collisions >= COLLISIONS / 2
