# SPDX-License-Identifier: GPL-2.0-or-later
"""
The contract (common/ipc_proto.h) as a Python client: its structs, and a control plane small enough for tests.

Fields whose name ends in _be hold network byte order: use ip_be() and port_be() to fill them, ip_text() and
port_number() to read them. test_contract_layout.py compares every struct with the C header.
"""
import collections
import ctypes
import errno
import os
import select
import socket
import struct
import time

MAGIC = 0x53414C59
VERSION_MAJOR = 1
VERSION_MINOR = 4
MSG_MAX = 16384
NAME_LEN = 32
DEVICE_LEN = 128
PREFIXES_MAX = 32
FORWARDS_MAX = 128
RATE_MIN = 64000
RATE_MAX = 1000000000000
EGRESS_ADDRESSES_MAX = 16
INBOUND_MAX = 256
KEY_MAX = 96
PUNT_MAX = 10240
KEEPSAKE_MAX = 1024
REPLY = 0x0001
HELLO_STARTED = 0x1
NODE_ALLOW_SLOW_CRYPTO = 0x1
SA_ESN = 0x1
SA_UDP = 0x2
SA_EARLY = 0x4
SA_OPENVPN = 0x8
SA_STREAM = 0x10
OPENVPN_KEY_IDS = 8
OPENVPN_PEER_MAX = 0xFFFFFF
OPENVPN_NO_PEER = 0xFFFFFFFF
OPENVPN_FLOAT = 0x1
OPENVPN_LZ4 = 0x2
SA_EXPIRING = 0x100
SA_ACTIVE = 0x200
SA_EXITED = 0x400
SA_SPENT = 0x800
ENVIRONMENT_KEEP_SESSIONS = 0x1
ENVIRONMENT_UNPROBED = 0x2
ENVIRONMENT_DRAINING = 0x4
MOVE_REASONS = 8
CHANGED_SAS = 0x1
CHANGED_TUNNELS = 0x2
CHANGED_PORTS = 0x4

HELLO = 1
NODE = 16
CONFIG_BEGIN = 17
CONFIG_ENVIRONMENT = 18
CONFIG_SERVER = 19
CONFIG_FORWARDS = 20
CONFIG_COMMIT = 21
CONFIG_EGRESS = 22
CONFIG_INBOUND = 23
PEER_SET = 32
TUNNEL_SET = 33
SPI_ALLOC = 34
SA_ADD = 35
SA_UPDATE = 36
SA_DEL = 37
SA_QUERY = 38
SA_LIST = 39
KEEPSAKE_SET = 40
KEEPSAKE_GET = 41
STATE = 48
TUNNELS = 49
SESSIONS = 50
MOVE = 51
EGRESS = 52
FLOW_SET = 53
FLOW_DEL = 54
PUNT_TX = 64
PUNT_RX = 65
EVENT = 66
STREAM_RX = 67
STREAM_TX = 68

IDLE_POLL, IDLE_ADAPTIVE = 0, 1
HUGEPAGES_AUTO, HUGEPAGES_ON, HUGEPAGES_OFF = 0, 1, 2
IN, OUT = 1, 2
AES128_GCM16, AES192_GCM16, AES256_GCM16, CHACHA20_POLY1305 = 1, 2, 3, 4
AES128_CBC_SHA1_96, AES128_CBC_SHA256_128, AES128_CBC_SHA384_192, AES128_CBC_SHA512_256 = 5, 6, 7, 8
AES192_CBC_SHA1_96, AES192_CBC_SHA256_128, AES192_CBC_SHA384_192, AES192_CBC_SHA512_256 = 9, 10, 11, 12
AES256_CBC_SHA1_96, AES256_CBC_SHA256_128, AES256_CBC_SHA384_192, AES256_CBC_SHA512_256 = 13, 14, 15, 16
AES128_CBC_SHA1_160, AES128_CBC_SHA256_256, AES128_CBC_SHA512_512 = 17, 18, 19
AES192_CBC_SHA1_160, AES192_CBC_SHA256_256, AES192_CBC_SHA512_512 = 20, 21, 22
AES256_CBC_SHA1_160, AES256_CBC_SHA256_256, AES256_CBC_SHA512_512 = 23, 24, 25
OPENVPN_FORMAT_DEFAULT, OPENVPN_FORMAT_EPOCH = 0, 1
OPENVPN_FRAMING_NONE, OPENVPN_FRAMING_LZO_NO, OPENVPN_FRAMING_STUB, OPENVPN_FRAMING_STUB_V2 = 0, 1, 2, 3
MOVE_NONE, MOVE_UP, MOVE_DOWN, MOVE_DEAD, MOVE_REMOVED, MOVE_BY_HAND, MOVE_BACK = 0, 1, 2, 3, 4, 5, 6
LIVENESS_UNKNOWN, LIVENESS_ALIVE, LIVENESS_SUSPECT, LIVENESS_DEAD = 0, 1, 2, 3
SESSION_OPENING, SESSION_ESTABLISHED, SESSION_CLOSING, SESSION_CLOSED, SESSION_UDP = 1, 2, 3, 4, 5
SESSION_ECHO = 6
SESSION_FORWARD, SESSION_EGRESS, SESSION_INBOUND, SESSION_HAIRPIN = 0, 1, 2, 3

