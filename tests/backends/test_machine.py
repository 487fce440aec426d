"""What this machine gives a process; who has neither name nor home is in commands/test_pipeline_commands.py."""

from __future__ import annotations

import os

from gitdata.backends.machine import core_count


def test_cores_are_those_that_this_process_may_use() -> None:
    assert core_count() == len(os.sched_getaffinity(0))
    assert core_count(lambda process: {1, 5}) == 2
    assert core_count(None) == os.cpu_count(), "macOS tells no more"
