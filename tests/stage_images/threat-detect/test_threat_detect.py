"""Which objects are threats, what the message says, and that a broken rule is one clear line."""

from __future__ import annotations

from typing import Any

import pytest

from helpers.stages import CAMERAS, Datum

RULE: dict[str, Any] = {"from": "a@example.com", "to": "b@example.com", "threats": ["person"], "minimum_score": 0.6}


def seen(kind: str, score: float) -> dict[str, Any]:
    return {"class_id": 1, "class": kind, "score": score, "box": {"left": 1, "top": 2, "right": 3, "bottom": 4}}


def found(*objects: dict[str, Any], image: str = "dev1_1511891098.jpg") -> dict[str, Any]:
    return {"image": image, "width": 320, "height": 240, "objects": list(objects)}


def test_the_example_s_rule_reports_a_person(datum: Datum) -> None:
    datum.put("rules/rule.json", (CAMERAS / "rules" / "rule.json").read_bytes())
    person = seen("person", 0.91)
    datum.put("object/dev1/1511891098.json", found(seen("car", 0.99), person, seen("person", 0.59)))
    done = datum.run()
    assert (done.code, done.err) == (0, "")
    assert done.out == "dev1 1511891098: 1 of 3 objects are threats\n"
    assert datum.output() == ["mail/dev1_1511891098.json", "threats/dev1/1511891098.json"]
    assert datum.read("threats/dev1/1511891098.json") == {
        "image": "dev1_1511891098.jpg",
        "device": "dev1",
        "time": 1511891098,
        "threats": [person],
    }
    assert datum.read("mail/dev1_1511891098.json") == {
        "from": "cameras@example.com",
        "to": "security@example.com",
        "subject": "dev1: 1 person",
        "text": "2017-11-28 17:44:58 UTC: camera dev1 saw 1 person.\nImage: dev1_1511891098.jpg\n",
    }


@pytest.mark.parametrize("objects", [[], [seen("car", 1.0)], [seen("person", 0.599)], [seen("Person", 0.9)]], ids=str)
def test_no_threat_no_output(datum: Datum, objects: list[dict[str, Any]]) -> None:
    datum.put("rules/rule.json", RULE)
    datum.put("object/dev1/1511891098.json", found(*objects))
    assert datum.run().code == 0
    assert datum.output() == []


def test_a_retrained_model_does_not_change_the_message(datum: Datum) -> None:
    datum.put("rules/rule.json", RULE | {"threats": ["dog", "person"]})
    texts = []
    for score in (0.71, 0.72):
        dogs = [seen("dog", score), seen("person", score + 0.1), seen("dog", 0.95)]
        datum.put("object/dev1/1511891098.json", found(*dogs))
        assert datum.run().code == 0
        texts.append((datum.pfs / "out/mail/dev1_1511891098.json").read_bytes())
    assert texts[0] == texts[1]
    assert b"dev1: 2 dog, 1 person" in texts[0]


def test_several_images_and_receivers(datum: Datum) -> None:
    datum.put(
        "rules/rule.json", {"from": "a@example.com", "to": ["b@example.com", "c@example.com"], "threats": ["dog"]}
    )
    datum.put("object/dev1/1511891098.json", found(seen("dog", 0.5)))
    datum.put("object/front_door/1511891098123.json", found(seen("dog", 0.49), seen("dog\r\nBcc: x", 0.9)))
    datum.put("object/yard/1511891099.json", found(seen("dog", 0.8)))
    assert datum.run().code == 0
    assert [path for path in datum.output() if path.startswith("mail/")] == [
        "mail/dev1_1511891098.json",
        "mail/yard_1511891099.json",
    ]
    assert datum.read("mail/dev1_1511891098.json")["to"] == ["b@example.com", "c@example.com"]


def test_a_subject_is_one_line(datum: Datum) -> None:
    datum.put("rules/rule.json", RULE | {"threats": ["a\r\nBcc: x"]})
    datum.put("object/dev1/1511891098123.json", found(seen("a\r\nBcc: x", 0.9)))
    assert datum.run().code == 0
    message = datum.read("mail/dev1_1511891098123.json")
    assert message["subject"] == "dev1: 1 a Bcc: x"
    assert message["text"].startswith("2017-11-28 17:44:58 UTC: ")


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("{", "not JSON: "),
        (b"\xff", "not JSON: "),
        ("[]", "must be an object"),
        ({"from": "a@example.com", "to": "b@example.com"}, "threats: is missing"),
        (RULE | {"minimun_score": 1}, "minimun_score: is not known; known are from, minimum_score, threats, to"),
        (RULE | {"from": "a@example.com\nBcc: c@example.com"}, "from: must be an e-mail address"),
        (RULE | {"from": ["a@example.com"]}, "from: must be an e-mail address"),
        (RULE | {"to": "nobody"}, "to: must be an e-mail address or a list of them"),
        (RULE | {"to": []}, "to: must be an e-mail address or a list of them"),
        (RULE | {"threats": "person"}, "threats: must be a list of class names"),
        (RULE | {"threats": [1]}, "threats: must be a list of class names"),
        (RULE | {"minimum_score": 60}, "minimum_score: must be a number from 0 to 1"),
        (RULE | {"minimum_score": True}, "minimum_score: must be a number from 0 to 1"),
        (RULE | {"minimum_score": "0.6"}, "minimum_score: must be a number from 0 to 1"),
        (RULE | {"minimum_score": float("nan")}, "minimum_score: must be a number from 0 to 1"),
    ],
)
def test_a_broken_rule_is_one_line(datum: Datum, rule: Any, problem: str) -> None:
    datum.put("rules/rule.json", rule)
    datum.put("object/dev1/1511891098.json", found(seen("person", 0.9)))
    assert datum.fails().startswith(f"/pfs/rules/rule.json: {problem}")
    assert datum.output() == []


def test_a_missing_rule_is_one_line(datum: Datum) -> None:
    datum.put("object/dev1/1511891098.json", found(seen("person", 0.9)))
    assert datum.fails() == "/pfs/rules/rule.json: is missing"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        {"image": "x", "objects": [{"score": 1}]},
        {"image": 1, "objects": []},
        {"image": "x", "objects": [1]},
    ],
    ids=str,
)
def test_broken_objects_are_one_line(datum: Datum, content: Any) -> None:
    datum.put("rules/rule.json", RULE)
    datum.put("object/dev1/1511891098.json", content)
    assert datum.fails().startswith("/pfs/object/dev1/1511891098.json: not a list of found objects: ")
