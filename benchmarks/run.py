"""How long gitdata takes for what a person waits for, beside stock DVC on the same machine, in the same run.

    python benchmarks/run.py [--files 10000] [--size 4096] [--repeat 5] [--json]

Each tool gets a repository of its own with the same files, made from a fixed seed; the programs run as a user runs
them. What changes its repository is measured once, in the order of the table; what does not, is repeated, and the
median counts. Nothing here asserts: a slow machine is not a failure.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

BIN = Path(sys.executable).parent


@dataclass
class Tool:
    """One of the two, in its own repository. seconds: what was measured, by the name of the step."""

    name: str
    place: Path
    env: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, *words: str) -> None:
        done = subprocess.run(words, cwd=self.place, env=self.env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{self.name}: `{' '.join(words)}` exited {done.returncode}\n{done.stdout}{done.stderr}")

    def measure(self, step: str, *words: str, repeat: int = 1, before: Callable[[], None] | None = None) -> None:
        """The median time of a command; ``before`` runs ahead of each repetition, unmeasured."""
        taken = []
        for _ in range(repeat):
            if before:
                before()
            start = time.perf_counter()
            self.run(*words)
            taken.append(time.perf_counter() - start)
        self.seconds[step] = statistics.median(taken)


def write_files(folder: Path, count: int, size: int) -> None:
    """``count`` files of ``size`` bytes that no two tools could tell apart, 1,000 to a folder."""
    source = random.Random(20240229)
    for number in range(count):
        path = folder / f"{number // 1000:03d}" / f"{number:06d}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.randbytes(size))


def touch_one(tool: Tool) -> Callable[[], None]:
    """A change of one file, another one each time."""

    def change() -> None:
        (tool.place / "data" / "000" / "000007.bin").write_bytes(os.urandom(64))

    return change


def prepare(tool: Tool, remote: Path, files: Path) -> None:
    """A repository of the tool's own, with its hooks and a folder as its remote."""
    tool.place.mkdir()
    tool.run("git", "init", "--quiet")
    if tool.name == "gitdata":
        tool.run("gitdata", "init", "--remote", str(remote))
    else:
        tool.run("dvc", "init", "--quiet")
        tool.run("dvc", "install")
        tool.run("dvc", "remote", "add", "--quiet", "--default", "store", str(remote))
    shutil.copytree(files, tool.place / "data")
    tool.run("git", "add", "--all", ":!data")
    tool.run("git", "commit", "--quiet", "--allow-empty", "-m", "empty", "--no-verify")


def measure(tool: Tool, repeat: int) -> None:
    name = tool.name
    origin = f"{tool.place}.git"
    tool.run("git", "init", "--quiet", "--bare", origin)
    tool.run("git", "remote", "add", "origin", origin)
    tool.measure("add, everything new", name, "add", "data")
    tool.run("git", "add", "--all")
    tool.run("git", "commit", "--quiet", "-m", "data")
    tool.measure("push, everything new", "git", "push", "--quiet", "origin", "HEAD:refs/heads/main")
    tool.measure("status, nothing changed", name, "status", repeat=repeat)
    tool.measure("git commit, nothing changed", "git", "commit", "--quiet", "--allow-empty", "-m", "x", repeat=repeat)
    tool.measure("git push, no data changed", "git", "push", "--quiet", "origin", "HEAD:refs/heads/main")
    tool.measure("git checkout, same data", "git", "checkout", "--quiet", "--detach", repeat=repeat)
    tool.measure("status, one file changed", name, "status", repeat=repeat, before=touch_one(tool))
    tool.measure("add, one file changed", name, "add", "data", repeat=repeat, before=touch_one(tool))
    tool.run("git", "add", "--all")
    tool.run("git", "commit", "--quiet", "-m", "one file")
    tool.measure("git checkout, one file differs", "git", "checkout", "--quiet", "HEAD~1")
    shutil.rmtree(tool.place / "data")
    tool.measure("checkout, everything", name, "checkout")
    tool.measure("--help", name, "--help", repeat=repeat)


def environment(place: Path) -> dict[str, str]:
    """A machine of its own for both tools: home, git's and DVC's settings, no analytics, no question to anybody."""
    home = place / "home"
    (home / "dvc").mkdir(parents=True)
    (home / "dvc" / "config").write_text("[core]\n    analytics = false\n    check_update = false\n")
    (home / ".gitconfig").write_text("[user]\n\tname = Bench\n\temail = bench@example.com\n[gc]\n\tauto = 0\n")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "DVC_", "XDG_", "GITDATA_"))}
    return {
        **kept,
        "PATH": f"{BIN}:{os.environ.get('PATH', os.defpath)}",
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "DVC_NO_ANALYTICS": "1",
        "DVC_GLOBAL_CONFIG_DIR": str(home / "dvc"),
        "DVC_SITE_CACHE_DIR": str(home / "dvc-site"),
    }


def report(tools: list[Tool], title: str) -> None:
    ours, theirs = tools
    print(title)
    print(f"{'':32}{ours.name:>12}{theirs.name:>12}{'ratio':>10}")
    for step, taken in ours.seconds.items():
        other = theirs.seconds[step]
        print(f"{step:32}{taken * 1000:9.0f} ms{other * 1000:9.0f} ms{other / taken:8.1f} x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=4096, help="bytes of each file")
    parser.add_argument("--repeat", type=int, default=5, help="how often what changes nothing is measured")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gitdata-bench-") as folder:
        place = Path(folder)
        env = environment(place)
        write_files(place / "files", args.files, args.size)
        tools = [Tool(name, place / name, env) for name in ("gitdata", "dvc")]
        for tool in tools:
            prepare(tool, place / f"{tool.name}-remote", place / "files")
            measure(tool, args.repeat)
    if args.json:
        print(json.dumps({tool.name: tool.seconds for tool in tools}, indent=2))
    else:
        report(tools, f"{args.files} files of {args.size} bytes, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
