"""The picture of the threats: always one, the same bytes for the same threats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.stages import Datum

RED, BLUE = (0xD6, 0x27, 0x28), (0x1F, 0x77, 0xB4)  # of the first and the second class by name


def put_threats(datum: Datum, device: str, time: str, *kinds: str) -> None:
    content = {"image": "x", "device": device, "time": int(time), "threats": [{"class": kind} for kind in kinds]}
    datum.put(f"threat-detect/threats/{device}/{time}.json", content)


def drawn(datum: Datum) -> np.ndarray:
    done = datum.run()
    assert (done.code, done.err) == (0, "")
    assert datum.output() == ["threats.png"]
    with Image.open(datum.pfs / "out" / "threats.png") as image:
        return np.asarray(image.convert("RGB"))


def amount(pixels: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((pixels == colour).all(axis=-1).sum())


def test_bars_grow_with_the_threats_and_each_class_has_its_colour(datum: Datum) -> None:
    put_threats(datum, "dev1", "1511891098", "person", "dog")
    put_threats(datum, "dev2", "1511891160", "person", "person", "person")
    put_threats(datum, "dev2", "1511894160123", "person")
    datum.put("threat-detect/mail/dev1_1511891098.json", {"text": "no threat"})
    pixels = drawn(datum)
    dogs, persons = amount(pixels, RED), amount(pixels, BLUE)
    assert dogs > 500
    assert 4 * dogs < persons < 6 * dogs  # five persons to one dog


def test_no_threats_is_a_picture_that_says_so(datum: Datum) -> None:
    (datum.pfs / "threat-detect").mkdir(parents=True)
    pixels = drawn(datum)
    assert amount(pixels, (0x55, 0x55, 0x55)) > 200
    assert amount(pixels, BLUE) == amount(pixels, RED) == 0


def test_the_same_threats_give_the_same_bytes(datum: Datum, tmp_path: Path) -> None:
    again = Datum("plot", tmp_path / "elsewhere" / "pfs")
    for each in (datum, again):
        put_threats(each, "dev1", "1511891098", "person", "dog")
        drawn(each)
    settings = tmp_path / "settings"
    settings.mkdir()
    assert again.run(MPLCONFIGDIR=str(settings), HOME="/nonexistent", TZ="Asia/Tokyo", LANG="C").code == 0
    pictures = [(each.pfs / "out" / "threats.png").read_bytes() for each in (datum, again)]
    assert pictures[0] == pictures[1]


def test_a_font_cache_that_cannot_be_written_is_no_news(datum: Datum, tmp_path: Path) -> None:
    """As for an ordinary user without a home: fontconfig, where it is installed, has its own complaint."""
    fonts = tmp_path / "fonts.conf"
    fonts.write_text('<fontconfig><dir>/usr/share/fonts</dir><cachedir prefix="xdg">fontconfig</cachedir></fontconfig>')
    (datum.pfs / "threat-detect").mkdir(parents=True)
    done = datum.run(FONTCONFIG_FILE=str(fonts), HOME="/nonexistent")
    assert (done.code, done.err) == (0, "")


def test_many_devices_and_odd_names(datum: Datum) -> None:
    for number in range(45):
        put_threats(datum, f"camera-{number}", f"15118{number:05}", *["person"] * (1 + number % 3))
    put_threats(datum, "$\\frac{$x_1^", "1511891098", "$a$", "_hidden", "日本")
    done = datum.run()
    assert done.code == 0
    assert "hide" not in done.err
    assert "Glyph" in done.err  # a missing letter is a remark in the log, no failure
    assert done.out == f"{45 * 2 + 3} threats\n"
    with Image.open(datum.pfs / "out" / "threats.png") as image:
        assert image.height < 2000


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"threats": [1]}', '{"threats": 3}'])
def test_a_broken_file_is_one_line(datum: Datum, content: str) -> None:
    datum.put("threat-detect/threats/dev1/1511891098.json", content)
    problem = datum.fails()
    assert problem.startswith("/pfs/threat-detect/threats/dev1/1511891098.json: not a list of threats: ")


def test_a_file_without_a_time_is_one_line(datum: Datum) -> None:
    datum.put("threat-detect/threats/dev1/today.json", {"threats": []})
    assert "today.json: not a list of threats" in datum.fails()
