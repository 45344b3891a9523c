# SPDX-License-Identifier: GPL-2.0-or-later
"""A steady stream of questions and answers that tells for how long there was no answer."""

import sys

from .host import LabError, wait_until

PORT = 33006
TARGET_PORT = 8086
RATE = 1000  # packets a second
# Shorter gaps are not noted: a busy machine makes them. A failure is felt for longer: the shortest
# one that scripts/bench saw took 130 ms.
NOTED_MS = 100

FORWARD = {"port": TARGET_PORT, "transport": "udp"}

# Times are the kernel's, of the arrival at the socket: how soon this program runs does not matter.
# 33: SO_RCVBUFFORCE, 35: SO_TIMESTAMPNS. A gap is told as it ends, with the times of its ends.
_CLIENT = """
import select, signal, socket, struct, sys, time
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
rate, noted = int(sys.argv[3]), float(sys.argv[4]) / 1000
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)
s.setsockopt(socket.SOL_SOCKET, 35, 1)
s.connect((socket.gethostbyname(sys.argv[1]), int(sys.argv[2])))
s.setblocking(False)
offset = time.clock_gettime(time.CLOCK_REALTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
last, sent, got, first = None, 0, 0, None
answered = bytearray(1 << 24)

def take():
    global last, got, first
    while True:
        try:
            data, ancillary, _, _ = s.recvmsg(256, 64)
        except (BlockingIOError, ConnectionRefusedError):
            return
        seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
        now = seconds + nanoseconds / 1e9 - offset
        got += 1
        number, = struct.unpack("!I", data[:-5:-1])  # the echo sends the bytes backwards
        answered[number] = 1
        if first is None:
            first = number
        if last is not None and now - last >= noted:
            print("gap", "%.6f" % last, "%.6f" % now, flush=True)
        last = now

due = time.monotonic()
reported = 0
while not stopped:
    now = time.monotonic()
    if now - due > 0.05:
        due = now  # held up: slower, not a burst
    while due <= now:
        try:
            s.send(struct.pack("!I", sent) + bytes(60))
            sent += 1
        except (BlockingIOError, ConnectionRefusedError):
            pass
        due += 1 / rate
    take()
    if now - reported >= 0.05:
        reported = now
        print("state", sent, got, flush=True)
    select.select([s], [], [], max(0, due - time.monotonic()))
while select.select([s], [], [], 1)[0]:
    take()
print("missing", answered[first or 0:sent].count(0), flush=True)
"""


class Pulse:
    """The stream; PORT must be forwarded by UDP to TARGET_PORT of the target."""

    def __init__(self, topology, rate=RATE):
        topology.site.web.start_udp_echo(TARGET_PORT)
        self._process = topology.client.start(sys.executable, "-c", _CLIENT, "vpn", str(PORT),
                                              str(rate), str(NOTED_MS), name="pulse")
        self._process_log = open(self._process.log, encoding="ascii")
        self._rest = ""
        self._received = 0
        self._gaps = []
        self._missing = None
        self.wait_for_more(rate // 4)

    def _read(self):
        text = self._rest + self._process_log.read()
        *lines, self._rest = text.split("\n")
        for line in lines:
            kind, *values = line.split()
            if kind == "gap":
                self._gaps.append((float(values[0]), float(values[1])))
            elif kind == "state":
                self._received = int(values[1])
            elif kind == "missing":
                self._missing = int(values[0])

    @property
    def received(self):
        self._process.require_running()
        self._read()
        return self._received

    def wait_for_more(self, count, timeout=20):
        """Waits until COUNT further answers came."""
        wanted = self.received + count
        wait_until(lambda: self.received >= wanted, timeout, f"{count} more answers")

    def gaps(self, since=0.0):
        """(begin, end) of each time without an answer that ended after SINCE (time.monotonic())."""
        self._read()
        return [gap for gap in self._gaps if gap[1] > since]

    def longest_gap(self, since=0.0):
        """The longest one as (begin, end); None: there was none of NOTED_MS."""
        return max(self.gaps(since), key=lambda gap: gap[1] - gap[0], default=None)

    def stop(self):
        """Returns how many questions had no answer, of all since the first one that had."""
        self._process.stop()
        self._read()
        self._process_log.close()
        if self._missing is None:
            raise LabError(f"the stream's end is not known, see {self._process.log}")
        return self._missing
