# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets that vanish: between the Internet's router and a VPN server, all or some, no ICMP.

A filter of the kernel (classic BPF) looks at each frame at the router's port to the server, in both
directions. Its program returns what becomes of the frame: 0 it passes, 2 it is dropped.
"""

import json

_PASS, _DROP = 0, 2

# (code, true, false, k): what `tcpdump -ddd` calls its lines. Offsets from the Ethernet header; the
# servers send no IP options.
_LOAD_HALF, _LOAD_BYTE, _LOAD_WORD, _EQUAL, _GREATER, _RETURN = 0x28, 0x30, 0x20, 0x15, 0x25, 0x06
_AND = 0x54
_RANDOM = 0xfffff000 + 56  # an offset that the kernel answers with a random number
_PROTOCOL, _DESTINATION_PORT, _SOURCE_PORT, _MARKER = 23, 36, 34, 42

EVERYTHING = [(_RETURN, 0, 0, _DROP)]


def _udp_encapsulated(ike, esp):
    """IKE and ESP share port 4500; four zero bytes (RFC 3948 section 2.2) tell IKE from ESP."""
    return [
        (_LOAD_BYTE, 0, 0, _PROTOCOL), (_EQUAL, 0, 10, 17),
        (_LOAD_HALF, 0, 0, _DESTINATION_PORT), (_EQUAL, 4, 0, 4500), (_EQUAL, 6, 0, 500),
        (_LOAD_HALF, 0, 0, _SOURCE_PORT), (_EQUAL, 1, 0, 4500), (_EQUAL, 3, 4, 500),
        (_LOAD_WORD, 0, 0, _MARKER), (_EQUAL, 1, 0, 0), (_RETURN, 0, 0, esp),
        (_RETURN, 0, 0, ike), (_RETURN, 0, 0, _PASS)]


IKE_ONLY = _udp_encapsulated(_DROP, _PASS)
ESP_ONLY = _udp_encapsulated(_PASS, _DROP)


def one_of(count):
    """Each frame has the chance 1 / COUNT to be lost."""
    return [(_LOAD_WORD, 0, 0, _RANDOM), (_GREATER, 0, 1, 0xffffffff // count),
            (_RETURN, 0, 0, _PASS), (_RETURN, 0, 0, _DROP)]


def openvpn_control(count):
    """The same for packets of OpenVPN's control channel: those to or from UDP port 1194 whose opcode,
    the upper five bits of the first byte, is not one of data (6, 9)."""
    return [
        (_LOAD_BYTE, 0, 0, _PROTOCOL), (_EQUAL, 0, 8, 17),
        (_LOAD_HALF, 0, 0, _DESTINATION_PORT), (_EQUAL, 2, 0, 1194),
        (_LOAD_HALF, 0, 0, _SOURCE_PORT), (_EQUAL, 0, 4, 1194),
        (_LOAD_BYTE, 0, 0, _MARKER), (_AND, 0, 0, 0xf8), (_EQUAL, 1, 0, 6 << 3),
        (_EQUAL, 0, 1, 9 << 3), (_RETURN, 0, 0, _PASS)] + one_of(count)


class Cut:
    """Between the router and the server LETTER; PROGRAM says what is dropped."""

    def __init__(self, topology, letter, program=None):
        self._host = topology.internet
        self._device = f"to-{letter}"
        code = program or EVERYTHING
        text = f"{len(code)}," + "".join(f"{' '.join(map(str, line))}," for line in code)
        self._tc("qdisc", "add", "dev", self._device, "clsact")
        for direction in ("ingress", "egress"):
            self._tc("filter", "add", "dev", self._device, direction, "bpf", "direct-action",
                     "bytecode", text)

    def _tc(self, *argv):
        self._host.run("tc", *argv)

    def dropped(self):
        """How many frames there were that did not pass."""
        queues = json.loads(self._host.run("tc", "-json", "-statistics", "qdisc", "show", "dev",
                                           self._device).stdout)
        return next(queue["drops"] for queue in queues if queue["kind"] == "clsact")

    def end(self):
        """The way is whole again."""
        self._tc("qdisc", "del", "dev", self._device, "clsact")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
