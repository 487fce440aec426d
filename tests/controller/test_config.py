"""The controller's configuration: defaults, and errors that name file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitdata.controller.config import ControllerSettings, read_settings
from gitdata.errors import InvalidInputError


def test_no_file_is_a_configuration() -> None:
    assert read_settings(None).controller == ControllerSettings()


def test_every_section_is_read(tmp_path: Path) -> None:
    file = tmp_path / "controller.toml"
    file.write_text(
        '[controller]\nbranches = ["main", "release/*"]\npoll_seconds = 2\n'
        '[mail]\nhost = "http://127.0.0.1:1"\n[remote]\nregion = "eu"\nuse_ssl = false\n'
    )
    settings = read_settings(file)
    assert settings.controller.branches == ("main", "release/*")
    assert settings.controller.poll_seconds == 2.0
    assert settings.mail.host == "http://127.0.0.1:1"
    assert settings.remote == {"region": "eu", "use_ssl": "false"}


def test_where_stages_run_and_where_their_images_come_from(tmp_path: Path) -> None:
    file = tmp_path / "controller.toml"
    file.write_text(
        '[executor]\nkind = "kubernetes"\n[kubernetes]\nnamespace = "jobs"\nuser = [1000, 1000]\nallow_root = true\n'
        'secrets = ["token"]\nstuck_seconds = 5\nnode_selector = { pool = "batch" }\n'
        'tolerations = [{ key = "gpu", operator = "Exists" }]\n'
        '[images]\nregistry = "registry.example/team"\nargs = { HTTP_PROXY = "http://proxy.example:3128" }\n'
    )
    settings = read_settings(file)
    assert settings.executor.kind == "kubernetes"
    assert (settings.kubernetes.namespace, settings.kubernetes.user) == ("jobs", (1000, 1000))
    assert (settings.kubernetes.allow_root, settings.kubernetes.secrets) == (True, ("token",))
    assert settings.kubernetes.node_selector == {"pool": "batch"}
    assert settings.kubernetes.tolerations == ({"key": "gpu", "operator": "Exists"},)
    assert settings.images.registry == "registry.example/team"
    assert settings.images.args == {"HTTP_PROXY": "http://proxy.example:3128"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[executor]\nkind = "docker"\n', "kind: must be local or kubernetes"),
        ("[kubernetes]\nuser = [1]\n", "user: must have 2 items"),
        ('[kubernetes]\nuser = ["a", "b"]\n', "user: must be a list of numbers"),
        ('[kubernetes]\ntolerations = ["a"]\n', "tolerations: must be a list of tables"),
        ("[kubernetes]\nnode_selector = { pool = 1 }\n", "node_selector: must be a table of strings"),
        ('[kubernetes]\nstore_url = "s3://x/y"\n', "store_url: no such setting"),
        ("[controler]\n", "unknown section \\[controler\\]"),
        ("[controller]\npol_seconds = 1\n", "pol_seconds: no such setting"),
        ('[controller]\ncores = "two"\n', "cores: must be a int"),
        ('[controller]\nbranches = "main"\n', "branches: must be a list of strings"),
        ('[controller]\non_supersede = "stop"\n', "on_supersede: must be finish or cancel"),
        ("= 1\n", "not TOML"),
        ("controller = 3\n", "controller must be a section"),
        ('remote = "s3://x/y"\n', "remote must be a section"),
        ("[controller]\ncores = -3\n", "cores: must be 0 or more"),
        ("[controller]\npoll_seconds = nan\n", "poll_seconds: must be 0 or more"),
        ("[controller]\npoll_seconds = 0\n", "poll_seconds: must be at least"),
        ("[builds]\npoll_seconds = 0\n", "\\[builds\\] poll_seconds: must be at least"),
        ("[builds]\nkeep_seconds = 0\n", "keep_seconds: must be at least 60"),
        ("[images]\nat_once = 0\n", "at_once: must be at least 1"),
        ("[images]\nbuild_seconds = 0\n", "build_seconds: must be at least 1"),
        ('[kubernetes]\nqueue = "Not a queue"\n', "queue: 'Not a queue' is no name of a queue"),
        ('[kubernetes]\ntolerations = [{ kee = "gpu" }]\n', "tolerations: kee = 'gpu' is no part of a toleration"),
        ('[kubernetes]\ntolerations = [{ key = "gpu", operator = "In" }]\n', "operator = 'In' is no part"),
        ("[kubernetes]\ntolerations = [{ key = 3 }]\n", "key = 3 is no part"),
        ('[kubernetes]\ntolerations = [{ effect = "NoSchedule" }]\n', "has no key"),
        ('[kubernetes]\ntolerations = [{ key = "a", operator = "Exists", value = "b" }]\n', "value means nothing"),
        ('[kubernetes]\ntolerations = [{ key = "a", tolerationSeconds = 5 }]\n', "needs the effect NoExecute"),
        ("[controller]\nflush_seconds = inf\n", "flush_seconds: must be 0 or more"),
        (f"[controller]\ncores = {'9' * 5000}\n", "not TOML"),
        (f"x = {'[' * 5000}{']' * 5000}\n", "not TOML"),
        ('[secrets.a]\nk = { file = "/nowhere/at/all" }\n', "\\[secrets.a\\] k: it cannot be read"),
        ("[secrets.a]\nk = { file = 3 }\n", "k: say where the value is"),
        ("[secrets.a]\nk = { env = 3 }\n", "k: say where the value is"),
        ("[secrets]\na = 3\n", "a: must be a section"),
        ("[remote]\nregion = { a = 1 }\n", "region: must be a string"),
        (
            '[kubernetes]\nsecrets = ["gitdata-store"]\n',
            "toml: .kubernetes. secrets: gitdata-store is one",
        ),
        ('[kubernetes]\ncpu = "lots"\n', "cpu: 'lots' is no quantity"),
        ('[kubernetes]\nmax_memory = "1GB"\n', "max_memory: '1GB' is no quantity"),
        ('[kubernetes]\nnamespace = "../x"\n', "namespace: '../x' is no name"),
        ("[kubernetes]\nuser = [-1, 5]\n", "user: must be numbers of a user"),
        ('[kubernetes]\nworker_image = "worker"\n', "worker_image: image 'worker' is neither"),
        ('[builds]\nimage = "-x/y"\n', "\\[builds\\] image: image '-x/y' is neither"),
        ('[builds]\nmemory = "much"\n', "memory: 'much' is no quantity"),
        ('[images]\nbuilder = "bulidah"\n', "builder: must be auto or"),
        ('[images]\nplatform = "amd64"\n', "platform: 'amd64' is no platform"),
        ('[images]\nregistry = "https://x.example/y"\n', "registry: 'https://x.example/y' is no registry"),
        ('[images]\nmirrors = { "docker.io" = "file:///etc" }\n', "mirrors: docker.io: 'file:///etc' is no http"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "controller.toml"
    file.write_text(text)
    with pytest.raises(InvalidInputError, match=said):
        read_settings(file)


def test_secrets_are_read_from_where_the_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "from the environment")
    (tmp_path / "key").write_text("from a file\n")
    file = tmp_path / "controller.toml"
    file.write_text(f'[secrets.api]\nkey = {{ file = "{tmp_path}/key" }}\ntoken = {{ env = "TOKEN" }}\n')
    assert read_settings(file).secrets == {"api": {"key": "from a file", "token": "from the environment"}}


@pytest.mark.parametrize("place", ['"literal"', '{ env = "NOT_SET" }', '{ file = "a", env = "b" }'])
def test_a_secret_is_never_written_into_the_file(tmp_path: Path, place: str) -> None:
    file = tmp_path / "controller.toml"
    file.write_text(f"[secrets.api]\nkey = {place}\n")
    with pytest.raises(InvalidInputError, match=r"secrets\.api"):
        read_settings(file)
