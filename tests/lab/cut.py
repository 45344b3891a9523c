# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets that vanish: between the Internet's router and a VPN server, all or some, no ICMP.

A filter of the kernel (classic BPF) looks at each frame at the router's port to the server, in both
directions. Its program returns what becomes of the frame: 0 it passes, 2 it is dropped.
"""

_PASS, _DROP = 0, 2

# (code, true, false, k): what `tcpdump -ddd` calls its lines. Offsets from the Ethernet header; the
# servers send no IP options.
_LOAD_HALF, _LOAD_BYTE, _LOAD_WORD, _EQUAL, _GREATER, _RETURN = 0x28, 0x30, 0x20, 0x15, 0x25, 0x06
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

    def end(self):
        """The way is whole again."""
        self._tc("qdisc", "del", "dev", self._device, "clsact")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
