# SPDX-License-Identifier: GPL-2.0-or-later
"""A VPN server that is broken in a chosen way, where no stock server can be made to be.

It speaks enough of IKEv2 (RFC 7296) to come to the fault: IKE_SA_INIT with AES-256-GCM, SHA-384 and
X25519, and IKE_AUTH replies of its own making. Run as a program it takes the address and the fault.
"""

import os
import select
import socket
import struct
import sys

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SA, KE, IDR, NONCE, NOTIFY, ENCRYPTED = 33, 34, 36, 40, 41, 46
UNKNOWN = 200  # no payload that anybody knows
SA_INIT, AUTH = 34, 35
RESPONSE = 0x20
CRITICAL = 0x80
COOKIE, INVALID_KE, NO_PROPOSAL = 16390, 17, 14


def _payload(following, body, flags=0, length=None):
    return struct.pack("!BBH", following, flags, length or 4 + len(body)) + body


def _message(request, first, body, encrypted=False):
    header = request[:8] + (request[8:16] if encrypted else SPI) + struct.pack(
        "!BBBBII", first, 0x20, request[18], RESPONSE, struct.unpack("!I", request[20:24])[0],
        28 + len(body))
    return header + body


def _transform(following, kind, number, bits=None):
    attributes = struct.pack("!HH", 0x800e, bits) if bits else b""
    return struct.pack("!BBHBBH", following, 0, 8 + len(attributes), kind, 0, number) + attributes


def _proposal():
    transforms = [_transform(3, 1, 20, 256), _transform(3, 2, 6), _transform(0, 4, 31)]
    body = b"".join(transforms)
    return struct.pack("!BBHBBBB", 0, 0, 8 + len(body), 1, 1, 0, len(transforms)) + body


SPI = os.urandom(8)


def _find(message, wanted):
    """The body of the payload WANTED of an unencrypted message."""
    kind, at = message[16], 28
    while kind:
        following, _, length = struct.unpack("!BBH", message[at:at + 4])
        if kind == wanted:
            return message[at + 4:at + length]
        kind, at = following, at + length
    return None


def _prf(key, data):
    mac = hmac.HMAC(key, hashes.SHA384())
    mac.update(data)
    return mac.finalize()


class _Session:
    """The keys of one IKE_SA."""

    def __init__(self, request):
        peer = X25519PublicKey.from_public_bytes(_find(request, KE)[4:])
        private = X25519PrivateKey.generate()
        self.public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.nonce = os.urandom(32)
        nonces = _find(request, NONCE) + self.nonce
        seed = _prf(nonces, private.exchange(peer))
        stream, last = b"", b""
        for number in range(1, 9):  # SK_d, SK_ei, SK_er (36 bytes with the salt), SK_p*
            last = _prf(seed, last + nonces + request[:8] + SPI + bytes([number]))
            stream += last
        self.key, self.salt = stream[48 + 36:][:32], stream[48 + 36 + 32:][:4]

    def init_response(self, request, trailer=b"", after=0):
        """SA, KE, Nonce, and TRAILER as the payload of type AFTER."""
        return _message(request, SA, _payload(KE, _proposal())
                        + _payload(NONCE, struct.pack("!HH", 31, 0) + self.public)
                        + _payload(after, self.nonce) + trailer)

    def encrypt(self, request, first, inner):
        iv = os.urandom(8)
        length = 4 + 8 + len(inner) + 1 + 16
        header = _message(request, ENCRYPTED, b"\0" * length, encrypted=True)[:28]
        generic = struct.pack("!BBH", first, 0, length)
        sealed = AESGCM(self.key).encrypt(self.salt + iv, inner + b"\0", header + generic)
        return header + generic + iv + sealed


def _notify(kind, data=b"", following=0):
    return _payload(following, struct.pack("!BBH", 0, 0, kind) + data)


# ---- faults of the first answer ----

INIT_FAULTS = {
    "garbage": lambda s, r: [os.urandom(200)],
    "header-only": lambda s, r: [_message(r, 0, b"")],
    "truncated": lambda s, r: [s.init_response(r)[:90]],
    "payload-too-large": lambda s, r: [_message(r, SA, _payload(0, _proposal(), length=0xffff))],
    "payload-too-small": lambda s, r: [_message(r, SA, _payload(KE, b"", length=2))],
    "unknown-critical": lambda s, r: [s.init_response(
        r, _payload(0, b"what", flags=CRITICAL), after=UNKNOWN)],
    "datagram-too-large": lambda s, r: [s.init_response(r, _payload(0, bytes(9000)), after=UNKNOWN)],
    "thousand-payloads": lambda s, r: [_message(r, NOTIFY, _notify(16999, following=NOTIFY) * 1000)],
    "group-of-nobody": lambda s, r: [_message(r, NOTIFY, _notify(INVALID_KE, b"\x7f\xff"))],
    "cookies-for-ever": lambda s, r: [_message(r, NOTIFY, _notify(COOKIE, os.urandom(32)))],
    "wrong-key-length": lambda s, r: [_message(r, SA, _payload(KE, _proposal()) + _payload(
        NONCE, struct.pack("!HH", 31, 0) + bytes(7)) + _payload(0, s.nonce))],
}

# ---- faults of the second one, which is encrypted ----

AUTH_FAULTS = {
    "silent": lambda s, r: [],
    "auth-garbage": lambda s, r: [_message(r, ENCRYPTED, _payload(0, os.urandom(100)),
                                           encrypted=True)],
    "auth-empty": lambda s, r: [s.encrypt(r, 0, b"")],
    "auth-nonsense": lambda s, r: [s.encrypt(r, IDR, os.urandom(100))],
    "auth-unknown-critical": lambda s, r: [s.encrypt(r, UNKNOWN, _payload(0, b"what",
                                                                          flags=CRITICAL))],
    "auth-payload-too-large": lambda s, r: [s.encrypt(r, IDR, _payload(0, b"x", length=0xfff0))],
    "auth-without-proof": lambda s, r: [s.encrypt(r, IDR, _payload(
        0, struct.pack("!BBH", 2, 0, 0) + b"vpn-a.customer.example"))],
}

FAULTS = [*INIT_FAULTS, *AUTH_FAULTS]


def serve(address, fault):
    sockets = []
    for port in (500, 4500):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((address, port))
        sockets.append(sock)
    print("ready", flush=True)
    session = None
    while True:
        for sock in select.select(sockets, [], [])[0]:
            data, peer = sock.recvfrom(65536)
            marker = data[:4] if sock is sockets[1] else b""
            request = data[len(marker):]
            if len(request) < 28 or marker.strip(b"\0"):
                continue
            print("request", request[18], flush=True)
            if request[18] == SA_INIT:
                session = _Session(request)
                answers = INIT_FAULTS[fault](session, request) if fault in INIT_FAULTS else [
                    session.init_response(request)]
            elif fault in AUTH_FAULTS and session:
                answers = AUTH_FAULTS[fault](session, request)
            else:
                answers = []
            for answer in answers:
                sock.sendto(marker + answer, peer)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2])
