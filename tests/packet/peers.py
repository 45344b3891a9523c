# SPDX-License-Identifier: GPL-2.0-or-later
"""
Who talks through the dataplane: VPN servers (scapy's IPsec layer is the independent ESP), clients in the cluster, and the
customer's hosts behind a tunnel.
"""
import collections
import hmac
import itertools
import os
import socket
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from scapy.layers.inet import IP, TCP, UDP, in4_chksum
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.packet import Raw
from scapy.utils import checksum

import contract as c
import harness

# key: of the cipher, salt included; aead: of the cryptography package; hash: of hashlib; crypt, auth: scapy's names
Suite = collections.namedtuple("Suite", "key iv icv block aead hash integrity crypt auth")


def _cbc(key, hash_name, integrity, icv, auth):
    return Suite(key, 16, icv, 16, None, hash_name, integrity, "AES-CBC", auth)


_HMACS = (("sha1", 20, 12, "HMAC-SHA1-96"), ("sha256", 32, 16, "SHA2-256-128"), ("sha384", 48, 24, "SHA2-384-192"),
          ("sha512", 64, 32, "SHA2-512-256"))
SUITES = {c.AES128_GCM16: Suite(20, 8, 16, 4, AESGCM, None, 0, "AES-GCM", None),
          c.AES192_GCM16: Suite(28, 8, 16, 4, AESGCM, None, 0, "AES-GCM", None),
          c.AES256_GCM16: Suite(36, 8, 16, 4, AESGCM, None, 0, "AES-GCM", None),
          c.CHACHA20_POLY1305: Suite(36, 8, 16, 4, ChaCha20Poly1305, None, 0, "CHACHA20-POLY1305", None),
          **{c.AES128_CBC_SHA1_96 + 4 * i + j: _cbc(key, *_HMACS[j]) for i, key in enumerate((16, 24, 32)) for j in range(4)}}
POD = {"prod": "10.0.0.33", "dark": "10.0.0.35", "staging": "10.0.0.34", "tiny": "10.0.0.36"}
CLIENT = "10.0.1.5"      # behind the cluster's router
NEIGHBOUR = "10.0.0.7"   # on the cluster's subnet
STRANGER = "10.0.2.9"    # may call nobody
TARGET, TARGET_PORT = "192.168.100.30", 8080
FORWARD_PORT = 33000
UDP_FORWARD_PORT, NAME_SERVER = 5300, "192.168.100.53"
PREFERRED_PORT = 33002   # prefers server b
INNER = "10.9.8.7"       # the virtual IP; the same in two environments on purpose
SERVERS = {("prod", "a"): "198.51.100.101", ("prod", "b"): "198.51.100.102", ("dark", "a"): "198.51.100.104",
           ("staging", "a"): "198.51.100.103", ("tiny", "a"): "198.51.100.105"}
QUOTA_OF_TINY = 2

# Every flow of a run has a client port of its own, so no test meets another one's session.
fresh_ports = itertools.cycle(range(20000, 60000))
fresh_sequences = itertools.count(1)


def configuration():
    """Environments, servers and forwards of the shared dataplane. The order decides the homes: prod and staging share one."""
    environments, servers, forwards = [], [], []
    for name, pod in POD.items():
        environment = c.Environment(name=name.encode(), pod_address_be=c.ip_be(pod), source_count=2,
                                    session_quota=QUOTA_OF_TINY if name == "tiny" else 10000,
                                    flags=c.ENVIRONMENT_UNPROBED)  # what a test does not send, nobody sends
        environment.sources[0] = c.prefix("10.0.1.0/24")
        environment.sources[1] = c.prefix("10.0.0.7/32")
        environments.append(environment)
        forwards.append(forward(name, FORWARD_PORT, TARGET, TARGET_PORT))
    for (environment, server) in SERVERS:
        servers.append(c.Server(id=c.tunnel_id(environment, server), priority=ord(server) - ord("a")))
    forwards.append(forward("prod", 33001, "192.168.100.31", 22))
    forwards.append(forward("prod", UDP_FORWARD_PORT, NAME_SERVER, 53, socket.IPPROTO_UDP))
    for name in ("dark", "tiny"):
        forwards.append(forward(name, UDP_FORWARD_PORT, NAME_SERVER, 53, socket.IPPROTO_UDP))
    forwards.append(forward("prod", PREFERRED_PORT, TARGET, TARGET_PORT, server="b"))
    return environments, servers, forwards