# Constants that the layout test compares with the header: all above but those of Python alone.
CONSTANTS = {name: value for name, value in globals().items() if name.isupper() and isinstance(value, int)}

u8, u16, u32, u64, i32 = ctypes.c_uint8, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_int32


def ip_be(text):
    return struct.unpack("=I", socket.inet_aton(text))[0]


def ip_text(value_be):
    return socket.inet_ntoa(struct.pack("=I", value_be))


def port_be(port):
    return socket.htons(port)


def port_number(value_be):
    return socket.ntohs(value_be)


class Struct(ctypes.Structure):
    """A struct of the contract. Character arrays are given and read as bytes, and always zero filled."""

    def __setattr__(self, name, value):
        if isinstance(value, bytes):
            field = getattr(type(self), name)  # ctypes leaves what stood behind the terminating zero
            ctypes.memset(ctypes.addressof(self) + field.offset, 0, field.size)
        super().__setattr__(name, value)

    def __repr__(self):
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name, *_ in self._fields_
                           if not name.startswith("pad") and name != "key")
        return f"{type(self).__name__}({values})"


def chars(length):
    return ctypes.c_char * length


class Header(Struct):
    _fields_ = [("type", u16), ("flags", u16), ("seq", u32), ("length", u32), ("status", i32)]


class Refusal(Struct):
    _fields_ = [("reason", chars(256))]


class Hello(Struct):
    _fields_ = [("magic", u32), ("major", u16), ("minor", u16), ("epoch", u64), ("instance", chars(NAME_LEN)),
                ("pid", u32), ("flags", u32), ("generation", u64)]


class Prefix(Struct):
    _fields_ = [("address_be", u32), ("length", u8), ("pad", u8 * 3)]


class Port(Struct):
    _fields_ = [("device", chars(DEVICE_LEN)), ("address_be", u32), ("router_be", u32), ("prefix_length", u8),
                ("pad0", u8), ("mtu", u16), ("queues", u16), ("pad1", u16)]


class Node(Struct):
    _fields_ = [("name", chars(NAME_LEN)), ("uplink", Port), ("cluster", Port), ("cores", chars(64)),
                ("workers", u32), ("sessions", u32), ("mbufs", u32), ("memory_mb", u32), ("flags", u32),
                ("idle", u8), ("hugepages", u8), ("pad0", u16), ("route_count", u32), ("pad1", u32),
                ("routes", Prefix * PREFIXES_MAX)]


class Generation(Struct):
    _fields_ = [("generation", u64)]


class Environment(Struct):
    _fields_ = [("name", chars(NAME_LEN)), ("pod_address_be", u32), ("session_quota", u32), ("source_count", u32),
                ("pad", u32), ("sources", Prefix * PREFIXES_MAX), ("flags", u32), ("probe_target_be", u32),
                ("port_quota", u32), ("pad1", u32), ("rate_bps", u64)]


class TunnelId(Struct):
    _fields_ = [("environment", chars(NAME_LEN)), ("server", chars(NAME_LEN))]


class Server(Struct):
    _fields_ = [("id", TunnelId), ("priority", u16), ("pad", u16 * 3), ("ike_port_be", u16),
                ("natt_port_be", u16), ("openvpn_port_be", u16), ("pad1", u16)]


class Forward(Struct):
    _fields_ = [("environment", chars(NAME_LEN)), ("server", chars(NAME_LEN)), ("to_address_be", u32),
                ("to_port_be", u16), ("port_be", u16), ("protocol", u8), ("pad", u8 * 7)]


