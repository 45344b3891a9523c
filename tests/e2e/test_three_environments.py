# SPDX-License-Identifier: GPL-2.0-or-later
"""Three environments, one customer network behind two stock servers: what one calls or floods is no matter of the others."""

import itertools

import pytest

from lab.host import wait_until
from lab.server import PAGE
from lab.topology import POD_ADDRESSES

pytestmark = pytest.mark.sanitized

QUOTA = 5
# Opens connections and keeps them; tells how many there are and how many were refused at once.
FLOOD = """
import signal, socket
kept, refused = [], 0
for i in range(10 * %d):
    s = socket.socket()
    s.settimeout(5)
    try:
        s.connect(("vpn", 33000))
        kept.append(s)
    except ConnectionRefusedError:
        refused += 1
print(len(kept), refused, flush=True)
signal.pause()
"""


@pytest.fixture
def lab(lab_with_three):
    lab = lab_with_three
    for site in lab.sites.values():
        site.start()
    lab.add_gateway([
        lab.environment("production", servers=[lab.sites["a"].as_server("a")]),
        lab.environment("staging", servers=[lab.sites["b"].as_server("b")]),
        lab.environment("development", servers=[lab.sites["b"].as_psk_server("b")],
                        options={"quota": {"sessions": QUOTA}}),
    ]).start()
    for environment, server in (("production", "a"), ("staging", "b"), ("development", "b")):
        lab.gateway.wait_up(environment, server)
    return lab


def environments(lab):
    return {e["name"]: e for e in lab.gateway.ask("status")["environments"]}


def test_segregation(lab):
    pages = {"production": PAGE, "staging": PAGE.replace("world", "customer B"),
             "development": PAGE.replace("world", "customer B")}
    for name, page in pages.items():
        assert lab.curl(environment=name).stdout == page
    served = {letter: site.web.requests_served() for letter, site in lab.sites.items()}
    for caller, called in itertools.permutations(pages, 2):
        done = lab.curl(f"{POD_ADDRESSES[called]}:33000", environment=caller, timeout=15)
        assert done.returncode == 7, f"{caller} is refused by {called} at once: {done}"
    assert {letter: site.web.requests_served() for letter, site in lab.sites.items()} == served
    for name, environment in environments(lab).items():
        assert environment["refused"]["sources"] == 2, name
        assert "is a source of environment" in environment["sources_warning"]


def test_flood(lab):
    """Development opens ten times its quota; production's and staging's connections succeed meanwhile."""
    flood = lab.clients["development"].start("/usr/bin/python3", "-c", FLOOD % QUOTA, name="flood")
    wait_until(flood.output, 60, "the flood has come to its end")
    assert flood.output().split() == [str(QUOTA), str(9 * QUOTA)]
    for _ in range(20):
        assert lab.curl(environment="production").stdout == PAGE
        assert lab.curl(environment="staging").returncode == 0
    now = environments(lab)
    assert now["development"]["sessions"] == QUOTA
    assert now["development"]["refused"]["sessions"] >= 9 * QUOTA
    assert now["production"]["refused"]["sessions"] == now["staging"]["refused"]["sessions"] == 0
