"""Measure a model on scenes it has never seen, through the code of the object-detect stage.

    python examples/cameras/training/evaluate.py         # under a minute

A found object is right if one of the same class that is really there, and not taken yet, overlaps with it by half
(IoU 0.5). Precision is the share of found objects that are right, recall the share of real ones that were found.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

import scenes

CAMERAS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CAMERAS.parent.parent / "stage-images" / "object-detect"))

from detector import Detection, Detector  # noqa: E402 - the stage's code, from where the line above says

FIRST = 1_000_000  # train.py stays far below


def overlap(one: scenes.Figure, other: scenes.Figure) -> float:
    """Shared area / area of both (IoU)."""
    across = min(one.right, other.right) - max(one.left, other.left)
    down = min(one.bottom, other.bottom) - max(one.top, other.top)
    shared = max(0.0, across) * max(0.0, down)
    areas = ((each.right - each.left) * (each.bottom - each.top) for each in (one, other))
    return shared / (sum(areas) - shared)


def figure(found: Detection) -> scenes.Figure:
    left, right = found.left * scenes.WIDTH, found.right * scenes.WIDTH
    return scenes.Figure(
        scenes.CLASSES[found.kind - 1], left, found.top * scenes.HEIGHT, right, found.bottom * scenes.HEIGHT
    )


def matches(found: list[scenes.Figure], real: tuple[scenes.Figure, ...]) -> Counter[str]:
    """How many of the found ones, the surest first, are right; per class."""
    free, right = list(real), Counter[str]()
    for each in found:
        best = max((one for one in free if one.kind == each.kind), key=lambda one: overlap(one, each), default=None)
        if best is not None and overlap(best, each) >= 0.5:
            free.remove(best)
            right[each.kind] += 1
    return right


class Tally(NamedTuple):
    """How many figures of each class were found, how many were really there, how many of the found ones are right."""

    found: Counter[str]
    real: Counter[str]
    right: Counter[str]

    def row(self, kind: str) -> tuple[int, int, int, float, float]:
        """There, found, right, precision, recall; of one class or of "all"."""
        real, found, right = (
            each.total() if kind == "all" else each[kind] for each in (self.real, self.found, self.right)
        )
        return real, found, right, right / max(1, found), right / max(1, real)


def measure(detector: Detector, seeds: range, thresholds: list[float]) -> dict[float, Tally]:
    """What the detector makes of these scenes, for each score from which an object counts."""
    tallies = {threshold: Tally(Counter(), Counter(), Counter()) for threshold in thresholds}
    for seed in seeds:
        scene = scenes.draw_scene(seed)
        seen = detector(np.asarray(scene.image))
        for threshold, tally in tallies.items():
            counted = [figure(each) for each in seen if each.score >= threshold]
            tally.found.update(each.kind for each in counted)
            tally.real.update(each.kind for each in scene.figures)
            tally.right.update(matches(counted, scene.figures))
    return tallies


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--score", type=float, default=0.5)
    parser.add_argument("--model", type=Path, default=CAMERAS / "model")
    options = parser.parse_args()
    detector = Detector(options.model / "frozen_inference_graph.pb", threads=2)
    tally = measure(detector, range(FIRST, FIRST + options.scenes), [options.score])[options.score]
    print(f"{options.scenes} scenes, score {options.score:g} and above, IoU 0.5 and above\n")
    print("| class | there | found | right | precision | recall |\n|---|---|---|---|---|---|")
    for kind in (*scenes.CLASSES, "all"):
        there, found, right, precision, recall = tally.row(kind)
        print(f"| {kind} | {there} | {found} | {right} | {precision:.3f} | {recall:.3f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
