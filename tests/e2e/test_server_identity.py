# SPDX-License-Identifier: GPL-2.0-or-later
"""Who the server is: identities by address, by name and as configured; and every fault of its certificate."""

import re

import pytest

from lab.host import wait_until
from lab.pki import Authority
from lab.server import PAGE

QUICK_RETRY = {"retry": {"min": 1, "max": 2}}
ADDRESS = "198.51.100.101"
NAME = "vpn-a.customer.example"


def _start(lab, **changes):
    server = lab.site.as_server(**{"options": QUICK_RETRY, **changes})
    gateway = lab.add_gateway([lab.environment(servers=[server])])
    gateway.start()
    return gateway


def _serve(lab, certificate, identity=None):
    lab.site.server.use_certificate(*certificate)
    if identity:
        lab.site.server.accounts["local"]["id"] = identity
    else:
        del lab.site.server.accounts["local"]["id"]
    lab.site.start()


def _require_said_once_an_attempt(gateway, why):
    """In the tunnel's own words, and one line in the log for each attempt."""
    pattern = re.compile(why)
    gateway.wait_why(pattern)
    wait_until(lambda: gateway.tunnel().get("attempts", 0) >= 3, 30, "a third attempt")
    gateway.wait_why(pattern)
    attempts = gateway.tunnel()["attempts"]
    lines = [line for line in gateway.controlplane.output().splitlines() if "WARN" in line
             and pattern.search(line) and "before that" not in line]
    assert attempts - 1 <= len(lines) <= attempts + 1


# What the server has: names in the certificate, its identity (None: the certificate's subject);
# what we are told: server_identity ("": nothing), the server's address.
GOOD = {
    "address in the certificate": ([ADDRESS], None, "", ADDRESS),
    "address is the identity": ([ADDRESS], ADDRESS, "", ADDRESS),
    "name in the certificate": ([NAME], None, "", NAME),
    "name is the identity": ([NAME, ADDRESS], NAME, "", ADDRESS),
    "configured name": ([NAME], NAME, NAME, ADDRESS),
    "configured subject": ([], None, f"O=Customer A, CN={NAME}", ADDRESS),
}


@pytest.mark.parametrize("case", GOOD)
def test_identity(lab, case):
    names, identity, configured, address = GOOD[case]
    lab.gateway_host.set_names({NAME: ADDRESS})
    _serve(lab, lab.site.authority.issue(NAME, names=names), identity)
    _start(lab, identity=configured, address=address).wait_up()
    assert lab.curl().stdout == PAGE


BAD = {
    "certificate of another name": (["vpn-b.customer.example"], None, "", ADDRESS,
                                    "calls itself .* and neither that nor its certificate is for"),
    "identity not in the certificate": (["vpn-b.customer.example"], NAME, NAME, ADDRESS,
                                        r"does not name \"vpn-a.customer.example\""),
    "configured one is not served": ([NAME], NAME, "vpn-c", ADDRESS,
                                     r"or \"vpn-c\" as its own identity, is not configured there"),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_identity(lab, case):
    names, identity, configured, address, why = BAD[case]
    _serve(lab, lab.site.authority.issue(NAME, names=names), identity)
    _require_said_once_an_attempt(_start(lab, identity=configured, address=address), why)


FAULTS = {
    "expired": ({"valid": (-9, -2)}, r"the server's certificate is expired: .* was valid until"),
    "early": ({"valid": (2, 9)}, r"the server's certificate is not valid yet: .* is valid from"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_validity(lab, fault):
    options, why = FAULTS[fault]
    _serve(lab, lab.site.authority.issue(NAME, ADDRESS, **options), NAME)
    _require_said_once_an_attempt(_start(lab), why)


def test_untrusted(lab):
    other = Authority(lab.run.path("pki-other"), "Somebody else")
    lab.site.start()
    _require_said_once_an_attempt(_start(lab, authority=other.certificate),
                                  "was not issued by the configured CA")


def _join(lab, *paths):
    joined = lab.run.path("joined.pem")
    with open(joined, "w", encoding="ascii") as file:
        for path in paths:
            with open(path, encoding="ascii") as part:
                file.write(part.read())
    return joined


@pytest.mark.parametrize("order", [1, -1])
def test_every_certificate_of_the_file_counts(lab, order):
    others = [Authority(lab.run.path(f"pki-{n}"), f"Other {n}").certificate for n in range(3)]
    lab.site.start()
    paths = [*others, lab.site.authority.certificate][::order]
    _start(lab, authority=_join(lab, *paths)).wait_up()


def test_chain_in_the_file(lab):
    """The server sends its own certificate alone; the intermediate CA is in our file."""
    issuing = Authority(lab.run.path("pki-issuing"), "Customer A", parent=lab.site.authority)
    _serve(lab, issuing.issue(NAME, ADDRESS), NAME)
    gateway = _start(lab, authority=issuing.certificate)
    gateway.wait_why(re.compile("has no self-signed certificate"))
    gateway.stop()
    _start(lab, authority=_join(lab, issuing.certificate, lab.site.authority.certificate)).wait_up()


def test_file_with_something_else_in_it(lab):
    _, own = lab.site.authority.issue("somebody")
    gateway = _start(lab, authority=_join(lab, lab.site.authority.certificate, own))
    gateway.wait_why(re.compile("its certificate number 2 is not a CA's"))
