# SPDX-License-Identifier: GPL-2.0-or-later
"""
An OpenVPN server's side of a tunnel's data channel: opens what the dataplane seals, seals what it has to open. Written from the
wire format alone, on the cryptography package.
"""
import hmac
import os
import socket
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from scapy.layers.inet import IP, UDP
from scapy.packet import Raw

import contract as c
import harness
import peers

PORT, SERVER_PORT = 40000, 1194
PING = bytes.fromhex("2a187bf3641eb4cb07ed2d0a981fc748")
OCC = bytes.fromhex("287f346bd4ef7a812d56b8d3afc5459c")
DATA_V1, DATA_V2 = 6, 9
AEADS = {c.AES128_GCM16: (AESGCM, 16), c.AES192_GCM16: (AESGCM, 24), c.AES256_GCM16: (AESGCM, 32),
         c.CHACHA20_POLY1305: (ChaCha20Poly1305, 32)}
HMACS = (("sha1", 20), ("sha256", 32), ("sha512", 64))
CBCS = {c.AES128_CBC_SHA1_160 + 3 * i + j: (key, *HMACS[j]) for i, key in enumerate((16, 24, 32)) for j in range(3)}


class Key:
    """A data key, both directions; the names are the dataplane's: "in" is what the server sends."""

    def __init__(self, tunnel, handle, algorithm=c.AES256_GCM16, key_id=0, peer_id=0x010203, framing=c.OPENVPN_FRAMING_NONE,
                 flags=0, ping_s=0, window=64):
        self.tunnel, self.handle, self.algorithm, self.key_id = tunnel, handle, algorithm, key_id
        self.peer_id, self.framing, self.flags, self.ping_s, self.window = peer_id, framing, flags, ping_s, window
        length = AEADS[algorithm][1] + 8 if algorithm in AEADS else CBCS[algorithm][0] + CBCS[algorithm][2]
        self.key_in, self.key_out = os.urandom(length), os.urandom(length)
        self.number_in = self.number_out = 0  # last ones

    def message(self, direction):
        local, remote = self.tunnel.local, self.tunnel.remote
        key = self.key_in if direction == c.IN else self.key_out
        add = c.SaAdd(tunnel=c.tunnel_id(*self.tunnel.id),
                      id=c.sa_id(self.handle, local if direction == c.IN else remote, direction),
                      local_be=c.ip_be(local), remote_be=c.ip_be(remote), local_port_be=c.port_be(PORT),
                      remote_port_be=c.port_be(self.tunnel.server_port), flags=c.SA_OPENVPN, algorithm=self.algorithm,
                      key_length=len(key), replay_window=self.window if direction == c.IN else 0,
                      openvpn=c.OpenVpn(peer_id=self.peer_id, key_id=self.key_id, framing=self.framing))
        if direction == c.IN:
            add.openvpn.flags = self.flags
        else:
            add.openvpn.ping_s = self.ping_s
        add.key[:len(key)] = key
        return add

    @property
    def head(self):
        if self.peer_id == c.OPENVPN_NO_PEER:
            return bytes([DATA_V1 << 3 | self.key_id])
        return struct.pack("!I", (DATA_V2 << 3 | self.key_id) << 24 | self.peer_id)

    @property
    def inner_mtu(self):
        room = harness.MTU - 28 - len(self.head)
        if self.algorithm in AEADS:
            room -= 4 + 16
        else:
            room -= CBCS[self.algorithm][2] + 16
            room = room // 16 * 16 - 4 - 1
        return room - (self.framing in (c.OPENVPN_FRAMING_LZO_NO, c.OPENVPN_FRAMING_STUB))

    def frame(self, payload):
        if self.framing == c.OPENVPN_FRAMING_LZO_NO:
            return b"\xfa" + payload
        if self.framing == c.OPENVPN_FRAMING_STUB:
            return b"\xfb" + payload[1:] + payload[:1]
        if self.framing == c.OPENVPN_FRAMING_STUB_V2 and payload[:1] == b"\x50":
            return b"\x50\x00" + payload
        return payload

    def unframe(self, payload):
        if self.framing == c.OPENVPN_FRAMING_LZO_NO:
            assert payload[:1] == b"\xfa"
            return payload[1:]
        if self.framing == c.OPENVPN_FRAMING_STUB:
            assert payload[:1] == b"\xfb"
            return payload[-1:] + payload[1:-1]
        return payload

    def aead(self, key, number, data, open_it):
        cipher, length = AEADS[self.algorithm]
        nonce = struct.pack("!I", number) + key[length:]
        aad = (self.head if len(self.head) == 4 else b"") + struct.pack("!I", number)
        if open_it:
            return cipher(key[:length]).decrypt(nonce, data[16:] + data[:16], aad)
        sealed = cipher(key[:length]).encrypt(nonce, data, aad)
        return sealed[-16:] + sealed[:-16]

    def seal(self, payload, number=None):
        """The data packet around a payload (framed already)."""
        if number is None:
            self.number_in += 1
            number = self.number_in
        if self.algorithm in AEADS:
            return self.head + struct.pack("!I", number) + self.aead(self.key_in, number, payload, False)
        plain = struct.pack("!I", number) + payload
        pad = 16 - len(plain) % 16
        return self.seal_blocks(plain + bytes([pad]) * pad)

    def seal_blocks(self, text):
        """The data packet of CBC around any text, padded or not."""
        key = CBCS[self.algorithm][0]
        iv = os.urandom(16)
        cipher = Cipher(algorithms.AES(self.key_in[:key]), modes.CBC(iv)).encryptor()
        return self.sign(iv + cipher.update(text) + cipher.finalize())

    def sign(self, body):
        """The same around any bytes."""
        key, name, _ = CBCS[self.algorithm]
        return self.head + hmac.new(self.key_in[key:], body, name).digest() + body

    def open(self, packet):
        """The payload of a data packet of the dataplane's, as a strict server would take it."""
        head, rest = packet[:len(self.head)], packet[len(self.head):]
        assert head == self.head
        if self.algorithm in AEADS:
            number = struct.unpack("!I", rest[:4])[0]
            plain = self.aead(self.key_out, number, rest[4:], True)
        else:
            key, name, icv = CBCS[self.algorithm]
            assert hmac.compare_digest(hmac.new(self.key_out[key:], rest[icv:], name).digest(), rest[:icv]), "the HMAC is wrong"
            cipher = Cipher(algorithms.AES(self.key_out[:key]), modes.CBC(rest[icv:icv + 16])).decryptor()
            plain = cipher.update(rest[icv + 16:]) + cipher.finalize()
            pad = plain[-1]
            assert 1 <= pad <= 16 and plain[-pad:] == bytes([pad]) * pad
            number, plain = struct.unpack("!I", plain[:4])[0], plain[4:-pad]
        assert number == self.number_out + 1, "packet ids go up by one"
        self.number_out = number
        return self.unframe(plain)


