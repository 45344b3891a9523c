# SPDX-License-Identifier: GPL-2.0-or-later
"""The bench of the packet's cost runs and its figures are sane; how good they are is not asked here."""
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def cost(*options):
    done = subprocess.run([sys.executable, os.path.join(ROOT, "bench", "cost.py"), "--json",
                           "--processes", "1", *options], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


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
