"""Draw scenes, teach the detector on them, write model/frozen_inference_graph.pb and model/label_map.pbtxt.

    python examples/cameras/training/train.py            # about 9 minutes on two cores

Scene seeds 0..N-1 (and 300 from 500,000 to calibrate the scores): evaluate.py measures on seeds from 1,000,000, which
it must never see. Fixed seeds and deterministic operations: the same TensorFlow on the same kind of processor gives
the same file.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import evaluate
import freeze
import network
import scenes

MODEL = Path(__file__).resolve().parent.parent / "model"
BATCH = 24
SEED = 20
CALIBRATION = 500_000  # the first scene of those that only the scores are calibrated on


class Learning:
    """Layers that learn, from Keras."""

    def convolve(self, x: Any, name: str, filters: int, kernel: int, stride: int) -> Any:
        x = tf.keras.layers.Conv2D(filters, kernel, stride, "same", use_bias=False, name=name)(x)
        x = tf.keras.layers.BatchNormalization(momentum=0.97, epsilon=freeze.EPSILON, name=f"{name}_norm")(x)
        return tf.keras.layers.ReLU(6.0)(x)

    def spread(self, x: Any, name: str, stride: int) -> Any:
        return tf.keras.layers.DepthwiseConv2D(3, stride, "same", use_bias=False, name=name)(x)

    def predict(self, x: Any, name: str, filters: int) -> Any:
        rare = tf.keras.initializers.Constant(-3.0 if name == "what" else 0.0)  # most cells hold nothing
        return tf.keras.layers.Conv2D(filters, 1, name=name, bias_initializer=rare)(x)

    def enlarge(self, x: Any, name: str) -> Any:
        return tf.keras.layers.UpSampling2D(2, name=name)(x)


def targets(figures: tuple[scenes.Figure, ...]) -> tuple[np.ndarray, np.ndarray]:
    """What the network should say of a scene: per class a hill around each centre; boxes, and how much each counts."""
    heat = np.zeros((network.ROWS, network.COLUMNS, len(scenes.CLASSES)), np.float32)
    where = np.zeros((network.ROWS, network.COLUMNS, network.BOX + 1), np.float32)
    rows, columns = np.mgrid[0 : network.ROWS, 0 : network.COLUMNS] + 0.5
    for figure in figures:
        left, right = (x / scenes.WIDTH * network.COLUMNS for x in (figure.left, figure.right))
        top, bottom = (y / scenes.HEIGHT * network.ROWS for y in (figure.top, figure.bottom))
        x, y, wide, high = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
        row, column = min(int(y), network.ROWS - 1), min(int(x), network.COLUMNS - 1)
        spread_x, spread_y = max(0.6, wide * 0.14), max(0.6, high * 0.14)
        hill = np.exp(-(((columns - 0.5 - column) / spread_x) ** 2 + ((rows - 0.5 - row) / spread_y) ** 2) / 2)
        kind = scenes.CLASSES.index(figure.kind)
        heat[..., kind] = np.maximum(heat[..., kind], hill)
        mine = (hill > 0.4) & (hill > where[..., network.BOX])
        box = np.stack(
            [x - columns, y - rows, np.full_like(rows, math.log(wide)), np.full_like(rows, math.log(high)), hill], -1
        )
        where[mine] = box[mine]
    return heat, where


def example(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A scene at the network's size, as the frozen graph would resize it, and its targets."""
    scene = scenes.draw_scene(seed)
    return np.asarray(scene.image), *targets(scene.figures)


