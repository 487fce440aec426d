"""Which files of an output become messages, and which are not even read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from gitdata.backends.local import LocalStore
from gitdata.controller.facts import Facts, Wish
from gitdata.controller.publish import new_messages
from gitdata.formats.dvc import object_key
from helpers.lab import Lab

MESSAGE = '{"from":"cam@example.com","to":"me@example.com","subject":"saw %s","text":"look"}'


class Watched(LocalStore):
    """Remembers what was read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.read_keys: list[str] = []

    def stream(self, key: str) -> Iterator[bytes]:
        self.read_keys.append(key)
        return super().stream(key)


def test_files_that_are_too_big_or_too_many_are_said_and_not_read(home: Path, tmp_path: Path) -> None:
    lab = Lab.create(tmp_path)
    lab.work.write("in/a", "one")
    mails = "\n".join(f"printf '{MESSAGE}' {n} > /pfs/out/{n}" for n in range(3))
    lab.stage("film", f"{mails}\nhead -c 600000 /dev/zero > /pfs/out/1film", notify={"glob": "/*"})
    commit = lab.push("stage")
    lab.settle()
    with lab.controller() as controller:
        store = Watched(tmp_path / "data")
        site = replace(controller.site, store=store)
        facts = Facts(site)
        plan = facts.survey(Wish(commit, "main")).plans["film"]
        oids = {entry.path: entry.oid for entry in facts.output_listing(plan)}
        store.read_keys.clear()
        said: list[str] = []
        found = new_messages(site, facts, plan, site.git.commit(commit), None, said.append, most=3)
    assert [message.message["subject"] for message in found] == ["saw 0", "saw 1"]
    assert sorted(store.read_keys) == sorted(object_key(oids[path]) for path in ("0", "1"))
    assert said == [
        "not sent: film/1film: 600000 bytes are too much for a message",
        "not sent: film: notify.glob matches 4 new files, of which 3 are read at most",
    ]
