# SPDX-License-Identifier: GPL-2.0-or-later
"""Restarts with several tunnels to one server, with a shared secret, and how long a dataplane's takes."""

import re
import time

from lab.host import wait_until
from lab.server import PAGE
from streams import Stream

ACCOUNTS = {"a": "myuser", "b": "another", "c": "third"}


def _sas(lab):
    """The IKE_SAs and CHILD_SAs that the server has: (number, number)."""
    text = lab.site.server.list_sas()
    return (len(re.findall(r"^\S+: #\d+, ESTABLISHED", text, re.MULTILINE)),
            len(re.findall(r"^  \S+: #\d+, reqid \d+, INSTALLED", text, re.MULTILINE)))


def test_several_accounts_on_one_server(lab):
    """Each tunnel comes back with its own inner address, and none ends another one's SAs."""
    server = lab.site.server
    server.set_unique("replace")
    for name, account in ACCOUNTS.items():
        server.secrets[f"eap-{name}"] = {"id": account, "secret": f'"{server.password}"'}
    lab.site.start()
    lab.add_gateway([lab.environment(servers=[
        lab.site.as_server(name, account=account) for name, account in ACCOUNTS.items()])]).start()
    inner = {name: lab.gateway.wait_up(server=name)["inner_address"] for name in ACCOUNTS}
    assert len(set(inner.values())) == len(ACCOUNTS)
    stream = Stream(lab)
    lab.gateway.kill_controlplane()
    lab.gateway.start_controlplane()
    for name in ACCOUNTS:
        assert lab.gateway.wait_up(server=name)["inner_address"] == inner[name]
    wait_until(lambda: _sas(lab) == (len(ACCOUNTS), len(ACCOUNTS)), 20,
               f"one IKE_SA of each account is left (now: {_sas(lab)})")
    assert lab.curl().stdout == PAGE
    stream.wait_for_more(100)
    assert stream.is_complete() and stream.longest_gap() < 1.0
    assert {t["phase"] for t in lab.gateway.tunnels().values()} == {"up"}


def test_shared_secret(lab):
    lab.site.start()
    lab.add_gateway([lab.environment(servers=[lab.site.as_psk_server()])]).start()
    inner = lab.gateway.wait_up()["inner_address"]
    stream = Stream(lab)
    lab.gateway.kill_controlplane()
    stream.wait_for_more(50)
    lab.gateway.start_controlplane()
    assert lab.gateway.wait_up()["inner_address"] == inner
    wait_until(lambda: _sas(lab) == (1, 1), 20, f"one IKE_SA is left (now: {_sas(lab)})")
    assert lab.curl().stdout == PAGE
    stream.wait_for_more(100)
    assert stream.is_complete() and stream.longest_gap() < 1.0


def test_dataplane_is_back_soon(up, record_property):
    """New connections succeed soon after the dataplane's end; on a quiet machine within 3 s
    (docs/restart.md). The figure is told; a busy machine is given four times as long."""
    stream = Stream(up)
    up.gateway.kill_dataplane()
    killed = time.monotonic()
    up.gateway.start_dataplane()
    wait_until(lambda: up.curl("--connect-timeout", "0.3", "vpn:33000", timeout=7).stdout == PAGE,
               12, "a new connection")
    seconds = time.monotonic() - killed
    record_property("seconds", f"{seconds:.2f}")
    print(f"a new connection succeeded {seconds:.2f} s after the dataplane was killed")
    assert stream.wait_end(15) == "ConnectionResetError"
