# SPDX-License-Identifier: GPL-2.0-or-later
"""A connection that lives through what a test does to the gateway, and tells what it saw."""

import sys

from lab.host import LabError, wait_until

# Reads the ticker's numbered lines and notes when each came; writes a byte every 100 ms, so that
# it is a connection with traffic both ways. Says how it ended.
_CLIENT = """
import select, socket, sys, time
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10)
connection.setblocking(False)
buffer = b""
next_write = time.monotonic()
try:
    while True:
        now = time.monotonic()
        if now >= next_write:
            next_write = now + 0.1
            try:
                connection.send(b".")
            except BlockingIOError:
                pass
        if select.select([connection], [], [], max(0, next_write - time.monotonic()))[0]:
            data = connection.recv(65536)
            if not data:
                print("end closed", flush=True)
                break
            *lines, buffer = (buffer + data).split(b"\\n")
            for line in lines:
                print("tick", int(line), "%.3f" % time.monotonic(), flush=True)
except OSError as error:
    print("end", type(error).__name__, flush=True)
"""

PORT = 33001
TARGET_PORT = 8081


class Stream:
    """A client of the ticker behind vpn:33001."""

    def __init__(self, topology, name="stream"):
        if name == "stream":  # the first one
            topology.site.web.start_ticker(TARGET_PORT)
        self._process = topology.client.start(sys.executable, "-c", _CLIENT, "vpn", str(PORT),
                                              name=name)
        self.wait_for_more(5)

    def _lines(self, kind):
        complete = self._process.output().rpartition("\n")[0]
        return [line.split()[1:] for line in complete.splitlines() if line.split()[0] == kind]

    def ticks(self):
        """The lines that came: (number, time)."""
        return [(int(number), float(time)) for number, time in self._lines("tick")]

    def wait_for_more(self, count, timeout=15):
        """Waits until COUNT further lines came."""
        wanted = len(self.ticks()) + count

        def have_come():
            if self.end():
                raise LabError(f"the stream ended: {self.end()}")
            self._process.require_running()
            return len(self.ticks()) >= wanted
        wait_until(have_come, timeout, f"{count} more lines of the stream")

    def end(self):
        """None while it runs; "closed", or the name of the error that it ended with."""
        ends = self._lines("end")
        return ends[0][0] if ends else None

    def wait_end(self, timeout):
        return wait_until(self.end, timeout, "the stream ends")

    def is_complete(self):
        numbers = [number for number, _ in self.ticks()]
        return numbers == list(range(len(numbers)))

    def longest_gap(self):
        """The longest time without a line, in seconds."""
        times = [time for _, time in self.ticks()]
        return max(b - a for a, b in zip(times, times[1:]))
