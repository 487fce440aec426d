"""Write a graph with the signature of TensorFlow's detection models that finds what it is told to find.

    python graphs.py FILE JSON

JSON: [[class id, score, [ymin, xmin, ymax, xmax]], …]. Like the models that people download it returns 100 rows, the
unused ones zero. A program, not a module of the tests: it borrows the stage's own door to TensorFlow, which a process
passes only once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

ROWS = 100


def main(file: str, found: str) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "stage-images" / "object-detect"))
    from detector import tensorflow_client

    client = tensorflow_client()
    from tensorflow.python.framework import constant_op, dtypes
    from tensorflow.python.ops import array_ops

    rows = json.loads(found)
    kinds, scores, boxes = np.zeros((1, ROWS)), np.zeros((1, ROWS)), np.zeros((1, ROWS, 4))
    for place, (kind, score, box) in enumerate(rows):
        kinds[0, place], scores[0, place], boxes[0, place] = kind, score, box
    graph = client.Graph()
    with graph.as_default():
        array_ops.placeholder(dtypes.uint8, [None, None, None, 3], name="image_tensor")
        number = np.array([len(rows)])
        for name, value in (("classes", kinds), ("scores", scores), ("boxes", boxes)):
            constant_op.constant(value.astype(np.float32), name=f"detection_{name}")
        constant_op.constant(number.astype(np.float32), name="num_detections")
    Path(file).write_bytes(graph.as_graph_def().SerializeToString())
    assert "keras" not in sys.modules, "the stage's door to TensorFlow let Keras in"
    assert "tensorflow.python.distribute" not in sys.modules


if __name__ == "__main__":
    main(*sys.argv[1:])