class Egress(Struct):
    _fields_ = [("environment", chars(NAME_LEN)), ("address_count", u32), ("source_count", u32), ("allow_count", u32),
                ("pad", u32), ("addresses_be", u32 * EGRESS_ADDRESSES_MAX), ("sources", Prefix * PREFIXES_MAX),
                ("allow", Prefix * PREFIXES_MAX)]


class Inbound(Struct):
    _fields_ = [("address_be", u32), ("to_address_be", u32), ("to_port_be", u16), ("port_be", u16), ("protocol", u8),
                ("pad", u8 * 3)]


class Peer(Struct):
    _fields_ = [("id", TunnelId), ("remote_be", u32), ("ike_port_be", u16), ("natt_port_be", u16),
                ("openvpn_port_be", u16), ("remote_port_be", u16), ("pad", u32)]


class TunnelState(Struct):
    _fields_ = [("id", TunnelId), ("inner_address_be", u32), ("is_up", u8), ("pad", u8 * 3)]


class Spi(Struct):
    _fields_ = [("spi_be", u32), ("pad", u32)]


class SaId(Struct):
    _fields_ = [("spi_be", u32), ("destination_be", u32), ("direction", u8), ("pad", u8 * 7)]


class OpenVpn(Struct):
    _fields_ = [("peer_id", u32), ("key_id", u8), ("format", u8), ("framing", u8), ("flags", u8), ("ping_s", u16),
                ("pad", u16 * 3)]


class SaAdd(Struct):
    _fields_ = [("tunnel", TunnelId), ("id", SaId), ("local_be", u32), ("remote_be", u32), ("local_port_be", u16),
                ("remote_port_be", u16), ("flags", u32), ("algorithm", u16), ("key_length", u16),
                ("replay_window", u32), ("hard_seconds", u32), ("pad", u32), ("key", u8 * KEY_MAX),
                ("openvpn", OpenVpn)]


class SaUpdate(Struct):
    _fields_ = [("id", SaId), ("local_be", u32), ("remote_be", u32), ("local_port_be", u16),
                ("remote_port_be", u16), ("flags", u32)]


class Keepsake(Struct):
    _fields_ = [("id", TunnelId), ("length", u32), ("pad", u32), ("data", u8 * 1024)]


class SaInfo(Struct):
    _fields_ = [("tunnel", TunnelId), ("id", SaId), ("control_epoch", u64), ("packets", u64), ("bytes", u64),
                ("used_ns", u64), ("added_ns", u64), ("sequence", u64), ("flags", u32), ("local_be", u32),
                ("remote_be", u32), ("local_port_be", u16), ("remote_port_be", u16), ("algorithm", u16),
                ("pad0", u16), ("pad1", u32), ("key_id", u8), ("pad2", u8 * 7)]


class Cursor(Struct):
    _fields_ = [("cursor", u64)]


class List(Struct):
    _fields_ = [("next", u64), ("count", u32), ("entry_size", u32)]


class EnvironmentState(Struct):
    _fields_ = [("name", chars(NAME_LEN)), ("active", chars(NAME_LEN)), ("move_counter", u64), ("packets_out", u64),
                ("bytes_out", u64), ("packets_in", u64), ("bytes_in", u64), ("sessions", u32), ("home_worker", u32),
                ("moved_from", chars(NAME_LEN)), ("moved_ns", u64), ("detection_ns", u64), ("switch_ns", u64),
                ("moves", u64 * MOVE_REASONS), ("sessions_kept", u32), ("sessions_reset", u32), ("move_reason", u8),
                ("is_settled", u8), ("is_lost", u8), ("pad", u8 * 5), ("refused_sessions", u64), ("refused_ports", u64),
                ("refused_sources", u64), ("rate_dropped_out", u64), ("rate_dropped_in", u64), ("refused_source_be", u32),
                ("sessions_closed", u32)]


class TunnelInfo(Struct):
    _fields_ = [("id", TunnelId), ("inner_address_be", u32), ("remote_be", u32), ("heard_ns", u64),
                ("packets_out", u64), ("bytes_out", u64), ("packets_in", u64), ("bytes_in", u64),
                ("inner_mtu", u32), ("is_up", u8), ("is_active", u8), ("pad", u8 * 2), ("alive_since_ns", u64),
                ("answered_ns", u64), ("probes_sent", u64), ("probes_answered", u64), ("probes_missed", u64),
                ("deaths", u64), ("rtt_us", u32), ("rtt_deviation_us", u32), ("liveness", u8), ("pad1", u8 * 7)]


