"""Publish: one atomic, never forced push makes a source commit's outputs, provenance and messages visible.

Called by ``loop`` when every stage of a source commit is terminal. The output commit is a pure function of the source
commit, the previous output commit and the stages' results, so two controllers make the same sha and the second push is
a no-op. A rejected push changes nothing: the caller forgets what it knew, fetches and plans again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from gitdata.backends.containers import PREFIX
from gitdata.backends.git import Git
from gitdata.backends.git_records import Commit, PushResult, hide_password
from gitdata.controller.facts import Facts, Survey
from gitdata.controller.notes import NOTES_REF, add_notes
from gitdata.controller.notify import OUTBOX_REF, enter
from gitdata.controller.plan import StagePlan
from gitdata.controller.published import Generated, check_side, generated_pointers, output_ref, published_source
from gitdata.controller.recorded import many
from gitdata.controller.site import Site
from gitdata.controller.sources import Tree
from gitdata.data.transfer import object_sizes, read_object
from gitdata.datums import match
from gitdata.errors import ConflictError, InvalidInputError, MissingDataError
from gitdata.formats.dvc import dump_pointer
from gitdata.formats.outbox import Message, check_size, new_message, parse_message_file
from gitdata.formats.provenance import note_line
from gitdata.identity import IDENT
from gitdata.model import Entry

_MOST_IGNORED = 1 << 20  # bytes of .gitignore
_MOST_READ = 10_000  # files of one output that may be messages: more would outlast a turn
_MOST_SAID = 20  # of those that are none; remarks on pointers
_MOST_LETTERS = 1000  # of a reason


@dataclass(frozen=True, slots=True)
class Tips:
    """The remote's tips that a publication builds on, fetched into the clone; None where there is none."""

    output: str | None
    notes: str | None
    outbox: str | None


def publish(
    site: Site,
    facts: Facts,
    survey: Survey,
    tips: Tips,
    requests: Sequence[str],
    *,
    sends: bool,
    say: Callable[[str], None],
) -> tuple[PushResult, dict[str, str | None]]:
    """Push the output commit, the notes, the new messages and the deletion of fulfilled requests; all or nothing.

    ``sends``: whether this branch's messages may be sent. Returns what the remote said and the refs as they then are.
    Raises ConflictError where messages cannot be entered.
    """
    git, source = site.git, site.git.commit(survey.wish.commit)
    commit = _output_commit(git, survey, source, tips.output, requests)
    updates: dict[str, str | None] = {output_ref(survey.wish.branch): commit}
    ident = _ident(IDENT, source.committer)
    lines = [note_line(p.result[1].statement) for p in survey.plans.values() if p.result and p.result[1].statement]
    try:
        check_side(git, NOTES_REF, tips.notes)
        notes = add_notes(git, tips.notes, {source.sha: sorted(set(lines))}, ident=ident)
        if notes is not None and notes != tips.notes:
            updates[NOTES_REF] = notes
    except ConflictError as error:  # what a run was made of is in its record, too: nothing waits for this
        say(f"{error.message}: no provenance is noted for {source.sha[:12]}; {error.hint}")
    if sends:
        outbox, before = tips.outbox, generated_pointers(git, tips.output)
        for plan in survey.plans.values():
            messages = new_messages(site, facts, plan, source, before.get(plan.stage.name), say)
            if messages and plan.stage.notify is not None:
                check_side(git, OUTBOX_REF, tips.outbox)
                outbox = enter(git, outbox, messages, hold_over=plan.stage.notify.hold_over, ident=ident)
        if outbox is not None and outbox != tips.outbox:
            updates[OUTBOX_REF] = outbox
    updates |= {f"refs/gitdata/requests/{id}": None for id in requests}
    return git.push(site.origin, updates), updates


def _output_commit(git: Git, survey: Survey, source: Commit, previous: str | None, requests: Sequence[str]) -> str:
    before = generated_pointers(git, previous)
    tree = Tree(git, source.sha)
    changes: dict[str, tuple[str, str] | None] = {tree.outputs[path].pointer: None for path in tree.generated}
    kept: list[str] = []
    last_source = published_source(git, previous) or ""
    names = survey.plans or (dict.fromkeys(before) if survey.error else {})
    for name, plan in names.items():
        pointer = _pointer(name, plan, before.get(name), last_source)
        if pointer is not None:
            changes[f"{name}.dvc"] = (
                "100644",
                git.write_blob(dump_pointer(pointer.output, {"gitdata": pointer.meta})),
            )
            kept.append(name)
    named = f"{source.sha}:.gitignore"
    small = git.sizes([named]).get(named, 0) <= _MOST_IGNORED
    ignored = (small and git.file(source.sha, ".gitignore")) or b""
    changes[".gitignore"] = ("100644", git.write_blob(_ignore(ignored, kept)))
    if not kept and not ignored:
        del changes[".gitignore"]
    parents = list(dict.fromkeys(p for p in (previous, source.sha) if p))
    message = _message(survey, source, requests)
    author = source.author.rsplit(" ", 2)[0]
    return git.write_commit(
        git.change_tree(None if tree.endless else source.tree, changes),
        parents,
        message,
        author=_ident(author, source.committer),
        committer=_ident(IDENT, source.committer),
    )


