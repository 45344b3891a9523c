# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the server's certificate was revoked: CRL and OCSP over the management interface, each policy."""

import re

import pytest

from lab.host import wait_until
from lab.pki import Authority
from lab.server import PAGE
from lab.status import CRL_PORT, StatusServer
from lab.topology import MANAGEMENT

NAME = "vpn-a.customer.example"
ADDRESS = "198.51.100.101"
REVOKED = re.compile("the server's certificate was revoked")
UNKNOWN = re.compile(r"was revoked is not known .*, and revocation is .strict")


class _Case:
    """The customer's authority publishes; the server's certificate names where."""

    def __init__(self, lab):
        self.lab = lab
        self.status = StatusServer(lab.run, lab.add_management(), MANAGEMENT, lab.site.authority)

    def serve(self, **options):
        self.issued = self.lab.site.authority.issue(NAME, ADDRESS, **options)
        self.lab.site.server.use_certificate(*self.issued)
        self.lab.site.start()
        return self.issued[1]

    def start(self, policy, servers=None):
        options = {"revocation": policy, "retry": {"min": 1, "max": 2}}
        gateway = self.lab.add_gateway([self.lab.environment(
            servers=servers or [self.lab.site.as_server(options=options)])])
        gateway.start()
        return gateway


@pytest.fixture
def case(lab):
    return _Case(lab)


@pytest.mark.parametrize("policy", ["if-available", "strict"])
def test_crl(case, policy):
    certificate = case.serve(crl=case.status.crl)
    case.status.publish()
    case.status.web.start()
    gateway = case.start(policy)
    gateway.wait_up()
    assert case.lab.curl().stdout == PAGE
    assert case.status.questions() == 1
    gateway.stop()
    case.status.publish(certificate)
    case.start(policy).wait_why(REVOKED)


@pytest.mark.parametrize("policy", ["if-available", "strict"])
def test_ocsp(case, policy):
    certificate = case.serve(ocsp=case.status.ocsp)
    responder = case.status.start_responder()
    gateway = case.start(policy)
    gateway.wait_up()
    gateway.stop()
    responder.stop(number=9)
    case.status.start_responder(certificate)
    case.start(policy).wait_why(REVOKED)


def test_off_asks_nobody(case):
    certificate = case.serve(crl=case.status.crl)
    case.status.publish(certificate)
    case.status.web.start()
    case.start("off").wait_up()
    assert case.status.questions() == 0


def test_strict_needs_an_answer(case):
    case.serve()
    case.start("strict").wait_why(re.compile("it names neither a CRL nor an OCSP responder"))


def test_crl_that_is_out_of_date(case):
    case.serve(crl=case.status.crl)
    case.status.publish(valid=(-9, -2))
    case.status.web.start()
    gateway = case.start("strict")
    gateway.wait_why(UNKNOWN)
    assert "is out of date" in gateway.tunnel()["why"]
    gateway.stop()
    case.start("if-available").wait_up()


def test_crl_that_was_signed_by_somebody_else(case):
    case.serve(crl=case.status.crl)
    case.status.authority = Authority(case.lab.run.path("pki-other"), "Customer A")
    case.status.publish()
    case.status.web.start()
    case.start("strict").wait_why(UNKNOWN)


def _require_fetched_in_vain(gateway):
    output = gateway.controlplane.output()
    assert "nothing could be fetched" in output
    assert "without knowing whether it was revoked" in output


@pytest.mark.parametrize("fault", ["nobody", "refused", "missing", "silent"])
def test_no_answer(case, fault):
    """Strict refuses in bounded time; if-available goes on and says so."""
    url = "http://192.0.2.81/ca.crl" if fault == "nobody" else case.status.crl
    case.serve(crl=url)
    if fault == "missing":
        case.status.web.start()
    elif fault == "silent":
        case.status.start_silent(CRL_PORT)
    gateway = case.start("strict")
    gateway.wait_why(UNKNOWN)
    assert "neither a CRL nor an OCSP answer could be fetched" in gateway.tunnel()["why"]
    gateway.stop()
    gateway = case.start("if-available")
    gateway.wait_up()
    _require_fetched_in_vain(gateway)


def test_endless_crl_is_cut_off(case):
    """A CRL beyond all measure is as good as none."""
    case.serve(crl=case.status.crl)
    case.status.web.start()
    case.status.web.add_document("ca.crl", 20)
    case.start("strict").wait_why(UNKNOWN)


def test_dead_crl_server_holds_up_its_own_tunnel_alone(lab_with_two):
    """Customer A's CRL server takes connections and is silent; customer B's tunnel does not wait."""
    lab = lab_with_two
    case = _Case(lab)
    case.status.start_silent(CRL_PORT)
    lab.sites["b"].start()
    case.serve(crl=case.status.crl)
    quick = {"retry": {"min": 1, "max": 1}}
    strict = lab.sites["a"].as_server("a", options={**quick, "revocation": "strict"})
    gateway = lab.add_gateway([
        lab.environment("production", servers=[strict]),
        lab.environment("staging", servers=[lab.sites["b"].as_server("b", options=quick)])])
    gateway.start()
    gateway.wait_up("staging", "b", timeout=5)
    gateway.wait_why(UNKNOWN)
    server = lab.sites["b"].server
    for rekeys in range(1, 6):
        server.rekey_child()
        wait_until(lambda: gateway.tunnel("staging", "b")["child_rekeys"] >= rekeys, 3,
                   "a rekeying at once, with the other tunnel waiting")
