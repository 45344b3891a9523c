# SPDX-License-Identifier: GPL-2.0-or-later
"""The benches of packets and sessions run and their figures are sane; how good they are is not asked here."""
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def bench(name, *options):
    done = subprocess.run([sys.executable, os.path.join(ROOT, "bench", f"{name}.py"), "--json",
                           "--processes", "1", *options], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def cost(*options):
    return bench("cost", *options)


def test_all_paths_and_ciphers():
    result = cost("--rounds", "4")
    assert result["machine"]["crypto"]
    cases = {(case["path"], case["cipher"], case["size"]): case for case in result["cases"]}
    assert len(cases) == 4 * 5 * 5 + 2 * 3 * 5 + 2 * 5  # OpenVPN: its three AEAD ciphers
    for (path, cipher, _), case in cases.items():
        assert 0 <= case["quiet_share"] <= 1
        assert case["any_overhead"] is not None
        assert path.startswith("egress") == (cipher is None)
        if cipher is None:
            assert case["any_overhead"] > 1, case
        if case["overhead"] is not None:
            assert case["cycles"] > 1 and (cipher is None or case["raw"] > 1), case


def test_stages():
    result = cost("--rounds", "4", "--stages", "--path", "forward-out", "--cipher", "aes128gcm",
                  "--size", "64")
    stages, = (case["stages"] for case in result["cases"])
    names = [name for name, _ in stages]
    assert names.index("parse_cluster") < names.index("nat_forward_out") \
        < names.index("esp_out_encrypt") < names.index("nexthop")
    assert all(before <= after for (_, before), (_, after) in zip(stages, stages[1:]))
    assert stages[-1][1] > 0


def test_sessions(tmp_path):
    plot = tmp_path / "sessions.svg"
    result = bench("sessions", "--capacity", "16384", "--count", "2560", "--lookups", "100,1000",
                   "--rounds", "4", "--no-huge", "--svg", str(plot))
    assert [case["destinations"] for case in result["set_up"]] == ["all", "hot"]
    for case in result["set_up"]:
        assert case["refused"] == 0, case
        # as many end as begin
        assert 0.75 * 16384 < case["open_sessions"] < 0.85 * 16384, case
        assert case["any_per_second"] > 1000, case
    single = result["single"]
    assert 0 < single["median_us"] <= single["p99.9_us"] <= single["p99.99_us"] \
        <= single["worst_us"]
    assert 144 < result["memory"]["session"] < 400  # two flows and the cold part at least
    assert 2000 < result["memory"]["sa_pair"] < 10000
    assert [(case["path"], case["sessions"]) for case in result["lookups"]] == [
        (path, sessions) for sessions in (100, 1000) for path in ("egress-out", "forward-out")]
    assert all(case["any_overhead"] > 1 for case in result["lookups"])
    # quiet samples may be missing, and then there is nothing to draw
    assert not plot.exists() or "<polyline" in plot.read_text(encoding="utf-8")


def test_scale():
    result = bench("scale", "--chunks", "8", "--tunnels", "64", "--environments", "64",
                   "--no-huge")
    workers = {(case["what"], case["path"], case["arrival"]): case for case in result["workers"]}
    # nobody can steer what is all one worker's
    assert {key[1:] for key in workers if key[0] == "one environment"} == {
        ("forward-out", "spread"), ("forward-in", "spread")}
    assert len(workers) == 10
    for case in workers.values():
        assert case["one_pps"] > 1000 and case["two_pps"] > 1000, case
    for case in result["tunnels"] + result["forwards"]:
        assert case["any_cycles"] > 1 and case["any_ratio"] > 0, case
    assert {case["tunnels"] for case in result["tunnels"]} == {1, 64}
    assert {case["forwards"] for case in result["forwards"]} == {4, 256}
