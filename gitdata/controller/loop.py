"""The loop: watch, plan, launch, collect, publish, notify, joined here and nowhere else.

Level-triggered: every turn starts from what the remote and the store say, so lost, doubled or forged events change
nothing and a controller that was killed at any point goes on by starting again. What it remembers between turns (which
commit of a branch is in progress) only keeps a stream of pushes from starving a commit; forgetting it is safe.
"""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

from gitdata.backends.git import GitError
from gitdata.backends.mail import Mailer
from gitdata.controller.archive import Archive
from gitdata.controller.clone import is_damaged, make_clone
from gitdata.controller.config import ControllerSettings
from gitdata.controller.delivery import Delivery
from gitdata.controller.drive import Driver
from gitdata.controller.facts import Survey, Wish
from gitdata.controller.inbox import Inbox
from gitdata.controller.notes import NOTES_REF
from gitdata.controller.notify import OUTBOX_REF
from gitdata.controller.publish import Tips, publish
from gitdata.controller.published import in_the_way, output_ref, published_source
from gitdata.controller.site import Site
from gitdata.controller.supersede import Supersede
from gitdata.controller.watch import HEADS, OUTPUTS, Remote, look
from gitdata.controller.wishes import make_wish
from gitdata.errors import ConflictError, GitdataError, RemoteError
from gitdata.formats.requests import Request

_ALIVE = ("pending", "running")
_REFUSALS = 5  # in a row, until a push that is refused is a problem and no race
_LONGEST_PAUSE = 60.0  # seconds
_SOUND_SECONDS = 600.0
_SETTLE_SECONDS = 300.0


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Progress:
    """What the loop remembers of one branch; all of it may be forgotten.

    commit: in progress. settled: (source tip, output tip) last found to need nothing. seen: stage -> last line said.
    wish: of the commit in progress, made of what ``wished`` says. told: the commit that was named last.
    refusals, reason: of its push, in a row. pause_until: on the monotonic clock.
    """

    commit: str = ""
    settled: tuple[str, str | None] | None = None
    seen: dict[str, str] = field(default_factory=dict)
    wish: Wish | None = None
    wished: tuple[object, ...] = ()
    told: str = ""
    refusals: int = 0
    reason: str = ""
    pause_until: float = 0.0


