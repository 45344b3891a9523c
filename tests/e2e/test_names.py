# SPDX-License-Identifier: GPL-2.0-or-later
"""A server that is known by its DNS name."""

import re

import pytest

from lab.dns import NameServer
from lab.host import wait_until
from lab.server import PAGE
from lab.topology import MANAGEMENT

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


def test_dns_server_is_asked_at_each_attempt(lab, named):
    """Over the management interface: first no record, then a wrong one, then two of which one serves."""
    server = NameServer(lab.run, lab.add_management(), MANAGEMENT)
    server.start()
    lab.gateway_host.set_name_server(MANAGEMENT)
    gateway = named()
    gateway.wait_why(re.compile(f'"{NAME}" cannot be resolved'))
    server.set_names({NAME: [NOBODY]})
    gateway.wait_why(re.compile("no answer"))
    asked = server.questions(NAME)
    server.set_names({NAME: [NOBODY, lab.site.server.address]})
    assert gateway.wait_up(timeout=45)["remote_address"] == lab.site.server.address
    assert server.questions(NAME) > asked
    assert lab.curl().stdout == PAGE


def test_unknown_name(lab, named):
    gateway = named()
    gateway.wait_why(re.compile(f'"{NAME}" cannot be resolved'))
    lab.gateway_host.set_names({NAME: lab.site.server.address})
    gateway.wait_up()


def test_two_names_of_one_server(lab):
    """One account under two names is one account: the second login is not tried."""
    alias = "alias.customer.example"
    lab.site.start()
    lab.gateway_host.set_names({NAME: lab.site.server.address, alias: lab.site.server.address})
    retry = {"retry": {"min": 1, "max": 1}}
    gateway = lab.add_gateway([lab.environment(servers=[
        lab.site.as_server("a", address=NAME, options=retry),
        lab.site.as_server("b", address=alias, options=retry)])])
    gateway.start()

    def is_settled():
        up = [t for t in gateway.tunnels().values() if t["up"]]
        down = [t for t in gateway.tunnels().values() if t["phase"] == "waiting"]
        return len(up) == 1 and len(down) == 1 and (up[0], down[0])
    up, down = wait_until(is_settled, 20, "one is up, one is not")
    assert f"production/{up['server']} is logged in with the same account" in down["why"]
    assert lab.site.server.swanctl("--list-sas").count("ESTABLISHED") == 1
