"""The git binary: the one door through which gitdata reads and writes repositories.

Everything is plumbing with full ref names, ``-z`` output and a scrubbed environment: inherited ``GIT_DIR`` and friends
(set inside hooks) never leak into a call on another repository; ``discovery`` follows them where a person set them. Two
kinds of callers: a person's repository (``Git(path)``: their configuration and credentials count) and the controller's
own bare clone (``Git(path, sealed=True)``: no hooks, no prompts, durable writes, only the transports that are allowed,
and no waiting for an http or ssh server that says nothing).
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from gitdata.backends.git_records import Commit, PushResult, TreeEntry, hide_password, parse_commit, parse_refs
from gitdata.backends.git_words import git_words
from gitdata.backends.processes import read_bounded
from gitdata.bounded import Bounded
from gitdata.errors import GitdataError, InvalidInputError, MachineError, NotARepositoryError, RemoteError

ZERO = "0" * 40
# What is read of a stranger's commit: a small push can be terabytes when it is unpacked.
MOST_LISTED, MOST_OF_ONE = 128 << 20, 128 << 20  # bytes: names of files, one file
_AT_ONCE = 16 << 20
_MOST_KNOWN = 4096
_NO_DATA = "keep data in the data remote, not in git"
_OLDEST = "2.36"  # core.fsync
SILENCE = 120  # seconds; a server that works on an answer says so every five

# Variables that tie git to a repository, an index or a configuration that is not the one we name.
_REPOSITORY_VARIABLES = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_QUARANTINE_PATH", "GIT_CONFIG",
    "GIT_NOTES_REF", "GIT_LITERAL_PATHSPECS", "GIT_EXTERNAL_DIFF",
)  # fmt: skip
# Settings for one command (`git -c`, or a container's safe.directory): a person's count, the controller has none.
_SETTING_VARIABLES = ("GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT")

_SEALED = (
    "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.fsync=all", "-c", "gc.auto=0",
    "-c", "i18n.commitEncoding=UTF-8", "-c", "commit.gpgSign=false", "-c", "submodule.recurse=false",
    "-c", "http.followRedirects=false", "-c", "core.quotePath=false",
)  # fmt: skip


class GitError(GitdataError):
    """A git command failed; ``stderr`` is what git said."""

    def __init__(self, args: Sequence[str], returncode: int, stderr: str) -> None:
        said, cure = git_words(stderr)
        verb = next((word for word in args if not word.startswith("-")), "")
        super().__init__(f"git {verb}: {said or f'exit {returncode}'}", hint=cure)
        self.returncode = returncode
        self.stderr = stderr


def ssh_limits(silence: int) -> str:
    """Options with which ssh gives up a server that says nothing for about so many seconds."""
    return f"-o ConnectTimeout={silence} -o ServerAliveInterval={max(1, silence // 4)} -o ServerAliveCountMax=4"


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The process environment without anything that ties git to a repository, with a fixed language."""
    env = {k: v for k, v in os.environ.items() if k not in _REPOSITORY_VARIABLES}
    env.update({"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"})
    env.update(extra or {})
    return env


