# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured in the laboratory of the tests: a run for each figure, kept if there is none."""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, "tests"), os.path.join(ROOT, "tests", "e2e")]

from lab.host import Run  # noqa: E402


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def in_run(function, *arguments):
    """Returns FUNCTION(run, *ARGUMENTS); where it fails, the files of the run stay."""
    run = Run()
    is_done = False
    try:
        result = function(run, *arguments)
        is_done = True
        return result
    finally:
        if not is_done:
            say(f"logs: {run.directory}")
        run.close(keep_files=not is_done)
