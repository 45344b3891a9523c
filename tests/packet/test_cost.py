# SPDX-License-Identifier: GPL-2.0-or-later
"""The bench of the packet's cost runs and its figures are sane; how good they are is not asked here."""
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def cost(*options):
    done = subprocess.run([sys.executable, os.path.join(ROOT, "bench", "cost.py"), "--json",
                           "--processes", "1", *options], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def text(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def test_all_paths_and_ciphers():
    result = cost("--rounds", "4")
    assert result["machine"]["crypto"]
    cases = {(case["path"], case["cipher"], case["size"]): case for case in result["cases"]}
    assert len(cases) == 4 * 5 * 5 + 2 * 5
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


def test_every_stage_has_a_clock():
    path = text("dataplane", "path.c")
    # what begins again, or ends, is made of stages itself
    stages = set(re.findall(r"run\([^;]*?, (dp_\w+)\);", path)) \
        | set(re.findall(r"\b(dp_(?:parse|fragment_for|nat_forward|nat_icmp_split|port)\w*)\(", path))
    unclocked = {"dp_handoff_fragment", "dp_reassemble_outer", "dp_nat_echo_out", "dp_nat_echo_in",
                 "dp_nat_icmp_egress_out", "dp_nat_icmp_egress_in", "dp_nat_hairpin"}
    for stage in stages - unclocked:
        assert stage in text("bench", "stages.c"), stage
        assert f"'{stage.removeprefix('dp_')}'" in text("bench", "meson.build"), stage
