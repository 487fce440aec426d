"""Draw street scenes with people, cars and dogs, and say where they are.

First step of the example's model: train.py learns from these scenes, evaluate.py measures on others, draw_images.py
draws the demo's pictures. The same seed gives the same scene. It must never use a clock or a global random state.
"""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT = 320, 240
SHARP = 2  # figures are drawn larger and scaled down: smooth edges, as a lens makes them
CLASSES = ("person", "car", "dog")  # class id = place in here, from 1, as in label_map.pbtxt

Colour = tuple[int, int, int]


class Figure(NamedTuple):
    """One drawn object: its class and its box in pixels of the scene."""

    kind: str
    left: float
    top: float
    right: float
    bottom: float


class Scene(NamedTuple):
    image: Image.Image
    figures: tuple[Figure, ...]


SKIN: tuple[Colour, ...] = ((242, 205, 178), (224, 172, 138), (172, 118, 82), (112, 74, 50), (84, 54, 38))
HAIR: tuple[Colour, ...] = ((30, 24, 20), (82, 52, 30), (160, 110, 56), (196, 190, 184), (120, 40, 24))
FUR: tuple[Colour, ...] = ((120, 78, 44), (58, 42, 32), (206, 178, 138), (228, 222, 212), (34, 32, 34), (150, 96, 50))
PAINT: tuple[Colour, ...] = (
    (178, 30, 34), (28, 66, 150), (230, 230, 232), (36, 38, 42),
    (130, 136, 142), (24, 112, 72), (222, 176, 30), (96, 48, 110),
)  # fmt: skip


def shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(255, max(0, round(part * factor))) for part in colour)
    return red, green, blue


def any_colour(rng: random.Random) -> Colour:
    return rng.randrange(15, 245), rng.randrange(15, 245), rng.randrange(15, 245)


def person(rng: random.Random, size: float) -> Image.Image:
    """A walking or standing figure, `size` pixels high."""
    high, wide = size, size * rng.uniform(0.50, 0.62)
    layer = Image.new("RGBA", (math.ceil(wide) + 2, math.ceil(high) + 2))
    draw = ImageDraw.Draw(layer)
    middle = wide / 2
    skin, hair, shirt, trousers = rng.choice(SKIN), rng.choice(HAIR), any_colour(rng), any_colour(rng)
    head = high * rng.uniform(0.062, 0.078)
    shoulder, hip = high * 0.17, high * rng.uniform(0.47, 0.55)
    half = wide * rng.uniform(0.20, 0.27)
    limb = max(1, round(high * 0.065))
    stride = wide * rng.uniform(0.02, 0.30)
    for side in (-1, 1):  # legs, then shoes
        knee = (middle + side * (stride * 0.6 + half * 0.3), (hip + high) / 2)
        foot = (middle + side * (stride + half * 0.25), high - limb * 0.7)
        draw.line([(middle + side * half * 0.45, hip - limb), knee, foot], fill=trousers, width=limb + 1, joint="curve")
        draw.ellipse(
            [foot[0] - limb * 0.8, foot[1] - limb * 0.4, foot[0] + limb, foot[1] + limb * 0.6], fill=(28, 26, 26)
        )
    for side in (-1, 1):  # arms swing out more or less
        swing = wide * rng.uniform(0.02, 0.20)
        hand = (middle + side * (half + swing), shoulder + (hip - shoulder) * rng.uniform(0.80, 1.02))
        elbow = (middle + side * (half + swing * 0.7), (shoulder + hip) / 2)
        draw.line(
            [(middle + side * half * 0.9, shoulder + limb), elbow, hand],
            fill=shade(shirt, 0.85),
            width=limb,
            joint="curve",
        )
        draw.ellipse([hand[0] - limb / 2, hand[1] - limb / 2, hand[0] + limb / 2, hand[1] + limb / 2], fill=skin)
    if rng.random() < 0.25:  # a skirt or a long coat
        waist = [(middle - half * 0.8, hip * 0.75), (middle + half * 0.8, hip * 0.75)]
        hem = [(middle + half * 1.25, high * 0.72), (middle - half * 1.25, high * 0.72)]
        draw.polygon(waist + hem, fill=shade(shirt, 0.92))
    draw.rounded_rectangle([middle - half, shoulder, middle + half, hip], radius=half * 0.45, fill=shirt)
    draw.rectangle([middle - head * 0.4, head * 1.7, middle + head * 0.4, shoulder + 2], fill=shade(skin, 0.9))
    draw.ellipse([middle - head, 0, middle + head, head * 2.25], fill=skin)
    draw.chord([middle - head * 1.05, 0, middle + head * 1.05, head * 2.1], 180, 360, fill=hair)
    return layer


