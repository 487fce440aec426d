"""Learnt weights -> a frozen graph with the object-detection signature, in one file.

train.py calls it at its end. The graph does everything from a picture's bytes to boxes: resize, scale, network,
decode, drop doubles, pad. Names and shapes are those of TensorFlow's detection models (ssd_mobilenet_v1_coco), so
that either file serves the object-detect stage. Plain TensorFlow 1 operations with constants; it must never contain a
variable or a function.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

import network

MOST = 50  # detections that the graph returns; the rest of the arrays is zeros
SAME_OBJECT = 0.45  # two boxes of one class that overlap by more are one object
WORTH = 0.05  # below this the graph says nothing; the stage's own threshold is far above it
EPSILON = 1e-3  # Keras's, in its normalisation

Weights = Mapping[str, np.ndarray]


class Constants:
    """Layers whose weights are constants; a normalisation is folded into the convolution before it."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    def convolve(self, x: Any, name: str, filters: int, kernel: int, stride: int) -> Any:
        scale = self.weights[f"{name}/gamma"] / np.sqrt(self.weights[f"{name}/variance"] + EPSILON)
        bias = self.weights[f"{name}/beta"] - self.weights[f"{name}/mean"] * scale
        x = tf.nn.conv2d(
            x, tf.constant(self.weights[f"{name}/kernel"] * scale), strides=stride, padding="SAME", name=name
        )
        return tf.nn.relu6(tf.nn.bias_add(x, tf.constant(bias)))

    def spread(self, x: Any, name: str, stride: int) -> Any:
        kernel = tf.constant(self.weights[f"{name}/kernel"])
        return tf.nn.depthwise_conv2d_native(x, kernel, [1, stride, stride, 1], "SAME", name=name)

    def predict(self, x: Any, name: str, filters: int) -> Any:
        x = tf.nn.conv2d(x, tf.constant(self.weights[f"{name}/kernel"]), strides=1, padding="SAME", name=name)
        return tf.nn.bias_add(x, tf.constant(self.weights[f"{name}/bias"]))

    def enlarge(self, x: Any, name: str) -> Any:
        rows, columns = x.shape[1] * 2, x.shape[2] * 2
        return tf.raw_ops.ResizeNearestNeighbor(images=x, size=[rows, columns], name=name)


def prepare(image: Any) -> Any:
    """Pictures of any size, 0..255 -> the network's size, -1..1. Each new pixel is the mean of those it covers."""
    return tf.raw_ops.ResizeArea(images=image, size=[network.HEIGHT, network.WIDTH]) / 127.5 - 1.0


def decode(where: Any) -> Any:
    """Per cell box -> [N, cells, 4]: ymin, xmin, ymax, xmax as parts of the picture."""
    down, across = np.meshgrid(np.arange(network.ROWS) + 0.5, np.arange(network.COLUMNS) + 0.5, indexing="ij")
    middle = tf.stack([down.astype(np.float32) + where[..., 1], across.astype(np.float32) + where[..., 0]], axis=-1)
    half = tf.exp(tf.stack([where[..., 3], where[..., 2]], axis=-1)) / 2.0
    cells = np.array([network.ROWS, network.COLUMNS] * 2, dtype=np.float32)
    boxes = tf.concat([middle - half, middle + half], axis=-1) / cells
    return tf.reshape(boxes, [-1, network.ROWS * network.COLUMNS, 4])


def freeze(weights: Weights, classes: int) -> bytes:
    """The graph's bytes; the same weights give the same bytes."""
    graph = tf.Graph()
    with graph.as_default():
        image = tf.placeholder(tf.uint8, [None, None, None, 3], name="image_tensor")
        what, where = network.build(prepare(image), classes, Constants(weights))
        scores = tf.reshape(tf.sigmoid(what), [-1, network.ROWS * network.COLUMNS, classes])
        boxes, kept, kinds, number = tf.image.combined_non_max_suppression(
            tf.expand_dims(decode(where), 2), scores, MOST, MOST, SAME_OBJECT, WORTH
        )
        number = tf.cast(number, tf.float32)
        real = tf.sequence_mask(tf.cast(number, tf.int32), MOST, tf.float32)
        tf.identity(boxes, name="detection_boxes")
        tf.identity(kept, name="detection_scores")
        tf.multiply(kinds + 1.0, real, name="detection_classes")
        tf.identity(number, name="num_detections")
    frozen: bytes = graph.as_graph_def().SerializeToString(deterministic=True)
    return frozen