class Git:
    """One repository. ``path``: the working tree, any folder in it, or a bare repository.

    variables: what names the repository to git where ``path`` alone does not. silence: seconds without a word after
    which a sealed one gives up a server.
    """

    def __init__(
        self,
        path: Path,
        *,
        sealed: bool = False,
        index: Path | None = None,
        silence: int = SILENCE,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.path = path
        self._variables = variables
        self._config: tuple[str, ...] = ()
        self._ssh: str | None = None if sealed else ""  # None: not asked yet whether the user says how to call it
        self._silence = silence
        extra = dict(variables)
        if sealed:
            self._config = (*_SEALED, "-c", "http.lowSpeedLimit=1", "-c", f"http.lowSpeedTime={silence}")
            extra = {
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_ALLOW_PROTOCOL": os.environ.get("GITDATA_GIT_PROTOCOLS", "file:https:ssh:git:http"),
                "GIT_PROTOCOL_FROM_USER": "0",
            }
        if index is not None:
            extra["GIT_INDEX_FILE"] = str(index)
        self._env = clean_environment(extra)
        if sealed:
            for name in _SETTING_VARIABLES:
                self._env.pop(name, None)
        # What never changes, of what a controller asks at each turn.
        self._commits: Bounded[str, Commit] = Bounded(_MOST_KNOWN)
        self._ancestry: Bounded[tuple[str, str], bool] = Bounded(_MOST_KNOWN)

    def with_index(self, index: Path) -> Git:
        """The same repository of a person, with another file as its index."""
        return Git(self.path, index=index, variables=self._variables)

    # ------------------------------------------------------------------------------------------------------ calling

    def call(
        self, *args: str, input: bytes | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run git and return what it did, whatever the exit code."""
        command = ["git", *self._config, *args]
        try:
            return subprocess.run(
                command,
                cwd=self.path,
                input=input,
                stdin=subprocess.DEVNULL if input is None else None,
                env={**self._env, **(env or {})},
                capture_output=True,
                check=False,
            )
        except FileNotFoundError as error:
            raise _no_git(self.path) from error

    def run(self, *args: str, input: bytes | None = None, env: Mapping[str, str] | None = None) -> bytes:
        """Run git and return its standard output. Raises GitError."""
        done = self.call(*args, input=input, env=env)
        if done.returncode != 0:
            raise GitError(args, done.returncode, done.stderr.decode(errors="replace"))
        return done.stdout

    def text(self, *args: str, input: bytes | None = None, env: Mapping[str, str] | None = None) -> str:
        """Standard output as text without the final newline."""
        return self.run(*args, input=input, env=env).decode(errors="surrogateescape").rstrip("\n")

    def interactive(self, *args: str, env: Mapping[str, str] | None = None) -> int:
        """Run git as the user would: where they are, with their terminal, environment and editor. Returns its code."""
        return subprocess.run(["git", *args], env={**os.environ, **(env or {})}, check=False).returncode

    # ------------------------------------------------------------------------------------------------------ reading

    def resolve(self, revision: str, kind: str = "commit") -> str | None:
        """The sha of a revision peeled to ``kind``, or None."""
        done = self.call("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{{kind}}}")
        return done.stdout.decode().strip() or None if done.returncode == 0 else None

    def config(self, key: str, default: str = "") -> str:
        done = self.call("config", "--get", key)
        return done.stdout.decode(errors="replace").rstrip("\n") if done.returncode == 0 else default

    def commit(self, sha: str) -> Commit:
        """A commit by its full sha."""
        found = self._commits.get(sha)
        if found is None:
            found = self._commits[sha] = parse_commit(sha, self.run("cat-file", "commit", sha))
        return found

    def commits(self, shas: Iterable[str]) -> list[Commit]:
        """Many commits by their full shas, in order, read in one ``cat-file --batch``."""
        return [parse_commit(sha, data) for sha, data in self.blobs(shas).items()]

    def ls_tree(self, treeish: str, *paths: str) -> list[TreeEntry]:
        """Every blob, symlink and submodule of a tree, recursively, below ``paths`` if given (literal).

        Raises InvalidInputError where they are too many: a few trees that hold each other make billions.
        """
        out = self._bounded("--literal-pathspecs", "ls-tree", "-r", "-z", "--full-tree", treeish, "--", *paths)
        found = []
        for line in out.split(b"\0")[:-1]:
            meta, _, path = line.partition(b"\t")
            mode, _, sha = meta.decode().split(" ")
            found.append(TreeEntry(mode, sha, path.decode(errors="surrogateescape")))
        return found

    def _bounded(self, *args: str) -> bytes:
        """As ``run``, for what a stranger makes as long as they like."""
        command = ["git", *self._config, *args]
        try:
            code, out, words = read_bounded(command, self.path, self._env, MOST_LISTED)
        except FileNotFoundError as error:
            raise _no_git(self.path) from error
        if len(out) > MOST_LISTED:
            raise InvalidInputError(f"the list of files is longer than {MOST_LISTED >> 20} MiB", hint=_NO_DATA)
        if code != 0:
            raise GitError(args, code, words)
        return out

    def sizes(self, names: Iterable[str]) -> dict[str, int]:
        """The sizes of blobs by sha or ``tree:path``, none of them read; what is no blob is left out."""
        wanted = list(dict.fromkeys(names))
        if not wanted:
            return {}
        out = self.text(
            "cat-file", "--batch-check=%(objecttype) %(objectsize)", input="\n".join(wanted).encode() + b"\n"
        )
        found = zip(wanted, out.split("\n"), strict=True)
        return {name: int(line[5:]) for name, line in found if re.fullmatch("blob [0-9]+", line)}

    def each_blob(self, shas: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """As ``blobs``, a few at a time: for those of a stranger. Raises InvalidInputError for one that is too big."""
        batch: list[str] = []
        held, wanted = 0, list(dict.fromkeys(shas))
        sizes = self.sizes(wanted)
        if len(sizes) < len(wanted):
            raise InvalidInputError(f"git has no blob {next(sha for sha in wanted if sha not in sizes)}")
        for sha, size in sizes.items():
            if size > MOST_OF_ONE:
                raise InvalidInputError(
                    f"a file of {size >> 20} MiB is in git (blob {sha[:12]}), {MOST_OF_ONE >> 20} MiB are read",
                    hint=_NO_DATA,
                )
            if held + size > _AT_ONCE:
                yield from self.blobs(batch).items()
                batch, held = [], 0
            batch.append(sha)
            held += size
        yield from self.blobs(batch).items()

    def blobs(self, shas: Iterable[str], *, most: int | None = None) -> dict[str, bytes]:
        """The bytes of many blobs in one ``cat-file --batch``; names git does not know are left out.

        Raises InvalidInputError where they have more than ``most`` bytes together.
        """
        wanted = list(dict.fromkeys(shas))
        if not wanted:
            return {}
        if most is not None and (total := sum(self.sizes(wanted).values())) > most:
            raise InvalidInputError(
                f"{len(wanted)} files have {total >> 20} MiB together, {most >> 20} MiB are read",
                hint=_NO_DATA,
            )
        out = self.run("cat-file", "--batch", input="".join(f"{sha}\n" for sha in wanted).encode())
        found: dict[str, bytes] = {}
        at = 0
        for name in wanted:
            end = out.index(b"\n", at)
            header = out[at:end].decode(errors="replace")
            at = end + 1
            size = header.rsplit(" ", 1)[1]
            if not size.isdecimal():  # missing, ambiguous, or (newer git) a submodule
                continue
            found[name] = out[at : at + int(size)]
            at += int(size) + 1
        return found

    def file(self, treeish: str, path: str, *, most: int | None = None) -> bytes | None:
        """The bytes of one file of a tree, or None. most: as of ``blobs``."""
        name = f"{treeish}:{path}"
        return self.blobs([name], most=most).get(name) if "\n" not in path else None

    def refs(self, *prefixes: str) -> dict[str, str]:
        """Local refs below the prefixes: full name -> sha."""
        out = self.text("for-each-ref", "--format=%(objectname) %(refname)", *prefixes)
        return {line.split(" ", 1)[1]: line.split(" ", 1)[0] for line in out.splitlines()}

    def is_ancestor(self, older: str, newer: str) -> bool:
        known = self._ancestry.get((older, newer))
        if known is None:
            code = self.call("merge-base", "--is-ancestor", older, newer).returncode
            known = code == 0
            if code in (0, 1):  # else one of them is not here yet
                self._ancestry[older, newer] = known
        return known

    # ------------------------------------------------------------------------------------------------------ writing

    def write_blob(self, data: bytes) -> str:
        return self.text("hash-object", "-w", "--stdin", input=data)

    def change_tree(self, tree: str | None, changes: Mapping[str, tuple[str, str] | None]) -> str:
        """A tree with paths set to (mode, blob sha) or, with None, removed. ``tree`` None starts from nothing."""
        with self._scratch_index() as index:
            if tree is not None:
                self.run("read-tree", tree, env=index)
            lines = b"".join(
                (f"0 {ZERO}\t" if change is None else f"{change[0]} {change[1]}\t").encode()
                + path.encode(errors="surrogateescape")
                + b"\0"
                for path, change in sorted(changes.items(), key=lambda item: item[1] is not None)
            )
            self.run("update-index", "-z", "--add", "--replace", "--index-info", input=lines, env=index)
            return self.text("write-tree", env=index)

    def write_commit(self, tree: str, parents: Sequence[str], message: str, *, author: str, committer: str) -> str:
        """A commit from raw ident lines: the same arguments give the same sha on every machine."""
        lines = [f"tree {tree}", *(f"parent {p}" for p in parents), f"author {author}", f"committer {committer}"]
        body = "\n".join(lines) + "\n\n" + message
        return self.text("hash-object", "-t", "commit", "-w", "--stdin", input=body.encode(errors="surrogateescape"))

    def update_ref(self, ref: str, new: str, old: str | None = None) -> None:
        """Move a local ref; with ``old``, only from there."""
        self.run("update-ref", "--end-of-options", ref, new, *([] if old is None else [old]))

    def fast_import(self, stream: bytes) -> None:
        self.run("fast-import", "--quiet", "--done", "--date-format=raw", input=stream)

    @contextmanager
    def _scratch_index(self) -> Iterator[dict[str, str]]:
        # Deferred: costs 15 ms to import, and only a few calls write trees.
        from tempfile import TemporaryDirectory

        with TemporaryDirectory(prefix="gitdata-index-") as folder:
            yield {"GIT_INDEX_FILE": str(Path(folder, "index"))}

    # ------------------------------------------------------------------------------------------------------ remotes

    def ls_remote(self, url: str, *patterns: str) -> dict[str, str]:
        """The refs of a remote: full name -> sha. Raises RemoteError (transient)."""
        return parse_refs(self._ask_remote(url, "--refs", *patterns))

    def refs_and_head(self, url: str) -> tuple[dict[str, str], str]:
        """In one question all refs of a remote, and the one that its HEAD names ("" if it is not there). Raises as
        ``ls_remote``.
        """
        lines = self._ask_remote(url, "--symref")
        named = (line[5:].partition("\t") for line in lines if line.startswith("ref: "))
        return parse_refs(lines), next((ref for ref, _, name in named if name == "HEAD"), "")

    def _to_remote(self, *args: str) -> subprocess.CompletedProcess[bytes]:
        """As ``call``, for what speaks to a server."""
        if self._ssh is None:
            own = {"GIT_SSH", "GIT_SSH_COMMAND"} & self._env.keys() or self.config("core.sshCommand")
            self._ssh = "" if own else f"ssh {ssh_limits(self._silence)}"
        return self.call(*args, env={"GIT_SSH_COMMAND": self._ssh} if self._ssh else None)

    def _ask_remote(self, url: str, option: str, *patterns: str) -> list[str]:
        done = self._to_remote("ls-remote", "--quiet", option, "--", url, *patterns)
        if done.returncode != 0:
            raise _remote_error("read", url, done.stderr)
        return done.stdout.decode(errors="surrogateescape").splitlines()

    def fetch(self, url: str, *refspecs: str, prune: bool = False) -> None:
        """Fetch exactly these refspecs; with ``prune`` drop what is gone. Raises RemoteError (transient)."""
        options = ["--quiet", "--no-tags", "--no-write-fetch-head", *(["--prune"] if prune else [])]
        done = self._to_remote("fetch", *options, "--end-of-options", url, *refspecs)
        if done.returncode != 0:
            raise _remote_error("fetch from", url, done.stderr)

    def push(
        self, url: str, updates: Mapping[str, str | None], *, expect: Mapping[str, str] = MappingProxyType({})
    ) -> PushResult:
        """One atomic push, never forced: ref -> sha, or None to delete. A lost race is a result, not an error.

        expect: what these refs must still be, for what is deleted: git refuses no deletion by itself.
        Raises RemoteError where the remote could not be asked at all.
        """
        leases = [f"--force-with-lease={ref}:{sha}" for ref, sha in expect.items()]
        specs = [f"{sha or ''}:{ref}" for ref, sha in updates.items()]
        done = self._to_remote(
            "push", "--atomic", "--porcelain", "--no-verify", *leases, "--end-of-options", url, *specs
        )
        if done.returncode == 0:
            return PushResult(True)
        rejected = [line for line in done.stdout.decode(errors="replace").splitlines() if line.startswith("!")]
        if not rejected:
            raise _remote_error("push to", url, done.stderr)
        return PushResult(False, "; ".join(line.split("\t")[-1] for line in rejected))


def _no_git(path: Path) -> GitdataError:
    if not path.is_dir():
        return NotARepositoryError(f"{path}: no such folder")
    return MachineError("git is not installed", hint=f"install git {_OLDEST} or newer")


def too_old(version: str) -> MachineError:
    """The error for a git that lacks what is needed. version: what `git --version` says."""
    return MachineError(f"{version} is too old", hint=f"install git {_OLDEST} or newer")


def _remote_error(verb: str, url: str, stderr: bytes) -> RemoteError:
    said = [line for line in stderr.decode(errors="replace").splitlines() if line.strip()] or ["no answer"]
    at = next((number for number, line in enumerate(said) if line.startswith("fatal:")), 0)
    if said[at].startswith("fatal: Could not read from remote"):
        at = max(0, at - 1)  # what ssh said, which is the cause
    cause = hide_password(said[at].removeprefix("fatal: "))
    return RemoteError(f"cannot {verb} {hide_password(url)}: {cause}", transient=True)
