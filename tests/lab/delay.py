# SPDX-License-Identifier: GPL-2.0-or-later
"""A long way between the Internet's router and a VPN server: late, unevenly late, and with losses.

A program carries the frames between the router's port to the server and a new port of its switch:

    router -- [switch] -- [way-a ~~ far-a] -- program -- [to-a ~~ wan] -- server-a
"""

import sys

from .host import link, wait_until

# As netem would do it, where the kernel has none: a frame may overtake another one. 23:
# PACKET_IGNORE_OUTGOING, 263: SOL_PACKET.
_CARRIER = """
import heapq, random, select, socket, sys, time
delay, jitter, loss = (float(word) for word in sys.argv[3:6])
ends = []
for device in sys.argv[1:3]:
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    end.setsockopt(263, 23, 1)
    end.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)
    end.bind((device, 0))
    end.setblocking(False)
    ends.append(end)
random.seed(int(sys.argv[6]))
queue, order = [], 0
print("carrying", flush=True)
while True:
    now = time.monotonic()
    while queue and queue[0][0] <= now:
        _, _, end, frame = heapq.heappop(queue)
        try:
            end.send(frame)
        except OSError:
            pass
    select.select(ends, [], [], max(0, queue[0][0] - now) if queue else None)
    for end, other in (ends, ends[::-1]):
        while True:
            try:
                frame = end.recv(65536)
            except BlockingIOError:
                break
            if random.random() >= loss:
                late = delay + random.uniform(-jitter, jitter)
                heapq.heappush(queue, (time.monotonic() + late, order, other, frame))
                order += 1
"""


class LongWay:
    """To the server LETTER: each way takes DELAY +- JITTER seconds, and loses the part LOSS."""

    def __init__(self, topology, letter, delay, jitter, loss):
        host = topology.internet
        link(host, f"way-{letter}", host, f"far-{letter}")
        host.ip("link", "set", f"to-{letter}", "nomaster")
        host.ip("link", "set", f"way-{letter}", "master", "servers")
        carrier = host.start(sys.executable, "-c", _CARRIER, f"far-{letter}", f"to-{letter}",
                             str(delay), str(jitter), str(loss), str(ord(letter)),
                             name=f"way-{letter}")
        wait_until(lambda: carrier.require_running() or "carrying" in carrier.output(), 10,
                   f"frames are carried to server {letter}")
