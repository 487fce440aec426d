"""Find the objects in each image.

Reads the images under /pfs/validate/valid and the model (frozen_inference_graph.pb and a .pbtxt label map) in
/pfs/model, writes what it found to /pfs/out/<device>/<time>.json. TensorFlow and the graph are loaded once for all
images of a datum. The file of an image depends on the image and the model alone.
"""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from detector import Detection, Detector, GraphError
from labels import LabelMapError, parse_label_map

PFS = Path(os.environ.get("PFS", "/pfs"))
GRAPH = "frozen_inference_graph.pb"
FORMATS = ("JPEG", "PNG")


class UserError(Exception):
    """Something that the user of this stage can put right, in one line."""


def setting(name: str, default: float, low: float, high: float) -> float:
    text = os.environ.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise UserError(f"{name}={text}: must be a number from {low:g} to {high:g}")
    return value


def read_labels(model: Path) -> dict[int, str]:
    maps = sorted(model.glob("*.pbtxt"))
    if len(maps) != 1:
        raise UserError(f"{model}: one label map (.pbtxt) is needed, {len(maps)} found")
    try:
        return parse_label_map(maps[0].read_text(encoding="utf-8"))
    except (LabelMapError, UnicodeDecodeError) as error:
        raise UserError(f"{maps[0]}: not a label map: {error}") from error


def load_model(model: Path) -> tuple[Detector, dict[int, str]]:
    if not (model / GRAPH).is_file():
        raise UserError(f"{model}: no {GRAPH}")
    labels = read_labels(model)
    try:
        return Detector(model / GRAPH, int(setting("THREADS", 1, 1, 256))), labels
    except GraphError as error:
        raise UserError(str(error)) from error


def read_image(path: Path) -> np.ndarray:
    """The picture as a person would see it: turned as the camera says, RGB."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: cannot be decoded: {error}") from error


def describe(found: Detection, width: int, height: int, labels: dict[int, str]) -> dict[str, Any]:
    """An object for the output. Rounded: the last digits of a float are not the same on every processor."""

    def pixel(part: float, size: int) -> int:
        return min(size, max(0, round(part * size)))

    box = {
        "left": pixel(found.left, width), "top": pixel(found.top, height),
        "right": pixel(found.right, width), "bottom": pixel(found.bottom, height),
    }  # fmt: skip
    name = labels.get(found.kind, f"class {found.kind}")
    return {"class_id": found.kind, "class": name, "score": round(found.score, 3), "box": box}


def detect(path: Path, detector: Detector, labels: dict[int, str], threshold: float) -> dict[str, Any]:
    pixels = read_image(path)
    height, width = pixels.shape[:2]
    objects = [describe(each, width, height, labels) for each in detector(pixels) if each.score >= threshold]
    objects.sort(key=lambda each: (-each["score"], each["class_id"], tuple(each["box"].values())))
    return {"image": path.name, "width": width, "height": height, "objects": objects}


def run() -> None:
    threshold = setting("THRESHOLD", 0.5, 0, 1)
    detector, labels = load_model(PFS / "model")
    for path in sorted((PFS / "validate" / "valid").glob("*")):
        result = detect(path, detector, labels, threshold)
        device, _, time = path.stem.rpartition("_")
        target = PFS / "out" / device / f"{time}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{path.name}: {', '.join(each['class'] for each in result['objects']) or 'nothing'}", flush=True)


def main() -> int:
    try:
        run()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