def draw(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with ProcessPoolExecutor(
        mp_context=get_context("spawn")
    ) as pool:  # forking a process that holds TensorFlow may hang
        drawn = list(pool.map(example, range(count), chunksize=50))
    images, heats, wheres = zip(*drawn, strict=True)
    return np.stack(images), np.stack(heats), np.stack(wheres)


def loss(what: Any, where: Any, heat: Any, box: Any) -> Any:
    """Focal loss on the hills (a centre counts fully, cells near one hardly as misses), distance on the boxes."""
    probability = tf.clip_by_value(tf.sigmoid(what), 1e-4, 1 - 1e-4)
    hit = tf.where(heat > 0.999, 1.0, 0.0)
    miss = (1 - hit) * (1 - heat) ** 4 * probability**2 * -tf.math.log(1 - probability)
    found = hit * (1 - probability) ** 2 * -tf.math.log(probability)
    count = tf.maximum(1.0, tf.reduce_sum(hit))
    weight = box[..., network.BOX :]
    apart = tf.reduce_sum(weight * tf.abs(where - box[..., : network.BOX])) / tf.maximum(1.0, tf.reduce_sum(weight))
    return tf.reduce_sum(miss + found) / count + 0.5 * apart


def mirror(images: np.ndarray, heat: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    box = box[:, :, ::-1].copy()
    box[..., 0] *= -1
    return images[:, :, ::-1], heat[:, :, ::-1], box


def learn(count: int, epochs: int) -> Any:
    images, heats, boxes = draw(count)
    print(f"drew {count} scenes", flush=True)
    inputs = tf.keras.Input((network.HEIGHT, network.WIDTH, 3))
    model = tf.keras.Model(inputs, network.build(inputs, len(scenes.CLASSES), Learning()))
    steps = epochs * (count // BATCH)
    rate = tf.keras.optimizers.schedules.CosineDecay(1e-4, steps, alpha=0.005, warmup_target=4e-3, warmup_steps=100)
    optimizer = tf.keras.optimizers.Adam(rate)

    @tf.function
    def step(image: Any, heat: Any, box: Any) -> Any:
        with tf.GradientTape() as tape:
            what, where = model(freeze.prepare(image), training=True)
            cost = loss(what, where, heat, box)
        optimizer.apply_gradients(
            zip(tape.gradient(cost, model.trainable_variables), model.trainable_variables, strict=True)
        )
        return cost

    order = np.random.default_rng(SEED)
    began = time.monotonic()
    for epoch in range(epochs):
        costs = []
        for batch in order.permutation(count)[: count // BATCH * BATCH].reshape(-1, BATCH):
            chosen = images[batch], heats[batch], boxes[batch]
            image, heat, box = mirror(*chosen) if order.random() < 0.5 else chosen
            image = image[..., order.permutation(3)] if order.random() < 0.3 else image  # other colours, same shapes
            costs.append(
                float(step(*(tf.convert_to_tensor(each) for each in (np.ascontiguousarray(image), heat, box))))
            )
        print(f"epoch {epoch + 1}/{epochs}: loss {np.mean(costs):.3f}, {time.monotonic() - began:.0f} s", flush=True)
    return model


def weights(model: Any) -> dict[str, np.ndarray]:
    """The model's weights by the names that freeze.py uses."""
    found: dict[str, np.ndarray] = {}
    for layer in model.layers:
        values = layer.get_weights()
        names = ("gamma", "beta", "mean", "variance") if layer.name.endswith("_norm") else ("kernel", "bias")
        found |= {
            f"{layer.name.removesuffix('_norm')}/{name}": value for name, value in zip(names, values, strict=False)
        }
    return found


def surest(graph: bytes) -> float:
    """The score from which on the graph's objects are right most often (best F1), on scenes for this purpose alone."""
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(graph)
        detector = evaluate.Detector(Path(file.name), threads=2)
    thresholds = [round(0.2 + 0.02 * place, 2) for place in range(21)]
    tallies = evaluate.measure(detector, range(CALIBRATION, CALIBRATION + 300), thresholds)

    def worth(threshold: float) -> float:
        real, found, right, *_ = tallies[threshold].row("all")
        return 2 * right / max(1, real + found)

    return max(thresholds, key=worth)


def calibrated(learnt: freeze.Weights, classes: int) -> bytes:
    """The graph, its scores shifted so that 0.5 is where to draw the line: focal loss makes a network shy."""
    threshold = surest(freeze.freeze(learnt, classes))
    print(f"score {threshold} becomes 0.5", flush=True)
    shift = np.float32(math.log((1 - threshold) / threshold))
    return freeze.freeze({**learnt, "what/bias": learnt["what/bias"] + shift}, classes)


def label_map() -> str:
    items = (
        f'item {{\n  name: "{kind}"\n  id: {number}\n  display_name: "{kind}"\n}}\n'
        for number, kind in enumerate(scenes.CLASSES, 1)
    )
    return "".join(items)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=2400)
    parser.add_argument("--epochs", type=int, default=18)
    parser.add_argument("--out", type=Path, default=MODEL)
    options = parser.parse_args()
    tf.keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    graph = calibrated(weights(learn(options.scenes, options.epochs)), len(scenes.CLASSES))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "frozen_inference_graph.pb").write_bytes(graph)
    (options.out / "label_map.pbtxt").write_text(label_map())
    print(f"wrote {options.out}: {len(graph):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
