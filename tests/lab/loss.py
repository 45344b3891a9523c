# SPDX-License-Identifier: GPL-2.0-or-later
"""A link that loses one IKE message, the way from the Internet to the gateway."""

from .host import wait_until

# After IPv4 and UDP: the non-ESP marker (RFC 3948 section 2.2), then the IKE header (RFC 7296
# section 3.1). Offsets from the IPv4 header.
_MARKER, _EXCHANGE, _FLAGS, _MESSAGE_ID = 28, 50, 51, 52
IKE_AUTH = 35


class LostAnswer:
    """The next answer of any server to an IKE_AUTH request is lost, once.

    Made before there is traffic that is counted: a link loses packets while its queue is replaced,
    and counts them nowhere.
    """

    def __init__(self, topology):
        self._host = topology.internet
        self._tc("qdisc", "add", "dev", "to-gateway", "root", "handle", "1:", "htb")
        self._tc("class", "add", "dev", "to-gateway", "parent", "1:", "classid", "1:1", "htb",
                 "rate", "8bit")
        # a queue of one byte: nothing fits
        self._tc("qdisc", "add", "dev", "to-gateway", "parent", "1:1", "handle", "11:", "bfifo",
                 "limit", "1")

    def begin(self, message_id):
        """From now on the answer to the request number MESSAGE_ID will be lost."""
        self._tc("filter", "add", "dev", "to-gateway", "parent", "1:", "protocol", "ip", "u32",
                 "match", "ip", "protocol", "17", "0xff",
                 "match", "u32", "0", "0xffffffff", "at", str(_MARKER),
                 "match", "u8", str(IKE_AUTH), "0xff", "at", str(_EXCHANGE),
                 "match", "u8", "0x20", "0x20", "at", str(_FLAGS),
                 "match", "u32", str(message_id), "0xffffffff", "at", str(_MESSAGE_ID),
                 "flowid", "1:1")

    def _tc(self, *argv):
        return self._host.run("tc", *argv).stdout

    def _count(self):
        text = self._tc("-s", "qdisc", "show", "dev", "to-gateway", "parent", "1:1")
        return int(text.partition("(dropped ")[2].partition(",")[0])

    def wait(self, timeout=20):
        """Waits until it was lost; from then on nothing is. Returns how many were lost."""
        wait_until(self._count, timeout, "an answer is lost")
        lost = self._count()
        # the queue itself stays: what waits in it would be lost with it
        self._tc("filter", "del", "dev", "to-gateway", "parent", "1:")
        return lost
