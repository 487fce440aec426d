"""A frozen TensorFlow graph that finds objects in a picture.

main.py makes one and shows it every image. Any graph with the signature of TensorFlow's detection models fits:
`image_tensor` in, `detection_boxes`, `detection_scores`, `detection_classes` and `num_detections` out. It must never
import the whole of TensorFlow: that takes four times as long as all the rest (Keras, the distribution strategies,
2,000 modules that running a graph has no use for).
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError

# Read when TensorFlow's libraries are loaded: no chatter, and the same numbers on every x86 processor generation.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

OUTPUTS = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")


class Client(NamedTuple):
    """TensorFlow, as far as it is needed here."""

    GraphDef: Any
    ConfigProto: Any
    Session: Any
    Graph: Any
    import_graph_def: Any
    OpError: type[Exception]


def tensorflow_client() -> Client:
    """What loads and runs a graph, without what `import tensorflow` brings besides.

    An empty `tensorflow` package stands in for the real one while they are imported: its __init__.py is what is slow.
    """
    if "tensorflow" not in sys.modules:
        spec = importlib.util.find_spec("tensorflow")
        if spec is None:
            raise ModuleNotFoundError("TensorFlow is not installed; see requirements.txt")
        sys.modules["tensorflow"] = importlib.util.module_from_spec(spec)
    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.protobuf.config_pb2 import ConfigProto
    from tensorflow.python.client.session import Session
    from tensorflow.python.framework.errors import OpError
    from tensorflow.python.framework.importer import import_graph_def
    from tensorflow.python.framework.ops import Graph

    return Client(GraphDef, ConfigProto, Session, Graph, import_graph_def, OpError)


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing on stderr meanwhile: TensorFlow's libraries write there at loading, whatever the log level is.

    What they wrote is shown if loading fails.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


class GraphError(Exception):
    """The file is no graph, or not one that finds objects."""


class Detection(NamedTuple):
    """One object: its class (from 1), how sure the graph is, and its box as parts of the picture."""

    kind: int
    score: float
    top: float
    left: float
    bottom: float
    right: float


class Detector:
    def __init__(self, graph_file: Path, threads: int) -> None:
        with quiet():
            client = tensorflow_client()
        definition, graph = client.GraphDef(), client.Graph()
        try:
            definition.ParseFromString(graph_file.read_bytes())
            with graph.as_default():
                client.import_graph_def(definition, name="")
            self._image = graph.get_tensor_by_name("image_tensor:0")
            self._outputs = [graph.get_tensor_by_name(f"{name}:0") for name in OUTPUTS]
        except (KeyError, ValueError, TypeError, DecodeError, client.OpError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise GraphError(f"{graph_file}: not a frozen detection graph: {reason}") from error
        config = client.ConfigProto(intra_op_parallelism_threads=threads, inter_op_parallelism_threads=threads)
        self._session = client.Session(graph=graph, config=config)

    def __call__(self, pixels: np.ndarray) -> list[Detection]:
        """What is in one RGB picture [height, width, 3], in the graph's order."""
        boxes, scores, kinds, number = self._session.run(self._outputs, {self._image: pixels[np.newaxis]})
        found = zip(kinds[0], scores[0], boxes[0], strict=True)
        return [Detection(int(kind), float(score), *map(float, box)) for kind, score, box in found][: int(number[0])]
