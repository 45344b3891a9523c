# SPDX-License-Identifier: GPL-2.0-or-later
"""Many open TCP connections, each used now and then: which of them end, when and how."""

import json
import sys

from .host import LabError, wait_until

PORT = 33007
TARGET_PORT = 8087

# Sends back what it gets, on any number of connections.
_TARGET = """
import selectors, socket, sys
selector = selectors.DefaultSelector()
listener = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=4096)
listener.setblocking(False)
selector.register(listener, selectors.EVENT_READ)
while True:
    for key, _ in selector.select():
        if key.fileobj is listener:
            try:
                connection, _ = listener.accept()
            except BlockingIOError:
                continue
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(connection, selectors.EVENT_READ)
            continue
        try:
            data = key.fileobj.recv(65536)
            if data:
                key.fileobj.sendall(data)
                continue
        except BlockingIOError:
            continue
        except OSError:
            pass
        selector.unregister(key.fileobj)
        key.fileobj.close()
"""

# Each connection sends a line in turn, one every PERIOD on each; what comes back must be the lines
# that were sent. A connection that ends is told, with the time at which this program learned of it,
# and opened again a little later.
_CLIENT = """
import errno, json, selectors, signal, socket, sys, time
address, port = socket.gethostbyname(sys.argv[1]), int(sys.argv[2])
count, period = int(sys.argv[3]), float(sys.argv[4])
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
selector = selectors.DefaultSelector()
now = time.monotonic()  # of what is being handled
told = []

class Connection:
    def __init__(self, number):
        self.number, self.sent, self.got, self.rest = number, 0, 0, b""
        self.is_open = False
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect_ex((address, port))
        selector.register(self.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, self)

    def line(self, number):
        return b"%d %d" % (self.number, number)

    def send(self):
        if not self.is_open:
            return
        try:
            self.socket.send(self.line(self.sent) + b"\\n")
            self.sent += 1
        except BlockingIOError:
            pass
        except OSError as error:
            self.end(error)

    def handle(self, events):
        if events & selectors.EVENT_WRITE and not self.is_open:
            error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                self.end(OSError(error, ""))
                return
            self.is_open = True
            selector.modify(self.socket, selectors.EVENT_READ, self)
            told.append("open %d %.6f" % (self.number, now))
        if events & selectors.EVENT_READ:
            self.receive()

    def receive(self):
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            self.end(error)
            return
        if not data:
            self.end(OSError(0, "closed"))
            return
        *lines, self.rest = (self.rest + data).split(b"\\n")
        for line in lines:
            if line != self.line(self.got):
                self.end(OSError(0, "wrong data"))
                return
            self.got += 1

    def end(self, error):
        why = errno.errorcode.get(error.errno, error.strerror)
        told.append("%s %d %.6f %s" % ("end" if self.is_open else "refused", self.number, now, why))
        selector.unregister(self.socket)
        self.socket.close()
        connections[self.number] = None
        again.append((now + 0.5, self.number))

connections, again, turn = {}, [], 0

def handle(timeout):
    global now
    ready = selector.select(timeout)
    now = time.monotonic()
    for key, events in ready:
        key.data.handle(events)
    if told:
        print("\\n".join(told), flush=True)
        told.clear()

for number in range(count):
    connections[number] = Connection(number)
    handle(0.001)
due = time.monotonic()
asked = None
while True:
    now = time.monotonic()
    while again and again[0][0] <= now:
        number = again.pop(0)[1]
        connections[number] = Connection(number)
    while due <= now and not asked:
        if connections[turn]:
            connections[turn].send()
        turn = (turn + 1) % count
        due += period / count
    if stopped and not asked:  # each one is used once more
        asked = now
        for connection in list(connections.values()):
            if connection:
                connection.send()
    silent = [n for n, c in connections.items() if not c or c.got < c.sent]
    if asked and (not silent or now - asked > 15):
        break
    handle(max(0, min(due - now, 0.05)))
print("left", json.dumps(silent), flush=True)
"""


def start_target(web):
    """The service that sends back what it gets, beside the web server WEB."""
    target = web.host.start(sys.executable, "-c", _TARGET, web.address, str(TARGET_PORT),
                            name="crowd-target")
    web.wait_listening(target, TARGET_PORT)


class Crowd:
    """COUNT connections; PORT must be forwarded to TARGET_PORT of the target."""

    def __init__(self, topology, count, period=1.0):
        start_target(topology.site.web)
        self.count = count
        self._process = topology.client.start(sys.executable, "-c", _CLIENT, "vpn", str(PORT),
                                              str(count), str(period), name="crowd")
        wait_until(lambda: self.opened() >= count, 60, f"{count} connections are open")

    def _lines(self, kind):
        self._process.require_running()
        return self._parse(kind)

    def _parse(self, kind):
        complete = self._process.output().rpartition("\n")[0]
        return [line.split(" ", 3)[1:] for line in complete.splitlines()
                if line.startswith(kind + " ")]

    def opened(self, since=0.0):
        """How many were opened after SINCE."""
        return sum(float(time) > since for _, time, *_ in self._lines("open"))

    def ended(self, since=0.0):
        """(time, error) of each connection that ended after SINCE."""
        return [(float(time), why) for _, time, why in self._lines("end") if float(time) > since]

    def stop(self):
        """Uses each connection once more; returns how many do not answer any more."""
        self._process.stop(timeout=30)
        left = self._parse("left")
        if not left:
            raise LabError(f"the connections' end is not known, see {self._process.log}")
        return len(json.loads(" ".join(left[0])))
