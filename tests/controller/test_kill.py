"""kill -9 of the controller at random moments: nothing is lost, nothing recorded is done again, no mail goes twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gitdata.controller.notify import fetch_outbox, read_outbox
from gitdata.formats.index import parse_index
from gitdata.formats.keys import index_name
from helpers.lab import Lab
from helpers.mail import running_sink

KILLS = 10
SLOW = "sleep 0.2; for f in /pfs/in/*; do cp $f /pfs/out/$(basename $f); done"
MESSAGE = '{"from":"cam@example.com","to":"me@example.com","subject":"saw %s","text":"look"}'
MAILS = (
    f"mkdir /pfs/out/mail; for f in /pfs/slow/*; do n=$(basename $f); printf '{MESSAGE}' $n > /pfs/out/mail/$n; done"
)


def controller(lab: Lab, config: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "gitdata", "controller", "--repo", str(lab.origin.path)]
    command += ["--remote", str(lab.root / "data"), "--config", str(config), *more]
    with (lab.root / "controller.log").open("ab") as log:
        return subprocess.Popen(command, stderr=log)


def repeated(lab: Lab) -> list[str]:
    """Datums that were begun again after a result of theirs had been recorded."""
    recorded: dict[str, list[tuple[float, int]]] = {}
    for info in lab.store.list("gitdata/v1/main/datums/"):
        name = index_name(info.key)
        if name is not None and name.startswith("seg-"):
            for result in parse_index(lab.store.read(info.key)).results:
                recorded.setdefault(result.datum, []).append((info.modified * 1000, result.started))
    return [
        datum
        for datum, results in recorded.items()
        if any(begun > when for when, _ in results for _, begun in results if (when, begun) not in results)
    ]


@pytest.mark.slow
def test_nothing_is_lost_or_done_twice_by_ten_kills(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab.create(tmp_path)
    dice = random.Random(7)
    monkeypatch.setenv("SENDGRID_API_KEY", "key")
    for number in range(6):
        lab.work.write(f"in/{number}", str(number))
    lab.stage("slow", SLOW, parallelism_spec={"constant": 2})
    lab.stage("threats", MAILS, {"pfs": {"repo": "slow", "glob": "/"}}, notify={"glob": "/mail/*"})
    config = tmp_path / "controller.toml"
    with running_sink(tmp_path / "mails") as sink:
        config.write_text(f'[controller]\npoll_seconds = 0.2\nflush_seconds = 0.1\n[mail]\nhost = "{sink.url}"\n')
        lab.push("stages")
        for kill in range(KILLS):
            process = controller(lab, config)
            time.sleep(dice.uniform(0.5, 3.0))
            process.send_signal(signal.SIGKILL)
            process.wait()
            if kill in (3, 6):
                lab.work.write(f"in/more{kill}", str(kill))
                lab.push(f"more {kill}")
        assert controller(lab, config, "--once").wait(120) == 0, (tmp_path / "controller.log").read_text()
        names = {*map(str, range(6)), "more3", "more6"}
        assert lab.states() == {"slow": "success", "threats": "success"}
        assert set(lab.files("slow")) == names
        assert repeated(lab) == []
        subjects = sink.subjects()
        assert len(subjects) == len(set(subjects))
        # A kill between the call and its answer: nobody can tell, so it is shown, and sent again only by request.
        outbox = read_outbox(lab.origin, fetch_outbox(lab.origin, str(lab.origin.path))).values()
        unconfirmed = {str(m.message["subject"]) for m in outbox if m.state == "claimed"}
        assert set(subjects) | unconfirmed == {f"saw {name}" for name in names}
    lab.origin.run("fsck", "--strict")
