"""Every error that gitdata raises on purpose, with the exit code that a script sees.

    GitdataError                1   the verb failed and said why
      UsageError                2   the command line cannot be understood
      NotARepositoryError       3   no git repository here, or `gitdata init` was never run in it
      InvalidInputError         4   something a person wrote is wrong: a spec, a pointer, a setting, a manifest
      ConflictError             5   two sides changed, or it cannot be done as things are; nothing was touched
      MissingDataError          6   an object is neither in the cache nor on the remote, or nothing has that name
      RemoteError               7   the git or data remote refused or could not be reached
      BusyError                 8   another process holds the lock, or what was waited for took too long
      RunFailedError            9   a stage ran and failed
      MachineError             10   this machine lacks something: namespaces, a program, disk space

A message says what happened and to what; ``hint`` says what to do next. ``transient`` says whether the same call may
succeed later without anybody changing anything: the controller retries those and reports the others.
Code 70 is left for defects (``cli.py``), 128 + n for signals. ``docs/exit-codes.md`` is the same table for users.
"""

from __future__ import annotations

from collections.abc import Sequence


class GitdataError(Exception):
    """The base of all errors that end in one clear line, or one for each of several problems of a thing."""

    exit_code = 1
    transient = False

    def __init__(self, message: str | Sequence[str], *, hint: str = "", transient: bool | None = None) -> None:
        self.problems = (message,) if isinstance(message, str) else tuple(message)
        self.message = "\n".join(self.problems)
        super().__init__(self.message)
        self.hint = hint
        if transient is not None:
            self.transient = transient

    @property
    def remark(self) -> str:
        """Message and hint in one line."""
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UsageError(GitdataError):
    exit_code = 2


class NotARepositoryError(GitdataError):
    exit_code = 3


class InvalidInputError(GitdataError):
    exit_code = 4


class ConflictError(GitdataError):
    exit_code = 5


class MissingDataError(GitdataError):
    exit_code = 6


class RemoteError(GitdataError):
    exit_code = 7


class BusyError(GitdataError):
    exit_code = 8
    transient = True


class RunFailedError(GitdataError):
    exit_code = 9


class MachineError(GitdataError):
    """This machine lacks something that the work needs (namespaces, a program, disk space)."""

    exit_code = 10