def car(rng: random.Random, size: float) -> Image.Image:
    """A car or van from the side, `size` pixels long, facing either way."""
    van = rng.random() < 0.3
    wide, high = size, size * (rng.uniform(0.44, 0.52) if van else rng.uniform(0.33, 0.40))
    layer = Image.new("RGBA", (math.ceil(wide) + 2, math.ceil(high) + 2))
    draw = ImageDraw.Draw(layer)
    paint, glass = rng.choice(PAINT), rng.choice([(58, 74, 90), (150, 180, 198), (26, 30, 36)])
    wheel = high * rng.uniform(0.17, 0.21)
    belt, floor = high * rng.uniform(0.40, 0.47), high - wheel * 0.8
    front, back = wide * (0.90 if van else rng.uniform(0.70, 0.78)), wide * (0.03 if van else rng.uniform(0.10, 0.20))
    draw.polygon(
        [(back, belt + 2), (back + wide * 0.08, 0), (front - wide * 0.14, 0), (front, belt + 2)],
        fill=shade(paint, 0.94),
    )
    draw.rounded_rectangle([0, belt, wide, floor], radius=high * 0.10, fill=paint)
    sill = high * 0.07
    pillar = wide * rng.uniform(0.40, 0.48)
    draw.polygon([(back + wide * 0.05, belt), (back + wide * 0.10, sill), (pillar, sill), (pillar, belt)], fill=glass)
    draw.polygon(
        [
            (pillar + wide * 0.025, belt),
            (pillar + wide * 0.025, sill),
            (front - wide * 0.16, sill),
            (front - wide * 0.04, belt),
        ],
        fill=glass,
    )
    draw.line([(pillar, belt), (pillar, floor - 2)], fill=shade(paint, 0.7), width=max(1, round(size / 90)))
    draw.rectangle([wide * 0.96, belt + high * 0.08, wide, belt + high * 0.18], fill=(250, 240, 190))
    draw.rectangle([0, belt + high * 0.08, wide * 0.03, belt + high * 0.18], fill=(170, 20, 20))
    for centre in (wide * rng.uniform(0.18, 0.23), wide * rng.uniform(0.77, 0.82)):
        for radius, colour in ((wheel, (22, 22, 24)), (wheel * 0.55, (150, 152, 156)), (wheel * 0.2, (60, 60, 62))):
            middle = high - wheel
            draw.ellipse([centre - radius, middle - radius, centre + radius, middle + radius], fill=colour)
    return layer


