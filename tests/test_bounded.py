"""A bounded dictionary: full, it begins anew."""

from gitdata.bounded import Bounded


def test_a_full_one_begins_anew() -> None:
    known: Bounded[str, int] = Bounded(2)
    known["a"] = 1
    known["b"] = 2
    known["b"] = 3  # no new entry: nothing has to go
    assert known == {"a": 1, "b": 3}
    known["c"] = 4
    assert known == {"c": 4}


def test_values_may_weigh_more_or_less() -> None:
    known: Bounded[str, str] = Bounded(5, len)
    known["a"] = "11"
    known["b"] = "222"
    known["b"] = "222"
    assert known == {"a": "11", "b": "222"}
    known["c"] = "999999999"  # more than all: it is kept until the next one comes
    assert known == {"c": "999999999"}
    known["d"] = ""
    assert known == {"d": ""}
