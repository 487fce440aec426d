"""The detector's shape: a small convolutional network that says what is centred in each cell of a grid, and how big it
is.

train.py builds it from Keras layers that learn, freeze.py from constants that have learnt: both pass their own way to
make a convolution, so that the two cannot drift apart. It must never hold a weight.
"""

from __future__ import annotations

from typing import Any, Protocol

HEIGHT, WIDTH = 192, 256  # what every image is resized to before it is looked at
CELL = 8  # pixels of that a cell
ROWS, COLUMNS = HEIGHT // CELL, WIDTH // CELL
BOX = 4  # per cell: centre x, y (in cells from the cell's middle), log width, log height (in cells)


class Layers(Protocol):
    """How a convolution is made."""

    def convolve(self, x: Any, name: str, filters: int, kernel: int, stride: int) -> Any:
        """Convolution, normalisation and a ReLU that ends at 6."""

    def spread(self, x: Any, name: str, stride: int) -> Any:
        """Depthwise 3 x 3 convolution, nothing else."""

    def predict(self, x: Any, name: str, filters: int) -> Any:
        """1 x 1 convolution with a bias."""

    def enlarge(self, x: Any, name: str) -> Any:
        """Each cell becomes 2 x 2 of it."""


def build(x: Any, classes: int, layers: Layers) -> tuple[Any, Any]:
    """Images [N,192,256,3] in -1..1 -> per cell the classes' logits and the boxes."""

    def separable(x: Any, name: str, filters: int, stride: int = 1) -> Any:
        return layers.convolve(layers.spread(x, f"{name}_spread", stride), f"{name}_mix", filters, 1, 1)

    x = layers.convolve(x, "stem", 16, 3, 2)
    x = separable(x, "half", 32, 2)
    x = separable(x, "half_more", 32)
    x = separable(x, "near", 64, 2)
    near = separable(x, "near_more", 64)
    x = separable(near, "middle", 96, 2)
    x = separable(x, "middle_more", 96)
    middle = separable(x, "middle_most", 96)
    x = separable(middle, "far", 96, 2)
    x = separable(x, "far_more", 96)
    x = separable(layers.enlarge(x, "far_up") + middle, "join_middle", 64)
    x = separable(layers.enlarge(x, "middle_up") + near, "join_near", 64)
    x = separable(x, "last", 64)
    return layers.predict(x, "what", classes), layers.predict(x, "where", BOX)
