"""The rule: which classes of objects are threats, from which score on, and who is told.

main.py reads one. A rule that is not understood completely is an error: half a rule would stay silent about threats.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

ADDRESS = re.compile(r"[^@\s<>,;\x00-\x1f\x7f]+@[^@\s<>,;\x00-\x1f\x7f]+")
NEEDED = {"from", "to", "threats"}
KNOWN = NEEDED | {"minimum_score"}


class RuleError(Exception):
    """One line: file, field, what is wrong."""


class Rule(NamedTuple):
    sender: str
    receivers: str | list[str]
    threats: frozenset[str]
    minimum_score: float


def is_address(value: Any) -> bool:
    return isinstance(value, str) and ADDRESS.fullmatch(value) is not None


def problem(rule: Any) -> str | None:
    """What is wrong with a rule; None if nothing is."""
    if not isinstance(rule, dict):
        return "must be an object"
    if missing := sorted(NEEDED - rule.keys()):
        return f"{missing[0]}: is missing"
    if unknown := sorted(rule.keys() - KNOWN):
        return f"{unknown[0]}: is not known; known are {', '.join(sorted(KNOWN))}"
    if not is_address(rule["from"]):
        return "from: must be an e-mail address"
    receivers = rule["to"] if isinstance(rule["to"], list) else [rule["to"]]
    if not receivers or not all(is_address(each) for each in receivers):
        return "to: must be an e-mail address or a list of them"
    threats = rule["threats"]
    if not isinstance(threats, list) or not all(isinstance(each, str) and each for each in threats):
        return 'threats: must be a list of class names, such as ["person"]'
    score = rule.get("minimum_score", 0)
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        return "minimum_score: must be a number from 0 to 1"
    return None


def read_rule(path: Path) -> Rule:
    try:
        rule = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RuleError(f"{path}: is missing") from error
    except (ValueError, RecursionError) as error:
        raise RuleError(f"{path}: not JSON: {error}") from error
    if found := problem(rule):
        raise RuleError(f"{path}: {found}")
    return Rule(rule["from"], rule["to"], frozenset(rule["threats"]), float(rule.get("minimum_score", 0.5)))