class Controller:
    """Runs one repository. ``mailer`` None: no key, messages stay pending."""

    def __init__(
        self,
        site: Site,
        settings: ControllerSettings,
        *,
        mailer: Mailer | None = None,
        say: Callable[[str], None] = print,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self.site, self.settings = site, settings
        self.say, self.clock = say, clock
        self.driver = Driver(site, say=say, clock=clock)
        self.supersede = Supersede(self.driver, int(settings.supersede_after * 1000), clock)
        self._pending: dict[str, Progress] = {}  # of branches: the newest commit, while another is in progress
        self.remote = Remote()
        self.branches: dict[str, Progress] = {}
        self.problems: dict[str, Exception] = {}  # branch -> what keeps it from its end, as of the last turn
        self._settle_after = 0.0  # until then no job of others is looked for that has died
        self._sound_until = 0.0  # until then the clone is not looked through again
        self._moved: dict[str, str | None] = {}  # refs that this turn's own pushes moved
        self._begun: set[str] | None = None  # commits of jobs that ran before our first turn
        self.delivery = Delivery(site, mailer, say=say, say_once=self._say_once, clock=lambda: self.clock())
        self.inbox = Inbox(site.git, site.origin, self._say_once)
        self.archive = Archive(site.git, site.origin, self._say_once)
        self._spent: set[str] = set()  # open requests that ask for nothing, as of this turn
        self._wanted: set[str] = set()  # jobs that one of our turns has wanted
        self._old = True  # whether the remote must be asked again
        self._said: dict[str, str] = {}

    @property
    def has_looked(self) -> bool:
        """Whether what is known of the git remote is of this turn."""
        return not self._old

    def turn(self, *, fresh: bool = True, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Do what can be done now. True while anything is still in progress. Raises the first transient error, after
        all that it does not concern: a git server that is away keeps no job, and one branch keeps no other.

        fresh: ask the git server first. Without it jobs are seen to, and it is asked only where our own pushes make
        what it last said old. stopping: asked between steps; what is then left is done when a controller begins.
        """
        fresh |= self._old
        # Before the look: a job that another controller started for a push that we have not seen is not unwanted.
        known = self.site.executor.jobs()
        running = set(known)
        if self._begun is None:
            alive = [name for name, status in known.items() if status.state in _ALIVE]
            self._begun = {commit for name in alive if (commit := self.site.executor.commit(name))}
        late: GitdataError | OSError | None = None
        if fresh:
            try:
                self._look()
            except GitdataError as error:
                if not error.transient or not self.remote.refs:
                    raise
                late, fresh = error, False
        tips = self._tips()
        for gone in set(self.branches) - set(tips) - set(self.problems):
            del self.branches[gone]
            self.driver.drop(gone)
        self._spent.clear()
        wanted: set[str] = set()
        busy, sure = False, not self.remote.broken
        for branch, tip in sorted(tips.items()):
            if stopping():
                return True
            try:
                busy |= self._branch(branch, tip, wanted, stopping)
            except Exception as error:  # noqa: BLE001 also a defect: it must not keep the other branches
                sure = False
                if isinstance(error, OSError) or (isinstance(error, GitdataError) and error.transient):
                    late = late or error
                    continue
                self.problems[branch] = error
                busy |= self._goes_on(branch, tip) or self._mended(error)
            self._say_once(f"problem of {branch}", self._problem(branch, tip))
        self._wanted = (self._wanted | wanted) & (running | wanted)
        # Else nobody knows which jobs the branch with the error wants, or a push that we have not seen.
        if sure and fresh and not stopping():
            self._cancel_unwanted(running - wanted, tips, busy=busy)
            self.inbox.name_unwatched(tips, self.remote.refs)
            spent = [request for id, request in self.inbox.open.items() if id in self._spent]
            self._old |= self.inbox.remove(spent, "to end what does not run")
            if time.monotonic() >= self._settle_after:
                self._settle_after = time.monotonic() + _SETTLE_SECONDS
                self.driver.settle_lost(wanted)
        self._begun = set()
        if late is not None:
            raise late
        return busy

    def _tips(self) -> dict[str, str]:
        """Watched branches -> tips; what cannot be had of the git remote is a problem by name, and begins no commit."""
        self.problems.clear()
        tips = self.remote.branches(self.settings.branches or (self.remote.default,))
        for ref, why in self.remote.broken.items():
            self._say_once(f"broken {ref}", f"{ref} of the git remote cannot be read: {why}")
            if tips.pop(ref.removeprefix(HEADS), None):
                self.problems[ref.removeprefix(HEADS)] = RemoteError(f"{ref} of the git remote cannot be read: {why}")
        return tips

    def _look(self) -> None:
        self._old = True  # also if this breaks off
        self.remote = look(self.site.git, self.site.origin, self.remote)
        self._moved.clear()
        self.inbox.look(self.remote.refs)
        self._old = self.inbox.remove(self.inbox.lost(self.remote.refs), "about a branch that is gone")
        self._old |= self.archive.move(self.remote.orphans())

    def _goes_on(self, branch: str, tip: str) -> bool:
        """After an error that lasts: whether there is a newer push, which may be what mends it."""
        memory = self.branches.get(branch)
        if memory is None or memory.commit in ("", tip):
            return False
        memory.commit = ""
        return True

    def _mended(self, error: Exception) -> bool:
        """Whether an error came of damage in our own clone, which is empty now: the next turn fetches it anew."""
        if not isinstance(error, GitError) or time.monotonic() < self._sound_until:
            return False
        self._sound_until = time.monotonic() + _SOUND_SECONDS
        if not is_damaged(self.site.git, error):
            return False
        self.say(f"the controller's clone {self.site.git.path} is damaged: it is made anew")
        make_clone(self.site.git)
        self.remote, self._old = Remote(), True
        return True

    def _problem(self, branch: str, tip: str) -> str:
        error, memory = self.problems.get(branch), self.branches.get(branch)
        if error is None:
            return ""
        where = f"{branch} {((memory and memory.told) or tip)[:12]}"
        if isinstance(error, GitdataError):
            return f"{where}: {error.message}" + (f"; {error.hint}" if error.hint else "")
        return f"{where}: a defect in gitdata: {''.join(traceback.format_exception(error))}"

    def notify(self, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Send what may be sent until ``stopping``. True if there is more than one turn sends; what cannot be sent now
        stays in the outbox and is tried at a later turn.
        """
        outbox = {**self.remote.refs, **self._moved}.get(OUTBOX_REF)
        if self.delivery.is_quiet(outbox) and not self.inbox.of_messages():
            return False
        try:
            report = self.delivery.send(stopping)
        except GitdataError as error:
            if error.transient:
                raise
            self.problems[OUTBOX_REF] = error  # no branch waits for mail
            self._say_once("problems", f"no message can be sent: {error.message}; {error.hint}")
            return False
        self._moved[OUTBOX_REF] = report.tip
        for id in self.inbox.of_messages():
            del self.inbox.open[id]
        return report.more

    def _branch(self, branch: str, tip: str, wanted: set[str], stopping: Callable[[], bool]) -> bool:
        if branch not in self.branches:
            self.branches[branch] = Progress(self._left(branch, tip))
        memory = self.branches[branch]
        if time.monotonic() < memory.pause_until:
            return self._refused(memory, branch)
        output = self.remote.refs.get(output_ref(branch))
        mine = self.inbox.of_branch(branch)
        asked = any(request.kind != "cancel" for request in mine.values())  # to end something publishes nothing
        published = published_source(self.site.git, output)
        commit = self._in_progress(memory, tip, None if asked else published)
        if not commit:
            done = published == tip or memory.settled == (tip, output)
            if done and not asked:
                self._spent |= mine.keys()
                memory.refusals = 0
                return False
            commit = memory.commit = tip
        if memory.told != commit:
            self.say(f"{branch}: {commit[:12]} {self.site.git.commit(commit).subject}")
        memory.told = commit
        wish = self._wish(memory, branch, output)
        survey = self.driver.advance(wish, stopping)
        self._tell(memory, survey)
        wanted |= {plan.job for plan in survey.plans.values() if plan.state == "run"}
        if not survey.terminal or stopping():
            if commit != tip and not stopping():
                self._superseded(survey, branch, tip, output)
            return True
        if not survey.plans and not survey.error and output is None:
            self._spent |= mine.keys()
            memory.commit, memory.settled = "", (commit, output)
            return False
        blocking = in_the_way(self.remote.refs, output_ref(branch))
        if blocking and self._old:  # it may just have been archived
            return True
        if blocking:
            raise ConflictError(
                f"no outputs can be published: {blocking} is in the way of {output_ref(branch)}",
                hint=f"give that branch another name: git push origin {blocking}:refs/heads/NAME :{blocking}",
            )
        if self._publish(memory, survey, mine):
            return commit != tip
        return self._refused(memory, branch)

    def _superseded(self, survey: Survey, branch: str, tip: str, output: str | None) -> None:
        """Say what a newer commit waits for, and give up what it no longer wants and what does not move."""
        pending = self._pending.setdefault(branch, Progress())
        pending.commit = tip
        busy = ", ".join(f"{name} ({plan.why})" for name, plan in survey.plans.items() if not plan.terminal)
        self._say_once(f"wait of {branch}", f"{branch}: {tip[:12]} waits for {survey.wish.commit[:12]}: {busy}")
        if self.supersede.give_up(survey, self._wish(pending, branch, output)):
            self.say(f"{branch}: what {tip[:12]} does not want and does not move is given up")

    def _wish(self, memory: Progress, branch: str, output: str | None) -> Wish:
        """What is wanted of the commit in progress; made anew only when something of it has changed."""
        wished = (memory.commit, output, frozenset(self.inbox.open), self.remote.default)
        if memory.wish and memory.wished == wished:
            return memory.wish
        memory.wish = make_wish(
            self.site.git,
            memory.commit,
            branch,
            {ref.removeprefix(OUTPUTS): sha for ref, sha in self.remote.refs.items() if ref.startswith(OUTPUTS)},
            default_branch=self.remote.default,
            requests=self.inbox.open.values(),
        )
        memory.wished = wished
        return memory.wish

    def _refused(self, memory: Progress, branch: str) -> bool:
        """After a refused push: whether another controller may have been quicker, so that it is worth waiting for."""
        if memory.refusals < _REFUSALS:
            return True
        self.problems[branch] = RemoteError(
            f"the git remote refuses the push of the outputs: {memory.reason}",
            hint="let the controller push gitdata/* branches, refs/notes/gitdata/* and refs/gitdata/*",
        )
        return False

    def _in_progress(self, memory: Progress, tip: str, published: str | None) -> str:
        """The commit in progress, if it is still wanted: a force push drops it, a newer push only if so configured.

        So does another controller that published it, or one after it.
        """
        if memory.commit and published == memory.commit:
            memory.commit = ""
        if memory.commit and memory.commit != tip and published and self.site.git.is_ancestor(memory.commit, published):
            memory.commit = ""
        if memory.commit and memory.commit != tip:
            superseded = self.settings.on_supersede == "cancel"
            if superseded or not self.site.git.is_ancestor(memory.commit, tip):
                self.say(f"{memory.commit[:12]} is no longer wanted")
                memory.commit = ""
        return memory.commit

    def _publish(self, memory: Progress, survey: Survey, requests: Mapping[str, Request]) -> bool:
        branch = survey.wish.branch
        refs = {**self.remote.refs, **self._moved}
        tips = Tips(refs.get(output_ref(branch)), refs.get(NOTES_REF), refs.get(OUTBOX_REF))
        sends = branch in (self.settings.sends or (self.remote.default,))
        self._old = True
        pushed, moved = publish(self.site, self.driver.facts, survey, tips, sorted(requests), sends=sends, say=self.say)
        if not pushed.accepted:
            memory.commit, memory.reason = "", pushed.reason
            memory.refusals += 1
            pause = min(_LONGEST_PAUSE, 0.25 * 2**memory.refusals) * random.uniform(0.5, 1)
            memory.pause_until = time.monotonic() + pause
            if memory.refusals < _REFUSALS:
                self.say(f"{branch}: the push of the outputs was refused ({pushed.reason}); planning again")
            return False
        self._moved |= moved
        memory.commit, memory.told, memory.refusals = "", "", 0
        memory.seen.clear()
        for plan in survey.plans.values():
            self.site.executor.forget(plan.job)
        self.say(f"{branch}: published {str(moved[output_ref(branch)])[:12]}, the outputs of {survey.wish.commit[:12]}")
        return True

    def _tell(self, memory: Progress, survey: Survey) -> None:
        if survey.error:
            self.say(f"{survey.wish.branch}: {survey.error}")
        self._say_once(f"pointers of {survey.wish.branch}", "; ".join(survey.remarks))
        for name, plan in survey.plans.items():
            line = f"{name}: {plan.state}: {plan.why}"
            if (plan.terminal or plan.trouble) and memory.seen.get(name) != line:
                self.say(line)
            memory.seen[name] = line

    def _cancel_unwanted(self, unwanted: set[str], tips: Mapping[str, str], *, busy: bool) -> None:
        ours = {memory.commit for memory in self.branches.values() if memory.commit}
        anothers = cache(lambda commit: self._is_anothers(commit, tips))
        for name, status in self.site.executor.jobs().items():
            if name not in unwanted or (status.state == "succeeded" and busy) or self.site.executor.is_foreign(name):
                continue
            commit = self.site.executor.commit(name)
            if anothers(commit) or (commit in ours and name not in self._wanted and status.state in _ALIVE):
                continue  # of a commit of ours: by another who knows its tags, or what was asked, otherwise
            self.driver.withdraw(name)
            if status.state in _ALIVE:
                self.say(f"cancel {name}: no commit wants it")
                self.site.executor.cancel(name)
            # A cancelled job, were it wanted again, would count as a failed attempt. And where all is published,
            # what is left was to be forgotten by somebody who was interrupted.
            self.site.executor.forget(name)

    def _left(self, branch: str, tip: str) -> str:
        """The commit that whoever was here before us, or is here beside us, has in progress; "" if there is none."""
        left = (commit for commit in sorted(self._begun or ()) if self._is_open(commit, branch, tip))
        return next(left, "")

    def _is_anothers(self, commit: str, tips: Mapping[str, str]) -> bool:
        """Whether another controller may have a commit in progress that is none of ours. Two that end each other's
        jobs would do so for ever."""
        if not commit or commit in {memory.commit for memory in self.branches.values()}:
            return False
        return any(self._is_open(commit, branch, tip) for branch, tip in tips.items())

    def _is_open(self, commit: str, branch: str, tip: str) -> bool:
        """Whether a commit of a branch is still to be published."""
        if commit != tip and (self.settings.on_supersede == "cancel" or not self.site.git.is_ancestor(commit, tip)):
            return False
        output = {**self.remote.refs, **self._moved}.get(output_ref(branch))
        published = published_source(self.site.git, output)
        return published is None or not self.site.git.is_ancestor(commit, published)

    def _say_once(self, about: str, text: str) -> None:
        """Say what is so, when it begins to be so."""
        if text and self._said.get(about) != text:
            self.say(text)
        self._said[about] = text
