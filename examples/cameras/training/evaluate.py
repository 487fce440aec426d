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


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--score", type=float, default=0.5)
    parser.add_argument("--model", type=Path, default=CAMERAS / "model")
    options = parser.parse_args()
    detector = Detector(options.model / "frozen_inference_graph.pb", threads=2)
    found, real, right = Counter[str](), Counter[str](), Counter[str]()
    for seed in range(FIRST, FIRST + options.scenes):
        scene = scenes.draw_scene(seed)
        seen = [figure(each) for each in detector(np.asarray(scene.image)) if each.score >= options.score]
        found.update(each.kind for each in seen)
        real.update(each.kind for each in scene.figures)
        right.update(matches(seen, scene.figures))
    print(f"{options.scenes} scenes, score {options.score:g} and above, IoU 0.5 and above")
    print("| class | there | found | right | precision | recall |\n|---|---|---|---|---|---|")
    for kind in (*scenes.CLASSES, "all"):
        there, seen_, good = (each.total() if kind == "all" else each[kind] for each in (real, found, right))
        print(f"| {kind} | {there} | {seen_} | {good} | {good / max(1, seen_):.3f} | {good / max(1, there):.3f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
