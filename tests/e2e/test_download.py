# SPDX-License-Identifier: GPL-2.0-or-later
"""A long download survives rekeying and the death of the control plane."""

import os
import re

from lab.host import wait_until

MEGABYTES = 200


def _spis(capture, source):
    return set(re.findall(r"ESP\(spi=(0x[0-9a-f]+)", capture.details(f"src host {source} and "
                                                                     "udp port 4500")))


def test_200_megabytes_arrive_intact(lab):
    lab.site.start()
    uplink = lab.capture("uplink", snaplen=128)["uplink"]
    server = lab.site.as_server(options={"child_rekey": 5})
    gateway = lab.add_gateway([lab.environment(servers=[server])])
    gateway.start()
    gateway.wait_up()
    digest = lab.site.web.add_document("large", MEGABYTES)
    target = lab.run.path("download")
    download = lab.client.start("curl", "--silent", "--show-error", "--limit-rate", "8M",
                                "--max-time", "120", "--output", target, "vpn:33000/large")

    def has_megabytes(count):
        download.require_running()
        return os.path.exists(target) and os.path.getsize(target) >= count << 20
    wait_until(lambda: has_megabytes(MEGABYTES // 3), 60, "a third of the download")
    gateway.kill_controlplane()
    wait_until(lambda: has_megabytes(MEGABYTES // 3 + 20), 30, "progress without a control plane")
    gateway.start_controlplane()
    gateway.wait_up()
    assert download.status is None, "the restart should fall into the download"

    assert download.wait(120) == 0, download.output()
    done = lab.client.run("sha256sum", target)
    assert done.stdout.split()[0] == digest
    uplink.stop()
    # one at first, one from the restart, the others by rekeying
    assert len(_spis(uplink, lab.site.server.address)) >= 5
    assert len(_spis(uplink, "203.0.113.10")) >= 5
