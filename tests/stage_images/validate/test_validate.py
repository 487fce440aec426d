"""What the validate stage takes for a good image, and that nothing in a file stops it."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from helpers.stages import CAMERAS, Datum

GOOD = "dev1_1511891098.jpg"


def picture(kind: str = "JPEG", size: tuple[int, int] = (64, 48)) -> bytes:
    data = io.BytesIO()
    Image.effect_noise(size, 60).convert("RGB").save(data, kind)
    return data.getvalue()


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes that unpacks to width x height pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_the_demo_s_images_are_sorted_and_linked(datum: Datum) -> None:
    names = sorted(path.name for path in (CAMERAS / "images").iterdir())
    for name in names:
        datum.put(f"images/{name}", (CAMERAS / "images" / name).read_bytes())
    done = datum.run()
    assert (done.code, done.err) == (0, "")
    expected = ["invalid/holiday.jpg", *(f"valid/{name}" for name in names if name != "holiday.jpg")]
    assert datum.output() == expected
    for path in expected:
        assert (datum.pfs / "out" / path).readlink() == datum.pfs / "images" / Path(path).name
    assert "'holiday.jpg': invalid: its name is not <device>_<unix time>.jpg\n" in done.out


@pytest.mark.parametrize(
    "name", [GOOD, "front_door_1511891098.jpg", "Cam-7.b_1511891098123.jpg", "d_1511891098123456789.jpg"]
)
def test_good_names(datum: Datum, name: str) -> None:
    datum.put(f"images/{name}", picture())
    datum.run()
    assert datum.output() == [f"valid/{name}"]


@pytest.mark.parametrize(
    "name",
    [
        "dev1_151189109.jpg",
        "dev1_15118910980000000000.jpg",
        "dev1-1511891098.jpg",
        "_1511891098.jpg",
        "1511891098.jpg",
        "dev1_1511891098.jpeg",
        "dev1_1511891098.JPG",
        "dev1_1511891098.jpg.jpg",
        "dev1_1511891098.jpg ",
        "dev1_1511891098.jpg\n",
        "dev1_١٥١١٨٩١٠٩٨.jpg",
        ".._1511891098.jpg",
        "de v_1511891098.jpg",
        "dév_1511891098.jpg",
        ".dev1_1511891098.jpg.swp",
        os.fsdecode(b"dev\xff_1511891098.jpg"),
    ],
)
def test_bad_names(datum: Datum, name: str) -> None:
    datum.put(f"images/{name}", picture())
    done = datum.run()
    assert (done.code, done.err) == (0, "")
    assert datum.output() == [f"invalid/{name}"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot identify"),
        (b"hello", "cannot identify"),
        (picture()[:-200], "truncated"),
        (picture()[:30], "cannot"),
        (png_claiming(60_000, 60_000), "bomb"),
        (png_claiming(9_000, 9_000), "bomb"),
        (png_claiming(640, 480), "cannot be decoded"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "cannot identify"),
        (picture("TIFF"), "cannot identify"),
    ],
    ids=["empty", "text", "cut", "cut in the header", "bomb", "too large", "no pixels", "program", "other format"],
)
def test_bad_content(datum: Datum, content: bytes, reason: str) -> None:
    datum.put(f"images/{GOOD}", content)
    done = datum.run()
    assert (done.code, done.err) == (0, "")
    assert datum.output() == [f"invalid/{GOOD}"]
    assert reason in done.out


def test_a_png_by_the_name_of_jpg_is_an_image(datum: Datum) -> None:
    datum.put(f"images/{GOOD}", picture("PNG"))
    datum.run()
    assert datum.output() == [f"valid/{GOOD}"]


def test_what_is_no_plain_file_at_the_top_is_invalid(datum: Datum) -> None:
    datum.put(f"images/folder/{GOOD}", picture())
    os.mkfifo(datum.pfs / "images" / GOOD)
    (datum.pfs / "images" / "dev2_1511891098.jpg").symlink_to("nowhere")
    done = datum.run()
    assert (done.code, done.err) == (0, "")
    assert datum.output() == [f"invalid/{GOOD}", "invalid/dev2_1511891098.jpg", f"invalid/folder/{GOOD}"]


def test_damaged_images_stop_nothing(datum: Datum) -> None:
    rng = random.Random(3)
    originals = [picture(), picture("PNG"), picture("JPEG", (200, 150))]
    for number in range(150):
        data = bytearray(originals[number % 3])
        for _ in range(rng.choice([1, 5, 50])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        datum.put(f"images/dev{number}_1511891098.jpg", bytes(data))
    done = datum.run()
    assert (done.code, done.err) == (0, "")
    names = [Path(path).name for path in datum.output()]
    assert sorted(names) == sorted(f"dev{number}_1511891098.jpg" for number in range(150))
    assert any(path.startswith("invalid/") for path in datum.output())