def forward(environment, port, to, to_port, protocol=socket.IPPROTO_TCP, server=""):
    return c.Forward(environment=environment.encode(), server=server.encode(), to_address_be=c.ip_be(to),
                     to_port_be=c.port_be(to_port), port_be=c.port_be(port), protocol=protocol)


# ---- frames ----

def parse(wire, frame, next_hop=None):
    """The IPv4 packet of a frame the dataplane sent; everything a receiver would check of the layers below TCP is checked."""
    assert frame[6:12] == harness.mac_bytes(wire.dataplane_mac), "source MAC address"
    if next_hop:
        assert frame[0:6] == harness.mac_bytes(wire.macs[next_hop]), f"not sent to {next_hop}"
    assert frame[12:14] == b"\x08\x00"
    length = struct.unpack_from("!H", frame, 16)[0]
    assert 14 + length <= len(frame), "shorter than its IPv4 header says"
    return check_checksums(IP(frame[14:14 + length]))


def check_checksums(packet):
    """Each checksum of the packet verifies over its bytes as they are (RFC 1071); returns the packet."""
    whole = bytes(packet)
    assert checksum(whole[:packet.ihl * 4]) == 0, f"the IPv4 checksum is wrong: {packet.summary()}"
    segment = whole[packet.ihl * 4:packet.len]
    if packet.proto == socket.IPPROTO_ICMP:
        assert checksum(segment) == 0, f"the ICMP checksum is wrong: {packet.summary()}"
    elif packet.proto == socket.IPPROTO_TCP or packet.proto == socket.IPPROTO_UDP and segment[6:8] != b"\0\0":
        assert in4_chksum(packet.proto, packet, segment) == 0, f"the TCP or UDP checksum is wrong: {packet.summary()}"
    return packet


def matcher(source=None, destination=None, protocol=None, sport=None, dport=None):
    """A predicate for Wire.take() on IPv4 frames without options."""
    source = source and socket.inet_aton(source)
    destination = destination and socket.inet_aton(destination)

    def match(frame):
        if frame[12:14] != b"\x08\x00" or len(frame) < 34:
            return False
        if protocol is not None and frame[23] != protocol:
            return False
        if source and frame[26:30] != source or destination and frame[30:34] != destination:
            return False
        return ((sport is None or frame[34:36] == struct.pack("!H", sport)) and
                (dport is None or frame[36:38] == struct.pack("!H", dport)))
    return match


# ---- a VPN server ----

