"""Ends a worker's containers when the worker is gone: ``python -m gitdata.worker.guard <engine> <label> <pipe>``.

Started by worker.container. A container belongs to its engine and would outlive a worker that is killed. Standard
input ends with the worker; the pipe ends when none of the engine's commands that it started is left either, which
might have been about to make one more container.
"""

from __future__ import annotations

import select
import sys

from gitdata.backends.containers import Engine

_SECONDS = 0.2


def main() -> int:
    engine, label, pipe = Engine(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    sys.stdin.buffer.read()
    while not select.select([pipe], [], [], 0)[0]:
        engine.remove(label)
        select.select([pipe], [], [], _SECONDS)
    engine.remove(label)
    return 0


if __name__ == "__main__":
    sys.exit(main())