class SessionQuery(Struct):
    _fields_ = [("cursor", u64), ("environment", chars(NAME_LEN)), ("limit", u32), ("pad", u32)]


class Session(Struct):
    _fields_ = [("tunnel", TunnelId), ("client_be", u32), ("inner_be", u32), ("target_be", u32),
                ("client_port_be", u16), ("forward_port_be", u16), ("inner_port_be", u16), ("target_port_be", u16),
                ("protocol", u8), ("state", u8), ("pad", u16), ("age_s", u32), ("idle_s", u32),
                ("bytes_out", u64), ("bytes_in", u64), ("kind", u8), ("pad1", u8 * 7)]


class EgressUse(Struct):
    _fields_ = [("address_be", u32), ("remote_be", u32), ("remote_port_be", u16), ("protocol", u8), ("pad", u8),
                ("ports", u32), ("capacity", u32), ("sessions", u32)]


class Move(Struct):
    _fields_ = [("environment", chars(NAME_LEN)), ("server", chars(NAME_LEN)), ("move_counter", u64), ("reason", u8),
                ("pad", u8 * 7)]


class Punt(Struct):
    _fields_ = [("source_be", u32), ("destination_be", u32), ("source_port_be", u16), ("destination_port_be", u16),
                ("length", u32)]


class Flow(Struct):
    _fields_ = [("remote_be", u32), ("remote_port_be", u16), ("local_port_be", u16), ("protocol", u8),
                ("pad", u8 * 7)]


class Event(Struct):
    _fields_ = [("changed", u64)]


# The C name of each, for the layout test.
STRUCTS = {
    "ipc_header": Header, "ipc_refusal": Refusal, "ipc_hello": Hello, "ipc_prefix": Prefix, "ipc_port": Port,
    "ipc_node": Node, "ipc_generation": Generation, "ipc_environment": Environment, "ipc_tunnel": TunnelId,
    "ipc_server": Server, "ipc_forward": Forward, "ipc_egress": Egress, "ipc_inbound": Inbound,
    "ipc_egress_use": EgressUse, "ipc_peer": Peer, "ipc_tunnel_state": TunnelState,
    "ipc_spi": Spi, "ipc_sa_id": SaId, "ipc_openvpn": OpenVpn, "ipc_sa_add": SaAdd, "ipc_sa_update": SaUpdate, "ipc_sa_info": SaInfo,
    "ipc_keepsake": Keepsake,
    "ipc_cursor": Cursor, "ipc_list": List, "ipc_environment_state": EnvironmentState,
    "ipc_tunnel_info": TunnelInfo, "ipc_session_query": SessionQuery, "ipc_session": Session, "ipc_move": Move,
    "ipc_punt": Punt, "ipc_flow": Flow, "ipc_event": Event,
}


def tunnel_id(environment, server):
    return TunnelId(environment=environment.encode(), server=server.encode())


def prefix(text):
    address, length = text.split("/")
    return Prefix(address_be=ip_be(address), length=int(length))


def sa_id(spi, destination, direction):
    return SaId(spi_be=socket.htonl(spi), destination_be=ip_be(destination), direction=direction)


def message(kind, body=b"", seq=0, flags=0, status=0, length=None):
    body = bytes(body)
    if length is None:
        length = ctypes.sizeof(Header) + len(body)
    return bytes(Header(type=kind, flags=flags, seq=seq, length=length, status=status)) + body


def hello(instance, magic=MAGIC, major=VERSION_MAJOR, minor=VERSION_MINOR, epoch=None):
    if epoch is None:
        epoch = struct.unpack("=Q", os.urandom(8))[0] | 1
    return Hello(magic=magic, major=major, minor=minor, epoch=epoch, instance=instance.encode(), pid=os.getpid())


class ContractError(Exception):
    """A request that was refused: status is the positive errno, reason the refusal's words, if any."""

    def __init__(self, kind, status, reason):
        super().__init__(f"request {kind}: {errno.errorcode.get(status, status)} {reason}")
        self.status = status
        self.reason = reason