class Tunnel(peers.Tunnel):
    """A server that speaks OpenVPN, in a tunnel of the shared dataplane; `pair` is its newest key."""

    key_kind = Key

    def __init__(self, *arguments, server_port=SERVER_PORT, **how):
        super().__init__(*arguments, **how)
        self.server_port = server_port

    def add_pair(self, **how):
        key = self.key_kind(self, self.control.spi_alloc(*self.id), **how)
        self.control.sa_add(key.message(c.IN))
        self.control.sa_add(key.message(c.OUT))
        self.pair = key
        return key

    def delete_pair(self, pair):
        self.control.sa_del(pair.handle, self.local, c.IN)
        self.control.sa_del(pair.handle, self.remote, c.OUT)

    def up(self, **how):
        if self.pair:
            self.delete_pair(self.pair)
        self.control.openvpn_peer_set(*self.id, self.remote, self.server_port, PORT)
        key = self.add_pair(**how)
        self.control.tunnel_set(*self.id, self.inner)
        return key

    def take_payload(self, what="a packet in the tunnel", pair=None, timeout=harness.WAIT):
        """The next data packet of the dataplane's: (outer, payload)."""
        match = peers.matcher(self.local, self.remote, socket.IPPROTO_UDP, PORT, self.server_port)
        outer = peers.parse(self.dataplane.uplink, self.dataplane.uplink.take(match, what, timeout), harness.UPLINK_ROUTER)
        assert outer[UDP].len == len(outer) - 20
        return outer, (pair or self.pair).open(bytes(outer[UDP].payload))

    def take(self, what="a packet in the tunnel", pair=None):
        outer, payload = self.take_payload(what, pair)
        return outer, peers.check_checksums(IP(payload))

    def outer(self, packet, source=None, source_port=None, port=PORT):
        return IP(bytes(IP(src=source or self.remote, dst=self.local) /
                        UDP(sport=source_port or self.server_port, dport=port, chksum=0) / Raw(packet)))

    def send_payload(self, payload, pair=None, number=None, **where):
        """A payload as it is; returns the outer packet, to send it again."""
        outer = self.outer((pair or self.pair).seal(payload, number), **where)
        self.dataplane.uplink.send_ip(outer)
        return outer

    def send(self, inner, pair=None, number=None, **where):
        key = pair or self.pair
        return self.send_payload(key.frame(bytes(inner)), key, number, **where)


class Flow(peers.Flow):
    """As peers.Flow, but for the mark of congestion, which a server of OpenVPN does not read outside."""

    def out(self, flags="A", data=b"", pair=None, **fields):
        packet = IP(bytes(self.from_client(flags, data, **fields)))
        self.dataplane.cluster.send_ip(packet, self.via)
        outer, inner = self.tunnel.take(f"the client's {flags}", pair)
        self.check_out(packet, inner)
        assert outer.tos == inner.tos & 0xFC, "DSCP is copied out"
        self.client_next = peers.advance(self.client_next, flags, data)
        return outer, inner
