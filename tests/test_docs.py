"""What the documents say is what the code does: tables, verbs, options, settings, links."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import inspect
import json
import re
import shlex
from pathlib import Path

import pytest

from gitdata import errors
from gitdata.backends.builders import ImageSettings
from gitdata.commands.verbs import VERBS
from gitdata.controller.config import ControllerSettings, MailSettings

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("k8s-jobs/*.md")])
KNOWN = {verb for verb, _, _ in VERBS}


def rows(document: str) -> list[list[str]]:
    """The cells of all table rows of a document, without the backquotes around a whole cell."""
    found = []
    for line in (ROOT / document).read_text().splitlines():
        if line.startswith("|") and not line.startswith("|---"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            found.append([re.sub(r"^`([^`]*)`$", r"\1", cell) for cell in cells])
    return found


def commands() -> list[tuple[str, str]]:
    """Every command line of gitdata that a document shows: in backquotes, or as a line of an indented block."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text()
        shown = re.findall(r"`((?:git data|gitdata) [^`<\n]+)`", text)
        shown += re.findall(r"^ {4,}(?:\$ )?(?:[A-Z_]+=\S+ )*((?:git data|gitdata) [^#\n]+)", text, re.MULTILINE)
        found += [(document.name, line.strip()) for line in shown]
    return found


def verb_of(words: list[str]) -> str:
    return " ".join(words[:2]) if " ".join(words[:2]) in KNOWN else words[0]


def test_exit_codes_are_those_of_the_errors() -> None:
    documented = {name: (int(code), meaning) for code, name, meaning in rows("docs/exit-codes.md")[1:] if name}
    kinds = {
        name: kind
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.GitdataError)
    }
    described = dict(re.findall(r"^ +(\w+Error) +\d+ +(.*)$", errors.__doc__ or "", re.MULTILINE))
    assert documented == {name: (kind.exit_code, described[name]) for name, kind in kinds.items()}


def test_every_verb_is_in_the_readers_documents() -> None:
    text = "\n".join(path.read_text() for path in DOCUMENTS)
    assert [verb for verb, _, heading in VERBS if heading and f"gitdata {verb}" not in text] == []


@pytest.mark.parametrize(("document", "line"), commands())
def test_a_command_in_a_document_exists(document: str, line: str) -> None:
    words = shlex.split(line.replace("…", ""), comments=True)
    words = words[2 if words[0] == "git" else 1 :]
    while words and words[0] == "-C":
        words = words[2:]
    if not words or words[0] in ("--help", "--version", "COMMAND", "help", "version"):
        return
    verb = verb_of(words)
    assert verb in KNOWN or any(known.startswith(verb + " ") for known in KNOWN)
    if verb in KNOWN:
        module = importlib.import_module("gitdata.commands." + verb.replace(" ", "_"))
        parser = argparse.ArgumentParser()
        module.configure(parser)
        if parser.prefix_chars == "\0":
            return  # all its arguments are git's
        used = {word.strip("[]").split("=")[0] for word in words if word.strip("[").startswith("--")} - {"--"}
        assert used <= set(parser._option_string_actions)


@pytest.mark.parametrize(
    ("section", "kind"),
    [("[controller]", ControllerSettings), ("[images]", ImageSettings), ("[mail]", MailSettings)],
    ids=["controller", "images", "mail"],
)
def test_the_controllers_settings_and_their_defaults(section: str, kind: type) -> None:
    documented: dict[str, object] = {}
    inside = False
    for cells in rows("docs/configuration.md"):
        inside = cells[0] == section if cells[0] else inside
        if inside and len(cells) == 4:
            documented[cells[1]] = json.loads(cells[2])
    real = {
        name: list(value) if isinstance(value, tuple) else value for name, value in dataclasses.asdict(kind()).items()
    }
    assert documented == real


def test_settings_that_are_documented_are_read() -> None:
    code = "\n".join(path.read_text() for path in [*ROOT.glob("gitdata/**/*.py"), *ROOT.glob("hooks/*")])
    text = (ROOT / "docs" / "configuration.md").read_text()
    names = set(re.findall(r"`((?:GITDATA|SENDGRID|XDG)_[A-Z_]+|NO_COLOR|FORCE_COLOR|gitdata\.[a-zA-Z]+)`", text))
    assert names >= {"GITDATA_SKIP_HOOKS", "SENDGRID_API_KEY", "gitdata.autoAdd"}
    assert {name for name in names if name != "gitdata.toml" and name not in code} == set()


def test_the_hooks_that_are_documented_are_those_that_exist() -> None:
    documented = {name for cells in rows("docs/hooks.md")[1:] for name in cells[0].split(", ")}
    assert documented == {path.name for path in (ROOT / "hooks").iterdir() if "." not in path.name}


def test_the_refs_of_the_formats_are_those_of_the_code() -> None:
    code = "\n".join(path.read_text() for path in ROOT.glob("gitdata/**/*.py"))
    named = [cells[0] for cells in rows("docs/formats.md") if cells[0].startswith("refs/")]
    assert len(named) >= 7
    assert [ref for ref in named if ref.split("<")[0].rstrip("/") not in code] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text()
    targets = [t.split("#")[0] for t in re.findall(r"\]\(([^)\s]+)\)", text) if not t.startswith(("http", "#"))]
    targets += re.findall(r"`((?:docs|examples|stage-images|benchmarks|tests|hooks)/[\w./-]+\.\w+)`", text)
    assert [t for t in targets if not ((document.parent / t).exists() or (ROOT / t).exists())] == []


def test_the_first_screen_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