class Closed(Exception):
    """The dataplane ended the connection."""


class Raw:
    """A connection without manners: sends any bytes, receives whole messages."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.descriptors = []  # that came with messages and nobody took
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise

    def close(self):
        self.socket.close()
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = []

    def send(self, data):
        self.socket.send(data)

    def receive(self, timeout):
        """(header, body); Closed at the end of the connection, TimeoutError when nothing comes."""
        ready, _, _ = select.select([self.socket], [], [], timeout)
        if not ready:
            raise TimeoutError("the dataplane sent nothing")
        try:
            data, descriptors, _, _ = socket.recv_fds(self.socket, MSG_MAX, 1)
        except ConnectionError as error:
            raise Closed() from error
        if not data:
            raise Closed()
        self.descriptors += descriptors
        header = Header.from_buffer_copy(data)
        assert header.length == len(data), f"length says {header.length}, {len(data)} came"
        return header, data[ctypes.sizeof(Header):]


class Contract(Raw):
    """A control plane's side of one connection."""

    def __init__(self, path, instance, epoch=None, timeout=10.0):
        super().__init__(path)
        self.timeout = timeout
        self.seq = 0
        self.punts = collections.deque()
        self.streams = collections.deque()
        self.changed = 0
        mine = hello(instance, epoch=epoch)
        self.epoch = mine.epoch
        self.peer = None
        self.seq += 1
        self.send(message(HELLO, mine, seq=self.seq))
        try:
            deadline = time.monotonic() + timeout
            while self.peer is None:
                self._dispatch(*self.receive(deadline - time.monotonic()))
        except BaseException:
            self.close()
            raise

    def _dispatch(self, header, body):
        """Takes what is no reply to a request; returns whether it did."""
        if header.type == HELLO:
            if header.status:
                raise ContractError(HELLO, -header.status, refusal_reason(body))
            self.peer = Hello.from_buffer_copy(body)
        elif header.type == PUNT_RX:
            punt = Punt.from_buffer_copy(body)
            self.punts.append((punt, body[ctypes.sizeof(Punt):]))
        elif header.type == STREAM_RX:
            punt = Punt.from_buffer_copy(body)
            self.streams.append((punt, body[ctypes.sizeof(Punt):]))
        elif header.type == EVENT:
            self.changed |= Event.from_buffer_copy(body).changed
        else:
            return False
        return True

    def request(self, kind, body=b""):
        """Sends a request, returns its reply's body; ContractError when it is refused."""
        self.seq += 1
        self.send(message(kind, body, seq=self.seq))
        deadline = time.monotonic() + self.timeout
        while True:
            header, reply = self.receive(max(0.0, deadline - time.monotonic()))
            if self._dispatch(header, reply):
                continue
            assert header.flags == REPLY and header.seq == self.seq and header.type == kind, header
            if header.status:
                raise ContractError(kind, -header.status, refusal_reason(reply))
            return reply

    def ask(self, kind, body, answer):
        return answer.from_buffer_copy(self.request(kind, body))

    def list(self, kind, query, entry):
        """All entries of a list, part by part."""
        entries = []
        while True:
            body = self.request(kind, query)
            head = List.from_buffer_copy(body)
            at = ctypes.sizeof(List)
            assert len(body) == at + head.count * head.entry_size, head
            assert head.entry_size == ctypes.sizeof(entry), head
            for i in range(head.count):
                entries.append(entry.from_buffer_copy(body, at + i * head.entry_size))
            if not head.next:
                return entries
            assert head.next != query.cursor, "a cursor that stays would never end"
            query.cursor = head.next

    def wait_punt(self, timeout=5.0):
        return self._wait(self.punts, timeout)

    def wait_stream(self, timeout=5.0):
        """The next packet for a byte stream."""
        return self._wait(self.streams, timeout)

    def discard(self):
        """Takes everything that has come unasked: datagrams, packets for streams, events."""
        while select.select([self.socket], [], [], 0)[0]:
            header, body = self.receive(0)
            assert self._dispatch(header, body), header
        self.punts.clear()
        self.streams.clear()

    def _wait(self, queue, timeout):
        deadline = time.monotonic() + timeout
        while not queue:
            header, body = self.receive(max(0.0, deadline - time.monotonic()))
            assert self._dispatch(header, body), header
        return queue.popleft()

    # configuration

    def node(self, node):
        self.request(NODE, node)

    def commit(self, generation, environments=(), servers=(), forwards=(), egress=(), inbound=()):
        self.request(CONFIG_BEGIN, Generation(generation))
        for environment in environments:
            self.request(CONFIG_ENVIRONMENT, environment)
        for server in servers:
            self.request(CONFIG_SERVER, server)
        if forwards:
            self.request(CONFIG_FORWARDS, b"".join(bytes(f) for f in forwards))
        for rule in egress:
            self.request(CONFIG_EGRESS, rule)
        if inbound:
            self.request(CONFIG_INBOUND, b"".join(bytes(i) for i in inbound))
        self.request(CONFIG_COMMIT, Generation(generation))

    # leases

    def peer_set(self, environment, server, remote, ike_port=500, natt_port=4500):
        self.request(PEER_SET, Peer(id=tunnel_id(environment, server), remote_be=ip_be(remote) if remote else 0,
                                    ike_port_be=port_be(ike_port), natt_port_be=port_be(natt_port)))

    def openvpn_peer_set(self, environment, server, remote, remote_port, port):
        """remote None: none at the moment."""
        self.request(PEER_SET, Peer(id=tunnel_id(environment, server), remote_be=ip_be(remote) if remote else 0,
                                    openvpn_port_be=port_be(port), remote_port_be=port_be(remote_port)))

    def tunnel_set(self, environment, server, inner):
        """inner None: the tunnel is down."""
        self.request(TUNNEL_SET, TunnelState(id=tunnel_id(environment, server), is_up=1 if inner else 0,
                                             inner_address_be=ip_be(inner) if inner else 0))

    def spi_alloc(self, environment, server):
        return socket.ntohl(self.ask(SPI_ALLOC, tunnel_id(environment, server), Spi).spi_be)

    def sa_add(self, add):
        self.request(SA_ADD, add)

    def sa_del(self, spi, destination, direction):
        self.request(SA_DEL, sa_id(spi, destination, direction))

    def sa_query(self, spi, destination, direction):
        return self.ask(SA_QUERY, sa_id(spi, destination, direction), SaInfo)

    def sa_list(self):
        return self.list(SA_LIST, Cursor(0), SaInfo)

    def keepsake_set(self, environment, server, data):
        keepsake = Keepsake(id=tunnel_id(environment, server), length=len(data))
        keepsake.data[:len(data)] = data
        self.request(KEEPSAKE_SET, keepsake)

    def keepsake(self, environment, server):
        keepsake = self.ask(KEEPSAKE_GET, tunnel_id(environment, server), Keepsake)
        return bytes(keepsake.data[:keepsake.length])

    # flows that end on the gateway

    def flow_set(self, remote, remote_port):
        """(its socket, the flow)"""
        flow = self.ask(FLOW_SET, Flow(remote_be=ip_be(remote), remote_port_be=port_be(remote_port), protocol=socket.IPPROTO_TCP),
                        Flow)
        return socket.socket(fileno=self.descriptors.pop()), flow

    def flow_del(self, flow):
        self.request(FLOW_DEL, flow)

    # the dataplane's own

    def state(self):
        return {e.name.decode(): e for e in self.list(STATE, Cursor(0), EnvironmentState)}

    def tunnels(self):
        return {(t.id.environment.decode(), t.id.server.decode()): t
                for t in self.list(TUNNELS, Cursor(0), TunnelInfo)}

    def sessions(self, environment="", limit=64):
        return self.list(SESSIONS, SessionQuery(environment=environment.encode(), limit=limit), Session)

    def egress(self):
        return self.list(EGRESS, Cursor(0), EgressUse)

    def move(self, environment, server, move_counter, reason=MOVE_BY_HAND):
        return self.ask(MOVE, Move(environment=environment.encode(), server=server.encode(),
                                   move_counter=move_counter, reason=reason), Move)

    def punt_tx(self, source, source_port, destination, destination_port, payload):
        punt = Punt(source_be=ip_be(source), destination_be=ip_be(destination), source_port_be=port_be(source_port),
                    destination_port_be=port_be(destination_port), length=len(payload))
        self.send(message(PUNT_TX, bytes(punt) + payload))


def refusal_reason(body):
    if len(body) == ctypes.sizeof(Refusal):
        return Refusal.from_buffer_copy(body).reason.decode()
    return ""
