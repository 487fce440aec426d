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