class SaPair:
    """The server's view of one CHILD_SA: opens what the dataplane seals, seals what it has to open."""

    def __init__(self, tunnel, spi_in, algorithm, udp, esn):
        self.tunnel, self.algorithm, self.udp, self.esn = tunnel, algorithm, udp, esn
        self.spi_in = spi_in  # as in the dataplane: from the server to us
        self.spi_out = struct.unpack("!I", os.urandom(4))[0] | 0x40000000
        self.suite = suite = SUITES[algorithm]
        self.key_in = os.urandom(suite.key + suite.integrity)
        self.key_out = os.urandom(suite.key + suite.integrity)
        nat_t = UDP(sport=4500, dport=4500) if udp else None
        common = dict(crypt_algo=suite.crypt, auth_algo=suite.auth, nat_t_header=nat_t, esn_en=esn, esn=0)
        self.sealer = SecurityAssociation(ESP, spi=spi_in, crypt_key=self.key_in[:suite.key], auth_key=self.key_in[suite.key:],
                                          tunnel_header=IP(src=tunnel.remote, dst=tunnel.local), **common)
        self.opener = SecurityAssociation(ESP, spi=self.spi_out, crypt_key=self.key_out[:suite.key],
                                          auth_key=self.key_out[suite.key:],
                                          tunnel_header=IP(src=tunnel.local, dst=tunnel.remote), **common)
        self.sequence_out = 0  # last one seen from the dataplane

    def message(self, direction, window=64, hard_seconds=0):
        local, remote = self.tunnel.local, self.tunnel.remote
        spi, key = (self.spi_in, self.key_in) if direction == c.IN else (self.spi_out, self.key_out)
        add = c.SaAdd(tunnel=c.tunnel_id(*self.tunnel.id),
                      id=c.sa_id(spi, local if direction == c.IN else remote, direction),
                      local_be=c.ip_be(local), remote_be=c.ip_be(remote),
                      flags=(c.SA_ESN if self.esn else 0) | (c.SA_UDP if self.udp else 0),
                      algorithm=self.algorithm, key_length=len(key), hard_seconds=hard_seconds,
                      replay_window=window if direction == c.IN else 0)
        if self.udp:
            add.local_port_be = add.remote_port_be = c.port_be(4500)
        add.key[:len(key)] = key
        return add

    @property
    def overhead(self):
        """Bytes around an inner packet, padding apart: IPv4, UDP, ESP header, IV, trailer's two bytes, ICV."""
        return 20 + (8 if self.udp else 0) + 8 + self.suite.iv + 2 + self.suite.icv

    @property
    def inner_mtu(self):
        room = harness.MTU - self.overhead + 2
        return room - room % self.suite.block - 2

    def icv(self, key, esp, high=0):
        """The HMAC of an ESP packet without its ICV; RFC 4303 section 2.2.1 appends the high bits of an extended number."""
        text = esp + (struct.pack("!I", high) if self.esn else b"")
        return hmac.new(key[self.suite.key:], text, self.suite.hash).digest()[:self.suite.icv]

    def aad(self, spi, sequence, high=0):
        return struct.pack("!III", spi, high, sequence) if self.esn else struct.pack("!II", spi, sequence)

    def decrypt(self, esp, sequence):
        """The plaintext of an ESP packet of the dataplane's, without scapy."""
        key, iv_end = self.key_out, 8 + self.suite.iv
        if self.suite.aead:
            cipher = self.suite.aead(key[:-4])
            return cipher.decrypt(key[-4:] + esp[8:iv_end], esp[iv_end:], self.aad(self.spi_out, sequence))
        assert hmac.compare_digest(self.icv(key, esp[:-self.suite.icv]), esp[-self.suite.icv:]), "the ICV is wrong"
        cipher = Cipher(algorithms.AES(key[:self.suite.key]), modes.CBC(esp[8:iv_end])).decryptor()
        return cipher.update(esp[iv_end:-self.suite.icv]) + cipher.finalize()

    def encrypt(self, head, plain, sequence):
        """What follows the ESP header HEAD."""
        key, iv = self.key_in, os.urandom(self.suite.iv)
        if self.suite.aead:
            return iv + self.suite.aead(key[:-4]).encrypt(key[-4:] + iv, plain, self.aad(self.spi_in, sequence))
        cipher = Cipher(algorithms.AES(key[:self.suite.key]), modes.CBC(iv)).encryptor()
        body = iv + cipher.update(plain) + cipher.finalize()
        return body + self.icv(key, head + body)

    def is_mine(self, frame):
        if frame[12:14] != b"\x08\x00" or frame[30:34] != socket.inet_aton(self.tunnel.remote):
            return False
        at = 42 if self.udp else 34
        return (frame[23] == (socket.IPPROTO_UDP if self.udp else socket.IPPROTO_ESP) and
                frame[at:at + 4] == struct.pack("!I", self.spi_out))

    def open(self, outer):
        """The inner packet of an outer one, with every rule of RFC 4303 and 3948 that a strict server would apply."""
        assert (outer.src, outer.dst) == (self.tunnel.local, self.tunnel.remote)
        at = 20
        if self.udp:
            assert (outer[UDP].sport, outer[UDP].dport) == (4500, 4500)
            assert outer[UDP].len == len(outer) - 20
            at = 28
        esp = bytes(outer)[at:]
        spi, sequence = struct.unpack_from("!II", esp)
        assert spi == self.spi_out
        assert sequence == self.sequence_out + 1, "sequence numbers go up by one"
        self.sequence_out = sequence
        plain = self.decrypt(esp, sequence)
        pad_length, next_header = plain[-2:]
        assert next_header == 4
        assert plain[-2 - pad_length:-2] == bytes(range(1, pad_length + 1)), "RFC 4303 section 2.4"
        assert len(plain) % self.suite.block == 0 and pad_length < self.suite.block
        # scapy 2.5 does not know that extended numbers belong to the HMAC
        by_scapy = self.opener.decrypt(outer.copy(), verify=not (self.esn and self.suite.hash))
        assert bytes(by_scapy) == plain[:len(plain) - 2 - pad_length]
        return check_checksums(by_scapy)

    def seal(self, inner, sequence=None, high=0):
        """The outer packet around an inner one; HIGH: the upper half of an extended sequence number."""
        outer = self.sealer.encrypt(inner, seq_num=sequence, esn=high)
        if self.esn and self.suite.hash:  # see open()
            esp = bytes(outer[ESP])[:-self.suite.icv]
            outer[ESP].data = esp[8:] + self.icv(self.key_in, esp, high)
        if self.udp:
            outer[UDP].len = len(outer) - 20  # scapy 2.5 counts the UDP header alone
        return outer

    def seal_plaintext(self, plain, sequence=None):
        """As seal(), for a plaintext that scapy would not make (trailer included)."""
        if sequence is None:
            sequence = self.sealer.seq_num
            self.sealer.seq_num += 1
        head = struct.pack("!II", self.spi_in, sequence)
        body = head + self.encrypt(head, plain, sequence)
        return self.outer(body)

    def outer(self, payload, source=None, udp=None):
        """Any bytes as this server's ESP packet."""
        packet = IP(src=source or self.tunnel.remote, dst=self.tunnel.local)
        if self.udp if udp is None else udp:
            return IP(bytes(packet / UDP(sport=4500, dport=4500, chksum=0) / Raw(payload)))
        packet.proto = socket.IPPROTO_ESP
        return IP(bytes(packet / Raw(payload)))


