"""Draw the demo's images: eight for the first push, one for the second.

    python examples/cameras/training/draw_images.py      # writes examples/cameras/images and examples/cameras/more

Three cameras; one image has a name that no camera gives, and two have the same bytes under two names.
"""

from __future__ import annotations

import sys
from pathlib import Path

from scenes import draw_scene, jpeg

CAMERAS = Path(__file__).resolve().parent.parent
QUALITY = 80
# (folder, name, seed of the scene, what it shows)
IMAGES: tuple[tuple[str, str, int, list[str]], ...] = (
    ("images", "dev1_1511891098.jpg", 2_000_001, ["person", "car"]),
    ("images", "dev1_1511891158.jpg", 2_000_002, ["car", "car", "dog"]),
    ("images", "dev1_1511891218.jpg", 2_000_003, []),
    ("images", "dev2_1511891100.jpg", 2_000_004, ["person", "person", "dog"]),
    ("images", "dev2_1511891160.jpg", 2_000_004, ["person", "person", "dog"]),  # the camera hung: same bytes
    ("images", "dev3_1511891105.jpg", 2_000_005, ["dog"]),
    ("images", "dev3_1511891165.jpg", 2_000_006, ["person", "car", "car"]),
    ("images", "holiday.jpg", 2_000_007, ["person", "person"]),  # not a camera's name
    ("more", "dev3_1511891400.jpg", 2_000_008, ["person", "dog", "car"]),
)


def main() -> int:
    for folder, name, seed, kinds in IMAGES:
        scene = draw_scene(seed, kinds)
        path = CAMERAS / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(scene.image, QUALITY))
        shown = ", ".join(each.kind for each in scene.figures) or "nobody"
        print(f"{folder}/{name}: {path.stat().st_size:,} bytes, shows {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
