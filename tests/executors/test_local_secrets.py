"""What a stage's command, and the programs that its requirements run, can learn of the controller: nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from executors.bench import Bench
from gitdata.executors.local import LocalExecutor
from gitdata.model import Secret

KEYS = {
    "SENDGRID_API_KEY": "SG.of-the-mail",
    "AWS_SECRET_ACCESS_KEY": "of-the-store-secret",
    "OTHER_TOKEN": "of-another-stage",
    "UNKNOWN_VARIABLE": "of-who-knows-what",
}
# Prints every word that can be found in variables, open files, memory and the file system. Of the standard library.
SPY = r"""
import os, stat, sys
words = [bytes.fromhex(word) for word in sys.argv[1:]]  # written so that who asks is not found
def found(data, where):
    for word in words:
        if word in data:
            print("FOUND", word.decode(), where, flush=True)
for number in os.listdir("/proc"):
    if not number.isdigit():
        continue
    print("process", number, open(f"/proc/{number}/comm").read().strip())
    for name in ("environ", "cmdline", "maps"):
        try:
            data = open(f"/proc/{number}/{name}", "rb").read()
        except OSError:
            continue
        if name == "maps" and number != str(os.getpid()):
            with open(f"/proc/{number}/mem", "rb", 0) as memory:
                for line in data.decode().splitlines():
                    start, end = (int(part, 16) for part in line.split()[0].split("-"))
                    try:
                        memory.seek(start)
                        found(memory.read(end - start), f"memory of {number}")
                    except (OSError, ValueError, OverflowError):
                        pass
        elif number != str(os.getpid()) or name == "environ":
            found(data, f"{name} of {number}")
    try:
        for fd in os.listdir(f"/proc/{number}/fd"):
            print("open", number, fd, os.readlink(f"/proc/{number}/fd/{fd}"))
    except OSError:
        pass
for top, folders, files in os.walk("/"):
    if top in ("/proc", "/usr", "/sys", "/pfs", "/code"):
        folders.clear()
        continue
    found(top.encode(), "name")
    for name in files:
        path = os.path.join(top, name)
        try:
            if stat.S_ISREG(os.lstat(path).st_mode) and os.path.getsize(path) < 1 << 20:
                found(open(path, "rb").read(), path)
        except OSError:
            pass
"""


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    return KEYS


@pytest.fixture
def executor(bench: Bench, keys: dict[str, str]) -> Iterator[LocalExecutor]:
    secrets = {"mine": {"key": "of-this-stage"}, "other": {"key": keys["OTHER_TOKEN"]}}
    made = LocalExecutor(bench.url, cache_home=bench.cache_home, secrets=secrets)
    yield made
    made.close()


def _words(bench: Bench, home: Path) -> list[str]:
    """Keys, and what names or is inside the places that are not a stage's."""
    (home / ".aws").mkdir()
    (home / ".aws" / "credentials").write_text("aws_secret_access_key = of-a-file-at-home\n")
    return [word.encode().hex() for word in (*KEYS.values(), "of-a-file-at-home", "of-a-clone")]


def test_a_command_reads_no_key_anywhere(bench: Bench, home: Path, executor: LocalExecutor) -> None:
    words = _words(bench, home)
    bench.image(**{"spy.py": SPY})
    stage = bench.stage(
        f"test $MINE = of-this-stage; python3 /code/spy.py {' '.join(words)}", secrets=(Secret("mine", "key", "MINE"),)
    )
    log = bench.run(executor, stage, {"a": b""}).log().splitlines()
    assert [line for line in log if line.startswith("FOUND")] == []
    # Itself, the shell, and process 1 of which it may see no more than the name.
    assert len([line for line in log if line.startswith("process ")]) == 3
    opened = [line.split() for line in log if line.startswith("open ")]
    assert "1" not in {number for _, number, *_ in opened}
    assert all(int(fd) <= 3 for _, _, fd, *_ in opened), opened


