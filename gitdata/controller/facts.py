"""Facts: everything the planner must know of a commit, read from git and the store; and the walk over its stages.

``survey`` is level-triggered: called again whenever something may have changed, it always starts from what git and the
store say now. What it keeps between calls are objects named by their content, which cannot change; deleting that is
always safe. It decides nothing itself (``plan.decide`` does) and writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gitdata.bounded import Bounded
from gitdata.controller.plan import StageFacts, StagePlan, blocked, decide
from gitdata.controller.recorded import many, read_index, read_records
from gitdata.controller.site import Site
from gitdata.controller.sources import Source, Tree
from gitdata.data.transfer import missing, read_listing
from gitdata.datums import enumerate_datums
from gitdata.errors import GitdataError, InvalidInputError, MissingDataError, RemoteError
from gitdata.formats.dvc import object_key
from gitdata.formats.index import IndexObject, ranked
from gitdata.formats.records import History, RunRecord, fold
from gitdata.identity import stage_key
from gitdata.model import DatumResult, Environment, Listing, Stage, leaves

_MOST_MEANT = 100_000
_MOST_KEPT = 400_000  # files of trees, of listings, or of datums' results: 110, 90 and 140 MB when full
_MOST_RECORDS = 4_000


@dataclass(frozen=True, slots=True)
class Wish:
    """What to survey. preferred: stage -> result named by the output tip. retried: jobs whose retry was asked for.

    pinned: stage -> what the image reference of its published output meant. asked: stage, or "" for all -> the request
    to look anew at what its image means. cancelled: runs that are to end, by ``identity.run_of_job``.
    only: these stages and what they need; empty = all. default_branch: what a spec may call this commit.
    """

    commit: str
    branch: str
    preferred: Mapping[str, str] = field(default_factory=dict)
    pinned: Mapping[str, Environment] = field(default_factory=dict)
    retried: frozenset[str] = frozenset()
    asked: Mapping[str, str] = field(default_factory=dict)
    cancelled: frozenset[str] = frozenset()
    only: frozenset[str] = frozenset()
    default_branch: str = ""


@dataclass(frozen=True, slots=True)
class Survey:
    """A commit's stages with their plans, in topological order, and the sources that they name.

    error: why the specs cannot be read, "" if they can; there are no plans then. remarks: what is wrong with pointers,
    a line each: the stages that use one have failed.
    """

    wish: Wish
    plans: Mapping[str, StagePlan] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)
    error: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def terminal(self) -> bool:
        return all(plan.terminal for plan in self.plans.values())


class Facts:
    """Reads facts for one site. Its caches hold only immutable objects and presence seen during one survey."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._trees: Bounded[str, Tree] = Bounded(_MOST_KEPT, lambda tree: 1 + len(tree.entries))
        self.damaged: set[str] = set()  # keys of records whose bytes are not what their name says
        self._index: Bounded[str, IndexObject] = Bounded(_MOST_KEPT, _weight)
        self._records: Bounded[str, RunRecord] = Bounded(_MOST_RECORDS)
        self._listings: Bounded[str, Listing] = Bounded(_MOST_KEPT, lambda listing: 1 + len(listing))
        self._proven: set[str] = set()
        # A commit keeps the images that it began with, however long it takes: (commit, stage, pin, request) -> id.
        self._meant: Bounded[tuple[str, str, str, str], str] = Bounded(_MOST_MEANT)

    def survey(self, wish: Wish, believed: Survey | None = None) -> Survey:
        """Every stage of the commit with its state. Raises RemoteError where the store cannot be asked,
        MissingDataError where the wish names a stage that is none.

        believed: what is left of an earlier survey of the same wish and needs no second look.
        """
        self._proven.clear()
        try:
            tree = self.tree(wish.commit)
            if self.site.zone == "main":
                tree.check_remote(self.site.store.url)
            stages = _wanted(tree.pipeline(wish.default_branch), wish.only)
        except InvalidInputError as error:
            return Survey(wish, error=error.message)
        names = {stage.name for stage in stages}
        plans: dict[str, StagePlan] = {}
        sources = dict(believed.sources) if believed else {}
        level: list[StageFacts] = []  # of stages that do not need each other: decided side by side, the store is far
        for stage in stages:
            repos = {leaf.repo for leaf in leaves(stage.input)}
            if not repos.isdisjoint(facts.stage.name for facts in level):
                plans |= _decided(level)
                level.clear()
            upstream = {repo: plans[repo] for repo in sorted(repos & names)}
            plan = believed.plans.get(stage.name) if believed else None
            found = plan or blocked(stage, upstream) or self._facts(stage, wish, tree, upstream, sources)
            if isinstance(found, StagePlan):
                plans[stage.name] = found
            else:
                level.append(found)
        plans |= _decided(level)
        return Survey(wish, {stage.name: plans[stage.name] for stage in stages}, sources, remarks=tree.remarks)

    def tree(self, commit: str) -> Tree:
        """The tree of a commit, kept with what was read of it: each turn visits every branch."""
        tree = self._trees.get(commit)
        if tree is None:
            tree = self._trees[commit] = Tree(self.site.git, commit)
        return tree

    def _facts(
        self,
        stage: Stage,
        wish: Wish,
        tree: Tree,
        upstream: Mapping[str, StagePlan],
        sources: dict[str, Source],
    ) -> StageFacts | StagePlan:
        """What the decision on a stage needs; the plan where that cannot be had."""
        before = wish.pinned.get(stage.name)
        asked = wish.asked.get(stage.name) or wish.asked.get("", "")
        known = before.id if before and not asked and before.image == stage.transform.image else ""
        meant = (wish.commit, stage.name, known, asked)
        try:
            environment = self.site.executor.environment(
                self.site.git, wish.commit, stage, self._meant.get(meant, known), asked
            )
        except GitdataError as error:
            if error.transient:  # a registry that does not answer must not keep other stages and branches waiting
                return StagePlan(stage, "waiting", error.message, trouble=True)
            return StagePlan(stage, "failed", error.message)
        self._meant[meant] = environment.id
        try:
            for leaf in leaves(stage.input):
                if leaf.repo not in upstream and leaf.repo not in sources:
                    sources[leaf.repo] = self._source(tree, leaf.repo)
            listings = {repo: source.listing for repo, source in sources.items()}
            listings |= {repo: self.output_listing(plan) for repo, plan in upstream.items()}
            key = stage_key(environment.id, stage)
            datums = tuple(enumerate_datums(key, stage.input, listings))
        except RemoteError:
            raise  # a store that refuses is no fault of the stage, and nothing to publish
        except GitdataError as error:
            if error.transient:
                raise
            return StagePlan(stage, "failed", self._words(stage, error))
        return StageFacts(
            stage=stage,
            environment=environment,
            stage_key=key,
            datums=datums,
            index=lambda job: self.index(key, job),
            history=self.history,
            output_proven=self._output_proven,
            result_proven=self.results_proven,
            commit=wish.commit,
            owner=self.site.owner,
            preferred=wish.preferred.get(stage.name, ""),
            retried=wish.retried,
        )

    def _source(self, tree: Tree, repo: str) -> Source:
        try:
            return tree.source(repo, self.site.store)
        except MissingDataError as error:  # of an object: whose it is, people cannot see from its name
            named = error.message if repo in error.message else f"input {repo}: {error.message}"
            raise MissingDataError(named, hint=error.hint) from error

    def _words(self, stage: Stage, error: GitdataError) -> str:
        """What is wrong with the inputs of a stage and what to do: data that comes later is seen only on request."""
        hint = error.hint
        if isinstance(error, MissingDataError) and self.site.zone == "main":
            hint = f"{hint or 'push the data'}, then `gitdata job retry {stage.name}`"
        return f"{error.message}; {hint}" if hint else error.message

    def output_listing(self, plan: StagePlan) -> Listing:
        """The files of a known stage's output."""
        if plan.result is None or plan.result[1].output is None:
            return ()
        return self.listing(plan.result[1].output.oid)

    def listing(self, oid: str) -> Listing:
        """The files of a directory object, verified."""
        found = self._listings.get(oid)
        if found is None:
            found = self._listings[oid] = read_listing(self.site.store, oid)
        return found

    def index(self, key: str, job: str) -> dict[str, list[DatumResult]]:
        """The recorded results of a stage key that may count in ``job``: datum id -> results, the best first.

        A failure, and an output that err_cmd gave up on, count only for the attempt that made them.
        """
        return ranked(self.index_objects(key), lambda r: r.job == job or (r.failure is None and not r.recovered))

    def index_objects(self, key: str) -> dict[str, IndexObject]:
        """The segments and packs of a stage key that count, by name, over all zones that this site reads."""
        return read_index(self.site.store, self.site.zones, key, self._index, damaged=self.damaged)

    def history(self, key: str) -> History:
        """The fold of all records of a run."""
        store, zones = self.site.store, self.site.zones
        return fold(read_records(store, zones, key, self._records, damaged=self.damaged).items())

    def _output_proven(self, record: RunRecord) -> bool:
        """Whether a result's listing and every object in it are there; read back, not believed (``dvc gc -c``)."""
        if record.output is None:
            return False
        oid = record.output.oid
        if oid not in self._listings and self.site.store.head(object_key(oid)) is None:
            return False
        try:
            listing = self.listing(oid)
        except (MissingDataError, InvalidInputError):
            return False  # damaged, or gone since
        return self._all_there([oid, *(entry.oid for entry in listing)])

    def results_proven(self, results: Sequence[DatumResult]) -> list[bool]:
        """For each result of a datum, whether every object of its output is there."""
        self._all_there([entry.oid for result in results for entry in result.outputs])
        return [all(entry.oid in self._proven for entry in result.outputs) for result in results]

    def _all_there(self, oids: Sequence[str]) -> bool:
        unknown = set(oids) - self._proven
        absent = missing(self.site.store, unknown) if unknown else set()
        self._proven |= unknown - absent
        return not absent


def _weight(index: IndexObject) -> int:
    return 1 + sum(1 + len(result.outputs) + len(result.fetched) for result in index.results)


def _decided(level: Sequence[StageFacts]) -> dict[str, StagePlan]:
    return {plan.stage.name: plan for plan in many(decide, level)}


def _wanted(stages: Sequence[Stage], only: frozenset[str]) -> list[Stage]:
    """The stages named and everything upstream of them, in order. Raises MissingDataError for a name that is none."""
    unknown = only - {stage.name for stage in stages}
    if unknown:
        raise MissingDataError(f"no stage is named {sorted(unknown)[0]}", hint="see `gitdata plan`")
    needed = set(only) or {stage.name for stage in stages}
    for stage in reversed(stages):
        if stage.name in needed:
            needed |= {leaf.repo for leaf in leaves(stage.input)}
    return [stage for stage in stages if stage.name in needed]