class Tunnel:
    """A server and its leases in the dataplane."""

    def __init__(self, dataplane, environment, server, inner=INNER, remote=None, pod=None):
        self.dataplane = dataplane
        self.id = (environment, server)
        self.remote = remote or SERVERS[self.id]
        self.pod = pod or POD[environment]  # the environment's address
        self.local = harness.UPLINK_ADDRESS
        self.inner = inner
        self.pair = None

    @property
    def control(self):
        return self.dataplane.control

    def add_pair(self, algorithm=c.AES256_GCM16, udp=True, esn=True, window=64):
        """New SAs beside those that are there; the newest outbound one is used from now on."""
        pair = SaPair(self, self.control.spi_alloc(*self.id), algorithm, udp, esn)
        self.control.sa_add(pair.message(c.IN, window))
        self.control.sa_add(pair.message(c.OUT))
        self.pair = pair
        return pair

    def delete_pair(self, pair):
        self.control.sa_del(pair.spi_in, self.local, c.IN)
        self.control.sa_del(pair.spi_out, self.remote, c.OUT)

    def up(self, **suite):
        """Up with the suite given and no other SAs."""
        old = self.pair
        self.control.peer_set(*self.id, self.remote)
        pair = self.add_pair(**suite)
        self.control.tunnel_set(*self.id, self.inner)
        if old:
            self.delete_pair(old)
        return pair

    def down(self):
        self.control.tunnel_set(*self.id, None)
        if self.pair:
            self.delete_pair(self.pair)
            self.pair = None

    def take(self, what="a packet in the tunnel", pair=None):
        """The next packet the dataplane sealed for this server: (outer, inner)."""
        pair = pair or self.pair
        frame = self.dataplane.uplink.take(pair.is_mine, what)
        outer = parse(self.dataplane.uplink, frame, harness.UPLINK_ROUTER)
        return outer, pair.open(outer)

    def send(self, inner, pair=None, **how):
        """An inner packet from behind the server; returns the outer one, to send it again."""
        outer = (pair or self.pair).seal(inner, **how)
        self.dataplane.uplink.send_ip(outer)
        return outer


# ---- a TCP connection through a forward ----

