"""Where the folders that ship beside the package are found: ``hooks``, ``k8s-jobs``.

In a checkout they lie beside ``gitdata/``, in a wheel in ``gitdata/_share``. Reads only.
"""

from __future__ import annotations

from pathlib import Path

from gitdata.errors import MachineError


def share(name: str) -> Path:
    """The folder of that name. Raises MachineError."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_share" / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise MachineError(f"this installation of gitdata lacks its folder {name!r}", hint="install gitdata again")
