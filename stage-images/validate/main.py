"""Sort camera images into those that can be worked with and those that cannot.

Reads the files under /pfs/images, writes a link to each under /pfs/out/valid or /pfs/out/invalid: no bytes are
copied. An image is valid if it is named `<device>_<unix time>.jpg` and can be decoded. Nothing that is in a file
stops this program: what cannot be read is invalid, and the log says why.
"""

from __future__ import annotations

import io
import os
import re
import stat
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

PFS = Path(os.environ.get("PFS", "/pfs"))
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*_[0-9]{10,19}\.jpg", re.ASCII)  # seconds, or finer: up to nanoseconds
FORMATS = ("JPEG", "PNG")  # what cameras send; Pillow's rarer readers are not exposed to strangers' files
MOST_PIXELS = 64_000_000


def problem(path: Path) -> str | None:
    """Why this file is not a valid image; None if it is one."""
    if not NAME.fullmatch(path.name):
        return "its name is not <device>_<unix time>.jpg"
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "it is not a file"
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                return f"{image.width} x {image.height} pixels are too many"
            image.load()
    except Exception as error:  # noqa: BLE001 - decoders raise anything on broken files
        return f"cannot be decoded: {error or type(error).__name__}"
    return None


def files(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        yield from (Path(folder, name) for name in names)


def main() -> int:
    images, out = PFS / "images", PFS / "out"
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not be text
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    for path in sorted(files(images)):
        inside = path.relative_to(images)
        reason = problem(path) if inside.parent == Path() else "it is in a folder"
        link = out / ("invalid" if reason else "valid") / inside
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
        print(f"{str(inside)!r}: {'invalid: ' + reason if reason else 'valid'}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
