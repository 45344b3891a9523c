# SPDX-License-Identifier: GPL-2.0-or-later
"""A link that loses IKE messages of one kind, one way, for as long as a test wants it."""

from .host import wait_until

# After IPv4 and UDP: the non-ESP marker (RFC 3948 section 2.2), then the IKE header (RFC 7296
# section 3.1). Offsets from the IPv4 header.
_MARKER, _EXCHANGE, _FLAGS, _MESSAGE_ID = 28, 50, 51, 52
IKE_AUTH, CREATE_CHILD_SA = 35, 36
REQUESTS, ANSWERS = "0x00", "0x20"


class Loss:
    """What HOST sends on DEVICE, of which some IKE messages are lost.

    Made before there is traffic that is counted: a link loses packets while its queue is replaced,
    and counts them nowhere.
    """

    def __init__(self, host, device):
        self._host = host
        self._device = device
        self._tc("qdisc", "add", "root", "handle", "1:", "htb")
        self._tc("class", "add", "parent", "1:", "classid", "1:1", "htb", "rate", "8bit")
        # a queue of one byte: nothing fits
        self._tc("qdisc", "add", "parent", "1:1", "handle", "11:", "bfifo", "limit", "1")

    def begin(self, exchange, kind, message_id=None):
        """From now on the exchange's REQUESTS or ANSWERS are lost, or the one with that number."""
        number = ["match", "u32", str(message_id), "0xffffffff", "at", str(_MESSAGE_ID)]
        self._tc("filter", "add", "parent", "1:", "pref", self._preference(kind), "protocol", "ip",
                 "u32", "match", "ip", "protocol", "17", "0xff",
                 "match", "u32", "0", "0xffffffff", "at", str(_MARKER),
                 "match", "u8", str(exchange), "0xff", "at", str(_EXCHANGE),
                 "match", "u8", kind, "0x20", "at", str(_FLAGS),
                 *(number if message_id is not None else []), "flowid", "1:1")

    def end(self, kind):
        """They arrive again. The queue itself stays: what waits in it would be lost with it."""
        self._tc("filter", "del", "parent", "1:", "pref", self._preference(kind))

    @staticmethod
    def _preference(kind):
        return "1" if kind == REQUESTS else "2"

    def _tc(self, what, how, *argv):
        return self._host.run("tc", "-s", what, how, "dev", self._device, *argv).stdout

    def count(self):
        """How many were lost."""
        text = self._tc("qdisc", "show", "parent", "1:1")
        return int(text.partition("(dropped ")[2].partition(",")[0])


class LostAnswer:
    """The next answer of any server to an IKE_AUTH request is lost, once."""

    def __init__(self, topology):
        self._loss = Loss(topology.internet, "to-gateway")

    def begin(self, message_id):
        """From now on the answer to the request number MESSAGE_ID will be lost."""
        self._loss.begin(IKE_AUTH, ANSWERS, message_id)

    def wait(self, timeout=20):
        """Waits until it was lost; from then on nothing is. Returns how many were lost."""
        wait_until(self._loss.count, timeout, "an answer is lost")
        lost = self._loss.count()
        self._loss.end(ANSWERS)
        return lost