def _pointer(name: str, plan: StagePlan | None, before: Generated | None, last_source: str) -> Generated | None:
    """A stage's new pointer: its result, else the bytes of an older commit marked as such, else none."""
    if plan is not None and plan.state == "known" and plan.result is not None:
        result_name, record = plan.result
        assert record.output is not None
        assert plan.environment is not None
        meta = {
            "v": 1,
            "state": "success",
            "run": plan.run_key,
            "result": result_name,
            "image": plan.environment.id,
        }
        if plan.environment.id.startswith(PREFIX):
            meta["reference"] = plan.environment.image
        return Generated(replace(record.output, path=name), meta)
    if before is None:
        return None
    state = plan.state if plan is not None else "failed"
    source = before.meta.get("source") or last_source
    return Generated(before.output, {**before.meta, "state": state, "source": source, "stale": True})


def _ignore(text: bytes, names: Sequence[str]) -> bytes:
    lines = text.decode(errors="surrogateescape").splitlines()
    new = [f"/{name}" for name in names if f"/{name}" not in lines]
    return "".join(f"{line}\n" for line in [*lines, *new]).encode(errors="surrogateescape")


def _message(survey: Survey, source: Commit, requests: Sequence[str]) -> str:
    lines = [f"gitdata: {source.subject}", "", f"Gitdata-Source: {source.sha}"]
    for name, plan in survey.plans.items():
        state = "success" if plan.state == "known" else plan.state
        result = plan.result[0] if plan.result else "-"
        lines.append(f"Gitdata-Stage: {name} {state} {plan.run_key or '-'} {result}")
    failed = [plan for plan in survey.plans.values() if plan.state == "failed"]
    lines += [f"Gitdata-Reason: {plan.stage.name} {_one_line(plan.why)}" for plan in failed]
    lines += [f"Gitdata-Remark: {_one_line(remark)}" for remark in survey.remarks[:_MOST_SAID]]
    if survey.error:
        lines.append(f"Gitdata-Error: {survey.error.splitlines()[0]}")
    lines += [f"Gitdata-Request: {id}" for id in sorted(requests)]
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    """``text`` as the value of a trailer: what it quotes may be anybody's."""
    words = " ".join(hide_password(text).split())
    return "".join(c if c.isprintable() else "?" for c in words)[:_MOST_LETTERS]


def _ident(name: str, dated: str) -> str:
    """``name`` with the time and zone of another raw ident line."""
    return f"{name} {' '.join(dated.rsplit(' ', 2)[1:])}"


def _message_oids(facts: Facts, glob: str, oid: str) -> frozenset[str]:
    """The messages of an earlier output. Where it is gone, none: the outbox still knows what it has seen."""
    try:
        return frozenset(e.oid for _, entries in match(glob, facts.listing(oid)) for e in entries)
    except MissingDataError:
        return frozenset()


def new_messages(
    site: Site,
    facts: Facts,
    plan: StagePlan,
    source: Commit,
    before: Generated | None,
    say: Callable[[str], None],
    *,
    most: int = _MOST_READ,
) -> list[Message]:
    """The messages of a stage's output that its previous output did not hold; a file that is none is reported.

    most: files that are read, in order. One that is too big for a message is not. Raises RemoteError.
    """
    notify = plan.stage.notify
    if notify is None or plan.state != "known":
        return []
    old = _message_oids(facts, notify.glob, before.output.oid) if before else frozenset()
    matched = match(notify.glob, facts.output_listing(plan))
    new = [entry for _, entries in matched for entry in entries if entry.oid not in old]
    sizes = object_sizes(site.store, {entry.oid for entry in new[:most]})
    seconds = int(source.committer.rsplit(" ", 2)[1])

    def read(entry: Entry) -> Message | str:
        name = f"{plan.stage.name}/{entry.path}"
        try:
            check_size(sizes.get(entry.oid, 0), name)
            body = parse_message_file(read_object(site.store, entry.oid), name)
        except InvalidInputError as error:
            return error.message
        return new_message(notify.via, body, stage=plan.stage.name, commit=source.sha, time=seconds * 1000)

    found = many(read, new[:most])
    bad = [reason for reason in found if isinstance(reason, str)]
    for reason in bad[:_MOST_SAID]:
        say(f"not sent: {reason}")
    if len(bad) > _MOST_SAID:
        say(f"not sent: {plan.stage.name}: {len(bad) - _MOST_SAID} more files are no messages")
    if len(new) > most:
        say(f"not sent: {plan.stage.name}: notify.glob matches {len(new)} new files, of which {most} are read at most")
    return [message for message in found if isinstance(message, Message)]
