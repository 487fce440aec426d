"""Pick out the objects that are threats, and write a message about each image that shows one.

Reads /pfs/rules/rule.json and what was found in each image, /pfs/object/<device>/<time>.json. Writes
/pfs/out/threats/<device>/<time>.json and /pfs/out/mail/<device>_<time>.json; it sends nothing itself. Standard
library only. Both files depend on the inputs alone, and the message says which threats, not how sure the model is of
them: a retrained model must not send the same alarm again because of a third digit.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rule import Rule, RuleError, read_rule

PFS = Path(os.environ.get("PFS", "/pfs"))


class FoundError(Exception):
    """A file of found objects that is not one."""


def moment(time: str) -> str:
    """The time of an image in words. Its first ten digits are seconds; more digits are parts of one."""
    return datetime.fromtimestamp(int(time[:10]), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def read_found(path: Path) -> dict[str, Any]:
    """What was found in one image, as the detecting stage wrote it."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for each in found["objects"]:
            if not isinstance(each["class"], str) or not isinstance(each["score"], int | float):
                raise TypeError("an object needs a class and a score")
        if not isinstance(found["image"], str) or not path.stem.isdecimal():
            raise TypeError("no image name, or not named <unix time>.json")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FoundError(f"{path}: not a list of found objects: {error}") from error
    return found


def message(rule: Rule, device: str, time: str, image: str, threats: list[dict[str, Any]]) -> dict[str, Any]:
    counted = Counter(each["class"] for each in threats)
    what = ", ".join(f"{number} {name}" for name, number in sorted(counted.items()))
    text = f"{moment(time)}: camera {device} saw {what}.\nImage: {image}\n"
    subject = " ".join(f"{device}: {what}".split())  # one line, whatever a class is called
    return {"from": rule.sender, "to": rule.receivers, "subject": subject, "text": text}


def write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def judge(path: Path, rule: Rule, out: Path) -> None:
    """One image: write its threats and the message, or nothing if it shows none."""
    device, time, found = path.parent.name, path.stem, read_found(path)
    threats = [
        each for each in found["objects"] if each["class"] in rule.threats and each["score"] >= rule.minimum_score
    ]
    print(f"{device} {time}: {len(threats)} of {len(found['objects'])} objects are threats", flush=True)
    if threats:
        seen = {"image": found["image"], "device": device, "time": int(time), "threats": threats}
        write(out / "threats" / device / f"{time}.json", seen)
        write(out / "mail" / f"{device}_{time}.json", message(rule, device, time, found["image"], threats))


def main() -> int:
    try:
        rule = read_rule(PFS / "rules" / "rule.json")
        for path in sorted((PFS / "object").glob("*/*.json")):
            judge(path, rule, PFS / "out")
    except (RuleError, FoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
