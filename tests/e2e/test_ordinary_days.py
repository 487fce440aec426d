"""Days of ordinary work: random steps by gitdata, stock DVC and git, with and without the hooks.

After each step: both tools agree whether the data is what its pointer says, the files are those of a model, and an edit
that nobody committed is where it was. At the end every version that any commit names can be had, byte for byte.
`make soak` takes 300 steps; the suite takes a few.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from helpers.machine import Program, Repo

STEPS = int(os.environ.get("SOAK_STEPS", "14"))
SEED = os.environ.get("SOAK_SEED", "")

Files = dict[str, str]


def read(folder: Path) -> Files:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


@dataclass
class Day:
    """One repository with its model. versions: what the files of each oid were when it was made."""

    repo: Repo
    gitdata: Program
    dvc: Program
    chance: random.Random
    hooks: bool
    versions: dict[str, Files] = field(default_factory=dict)
    count: int = 0

    @property
    def data(self) -> Path:
        return self.repo.path / "data"

    def git(self, *words: str) -> int:
        return Program("git", cwd=self.repo.path)(*words, check=False).returncode

    def oid(self) -> str:
        pointer = self.repo.path / "data.dvc"
        found = re.search(r"md5: (\S+)", pointer.read_text()) if pointer.exists() else None
        return found[1] if found else ""

    def learn(self) -> None:
        """The pointer was just made from what lies here."""
        self.versions.setdefault(self.oid(), read(self.data))

    def is_clean(self) -> bool:
        return read(self.data) == self.versions.get(self.oid(), {})

    # ------------------------------------------------------------------------------------------------------- steps

    def edit(self) -> None:
        self.count += 1
        kind = self.chance.choice(["new", "change", "delete"])
        files = sorted(read(self.data))
        if kind == "new" or len(files) < 2:
            self.repo.write(f"data/f{self.count}", f"content {self.count}")
        elif kind == "change":
            target = self.data / self.chance.choice(files)
            target.unlink()
            target.write_text(f"changed {self.count}")
        else:
            (self.data / self.chance.choice(files)).unlink()

    def text(self) -> None:
        self.count += 1
        self.repo.write("text", str(self.count))
        self.git("add", "text")
        self.git("commit", "-qm", f"text {self.count}")
        if self.hooks and self.data.is_dir() and not self.is_clean():
            self.learn()

    def gitdata_commit(self) -> None:
        self.gitdata("commit", "-qm", "data", check=False)
        self.learn()

    def gitdata_add(self) -> None:
        self.gitdata("add", "data", check=False)
        self.learn()
        self.git("commit", "-qm", "added")

    def dvc_add(self) -> None:
        self.dvc("add", "-q", "data")
        self.learn()
        self.git("add", "data.dvc")
        self.git("commit", "-qm", "by dvc")

    def push(self) -> None:
        if self.hooks:
            self.git("push", "-q", "--force", "origin", "HEAD")
        else:
            self.gitdata("push", "-q", "--force", "origin", "HEAD")

    def dvc_push(self) -> None:
        self.dvc("push", "-q", check=False)

    def dvc_checkout(self) -> None:
        if self.is_clean():
            self.dvc("checkout", "-q", check=False)

    def gitdata_checkout(self) -> None:
        self.gitdata("checkout", check=False)

    # ----------------------------------------------------------------------------------------- git moves the pointer

    def move(self, *commands: list[str]) -> None:
        before, clean = read(self.data), self.is_clean()
        for command in commands:
            self.git(*command)
        for give_up in ("merge", "revert", "cherry-pick", "rebase"):
            self.git(give_up, "--abort")
        if not self.hooks and clean:
            self.gitdata("checkout")
        if not clean:
            missing = {path: text for path, text in before.items() if read(self.data).get(path) != text}
            assert not missing or self.is_clean(), f"an edit went away with {commands}: {missing}"

    def switch(self) -> None:
        branches = self.repo.git("branch", "--format=%(refname:short)").split()
        self.move(["checkout", "-q", self.chance.choice(branches)])

    def branch(self) -> None:
        self.count += 1
        self.git("checkout", "-q", "-b", f"b{self.count}")

    def revert(self) -> None:
        self.move(["revert", "--no-edit", "HEAD"])

    def reset(self) -> None:
        self.move(["reset", "-q", "--hard", "HEAD~1"])

    def there_and_back(self) -> None:
        self.move(["checkout", "-q", "HEAD~1", "--", "data.dvc"], ["checkout", "-q", "HEAD", "--", "data.dvc"])

    def stash(self) -> None:
        self.move(["stash", "-q"], ["stash", "pop", "-q"])

    def merge(self) -> None:
        branches = self.repo.git("branch", "--format=%(refname:short)").split()
        self.move(["merge", "-q", "--no-edit", self.chance.choice(branches)])

    def rebase(self) -> None:
        branches = self.repo.git("branch", "--format=%(refname:short)").split()
        self.move(["rebase", "-q", self.chance.choice(branches)])

    def pick(self) -> None:
        branches = self.repo.git("branch", "--format=%(refname:short)").split()
        self.move(["cherry-pick", self.chance.choice(branches)])

    # --------------------------------------------------------------------------------------------------- invariants

    def check(self, step: str) -> None:
        (seen,) = json.loads(self.gitdata("status", "--json", check=False).stdout)["outputs"]
        ours = seen["state"] == "same"
        theirs = not json.loads(self.dvc("status", "--json").stdout or "{}")
        said = f"gitdata says {seen['state']}, DVC says {'clean' if theirs else 'changed'}"
        assert ours == theirs, f"after {step}: {said}"
        if ours:
            assert read(self.data) == self.versions[self.oid()], f"after {step}"

    def check_history(self, store: Path) -> None:
        texts = {
            self.repo.git("show", f"{sha}:data.dvc")
            for sha in self.repo.git("rev-list", "--all", "--", "data.dvc").split()
            if "data.dvc" in self.repo.git("ls-tree", "--name-only", sha).split()
        }
        for text in texts:
            oid = re.search(r"md5: (\S+)", text)
            assert oid
            for path, content in self.versions[oid[1]].items():
                md5 = hashlib.md5(content.encode()).hexdigest()
                key = f"files/md5/{md5[:2]}/{md5[2:]}"
                places = [self.repo.path / ".dvc/cache" / key, store / key]
                assert any(p.exists() and p.read_text() == content for p in places), f"{path} of {oid[1]} is lost"


@pytest.mark.parametrize("hooks", [True, False], ids=["with hooks", "without hooks"])
def test_days(repo: Repo, gitdata: Program, dvc: Program, tmp_path: Path, hooks: bool) -> None:
    seed = SEED or str(random.SystemRandom().randrange(10**9))
    print(f"SOAK_SEED={seed}")
    origin = Repo.create(tmp_path / "origin.git", bare=True)
    repo.git("remote", "add", "origin", origin.path)
    gitdata("init", "--remote", tmp_path / "store", *([] if hooks else ["--no-hooks"]))
    day = Day(repo, gitdata, dvc, random.Random(seed), hooks)
    repo.write("data/f0", "content 0")
    gitdata("add", "data")
    day.learn()
    repo.commit("data")
    steps: list[Callable[[], None]] = [
        *(day.edit, day.edit, day.text, day.gitdata_commit, day.gitdata_add, day.dvc_add, day.push, day.dvc_push),
        *(day.dvc_checkout, day.gitdata_checkout, day.switch, day.switch, day.branch, day.revert, day.reset),
        *(day.there_and_back, day.stash, day.merge, day.rebase, day.pick),
    ]
    taken = []
    for _ in range(STEPS):
        if day.repo.git("rev-list", "--count", "HEAD") < "3":
            day.text()
        step = day.chance.choice(steps)
        taken.append(step.__name__)
        step()
        if (repo.path / "data.dvc").exists() and day.data.is_dir():
            day.check(f"{' '.join(taken)} (SOAK_SEED={seed})")
    day.check_history(tmp_path / "store")