def test_what_stands_around_a_command_was_started_without_variables(bench: Bench, executor: LocalExecutor) -> None:
    """Seen from outside, where its user may read them."""
    plan = bench.plan(executor, bench.stage("sleep 1000"), {"in": bench.input({"a": b""})})
    job = bench.job(plan)
    executor.start(job, bench.git)
    bench.wait(executor, job.name, until=lambda: any(bench.cache_home.glob("jobs/*/worker0/pfs/in/a")))
    found = {name: value for pid, name in _ours() for value in [Path(f"/proc/{pid}/environ").read_text()]}
    executor.cancel(job.name)
    bench.wait(executor, job.name)
    assert {"gitdata.worker", "gitdata.worker.launcher"} <= found.keys()
    for name, environ in found.items():
        variables = {pair.partition("=")[0] for pair in environ.split("\0") if pair}
        assert variables <= {"PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH"}, name


def _ours() -> list[tuple[int, str]]:
    """The processes of gitdata.worker that descend from this one: number, module."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            pid = int(folder.name)
            parents[pid] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            words = (folder / "cmdline").read_text().split("\0")
            names[pid] = next((word for word in words if word.startswith("gitdata.worker")), "")
    found = []
    for pid, name in names.items():
        above = pid
        while above in parents and above != os.getpid():
            above = parents[above]
        if name and above == os.getpid():
            found.append((pid, name))
    return found


def test_what_requirements_run_reads_no_key_either(
    bench: Bench, home: Path, tmp_path: Path, executor: LocalExecutor
) -> None:
    words = _words(bench, home)
    secret = bench.cache_home / "clones" / "settings"
    secret.parent.mkdir(parents=True)
    secret.write_text("of-a-clone")
    found = tmp_path / "found"
    setup = f"""
import os, pathlib, subprocess, sys, zipfile
def build_wheel(folder, *_):
    spy = str(pathlib.Path(__file__).parent / "spy.py")
    said = subprocess.run([sys.executable, spy, *{words!r}], capture_output=True, text=True)
    pathlib.Path({str(found)!r}).write_text(said.stdout + said.stderr)
    with zipfile.ZipFile(os.path.join(folder, "spy-1.0-py3-none-any.whl"), "w") as file:
        for name, text in (
            ("METADATA", "Metadata-Version: 2.1\\nName: spy\\nVersion: 1.0\\n"),
            ("WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"),
            ("RECORD", ""),
        ):
            file.writestr("spy-1.0.dist-info/" + name, text)
    return "spy-1.0-py3-none-any.whl"
"""
    bench.image(
        **{
            "requirements.txt": "./spy\n",
            "spy/pyproject.toml": '[project]\nname = "spy"\nversion = "1.0"\n'
            '[build-system]\nrequires = []\nbuild-backend = "build"\nbackend-path = ["."]\n',
            "spy/build.py": setup,
            "spy/spy.py": SPY.replace('os.walk("/")', f"os.walk({str(tmp_path)!r})"),
        }
    )
    done = bench.run(executor, bench.stage("true"), {"a": b""})
    assert done.only.failure is None
    said = found.read_text().splitlines()
    assert [line for line in said if line.startswith("FOUND") and "spy/build.py" not in line] == []
    assert not [line for line in said if line.startswith("open 1 ")]
    assert any(line.startswith("process 1 ") for line in said)


def test_a_home_and_settings_below_a_system_folder_are_covered(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    top = Path("/opt") if os.access("/opt", os.W_OK) else None
    if top is None:
        pytest.skip("root: this user may write to no system folder")
    place = top / f"gitdata-test-{os.getpid()}"
    (place / "home").mkdir(parents=True)
    try:
        monkeypatch.setenv("HOME", str(place / "home"))
        (place / "home" / "key").write_text("of-a-home")
        (place / "settings.toml").write_text("of-settings")
        executor = LocalExecutor(bench.url, cache_home=bench.cache_home, private=(place / "settings.toml",))
        script = f"cat {place}/home/key {place}/settings.toml; ls -A {place}/home; true"
        said = bench.run(executor, bench.stage(script), {"a": b""}).log()
        executor.close()
        assert "of-" not in said
        assert "No such file" in said
    finally:
        shutil.rmtree(place)


def test_a_secret_that_a_command_prints_is_masked_in_log_and_failure(bench: Bench, executor: LocalExecutor) -> None:
    stage = bench.stage("echo it is $MINE; exit 3", secrets=(Secret("mine", "key", "MINE"),))
    done = bench.run(executor, stage, {"a": b""})
    assert done.log() == "it is ***\n"
    assert done.only.failure is not None
    assert done.only.failure.message.endswith("ended with 3: it is ***")
