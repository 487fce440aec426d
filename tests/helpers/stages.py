"""Run a stage image's command the way it runs in a container, but with a folder of the test as /pfs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
IMAGES = ROOT / "stage-images"
CAMERAS = ROOT / "examples" / "cameras"


class Done(NamedTuple):
    code: int
    out: str
    err: str


class Datum(NamedTuple):
    """A datum of a stage: inputs are put below ``pfs``, ``run`` leaves its output below ``pfs/out``."""

    stage: str
    pfs: Path

    def put(self, path: str, content: bytes | str | dict[str, Any]) -> Path:
        """An input file, its path beginning with the input's name."""
        target = self.pfs / path
        target.parent.mkdir(parents=True, exist_ok=True)
        data = json.dumps(content) if isinstance(content, dict) else content
        target.write_bytes(data.encode() if isinstance(data, str) else data)
        return target

    def run(self, **env: str) -> Done:
        """The stage's command, in an environment built from nothing: no home, no settings of this machine."""
        (self.pfs / "out").mkdir(parents=True, exist_ok=True)
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        done = subprocess.run(
            [sys.executable, str(IMAGES / self.stage / "main.py")],
            env=kept | {"PFS": str(self.pfs)} | env,
            cwd=self.pfs,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def fails(self, **env: str) -> str:
        """Run it; it must fail with one line for the user, which is returned."""
        done = self.run(**env)
        assert done.code == 1, done
        assert done.err.startswith("error: "), done.err
        assert done.err.count("\n") == 1, done.err
        return done.err.removeprefix("error: ").rstrip("\n").replace(str(self.pfs), "/pfs")

    def output(self) -> list[str]:
        """The paths of what it wrote, links as they are."""
        out = self.pfs / "out"
        return sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_symlink() or path.is_file())

    def read(self, path: str) -> Any:
        return json.loads((self.pfs / "out" / path).read_bytes())
