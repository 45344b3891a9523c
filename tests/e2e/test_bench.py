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
