# SPDX-License-Identifier: GPL-2.0-or-later
"""A strongSwan server's control socket, where a `swanctl` process for each command would be too slow.

The protocol is in strongSwan's src/libcharon/plugins/vici/README.md.
"""

import socket
import struct

from .host import LabError

_REQUEST, _RESPONSE = 0, 1
_KEY_VALUE = 3


def _pair(key, value):
    return struct.pack("!BB", _KEY_VALUE, len(key)) + key + struct.pack("!H", len(value)) + value


def _pairs(message):
    """The key/value pairs of a flat message."""
    pairs, at = {}, 0
    while at < len(message):
        if message[at] != _KEY_VALUE:
            raise LabError(f"vici: element {message[at]} in an answer")
        end = at + 2 + message[at + 1]
        length, = struct.unpack_from("!H", message, end)
        pairs[message[at + 2:end].decode()] = message[end + 2:end + 2 + length].decode()
        at = end + 2 + length
    return pairs


class Vici:
    """One connection, to be used in a `with`."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def _receive(self, count):
        data = b""
        while len(data) < count:
            part = self._socket.recv(count - len(data))
            if not part:
                raise LabError("vici: the server closed the connection")
            data += part
        return data

    def _request(self, command, **arguments):
        body = struct.pack("!BB", _REQUEST, len(command)) + command.encode()
        body += b"".join(_pair(key.encode(), value.encode()) for key, value in arguments.items())
        self._socket.sendall(struct.pack("!I", len(body)) + body)
        answer = self._receive(struct.unpack("!I", self._receive(4))[0])
        if answer[0] != _RESPONSE:
            raise LabError(f"vici: {command}: packet of type {answer[0]}")
        return _pairs(answer[1:])

    def rekey(self, **what):
        """Begins to rekey the SAs that are named so: child="office" or ike="accounts". Returns how
        many that are; those that were rekeyed before and wait for their end do not mind."""
        answer = self._request("rekey", **what)
        if answer.get("success") != "yes":
            raise LabError(f"vici: rekey {what}: {answer.get('errmsg')}")
        return int(answer["matches"])