class Flow:
    """
    Both ends of a TCP connection, without a stack: each method sends one segment at one end, takes it at the other, and checks
    everything that the dataplane may and may not have changed.
    """

    def __init__(self, tunnel, client=CLIENT, forward_port=FORWARD_PORT, target=(TARGET, TARGET_PORT), client_port=None):
        self.tunnel, self.dataplane = tunnel, tunnel.dataplane
        self.pod = tunnel.pod
        self.client, self.client_port = client, client_port or next(fresh_ports)
        self.forward_port, self.target = forward_port, target
        self.via = client if client in self.dataplane.cluster.macs else harness.CLUSTER_ROUTER
        self.inner_port = None
        self.client_next = 1000003 * next(fresh_sequences) & 0xffffffff
        self.server_next = 7000003 * next(fresh_sequences) & 0xffffffff

    # packets as each end sends them

    def from_client(self, flags="A", data=b"", tos=0, ttl=64, ip=None, **tcp):
        tcp = {"seq": self.client_next, "ack": self.server_next if "A" in flags else 0, **tcp}
        return IP(src=self.client, dst=self.pod, tos=tos, ttl=ttl, flags="DF", id=7, **(ip or {})) / \
            TCP(sport=self.client_port, dport=self.forward_port, flags=flags, **tcp) / Raw(data)

    def from_server(self, flags="A", data=b"", tos=0, ttl=61, **tcp):
        tcp = {"seq": self.server_next, "ack": self.client_next, **tcp}
        return IP(src=self.target[0], dst=self.tunnel.inner, tos=tos, ttl=ttl, id=9) / \
            TCP(sport=self.target[1], dport=self.inner_port, flags=flags, **tcp) / Raw(data)

    # one segment across

    def out(self, flags="A", data=b"", pair=None, **fields):
        """Client to server; returns (outer, inner) as the server got them."""
        packet = IP(bytes(self.from_client(flags, data, **fields)))
        self.dataplane.cluster.send_ip(packet, self.via)
        outer, inner = self.tunnel.take(f"the client's {flags}", pair)
        self.check_out(packet, inner)
        assert outer.tos == inner.tos, "the traffic class is copied out"
        self.client_next = advance(self.client_next, flags, data)
        return outer, inner

    def check_out(self, packet, inner):
        assert (inner.src, inner.dst, inner.proto) == (self.tunnel.inner, self.target[0], socket.IPPROTO_TCP)
        assert inner[TCP].dport == self.target[1]
        if self.inner_port is None:
            self.inner_port = inner[TCP].sport
        assert inner[TCP].sport == self.inner_port, "one inner port for the whole connection"
        assert inner.ttl == packet.ttl - 1
        same_tcp(packet, inner)

    def back(self, flags="A", data=b"", pair=None, **fields):
        """Server to client; returns the packet as the client got it."""
        packet = IP(bytes(self.from_server(flags, data, **fields)))
        self.tunnel.send(packet, pair)
        got = self.take_at_client(f"the server's {flags}")
        assert got.ttl == packet.ttl - 1
        same_tcp(packet, got)
        self.server_next = advance(self.server_next, flags, data)
        return got

    def take_at_client(self, what):
        wire = self.dataplane.cluster
        frame = wire.take(matcher(self.pod, self.client, socket.IPPROTO_TCP, self.forward_port, self.client_port), what)
        return parse(wire, frame, self.via)

    def connect(self):
        self.out("S", options=[("MSS", 1460), ("SAckOK", b""), ("WScale", 7)])
        self.back("SA", options=[("MSS", 1460), ("SAckOK", b""), ("WScale", 7)])
        self.out("A")
        return self

    def take_reset(self, segment):
        """The dataplane's RST that answers the client's segment as RFC 9293 section 3.10.7.1 says."""
        reset = self.take_at_client("a RST")
        if "A" in segment[TCP].flags:
            assert reset[TCP].flags == "R" and reset[TCP].seq == segment[TCP].ack
        else:
            assert reset[TCP].flags == "RA" and reset[TCP].seq == 0
            assert reset[TCP].ack == advance(segment[TCP].seq, str(segment[TCP].flags), bytes(segment[TCP].payload))
        assert len(reset) == 40
        return reset

    def refused(self, reason, flags="S", **fields):
        """The client's segment is dropped as REASON and answered with a RST."""
        packet = IP(bytes(self.from_client(flags, **fields)))
        with self.dataplane.dropped(reason):
            self.dataplane.cluster.send_ip(packet, self.via)
            self.take_reset(packet)

    def session(self):
        """The dataplane's entry for this connection; None if there is none."""
        for s in self.dataplane.control.sessions(self.tunnel.id[0]):
            if (c.ip_text(s.client_be), c.port_number(s.client_port_be)) == (self.client, self.client_port):
                return s
        return None


def advance(sequence, flags, data):
    return (sequence + len(data) + ("S" in flags) + ("F" in flags)) & 0xffffffff


def same_tcp(before, after):
    """What no gateway may change: sequence numbers, flags, window, payload, the traffic class, options apart from a lower MSS."""
    for field in ("seq", "ack", "flags", "window", "urgptr", "dataofs", "reserved"):
        assert getattr(before[TCP], field) == getattr(after[TCP], field), field
    assert before.tos == after.tos and before.len == after.len and before.flags == after.flags
    assert bytes(before[TCP].payload) == bytes(after[TCP].payload), "the payload"
    assert [o for o in before[TCP].options if o[0] != "MSS"] == [o for o in after[TCP].options if o[0] != "MSS"]


def mss(packet):
    return dict((o[0], o[1]) for o in packet[TCP].options).get("MSS")