def dog(rng: random.Random, size: float) -> Image.Image:
    """A dog from the side, `size` pixels long, facing either way."""
    wide, high = size, size * rng.uniform(0.66, 0.82)
    layer = Image.new("RGBA", (math.ceil(wide) + 2, math.ceil(high) + 2))
    draw = ImageDraw.Draw(layer)
    fur = rng.choice(FUR)
    spine, belly = high * rng.uniform(0.32, 0.38), high * rng.uniform(0.64, 0.72)
    leg = max(1, round(size * 0.075))
    for at, tone in ((0.20, 0.8), (0.66, 0.8), (0.27, 1.0), (0.60, 1.0)):  # the far legs are darker
        foot = wide * (at + rng.uniform(-0.06, 0.06))
        draw.line([(wide * at, belly - leg), (foot, high - leg / 2)], fill=shade(fur, tone), width=leg)
    draw.line(
        [(wide * 0.16, spine + leg), (wide * rng.uniform(0.0, 0.06), high * rng.uniform(0.05, 0.45))],
        fill=fur,
        width=max(1, leg - 1),
    )
    draw.rounded_rectangle([wide * 0.12, spine, wide * 0.72, belly], radius=(belly - spine) * 0.48, fill=fur)
    draw.polygon(
        [
            (wide * 0.58, spine + leg),
            (wide * 0.72, belly - leg),
            (wide * 0.86, high * 0.24),
            (wide * 0.74, high * 0.10),
        ],
        fill=fur,
    )
    draw.ellipse([wide * 0.68, high * 0.06, wide * 0.91, high * 0.36], fill=fur)
    draw.rounded_rectangle([wide * 0.82, high * 0.18, wide, high * 0.33], radius=high * 0.06, fill=shade(fur, 1.08))
    draw.ellipse([wide * 0.965, high * 0.18, wide, high * 0.235], fill=(16, 14, 14))
    ear = [(wide * 0.70, high * 0.10), (wide * 0.67, high * 0.34), (wide * 0.77, high * 0.22)]
    if rng.random() < 0.5:
        ear = [(wide * 0.70, high * 0.12), (wide * 0.72, 0), (wide * 0.80, high * 0.10)]
    draw.polygon(ear, fill=shade(fur, 0.65))
    draw.ellipse([wide * 0.83, high * 0.12, wide * 0.865, high * 0.165], fill=(14, 12, 12))
    if rng.random() < 0.4:
        draw.line(
            [(wide * 0.66, high * 0.36), (wide * 0.73, high * 0.46)], fill=any_colour(rng), width=max(1, leg // 2)
        )
    return layer


# class -> (how it is drawn, its size on the nearest ground in pixels)
FIGURES: dict[str, tuple[Callable[[random.Random, float], Image.Image], float]] = {
    "person": (person, 112),
    "car": (car, 150),
    "dog": (dog, 62),
}


def street(rng: random.Random) -> tuple[Image.Image, float]:
    """An empty street, with much in it that is neither a person nor a car nor a dog; and where its horizon is."""
    wide, high = WIDTH * SHARP, HEIGHT * SHARP
    horizon = high * rng.uniform(0.30, 0.46)
    image = Image.new(
        "RGB", (wide, high), rng.choice([(150, 190, 226), (196, 204, 212), (224, 196, 166), (96, 120, 160)])
    )
    draw = ImageDraw.Draw(image)
    left = -rng.uniform(0, 60)
    while left < wide:  # houses with windows and doors
        right, roof = left + rng.uniform(70, 190), horizon * rng.uniform(0.0, 0.75)
        wall = shade(
            rng.choice([(170, 120, 96), (188, 180, 168), (120, 126, 136), (206, 190, 150), (96, 84, 80)]),
            rng.uniform(0.7, 1.15),
        )
        draw.rectangle([left, roof, right, horizon + 6], fill=wall)
        pane = rng.choice([shade(wall, 0.55), (216, 204, 150), (60, 76, 92)])
        step, size = rng.uniform(24, 38), rng.uniform(10, 16)
        for row in range(int((horizon - roof) / step)):
            for column in range(int((right - left) / step)):
                x, y = left + 8 + column * step, roof + 8 + row * step
                draw.rectangle([x, y, x + size, y + size * 1.4], fill=pane)
        left = right + rng.uniform(-2, 24)
    ground = rng.choice([(118, 118, 116), (150, 144, 134), (92, 96, 92), (106, 122, 88)])
    draw.rectangle([0, horizon, wide, high], fill=ground)
    top = horizon + (high - horizon) * rng.uniform(0.15, 0.55)
    bottom = min(high, top + (high - horizon) * rng.uniform(0.3, 0.6))
    draw.rectangle(
        [0, top, wide, bottom],
        fill=shade(rng.choice([(74, 76, 80), (58, 58, 62), (94, 92, 92)]), rng.uniform(0.8, 1.2)),
    )
    for x in range(-rng.randrange(60), wide, 90):
        draw.rectangle([x, (top + bottom) / 2 - 3, x + 48, (top + bottom) / 2 + 3], fill=(206, 204, 190))
    for _ in range(rng.randrange(5)):
        furniture(rng, draw, rng.uniform(0, wide), rng.uniform(horizon, high * 0.9), horizon)
    return image, horizon


def furniture(rng: random.Random, draw: ImageDraw.ImageDraw, x: float, foot: float, horizon: float) -> None:
    """A lamp, tree, bin, sign or box: the things that a detector must not take for a figure."""
    scale = SHARP * (0.4 + 0.6 * (foot - horizon) / (HEIGHT * SHARP - horizon))
    tone = any_colour(rng)
    kind = rng.choice(["lamp", "tree", "bin", "sign", "box", "ball"])
    if kind == "lamp":
        draw.rectangle([x - 2 * scale, foot - 130 * scale, x + 2 * scale, foot], fill=(70, 72, 74))
        draw.ellipse([x - 8 * scale, foot - 142 * scale, x + 8 * scale, foot - 126 * scale], fill=(240, 226, 170))
    elif kind == "tree":
        draw.rectangle([x - 5 * scale, foot - 60 * scale, x + 5 * scale, foot], fill=(88, 62, 42))
        for _ in range(5):
            dx, dy, r = rng.uniform(-22, 22) * scale, rng.uniform(-110, -60) * scale, rng.uniform(14, 28) * scale
            draw.ellipse(
                [x + dx - r, foot + dy - r, x + dx + r, foot + dy + r], fill=shade((66, 112, 52), rng.uniform(0.7, 1.3))
            )
    elif kind == "bin":
        draw.polygon(
            [
                (x - 11 * scale, foot - 34 * scale),
                (x + 11 * scale, foot - 34 * scale),
                (x + 8 * scale, foot),
                (x - 8 * scale, foot),
            ],
            fill=tone,
        )
        draw.rectangle([x - 13 * scale, foot - 38 * scale, x + 13 * scale, foot - 33 * scale], fill=shade(tone, 0.7))
    elif kind == "sign":
        draw.rectangle([x - 2 * scale, foot - 80 * scale, x + 2 * scale, foot], fill=(120, 120, 120))
        draw.ellipse(
            [x - 12 * scale, foot - 100 * scale, x + 12 * scale, foot - 76 * scale],
            fill=tone,
            outline=(230, 230, 230),
            width=3,
        )
    elif kind == "box":
        high, wide = rng.uniform(15, 60) * scale, rng.uniform(20, 90) * scale
        draw.rectangle([x - wide / 2, foot - high, x + wide / 2, foot], fill=tone, outline=shade(tone, 0.6), width=2)
    else:
        radius = rng.uniform(5, 14) * scale
        draw.ellipse([x - radius, foot - 2 * radius, x + radius, foot], fill=tone)


def crowded(box: Figure, others: list[Figure]) -> bool:
    """Whether a figure would hide, or be hidden by, more than a quarter of another."""
    for other in others:
        across = min(box.right, other.right) - max(box.left, other.left)
        down = min(box.bottom, other.bottom) - max(box.top, other.top)
        smaller = min((each.right - each.left) * (each.bottom - each.top) for each in (box, other))
        if across > 0 and down > 0 and across * down > 0.25 * smaller:
            return True
    return False


def place(rng: random.Random, image: Image.Image, horizon: float, kinds: list[str]) -> list[Figure]:
    """Paste the figures from the far ones to the near ones; one that finds no free place is left out."""
    figures: list[Figure] = []
    for depth, kind in sorted((rng.uniform(0.12, 1.0), kind) for kind in kinds):
        paint, size = FIGURES[kind]
        layer = paint(rng, size * SHARP * (0.34 + 0.66 * depth) * rng.uniform(0.88, 1.12))
        if kind != "person" and rng.random() < 0.5:
            layer = layer.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        layer = layer.crop(layer.getbbox())
        for _ in range(12):
            x = round(rng.uniform(-0.08 * layer.width, image.width - 0.92 * layer.width))
            y = round(horizon + depth * (image.height - horizon) * 0.96 - layer.height)
            right, bottom = min(image.width, x + layer.width), min(image.height, y + layer.height)
            box = Figure(kind, max(0, x) / SHARP, max(0, y) / SHARP, right / SHARP, bottom / SHARP)
            if not crowded(box, figures):
                image.paste(layer, (x, y), layer)
                figures.append(box)
                break
    return figures


def expose(rng: random.Random, image: Image.Image) -> Image.Image:
    """What a camera does to a scene: scale, blur, light, tint, noise, JPEG."""
    image = image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    if rng.random() < 0.35:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))
    grain = np.random.default_rng(rng.randrange(2**32))
    light = rng.uniform(0.45, 1.1)
    tint = np.array([rng.uniform(0.92, 1.08) for _ in range(3)])
    pixels = np.asarray(image, dtype=np.float32) * light * tint
    pixels += grain.normal(0, rng.uniform(1, 8), pixels.shape)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return Image.open(io.BytesIO(jpeg(image, rng.randrange(62, 93)))).convert("RGB")


def jpeg(image: Image.Image, quality: int) -> bytes:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return data.getvalue()


def draw_scene(seed: int, kinds: list[str] | None = None) -> Scene:
    """The scene of this seed; with `kinds`, one that shows these (as far as they find room)."""
    rng = random.Random(seed)
    image, horizon = street(rng)
    if kinds is None:
        kinds = [rng.choice(CLASSES) for _ in range(rng.choice([0, 1, 2, 2, 3, 3, 4, 5, 6]))]
    figures = place(rng, image, horizon, kinds)
    return Scene(expose(rng, image), tuple(figures))
