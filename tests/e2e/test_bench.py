# SPDX-License-Identifier: GPL-2.0-or-later
"""The benches with whole tunnels run, and their figures are sane; how good they are is not asked here."""

import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def bench(name, *options):
    done = subprocess.run([sys.executable, os.path.join(ROOT, "bench", f"{name}.py"), "--json",
                           *options], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_ike():
    result = bench("ike", "--tunnels", "3")
    assert (result["tunnels"], result["servers"], result["environments"]) == (3, 3, 1)
    assert result["progress"][-1] == [result["seconds"], 3]
    assert result["seconds"] > 0
    assert all(seconds >= 0 for seconds in result["cpu_seconds"].values())
    assert result["cpu_seconds"]["controlplane"] > 0


def test_throughput():
    result = bench("throughput", "--size", "64", "--size", "imix", "--seconds", "0.05")
    cases = {(case["path"], case["size"]): case for case in result["cases"]}
    assert set(cases) == {(path, size) for path in ("forward", "egress") for size in (64, "imix")}
    for case in cases.values():
        assert case["saturated_pps"] > 1000, case
        # on a busy machine nothing may pass without a loss
        assert 0 <= case["zero_loss_pps"] <= case["loss_0.1%_pps"], case
        assert set(case["latency_us"]) == {"50", "90"}
        for latency in filter(None, case["latency_us"].values()):
            assert 0 < latency["p50"] <= latency["p99"], case
    assert result["suite"].startswith("AES_GCM")
    assert result["machine"]["cpus"] >= 2


def test_pktgen_that_is_not_there(tmp_path):
    """It is no part of this tree: who has none is told how to get it."""
    (tmp_path / "gateway.conf").write_text("gateway: { };\n", encoding="utf-8")
    done = subprocess.run(
        [os.path.join(ROOT, "bench", "pktgen", "run"), "forward", "--device", "0000:00:08.0",
         "--config", str(tmp_path), "--counters", "true"], stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin", "PKTGEN": str(tmp_path / "pktgen")})
    assert done.returncode == 2
    assert "there is no pktgen" in done.stderr and "set PKTGEN to it" in done.stderr


def test_transport():
    result = bench("transport", "--seconds", "1", "--runs", "1")
    cases = {(case["transport"], case["direction"]): case for case in result["cases"]}
    assert set(cases) == {(transport, way) for transport in ("udp", "tcp") for way in ("out", "in")}
    for case in cases.values():
        assert len(case["mbps"]) == 1 and case["mbps"][0] > 1, case
        assert set(case["cores"]) == {"dataplane", "controlplane", "server"}
