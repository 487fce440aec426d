"""What a job left becomes its run's result, also where no directory can be made of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gitdata.controller.collect import collect
from gitdata.controller.facts import Wish
from gitdata.controller.watch import Remote, look
from gitdata.model import DatumResult, Entry
from helpers.lab import Lab


def test_outputs_of_which_no_listing_can_be_made_fail_their_run(home: Path, tmp_path: Path) -> None:
    lab = Lab.create(tmp_path)
    lab.work.write("in/a", "one")
    lab.stage("copy", "cp /pfs/in/* /pfs/out/")
    wish = Wish(lab.push("stage"), "main")
    with lab.controller() as controller:
        site, facts = controller.site, controller.driver.facts
        look(site.git, site.origin, Remote())
        survey = facts.survey(wish)
        refused = Entry("../x", "0" * 32, 1, sha256="0" * 64)  # as two million files would be, in less time
        results = {d.id: DatumResult(d.id, outputs=(refused,)) for d in survey.plans["copy"].datums}
        plan = replace(survey.plans["copy"], todo=(), reused=results)
        assert collect(site, facts, survey, plan, None, now=1)
        after = facts.survey(wish).plans["copy"]
    assert after.state == "failed"
    assert "refused path '../x'" in after.why
