# SPDX-License-Identifier: GPL-2.0-or-later
"""OpenVPN 2.7's epochs against a server written from the wire format: who moves on, who follows, what is too old or too far."""
import hashlib
import hmac
import os
import struct

import pytest
from scapy.layers.inet import IP

import contract as c
import harness
import openvpn

AEADS = {"aes128": c.AES128_GCM16, "aes192": c.AES192_GCM16, "aes256": c.AES256_GCM16, "chacha": c.CHACHA20_POLY1305}
AHEAD = 16  # epochs that a packet may be ahead
COUNTER_BITS = 48


def expand(secret, label, length):
    """HKDF-Expand (RFC 5869) of one block, with TLS 1.3's info (RFC 8446 section 7.1) but for its prefix."""
    label = b"ovpn " + label
    info = struct.pack("!HB", length, len(label)) + label + b"\0"
    return hmac.new(secret, info + b"\x01", hashlib.sha256).digest()[:length]


class Key(openvpn.Key):
    """Secrets in place of keys; `epoch_in` is what the server sends in."""

    def __init__(self, *arguments, **how):
        super().__init__(*arguments, **how)
        self.key_in, self.key_out = os.urandom(32), os.urandom(32)
        self.epoch_in = self.epoch_out = 1

    def message(self, direction):
        add = super().message(direction)
        add.openvpn.format = c.OPENVPN_FORMAT_EPOCH
        return add

    @property
    def inner_mtu(self):
        return harness.MTU - 28 - 4 - 8 - 16

    def cipher(self, secret, epoch, number):
        """(cipher, nonce) of packet NUMBER of an epoch."""
        for _ in range(1, epoch):
            secret = expand(secret, b"datakey upd", 32)
        kind, length = openvpn.AEADS[self.algorithm]
        implicit = expand(secret, b"data_iv", 12)
        nonce = bytes(a ^ b for a, b in zip(implicit, struct.pack("!Q", epoch << COUNTER_BITS | number) + bytes(4)))
        return kind(expand(secret, b"data_key", length)), nonce

    def seal(self, payload, number=None, epoch=None):
        epoch = epoch or self.epoch_in
        if number is None:
            self.number_in += 1
            number = self.number_in
        head = self.head + struct.pack("!Q", epoch << COUNTER_BITS | number)
        cipher, nonce = self.cipher(self.key_in, epoch, number)
        return head + cipher.encrypt(nonce, payload, head)

    def open(self, packet):
        number, = struct.unpack("!Q", packet[4:12])
        epoch, number = number >> COUNTER_BITS, number & (1 << COUNTER_BITS) - 1
        if epoch != self.epoch_out:
            self.epoch_out, self.number_out = epoch, 0
        assert number == self.number_out + 1, "counters go up by one, and begin with one in each epoch"
        self.number_out = number
        cipher, nonce = self.cipher(self.key_out, epoch, number)
        return self.unframe(cipher.decrypt(nonce, packet[12:], packet[:12]))

    def move(self, epoch):
        """The server goes on in EPOCH."""
        self.epoch_in, self.number_in = epoch, 0


class Tunnel(openvpn.Tunnel):
    key_kind = Key


@pytest.fixture
def vpn(dp):
    """prod's active tunnel, with epochs for the time of a test."""
    ipsec = dp.tunnels["prod", "a"]
    ipsec.down()
    tunnel = Tunnel(dp, "prod", "a")
    tunnel.up()
    yield tunnel
    tunnel.down()
    ipsec.up()


def reply(flow):
    return IP(bytes(flow.from_server("PA", b"reply")))


def send(vpn, flow, **how):
    """A reply as the server would send it, sealed as HOW says; returns the outer packet."""
    outer = vpn.outer(vpn.pair.seal(bytes(reply(flow)), **how))
    vpn.dataplane.uplink.send_ip(outer)
    return outer


@pytest.mark.parametrize("algorithm", AEADS.values(), ids=AEADS)
def test_both_move_on(dp, vpn, algorithm):
    """The server moves on, by one or by some; our next packet is in its epoch."""
    key = vpn.up(algorithm=algorithm)
    assert dp.control.tunnels()["prod", "a"].inner_mtu == key.inner_mtu
    with dp.nothing_dropped():
        flow = openvpn.Flow(vpn).connect()
        for epoch in (1, 2, 3, 3 + AHEAD):
            if epoch > 1:
                key.move(epoch)
            for size in (0, 1, 15, 16, 17, key.inner_mtu - 40):
                flow.back("PA", os.urandom(size))
                flow.out("PA", os.urandom(size))
                assert key.epoch_out == epoch


@pytest.mark.parametrize("framing", [c.OPENVPN_FRAMING_LZO_NO, c.OPENVPN_FRAMING_STUB, c.OPENVPN_FRAMING_STUB_V2],
                         ids=["lzo-no", "stub", "stub-v2"])
def test_framing(dp, vpn, framing):
    key = vpn.up(framing=framing)
    with dp.nothing_dropped():
        flow = openvpn.Flow(vpn).connect()
        for size in (0, 1, 100):
            flow.out("PA", os.urandom(size))
            flow.back("PA", os.urandom(size))
        key.move(2)
        flow.back("PA", b"the first one of an epoch")
        flow.out("PA", b"follows")


