"""Draw the threats per device and over time.

Reads all of /pfs/threat-detect/threats/<device>/<time>.json, writes one picture, /pfs/out/threats.png. The same
threats give the same bytes: no clock, no metadata, and Matplotlib's own font whatever the machine has.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

# Matplotlib, and fontconfig which it asks, write caches at import: the home folder may be missing or read-only.
SCRATCH = tempfile.TemporaryDirectory()
os.environ.setdefault("MPLCONFIGDIR", SCRATCH.name)
os.environ["XDG_CACHE_HOME"] = SCRATCH.name

logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # that it looks for fonts is no news

import matplotlib  # noqa: E402 - reads the variable above
import matplotlib.dates  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.ticker import MaxNLocator  # noqa: E402

PFS = Path(os.environ.get("PFS", "/pfs"))
COLOURS = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#e377c2", "#17becf")
MOST_DEVICES = 30


class ThreatsError(Exception):
    """A file of threats that is not one."""


class Threat(NamedTuple):
    device: str
    time: datetime
    kind: str


def read_threats(root: Path) -> list[Threat]:
    threats = []
    for path in sorted(root.glob("*/*.json")):
        try:
            kinds = [str(each["class"]) for each in json.loads(path.read_text(encoding="utf-8"))["threats"]]
            time = datetime.fromtimestamp(int(path.stem[:10]), UTC)  # further digits are parts of a second
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ThreatsError(f"{path}: not a list of threats: {error}") from error
        threats += [Threat(path.parent.name, time, kind) for kind in kinds]
    return threats


def literal(text: str) -> str:
    """Text that Matplotlib takes neither for a formula nor, with a leading underscore, for something to hide."""
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")


def draw_devices(axes: Axes, threats: list[Threat], devices: list[str], colours: dict[str, str]) -> None:
    """A bar per device, a part of it per class."""
    places = range(len(devices))
    before = [0] * len(devices)
    for kind, colour in colours.items():
        counted = Counter(each.device for each in threats if each.kind == kind)
        wide = [counted[device] for device in devices]
        axes.barh(places, wide, left=before, color=colour, label=literal(kind), height=0.7)
        before = [done + more for done, more in zip(before, wide, strict=True)]
    axes.set_yticks(places, [literal(each) for each in devices])
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("threats")
    axes.legend(loc="best", fontsize=8)


def draw_times(axes: Axes, threats: list[Threat], devices: list[str], colours: dict[str, str]) -> None:
    """A dot per device, time and class, the bigger the more."""
    counted = Counter(threats)
    for place, (kind, colour) in enumerate(colours.items()):
        dots = sorted(each for each in counted if each.kind == kind and each.device in devices)
        heights = [devices.index(each.device) + (place - (len(colours) - 1) / 2) * 0.12 for each in dots]
        axes.scatter(
            [each.time for each in dots], heights, [36 * counted[each] for each in dots], color=colour, alpha=0.75
        )
    axes.set_ylim(len(devices) - 0.5, -0.5)
    axes.set_yticks(range(len(devices)), [])
    axes.margins(x=0.1)
    locator = matplotlib.dates.AutoDateLocator(minticks=2, maxticks=5)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(matplotlib.dates.ConciseDateFormatter(locator))
    axes.set_xlabel("time (UTC)")


def draw(threats: list[Threat]) -> Figure:
    counted = Counter(each.device for each in threats)
    devices = sorted(sorted(counted, key=lambda each: (-counted[each], each))[:MOST_DEVICES])
    kinds = sorted({each.kind for each in threats})
    colours = {kind: COLOURS[place % len(COLOURS)] for place, kind in enumerate(kinds)}
    figure = Figure(figsize=(9, 2.6 + 0.35 * len(devices)), dpi=100, layout="constrained")
    if not threats:
        figure.text(0.5, 0.5, "No threats", ha="center", va="center", fontsize=22, color="#555555")
        return figure
    shown = (
        f"{len(devices)} of {len(counted)} devices, those with the most"
        if len(counted) > MOST_DEVICES
        else f"{len(counted)} devices"
    )
    figure.suptitle(f"{len(threats)} threats, {shown}")
    left, right = figure.subplots(1, 2)
    draw_devices(left, threats, devices, colours)
    draw_times(right, threats, devices, colours)
    return figure


def main() -> int:
    matplotlib.rcParams["font.family"] = "DejaVu Sans"
    try:
        threats = read_threats(PFS / "threat-detect" / "threats")
    except ThreatsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    out = PFS / "out" / "threats.png"
    draw(threats).savefig(out, metadata={"Software": None})
    print(f"{len(threats)} threats")
    return 0


if __name__ == "__main__":
    sys.exit(main())
