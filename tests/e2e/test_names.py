# SPDX-License-Identifier: GPL-2.0-or-later
"""A server that is known by its DNS name."""

import re

import pytest

from lab.server import PAGE

NAME = "vpn-a.customer.example"
NOBODY = "198.51.100.77"  # routed, and there is no such host


@pytest.fixture
def named(lab):
    def start(*addresses):
        lab.gateway_host.set_names({NAME: addresses} if addresses else {})
        server = lab.site.as_server(address=NAME, options={"retry": {"min": 1, "max": 1}})
        gateway = lab.add_gateway([lab.environment(servers=[server])])
        gateway.start()
        return gateway
    lab.site.start()
    return start


@pytest.mark.parametrize("order", [1, -1])
def test_each_address_is_tried(lab, named, order):
    gateway = named(*[NOBODY, lab.site.server.address][::order])
    assert gateway.wait_up(timeout=45)["remote_address"] == lab.site.server.address
    assert lab.curl().stdout == PAGE


def test_changed_record_is_used_by_the_next_attempt(lab, named):
    gateway = named(NOBODY)
    gateway.wait_why(re.compile("no answer"))
    lab.gateway_host.set_names({NAME: lab.site.server.address})
    gateway.wait_up(timeout=45)


def test_unknown_name(lab, named):
    gateway = named()
    gateway.wait_why(re.compile(f'"{NAME}" cannot be resolved'))
    lab.gateway_host.set_names({NAME: lab.site.server.address})
    gateway.wait_up()
