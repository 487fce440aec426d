"""The hooks of others in git's own folder: they run as if gitdata's were not there, and come back."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers.machine import BIN, Program, Repo

BEGAN = "#!/bin/sh\n"
UNRELATED = (".dvc/tmp", ".git/objects", ".git/logs", ".git/index", ".git/gitdata/", ".git/COMMIT", ".git/refs")
NAMES = ("pre-commit", "pre-merge-commit", "pre-push", "post-checkout", "post-merge", "post-rewrite")


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def folder(repo: Repo) -> Path:
    return repo.path / ".git/hooks"


def commit(repo: Repo) -> subprocess.CompletedProcess[str]:
    return Program("git", cwd=repo.path)("commit", "-q", "--allow-empty", "-m", "x", check=False, timeout=60)


def snapshot(repo: Repo) -> dict[str, tuple[int, str]]:
    """All that installing may touch: mode and content, or target, of each file."""
    found = {}
    for path in [*repo.path.rglob("*"), *repo.path.glob(".*")]:
        name = path.relative_to(repo.path).as_posix()
        if name.startswith(UNRELATED):
            continue
        if path.is_symlink() or path.is_file():
            held = str(path.readlink()) if path.is_symlink() else path.read_bytes().decode(errors="replace")
            found[name] = (path.lstat().st_mode, held)
    return found


@pytest.fixture
def data(repo: Repo, gitdata: Program) -> Repo:
    """A gitdata repository without hooks, where ``images`` is data."""
    gitdata("init", "--no-hooks", "--remote", repo.path.parent / "store")
    repo.write("images/a.jpg", "a")
    gitdata("add", "images")
    repo.commit("data")
    return repo


def assert_takes_data(repo: Repo) -> None:
    """gitdata's own hook works."""
    before = repo.git("show", "HEAD:images.dvc")
    repo.write(f"images/{before[-8:].strip()}-{len(before)}.jpg", before)
    repo.write("notes", before)
    repo.git("add", "notes")
    done = commit(repo)
    assert done.returncode == 0, done.stderr
    assert repo.git("show", "HEAD:images.dvc") != before


# ------------------------------------------------------------------------------------------ as if in its own place


def plain(hooks: Path) -> None:
    script(hooks / "pre-commit", BEGAN + 'echo "${0##*/}" >ran\n')


def its_folder_holds_what_it_reads(hooks: Path) -> None:
    script(hooks / "pre-commit", BEGAN + '. "${0%/*}/h"\n')
    script(hooks / "h", 'basename "$0" >ran\n')


def a_link_into_the_working_tree(hooks: Path) -> None:
    target = script(hooks.parent.parent / "scripts/hook.sh", BEGAN + '. "$(dirname "$(readlink -f "$0")")/lib.sh"\n')
    script(target.with_name("lib.sh"), 'basename "$0" >ran\n')
    (hooks / "pre-commit").symlink_to("../../scripts/hook.sh")


def a_link_to_a_neighbour(hooks: Path) -> None:
    script(hooks / "dispatch", BEGAN + 'case ${0##*/} in\ndispatch) exit 1 ;;\n*) echo "${0##*/}" >ran ;;\nesac\n')
    (hooks / "pre-commit").symlink_to("dispatch")


def a_link_to_another_hook(hooks: Path) -> None:
    script(hooks / "post-merge", BEGAN + 'basename "$0" >ran\n')
    (hooks / "pre-commit").symlink_to("post-merge")


def bash_that_is_sourced_or_run(hooks: Path) -> None:
    text = 'main() { echo "${0##*/}" >ran; }\nif [[ ${BASH_SOURCE[0]} == "$0" ]]; then main; fi\n'
    script(hooks / "pre-commit", "#!/usr/bin/env bash\nset -eu\n" + text)


def a_script_that_runs_itself_again(hooks: Path) -> None:
    again = 'if [ -z "${AGAIN-}" ]; then AGAIN=1 exec bash "$0" "$@"; fi\n'
    script(hooks / "pre-commit", BEGAN + again + 'basename "$0" >ran\n')


def a_script_that_reads_itself(hooks: Path) -> None:
    script(hooks / "pre-commit", BEGAN + "sed -n 's/^## //p' \"$0\" >ran\nexit\n## pre-commit\n")


