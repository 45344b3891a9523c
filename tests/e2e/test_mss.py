# SPDX-License-Identifier: GPL-2.0-or-later
"""Segments fit the tunnel, so that nothing needs fragments."""

import re

import pytest

from lab.server import PAGE

pytestmark = pytest.mark.sanitized

TCP_AND_IP_HEADERS = 40


def _mss_of_syns(details):
    return {int(mss) for mss in re.findall(r"Flags \[S\.?\].*?\bmss (\d+)", details)}


def test_mss_is_clamped_in_both_directions(lab):
    captures = lab.capture("uplink", "cluster", "lan-a")
    lab.site.start()
    lab.add_gateway().start()
    lab.gateway.wait_up()
    digest = lab.site.web.add_document("blob", 2)
    done = lab.client.run("sh", "-c", "curl --silent --max-time 20 vpn:33000/blob | sha256sum")
    assert done.stdout.split()[0] == digest
    assert lab.curl().stdout == PAGE
    for capture in captures.values():
        capture.stop()

    to_server = _mss_of_syns(captures["lan-a"].details("tcp[tcpflags] == tcp-syn"))
    to_client = _mss_of_syns(captures["cluster"].details("tcp[tcpflags] == tcp-syn|tcp-ack"))
    # 1500 less outer IPv4, UDP, ESP header, IV, shortest trailer, ICV: 20 + 8 + 8 + 8 + 2 + 16
    largest = 1500 - 62 - TCP_AND_IP_HEADERS
    assert to_server and max(to_server) <= largest and min(to_server) > largest - 60, to_server
    assert to_client and max(to_client) <= largest and min(to_client) > largest - 60, to_client

    uplink = captures["uplink"]
    assert uplink.select("src host 203.0.113.10 and udp port 4500 and greater 1300 or dst host "
                         "203.0.113.10 and udp port 4500 and greater 1300"), "full packets were seen"
    assert uplink.select("ip[6:2] & 0x3fff != 0") == [], "no fragments"
    assert uplink.select("greater 1515") == [], "nothing longer than the MTU"
