# SPDX-License-Identifier: GPL-2.0-or-later
"""New keys by bytes and packets, from both sides at the same moment, and new authentications."""

import re

import pytest

from lab.host import wait_until
from streams import Stream


def _start(lab, **options):
    lab.site.start()
    gateway = lab.add_gateway([lab.environment(servers=[lab.site.as_server(options=options)],
                                               options={"probe": {"target": "none"}})],
                              controlplane={"ike_log_level": 1})
    gateway.start()
    gateway.wait_up()
    return gateway


@pytest.mark.parametrize("limit", [{"child_rekey_bytes": "1M"}, {"child_rekey_packets": 1000}])
def test_by_amount(lab, limit):
    """Each SA carries its share and a second's traffic, not more; nothing breaks."""
    gateway = _start(lab, child_rekey=0, **limit)
    stream = Stream(lab)
    lab.site.web.start_iperf3(5201)
    load = lab.client.start("iperf3", "--client", "vpn", "--port", "33002", "--time", "120",
                            "--bitrate", "10M", "--forceflush", name="iperf3-client")
    wait_until(lambda: gateway.tunnel()["child_rekeys"] >= 4, 30, "four rekeyings")
    stream.wait_for_more(50)
    load.require_running()
    load.stop()
    assert stream.is_complete() and stream.longest_gap() < 0.5
    assert gateway.tunnel()["connects"] == 1
    said = [line for line in gateway.controlplane.output().splitlines()
            if "has carried its share" in line]
    spis = [re.search(r"spi=(\w+)", line).group(1) for line in said]
    assert len(spis) == len(set(spis)), "each SA is told once"


class _Cut:
    """The Internet forwards nothing for a while: what both sides send then meets afterwards."""

    def __init__(self, lab):
        self._internet = lab.internet

    def __enter__(self):
        self._internet.run("sysctl", "-qw", "net.ipv4.ip_forward=0")

    def __exit__(self, *_):
        self._internet.run("sysctl", "-qw", "net.ipv4.ip_forward=1")


def _requests(process):
    return len(re.findall(r"generating CREATE_CHILD_SA request", process.output()))


def _is_done(process):
    """Each of its requests has been answered."""
    said = process.output()
    return (said.count("generating CREATE_CHILD_SA request")
            == said.count("parsed CREATE_CHILD_SA response"))


def _is_settled(lab, what):
    """Nothing is on its way any more that the next cut could hit."""
    if what == "child":
        return _is_done(lab.gateway.controlplane) and _is_done(lab.site.server.process)
    listed = lab.site.server.list_sas()  # an IKE_SA takes its open requests with it
    return listed.count("ESTABLISHED") == 1 and not re.search("^ *(active|queued): ", listed, re.M)


@pytest.mark.parametrize("what", ["child", "ike"])
def test_from_both_sides_at_once(lab, what):
    """Both requests are on their way before either arrives: one of the two new SAs remains."""
    server = lab.site.server
    server.settings.update({"retransmit_timeout": 1.0, "retransmit_base": 1.1,
                            "retransmit_tries": 15})
    gateway = _start(lab, **{"child_rekey": 0, "ike_rekey": 0, f"{what}_rekey": 6})
    stream = Stream(lab)
    for _ in range(3):
        ours = _requests(gateway.controlplane)
        theirs = _requests(server.process)
        with _Cut(lab):
            if what == "child":
                server.rekey_child()
            else:
                server.rekey_ike()
            wait_until(lambda: _requests(server.process) > theirs, 10, "the server begins")
            wait_until(lambda: _requests(gateway.controlplane) > ours, 15, "we begin")
        done = gateway.tunnel()[f"{what}_rekeys"]
        wait_until(lambda: gateway.tunnel()[f"{what}_rekeys"] > done, 20, "one of them is done")
        wait_until(lambda: _is_settled(lab, what), 20, "both sides are done")
        stream.wait_for_more(100)
    assert re.search(r"(lost|won|detected) .*(REKEY|rekey) collision|rekey collision",
                     gateway.controlplane.output() + server.process.output())
    assert gateway.tunnel()["connects"] == 1
    assert stream.is_complete()
    # what is left over goes within the time that old SAs are kept
    wait_until(lambda: lab.site.server.list_sas().count("INSTALLED, TUNNEL") == 1, 20,
               "one CHILD_SA is left")
    assert lab.site.server.list_sas().count("ESTABLISHED") == 1
    stream.wait_for_more(100)


def test_server_that_wants_a_new_authentication_often(lab):
    """Its lifetime is shorter than our margin: renewed at half of it, make before break."""
    lab.site.server.accounts.update({"reauth_time": "12s", "rand_time": "0s", "over_time": "8s"})
    gateway = _start(lab)
    stream = Stream(lab)
    begun = r"initiating IKE_SA production/a\[\d+\]"
    wait_until(lambda: len(re.findall(begun, gateway.controlplane.output())) >= 3, 40,
               "two new authentications")
    stream.wait_for_more(100)
    assert stream.is_complete() and stream.longest_gap() < 1
    assert gateway.tunnel()["connects"] == 1
    assert "wants a new authentication very often" in gateway.controlplane.output()
    times = [line.split()[0] for line in gateway.controlplane.output().splitlines()
             if re.search(begun, line)]
    seconds = [int(t[11:13]) * 3600 + int(t[14:16]) * 60 + float(t[17:23]) for t in times]
    assert all(b - a >= 4 for a, b in zip(seconds, seconds[1:])), seconds