def a_folder_of_parts_beside_it(hooks: Path) -> None:
    script(hooks / "pre-commit", BEGAN + 'for part in "$0".d/*; do "$part" "${0##*/}"; done\n')
    script(hooks / "pre-commit.d/one", BEGAN + 'echo "$1" >ran\n')


def a_path_from_its_folder_to_the_top(hooks: Path) -> None:
    script(hooks / "pre-commit", BEGAN + 'cd "$(dirname "$0")/../.." && basename "$OLDPWD/$0" >ran\n')


def python_with_a_module_beside_it(hooks: Path) -> None:
    script(hooks / "pre-commit", "#!/usr/bin/env python3\nimport part\npart.go()\n")
    (hooks / "part.py").write_text(
        "import os, sys\ndef go():\n    open('ran', 'w').write(os.path.basename(sys.argv[0]))\n"
    )


def options_of_the_first_line(hooks: Path) -> None:
    script(hooks / "pre-commit", "#!/bin/sh -e\nbasename \"$0\" >ran\nfalse\necho 'not -e' >ran\n")


KINDS = (
    plain,
    its_folder_holds_what_it_reads,
    a_link_into_the_working_tree,
    a_link_to_a_neighbour,
    a_link_to_another_hook,
    bash_that_is_sourced_or_run,
    a_script_that_runs_itself_again,
    a_script_that_reads_itself,
    a_folder_of_parts_beside_it,
    a_path_from_its_folder_to_the_top,
    python_with_a_module_beside_it,
    options_of_the_first_line,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_kept_hook_runs_as_in_its_own_place(data: Repo, gitdata: Program, kind: object) -> None:
    assert callable(kind)
    kind(folder(data))
    before = snapshot(data)
    gitdata("hooks", "install")
    done = commit(data)
    assert (data.path / "ran").read_text().strip() == "pre-commit", done.stderr
    assert (done.returncode == 1) == (kind is options_of_the_first_line)
    (data.path / "ran").unlink()
    gitdata("hooks", "uninstall")
    after = snapshot(data)
    before.pop(".git/config"), after.pop(".git/config")
    assert {k: v for k, v in after.items() if "__pycache__" not in k} == before


def test_what_comes_to_lie_beside_it_later_is_found(data: Repo, gitdata: Program) -> None:
    script(folder(data) / "pre-commit", BEGAN + '[ ! -f "${0%/*}/extra" ] || . "${0%/*}/extra"\n')
    gitdata("hooks", "install")
    assert commit(data).returncode == 0
    (folder(data) / "extra").write_text("echo late >ran\n")
    assert commit(data).returncode == 0
    assert (data.path / "ran").read_text() == "late\n"


def test_a_refusal_and_the_input_are_passed_on(data: Repo, gitdata: Program) -> None:
    script(folder(data) / "pre-push", BEGAN + 'echo "theirs $1"; cat\nexit 3\n')
    gitdata("hooks", "install")
    remote = Repo.create(data.path.parent / "o.git", bare=True)
    done = Program("git", cwd=data.path)("push", remote.path, "main", check=False)
    assert done.returncode != 0
    assert "refs/heads/main" in done.stdout + done.stderr


def test_a_hook_that_git_ignores_stays_ignored(data: Repo, gitdata: Program) -> None:
    script(folder(data) / "pre-commit", BEGAN + "exit 1\n").chmod(0o644)
    gitdata("hooks", "install")
    assert_takes_data(data)
    gitdata("hooks", "uninstall")
    assert (folder(data) / "pre-commit").stat().st_mode & 0o111 == 0


def test_a_kept_hook_that_works_in_another_repository_leaves_its_hooks_on(data: Repo, gitdata: Program) -> None:
    other = data.path.parent / "other"
    shutil.copytree(data.path, other)
    gitdata("hooks", "install", cwd=other)
    work = "unset GIT_DIR GIT_INDEX_FILE GIT_PREFIX && echo b >images/b.jpg && git commit -qm b --allow-empty\n"
    script(folder(data) / "pre-commit", f"{BEGAN}cd {other} && {work}true\n")
    gitdata("hooks", "install")
    done = commit(data)
    assert "images.dvc brought up to date" in done.stderr, "the hook of the other repository took its data"


# ----------------------------------------------------------------------------------------------- installing again


def test_installing_twice_changes_nothing(data: Repo, gitdata: Program) -> None:
    script(folder(data) / "pre-commit", BEGAN)
    gitdata("hooks", "install")
    commit(data)
    first = snapshot(data)
    gitdata("hooks", "install")
    assert snapshot(data) == first


def test_hooks_that_earlier_versions_kept_are_found(data: Repo, gitdata: Program) -> None:
    old = "#!/bin/sh\n# gitdata-hook 1\nexit 0\n"
    for name in NAMES:
        script(folder(data) / name, old)
    script(folder(data) / "pre-commit.gitdata-chained", BEGAN + 'basename "$0" >ran\n')
    gitdata("hooks", "install")
    assert not list(folder(data).glob("*.gitdata-chained"))
    assert commit(data).returncode == 0
    assert (data.path / "ran").read_text() == "pre-commit\n"


def test_where_it_fails_everything_is_as_before(data: Repo, gitdata: Program) -> None:
    script(folder(data) / "pre-commit", BEGAN + "echo theirs\n")
    (folder(data) / "post-merge").mkdir()  # moved aside like a file
    (folder(data) / "post-rewrite.gitdata-chained").mkdir()
    (data.path / ".git/gitdata-kept-hooks").write_text("in the way")
    before = snapshot(data)
    assert gitdata("hooks", "install", check=False).returncode not in (0, 70)
    assert snapshot(data) == before


def test_a_failed_init_leaves_no_hooks(repo: Repo, gitdata: Program) -> None:
    repo.write(".dvc/config", "[core]\n    hardlink_lock = true\n")
    gitdata("init", code=4)
    assert not [path for path in folder(repo).iterdir() if path.suffix != ".sample"]


def test_hooks_that_were_refused_stay_so(repo: Repo, gitdata: Program) -> None:
    gitdata("init", "--no-hooks")
    assert "gitdata hooks install" in gitdata("init").stderr
    assert not (folder(repo) / "pre-commit").exists()
    gitdata("hooks", "install")
    assert repo.git("config", "--get", "gitdata.hooks", check=False) == ""


# -------------------------------------------------------------------------------------- other managers write again


@pytest.fixture
def pre_commit(data: Repo) -> Program:
    program = Program(str(BIN / "pre-commit"), cwd=data.path)
    data.write(".pre-commit-config.yaml", "repos: []\n")
    data.commit("configuration")
    return program


def test_pre_commit_may_install_again_at_any_time(data: Repo, gitdata: Program, pre_commit: Program) -> None:
    pre_commit("install")
    gitdata("hooks", "install")
    assert_takes_data(data)
    pre_commit("install")
    assert "gitdata hooks install" in gitdata("status").stderr
    assert_takes_data(data)  # as pre-commit.legacy
    gitdata("hooks", "install")
    assert gitdata("status").stderr == ""
    assert sorted(p.name for p in folder(data).glob("pre-commit*")) == ["pre-commit", "pre-commit.sample"]
    assert_takes_data(data)
    pre_commit("install")
    gitdata("hooks", "uninstall")
    assert "generated by pre-commit" in (folder(data) / "pre-commit").read_text()
    assert not (data.path / ".git/gitdata-kept-hooks").exists()
    assert commit(data).returncode == 0
    pre_commit("uninstall")
    assert not list(folder(data).glob("pre-commit*[!e]"))


def test_pre_commit_that_comes_later_keeps_the_users_hook_running(
    data: Repo, gitdata: Program, pre_commit: Program
) -> None:
    mine = script(folder(data) / "pre-commit", BEGAN + "echo mine >>ran\n").read_text()
    gitdata("hooks", "install")
    for step in (("install",), ()):
        if step:
            pre_commit(*step)
        else:
            gitdata("hooks", "install")
        (data.path / "ran").unlink(missing_ok=True)
        assert_takes_data(data)
        assert (data.path / "ran").read_text() == "mine\n", "once"
    gitdata("hooks", "uninstall")
    pre_commit("uninstall")
    assert (folder(data) / "pre-commit").read_text() == mine


def lefthook(hooks: Path) -> None:
    """What `lefthook install` does: what is there is renamed, then comes its own script (shortened)."""
    (hooks / "pre-commit").rename(hooks / "pre-commit.old")
    text = 'call_lefthook()\n{\n  echo lefthook >>ran\n}\n\ncall_lefthook run "pre-commit" "$@"\n'
    script(hooks / "pre-commit", '#!/bin/sh\n\nif [ "$LEFTHOOK" = "0" ]; then\n  exit 0\nfi\n\n' + text)


def overcommit(hooks: Path) -> None:
    """What `overcommit --install` does: each hook is a copy of one script that goes by its own name (in sh here)."""
    shutil.rmtree(hooks / "old-hooks", ignore_errors=True)
    (hooks / "old-hooks").mkdir()
    (hooks / "pre-commit").rename(hooks / "old-hooks/pre-commit")
    text = "# Entrypoint for Overcommit hook integration.\ncase ${0##*/} in\npre-commit) echo overcommit >>ran ;;\n"
    text += "*) exit 64 ;;\nesac\n"
    for name in ("overcommit-hook", "pre-commit"):
        script(hooks / name, BEGAN + text)


def unknown(hooks: Path) -> None:
    """A program that renames what it finds and always calls it."""
    (hooks / "pre-commit").rename(hooks / "pre-commit.mine")
    script(hooks / "pre-commit", BEGAN + 'echo unknown >>ran\nexec "$0.mine" "$@"\n')


@pytest.mark.parametrize("manager", [lefthook, overcommit, unknown])
def test_a_manager_that_writes_again_is_kept_once(data: Repo, gitdata: Program, manager: object) -> None:
    assert callable(manager)
    script(folder(data) / "pre-commit", BEGAN + "echo first >>ran\n")
    gitdata("hooks", "install")
    manager(folder(data))
    assert commit(data).returncode == 0
    assert "gitdata hooks install" in gitdata("status").stderr
    said = gitdata("hooks", "install").stderr
    [first] = (data.path / ".git/gitdata-kept-hooks").glob("*.kept")
    assert f"{first}" in said
    for _ in range(2):
        (data.path / "ran").unlink(missing_ok=True)
        assert_takes_data(data)
        assert (data.path / "ran").read_text() == f"{manager.__name__}\n"
        manager(folder(data))
        gitdata("hooks", "install")
    manager(folder(data))
    gitdata("hooks", "uninstall")
    (data.path / "ran").unlink(missing_ok=True)
    assert commit(data).returncode == 0
    assert (data.path / "ran").read_text() == f"{manager.__name__}\n"
    assert [p.read_text() for p in folder(data).glob("pre-commit.kept*")] == [BEGAN + "echo first >>ran\n"]


def test_hooks_that_keep_each_other_end(data: Repo, gitdata: Program) -> None:
    gitdata("hooks", "install")
    unknown(folder(data))
    gitdata("hooks", "install")
    (data.path / ".git/gitdata-kept-hooks/pre-commit").write_text(
        f'#!/bin/sh\nexec "{folder(data)}/pre-commit.mine" "$@"\n'
    )
    assert_takes_data(data)


# --------------------------------------------------------------------------------------------- without gitdata


@pytest.mark.parametrize("gone", ["moved", "broken"])
def test_git_goes_on_where_gitdata_is_gone(data: Repo, gitdata: Program, tmp_path: Path, gone: str) -> None:
    gitdata("hooks", "install")
    program = tmp_path / "gitdata"
    for hook in folder(data).iterdir():
        if hook.suffix != ".sample":
            hook.write_text(hook.read_text().replace(str(BIN / "gitdata"), str(program)))
    if gone == "broken":
        script(program, f"#!{BIN}/python\nimport gitdata_that_is_not_there\n")
    path = os.environ["PATH"].replace(f"{BIN}:", "")
    data.write("images/b.jpg", "b")
    done = Program("git", cwd=data.path)("commit", "-q", "--allow-empty", "-m", "x", env={"PATH": path})
    assert "gitdata is not installed here: data was not added to this commit" in done.stderr
