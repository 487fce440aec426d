"""Which data goes out with a push: the outputs of the pointers, and of DVC's pipelines, that its commits bring.

Called by ``push`` and the pre-push hook; ``sending`` does the sending. A pointer that cannot be read is a problem by
name and never keeps the others from being sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from gitdata.backends.git import Git
from gitdata.backends.git_records import is_sha
from gitdata.data.pointers import is_text
from gitdata.errors import InvalidInputError
from gitdata.formats.dvc import Pointer, is_pointer, output_path, parse_pointer
from gitdata.formats.dvclock import is_lock, lock_pointer, pipeline_name

_LOCKS = (":(glob)**/dvc.lock", ":(glob)**/dvc.yaml")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the pre-push hook's input."""

    local_ref: str
    local: str
    remote_ref: str
    remote: str


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One output whose data belongs on a remote. remote: its name, "" for the default one.

    legacy: a hash of DVC 2, whose objects have other keys. imported: DVC has it from another repository.
    """

    path: str
    oid: str
    remote: str = ""
    legacy: bool = False
    imported: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What pointers name; and what cannot be read of them, a line each."""

    outputs: tuple[Outgoing, ...] = ()
    problems: tuple[str, ...] = ()


def parse_lines(text: str) -> list[Line]:
    """The lines that can bring data: no deletions, no notes, none of gitdata's own refs."""
    lines = [Line(*parts) for parts in (row.split(" ") for row in text.splitlines()) if len(parts) == 4]
    return [
        line
        for line in lines
        if is_sha(line.local)
        and set(line.local) != {"0"}
        and not line.remote_ref.startswith(("refs/notes/", "refs/gitdata/"))
    ]


def brought_by(git: Git, lines: Iterable[Line], remote: str) -> Found:
    """The outputs of all commits that these pushes bring to a git remote (a pattern of its name)."""
    outputs: list[Outgoing] = []
    problems: list[str] = []
    for line in lines:
        known = is_sha(line.remote) and git.resolve(line.remote) is not None
        reach = (line.local, *([f"^{line.remote}"] if known else []), "--not", f"--remotes={remote}")
        for files in (*_new_pointers(git, reach), *_new_locks(git, reach)):
            found = read_files(files)
            outputs += found.outputs
            problems += found.problems
    return Found(tuple(dict.fromkeys(outputs)), tuple(dict.fromkeys(problems)))


def outputs_at(git: Git, treeish: str) -> Found:
    """The outputs of one tree."""
    names = {e.path: e.sha for e in git.ls_tree(treeish) if e.mode.startswith("100") and is_text(e.path)}
    blobs = git.blobs(names.values())
    return read_files({name: blobs[sha] for name, sha in names.items()})


def _new_pointers(git: Git, reach: tuple[str, ...]) -> Iterator[dict[str, bytes]]:
    """Each version of each pointer, alone."""
    out = git.run("rev-list", "--objects", "--full-history", *reach, "--", "*.dvc")
    found = {}
    for row in out.splitlines():
        sha, _, name = row.decode(errors="surrogateescape").partition(" ")
        if is_pointer(name):
            found[sha] = name
    blobs = git.blobs(found)
    for sha, name in found.items():
        if sha in blobs:
            yield {name: blobs[sha]}


def _new_locks(git: Git, reach: tuple[str, ...]) -> Iterator[dict[str, bytes]]:
    """Each version of a dvc.lock together with the dvc.yaml of its commit, which says what is kept."""
    commits = git.run("rev-list", "--full-history", *reach, "--", *_LOCKS)
    if not commits:
        return
    shown = git.run("diff-tree", "--stdin", "-z", "-r", "-m", "--root", "--name-only", "--", *_LOCKS, input=commits)
    wanted: dict[tuple[str, str], None] = {}
    commit = ""
    for word in shown.decode(errors="surrogateescape").split("\0"):
        if is_sha(word.strip()):
            commit = word.strip()
        elif word:
            wanted[commit, word.removesuffix("dvc.yaml").removesuffix("dvc.lock") + "dvc.lock"] = None
    names = [(f"{commit}:{lock}", f"{commit}:{pipeline_name(lock)}", lock) for commit, lock in wanted]
    blobs = git.blobs(name for pair in names for name in pair[:2] if "\n" not in name)
    for lock, pipeline, name in names:
        if lock in blobs:
            yield {name: blobs[lock]} | ({pipeline_name(name): blobs[pipeline]} if pipeline in blobs else {})


def read_files(files: Mapping[str, bytes]) -> Found:
    """What pointers and locks name, each as it stands; dvc.yaml files are there for their locks."""
    outputs: list[Outgoing] = []
    problems: list[str] = []
    for name, text in files.items():
        try:
            if is_lock(name):
                pointer, said = lock_pointer(text, files.get(pipeline_name(name)), name)
                problems += said
            elif is_pointer(name):
                pointer = parse_pointer(text, name)
            else:
                continue
        except InvalidInputError as error:
            problems.append(error.message)
            continue
        outputs += _outputs(name, pointer)
    return Found(tuple(outputs), tuple(problems))


def _outputs(name: str, pointer: Pointer) -> Iterator[Outgoing]:
    for out, extra in zip(pointer.outs, pointer.extras or ({},) * len(pointer.outs), strict=False):
        if out.oid and extra.get("push") is not False and extra.get("cache") is not False:
            path, remote = output_path(name, pointer, out), str(extra.get("remote") or "")
            yield Outgoing(path, out.oid, remote, pointer.legacy, pointer.imported)
