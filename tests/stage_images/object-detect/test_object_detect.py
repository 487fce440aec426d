"""The shipped model finds what is in the demo's images, other models drop in, and what is wrong is one clear line."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from helpers.stages import CAMERAS, Datum

COCO = """
item {
  name: "/m/01g317"
  id: 1
  display_name: "person"
}
item {
  name: "/m/0k4j"
  id: 3
  display_name: "car"
}
"""
# What was drawn into the example's images: examples/cameras/training/draw_images.py.
DRAWN = {
    "dev1_1511891098.jpg": ["car", "person"],
    "dev1_1511891158.jpg": ["car", "car", "dog"],
    "dev1_1511891218.jpg": [],
    "dev2_1511891100.jpg": ["dog", "person", "person"],
    "dev2_1511891160.jpg": ["dog", "person", "person"],
    "dev3_1511891105.jpg": ["dog"],
    "dev3_1511891165.jpg": ["car", "car", "person"],
    "dev3_1511891400.jpg": ["car", "dog", "person"],
}


def jpeg(width: int, height: int, turned: int = 1) -> bytes:
    image, exif, data = Image.new("RGB", (width, height), (90, 90, 90)), Image.Exif(), io.BytesIO()
    exif[0x0112] = turned
    image.save(data, "JPEG", exif=exif)
    return data.getvalue()


def put_graph(datum: Datum, *found: tuple[int, float, list[float]]) -> None:
    path = datum.put("model/frozen_inference_graph.pb", b"")
    script = Path(__file__).with_name("graphs.py")
    subprocess.run([sys.executable, str(script), str(path), json.dumps(found)], check=True, capture_output=True)


def test_the_shipped_model_finds_what_was_drawn(datum: Datum) -> None:
    for file in (CAMERAS / "model").iterdir():
        datum.put(f"model/{file.name}", file.read_bytes())
    files = {path.name: path for folder in ("images", "more") for path in (CAMERAS / folder).iterdir()}
    for name in DRAWN:
        datum.put(f"validate/valid/{name}", files[name].read_bytes())
    done = datum.run()
    assert (done.code, done.err) == (0, "")  # and TensorFlow says nothing
    results = {name: datum.read(f"{name[:4]}/{name[5:15]}.json") for name in DRAWN}
    assert len(datum.output()) == len(DRAWN)
    found = {name: sorted(each["class"] for each in result["objects"]) for name, result in results.items()}
    assert found == DRAWN
    for name, result in results.items():
        assert (result["image"], result["width"], result["height"]) == (name, 320, 240)
        for each in result["objects"]:
            box = each["box"]
            assert 0 <= box["left"] < box["right"] <= 320
            assert 0 <= box["top"] < box["bottom"] <= 240
            assert 0.5 <= each["score"] <= 1
            assert {1: "person", 2: "car", 3: "dog"}[each["class_id"]] == each["class"]
    assert results["dev2_1511891100.jpg"]["objects"] == results["dev2_1511891160.jpg"]["objects"]
    person = next(each for each in results["dev1_1511891098.jpg"]["objects"] if each["class"] == "person")["box"]
    for side, place in {"left": 67, "top": 83, "right": 99, "bottom": 151}.items():
        assert abs(person[side] - place) < 10, (side, person)


def test_a_downloaded_model_drops_in(datum: Datum) -> None:
    boxes = [0.1, 0.2, 0.5, 0.6], [-0.1, 0.5, 0.25, 1.2], [0.0, 0.0, 1.0, 1.0], [0.2, 0.2, 0.4, 0.4]
    put_graph(datum, (3, 0.52, boxes[1]), (1, 0.98765, boxes[0]), (1, 0.49, boxes[2]), (7, 0.6, boxes[3]))
    datum.put("model/mscoco_label_map.pbtxt", COCO)
    datum.put("validate/valid/front_door_1511891098.jpg", jpeg(200, 100))
    assert datum.run().code == 0
    assert datum.output() == ["front_door/1511891098.json"]
    assert datum.read("front_door/1511891098.json") == {
        "image": "front_door_1511891098.jpg",
        "width": 200,
        "height": 100,
        "objects": [
            {
                "class_id": 1,
                "class": "person",
                "score": 0.988,
                "box": {"left": 40, "top": 10, "right": 120, "bottom": 50},
            },
            {
                "class_id": 7,
                "class": "class 7",
                "score": 0.6,
                "box": {"left": 40, "top": 20, "right": 80, "bottom": 40},
            },
            {"class_id": 3, "class": "car", "score": 0.52, "box": {"left": 100, "top": 0, "right": 200, "bottom": 25}},
        ],
    }
    datum.put("validate/valid/front_door_1511891098.jpg", jpeg(200, 100, turned=6))  # by a quarter
    assert datum.run(THRESHOLD="0.9", THREADS="2").code == 0
    turned = datum.read("front_door/1511891098.json")
    assert (turned["width"], turned["height"]) == (100, 200)
    assert [each["box"] for each in turned["objects"]] == [{"left": 20, "top": 20, "right": 60, "bottom": 100}]
    datum.put("validate/valid/front_door_1511891098.jpg", b"no picture")
    assert datum.fails().startswith("/pfs/validate/valid/front_door_1511891098.jpg: cannot be decoded: ")


def put_shipped(datum: Datum) -> None:
    datum.put("model/label_map.pbtxt", COCO)
    datum.put("model/frozen_inference_graph.pb", (CAMERAS / "model" / "frozen_inference_graph.pb").read_bytes())


def test_no_graph(datum: Datum) -> None:
    datum.put("model/label_map.pbtxt", COCO)
    assert datum.fails() == "/pfs/model: no frozen_inference_graph.pb"


def test_no_label_map(datum: Datum) -> None:
    datum.put("model/frozen_inference_graph.pb", b"")
    assert datum.fails() == "/pfs/model: one label map (.pbtxt) is needed, 0 found"


def test_two_label_maps(datum: Datum) -> None:
    put_shipped(datum)
    datum.put("model/other.pbtxt", COCO)
    assert datum.fails() == "/pfs/model: one label map (.pbtxt) is needed, 2 found"


def test_a_broken_label_map(datum: Datum) -> None:
    put_shipped(datum)
    datum.put("model/label_map.pbtxt", "item { id: 1 ")
    assert datum.fails() == "/pfs/model/label_map.pbtxt: not a label map: the file ends within an item"


@pytest.mark.parametrize("threshold", ["high", "1.5", "nan"])
def test_a_threshold_that_is_none(datum: Datum, threshold: str) -> None:
    put_shipped(datum)
    assert datum.fails(THRESHOLD=threshold) == f"THRESHOLD={threshold}: must be a number from 0 to 1"


@pytest.mark.parametrize(
    "graph", [b"", b"node { name: 'x' }", b"\n\x10\n\x01x\x12\x0bNoOperation"], ids=["empty", "text", "unknown"]
)
def test_a_broken_graph(datum: Datum, graph: bytes) -> None:
    put_shipped(datum)
    datum.put("model/frozen_inference_graph.pb", graph)
    assert datum.fails().startswith("/pfs/model/frozen_inference_graph.pb: not a frozen detection graph: ")


def test_the_shipped_model_is_small_and_the_scores_it_names_are_its_own() -> None:
    graph = (CAMERAS / "model" / "frozen_inference_graph.pb").read_bytes()
    assert len(graph) < 500_000
    readme = (CAMERAS / "training" / "README.md").read_text()
    assert hashlib.sha256(graph).hexdigest() in readme


@pytest.mark.slow
def test_the_shipped_model_detects_in_scenes_it_has_never_seen() -> None:
    script = CAMERAS / "training" / "evaluate.py"
    done = subprocess.run([sys.executable, str(script), "--scenes", "60"], check=True, capture_output=True, text=True)
    rows: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        if line.startswith(("| person", "| car", "| dog", "| all")):
            kind, *_, precision, recall = line.strip("| ").split(" | ")
            rows[kind] = float(precision), float(recall)
    assert rows.keys() == {"person", "car", "dog", "all"}
    for kind, measured in rows.items():
        assert min(measured) > 0.85, (kind, measured)