def test_replay(dp, vpn):
    key = vpn.pair
    flow = openvpn.Flow(vpn).connect()
    for epoch in (1, 2):
        if epoch > 1:
            key.move(epoch)
        sent = send(vpn, flow)
        flow.take_at_client("the first")
        with dp.dropped("openvpn-replay"):
            dp.uplink.send_ip(sent)
        send(vpn, flow, number=key.number_in + 1000)
        flow.take_at_client("one ahead")
        with dp.dropped("openvpn-replay"):
            send(vpn, flow, number=key.number_in + 1000 - 64)
        send(vpn, flow, number=key.number_in + 1000 - 63)
        flow.take_at_client("the oldest in the window")


def test_an_old_epoch(dp, vpn):
    """Of the epoch before, what is late is taken once, within its window; of older ones nothing."""
    flow = openvpn.Flow(vpn).connect()
    seen = send(vpn, flow, number=100)
    flow.take_at_client("in the first epoch")
    vpn.pair.move(2)
    send(vpn, flow)
    flow.take_at_client("in the second epoch")
    late = {number: send(vpn, flow, epoch=1, number=number) for number in (37, 99, 101)}
    for number in late:
        flow.take_at_client(f"late, {number}")
    for again in (lambda: dp.uplink.send_ip(seen), lambda: dp.uplink.send_ip(late[99]),
                  lambda: send(vpn, flow, epoch=1, number=36)):
        with dp.dropped("openvpn-replay"):
            again()
    forged = bytearray(vpn.pair.seal(bytes(reply(flow)), epoch=1, number=90))
    forged[-1] ^= 1
    with dp.dropped("openvpn-icv"):
        dp.uplink.send_ip(vpn.outer(bytes(forged)))
    send(vpn, flow, epoch=1, number=90)
    flow.take_at_client("no forgery takes its place")
    with dp.dropped("openvpn-icv"):
        send(vpn, flow, epoch=0x8001, number=1)
    flow.back("PA", b"still in the second")
    vpn.pair.move(3)
    flow.back("PA", b"in the third")
    with dp.dropped("openvpn-replay"):
        send(vpn, flow, epoch=1, number=98)


def test_too_far_ahead(dp, vpn):
    flow = openvpn.Flow(vpn).connect()
    with dp.dropped("openvpn-icv"):
        send(vpn, flow, epoch=2 + AHEAD)
    flow.out("PA", b"we do not follow")
    assert vpn.pair.epoch_out == 1
    flow.back("PA", b"nor forget")
    send(vpn, flow, epoch=1 + AHEAD, number=1)
    flow.take_at_client("as far as one may go")
    flow.out("PA", b"there are we")
    assert vpn.pair.epoch_out == 1 + AHEAD


def test_forgeries_move_nothing(dp, vpn):
    """A forged packet of a later epoch is tried with its key, and no more."""
    key = vpn.pair
    flow = openvpn.Flow(vpn).connect()
    for at in (-1, 7, 11, 12, 20):  # tag, epoch (4 and 5 name another one), counter, text
        forged = bytearray(key.seal(bytes(reply(flow)), epoch=3, number=5))
        forged[at] ^= 1
        with dp.dropped("openvpn-icv"):
            dp.uplink.send_ip(vpn.outer(bytes(forged)))
    flow.back("PA", b"the epoch is the one it was")
    flow.out("PA", b"ours, too")
    assert key.epoch_out == 1
    for length in range(1, 29):
        with dp.dropped("openvpn-truncated"):
            dp.uplink.send_ip(vpn.outer(key.seal(bytes(reply(flow)), number=900)[:length]))
    key.move(3)
    flow.back("PA", b"the server itself may")
    flow.out("PA", b"and we")
    assert key.epoch_out == 3


def test_a_new_key_begins_with_the_first_epoch(dp, vpn):
    old = vpn.pair
    flow = openvpn.Flow(vpn).connect()
    old.move(5)
    flow.back("PA", b"x")
    new = vpn.add_pair(key_id=1)
    with dp.nothing_dropped():
        flow.out("PA", b"under the new key")
        assert new.epoch_out == 1
        flow.back("PA", b"under the old one", pair=old)
        old.move(6)
        flow.back("PA", b"which may still move on", pair=old)
        flow.out("PA", b"and takes the new one nowhere")
        assert new.epoch_out == 1
        flow.back("PA", b"under the new one")
    vpn.delete_pair(old)


def test_ping(dp, vpn):
    key = vpn.up(ping_s=1)
    with dp.dropped("openvpn-ping"):
        vpn.send_payload(openvpn.PING)
    key.move(2)
    with dp.dropped("openvpn-ping"):
        vpn.send_payload(openvpn.PING)
    while key.epoch_out == 1:  # one that was on its way
        assert vpn.take_payload("a ping")[1] == openvpn.PING


@pytest.mark.parametrize("changes", [{"peer_id": c.OPENVPN_NO_PEER}, {"algorithm": c.AES256_CBC_SHA256_256}],
                         ids=["v1", "cbc"])
def test_what_has_no_epochs(vpn, changes):
    with pytest.raises(c.ContractError):
        vpn.add_pair(key_id=1, **changes)
