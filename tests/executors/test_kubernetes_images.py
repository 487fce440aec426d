"""Folder images of a cluster's jobs: built once, run by digest, their failures told; a real builder and registry."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from uuid import uuid4

import pytest

from cluster import testbed
from cluster.fake_kubelet import FATE
from cluster.registry import Registry
from executors import manifests
from gitdata.backends.builders import Builder, ImageSettings, LocalBuilder, registries
from gitdata.backends.contexts import reference_of
from gitdata.backends.git import Git
from gitdata.backends.registry import resolve
from gitdata.errors import GitdataError, InvalidInputError, MachineError, RemoteError
from gitdata.executors.base import Job
from gitdata.executors.kubernetes import KubernetesExecutor
from gitdata.executors.kubernetes_images import Image, Images
from gitdata.model import Environment, JobStatus, Stage
from helpers.machine import Repo
from helpers.registries import base_image

pytestmark = pytest.mark.cluster
DOCKERFILE = 'FROM scratch\nCOPY . /code\nENTRYPOINT ["/code/run"]\nCMD ["--greet", "$(HOME) $HOME"]\n'


@dataclass
class Counted:
    """A builder that counts; goes on when it may."""

    builder: Builder
    built: list[str] = field(default_factory=list)
    may_go_on: threading.Event = field(default_factory=threading.Event)

    def build(self, git: Git, commit: str, folder: str, reference: str) -> str:
        self.built.append(folder)
        self.may_go_on.wait(60)
        return self.builder.build(git, commit, folder, reference)


@dataclass
class Bench:
    cluster: testbed.Cluster
    namespace: str
    settings: ImageSettings
    builder: Counted
    executors: list[KubernetesExecutor] = field(default_factory=list)

    def executor(self, builder: Builder | None = None, **changes: object) -> KubernetesExecutor:
        """Another controller's, as after a restart."""
        settings = replace(
            manifests.SETTINGS, namespace=self.namespace, refresh_seconds=0.1, pod_annotations={FATE: "hang"}, **changes
        )
        made = KubernetesExecutor(
            settings,
            kubeconfig=str(self.cluster.kubeconfig),
            images=self.settings,
            builder=builder or self.builder,
        )
        self.executors.append(made)
        return made

    def job(self, name: str) -> testbed.Object:
        return self.cluster.job(self.namespace, name)

    def names(self) -> list[str]:
        jobs = self.cluster.api.list(f"/apis/batch/v1/namespaces/{self.namespace}/jobs")
        return sorted(job["metadata"]["name"] for job in jobs)


@pytest.fixture
def bench(control_cluster: testbed.Cluster, image_registry: Registry) -> Iterator[Bench]:
    name = f"images-{uuid4().hex[:8]}"
    settings = ImageSettings(f"{image_registry.host}/{name}", builder="buildah", at_once=1)
    local = LocalBuilder(settings)
    made = Bench(control_cluster, control_cluster.namespace(name), settings, Counted(local))
    made.builder.may_go_on.set()
    yield made
    made.builder.may_go_on.set()
    local.close()
    for executor in made.executors:
        executor.close()
    control_cluster.api.delete(f"/apis/batch/v1/namespaces/{name}/jobs", {"propagationPolicy": "Background"})


def folder(repo: Repo, dockerfile: str = DOCKERFILE, name: str = "images/count") -> str:
    repo.write(f"{name}/Dockerfile", dockerfile)
    repo.write(f"{name}/run", f"of {uuid4()}\n")
    return repo.commit(name)


def stage(image: str = "images/count", cmd: tuple[str, ...] = ("count",)) -> Stage:
    return replace(manifests.PLAIN, transform=replace(manifests.PLAIN.transform, image=image, cmd=cmd))


def job(executor: KubernetesExecutor, repo: Repo, commit: str, of: Stage, name: str = "count-0123456789-1") -> Job:
    environment = executor.environment(Git(repo.path), commit, of)
    return replace(manifests.job(of, name=name), commit=commit, environment=environment)


def until(executor: KubernetesExecutor, name: str, check: Callable[[JobStatus | None], bool]) -> JobStatus | None:
    deadline = time.monotonic() + 60
    while not check(status := executor.status(name)):
        assert time.monotonic() < deadline, status
        time.sleep(0.02)
    return status


def launched(status: JobStatus | None) -> bool:
    return status is not None and "image" not in status.message


def test_a_folder_is_built_before_its_job_is_made_and_runs_by_digest(bench: Bench, repo: Repo) -> None:
    executor, commit = bench.executor(), folder(repo)
    bench.builder.may_go_on.clear()
    wanted = job(executor, repo, commit, stage())
    tree = repo.git("rev-parse", f"{commit}:images/count")
    assert wanted.environment == Environment(f"ctx:{tree}:-:linux/amd64", "images/count")
    began = time.monotonic()
    executor.start(wanted, Git(repo.path))
    executor.start(wanted, Git(repo.path))  # said twice, it is one
    assert time.monotonic() - began < 1
    assert executor.status(wanted.name) == JobStatus("pending", "its image is being built")
    assert executor.jobs() == {wanted.name: JobStatus("pending", "its image is being built")}
    assert bench.names() == []
    bench.builder.may_go_on.set()
    until(executor, wanted.name, launched)
    made = bench.job(wanted.name)
    [user] = made["spec"]["template"]["spec"]["containers"]
    reference = reference_of("images/count", wanted.environment.id, bench.settings)
    digest = resolve(reference, registries(bench.settings)).digest
    assert user["image"] == f"{bench.settings.registry}/count@{digest}"
    assert made["metadata"]["annotations"]["gitdata.dev/image"] == user["image"]
    assert made["metadata"]["annotations"]["gitdata.dev/environment"] == wanted.environment.id
    assert user["command"] == ["/gitdata-bin/launch", "run", "/gitdata"]
    assert "GITDATA_COMMAND" not in env(made)


def env(made: testbed.Object) -> dict[str, str]:
    agent = made["spec"]["template"]["spec"]["initContainers"][1]
    return {one["name"]: one.get("value", "") for one in agent["env"]}


def test_jobs_of_one_folder_share_a_build_and_a_restarted_controller_builds_nothing(bench: Bench, repo: Repo) -> None:
    executor, commit = bench.executor(), folder(repo)
    bench.builder.may_go_on.clear()
    names = [f"count-{n}123456789-1" for n in range(3)]
    for name in names:
        executor.start(job(executor, repo, commit, stage(), name), Git(repo.path))
    time.sleep(0.5)
    bench.builder.may_go_on.set()
    for name in names:
        until(executor, name, launched)
    assert bench.builder.built == ["images/count"]
    again = bench.executor()
    executor.cancel(names[0])
    later = job(again, repo, repo.commit("another commit"), stage(), "later-0123456789-1")
    again.start(later, Git(repo.path))
    until(again, later.name, launched)
    again.start(job(again, repo, commit, stage(), names[1]), Git(repo.path))  # adopted
    assert bench.names() == sorted([*names[1:], later.name])
    assert bench.builder.built == ["images/count"]


def test_a_job_that_runs_is_adopted_whatever_became_of_its_image(bench: Bench, repo: Repo) -> None:
    executor, commit = bench.executor(), folder(repo)
    wanted = job(executor, repo, commit, stage())
    executor.start(wanted, Git(repo.path))
    until(executor, wanted.name, launched)
    bench.settings = replace(bench.settings, registry="127.0.0.1:1/gone")
    other = bench.executor()
    other.start(wanted, Git(repo.path))
    assert launched(other.status(wanted.name))
    assert bench.builder.built == ["images/count"]


def test_no_more_builds_at_once_than_configured(bench: Bench, repo: Repo) -> None:
    folder(repo, name="images/a")
    commit = folder(repo, name="images/b")
    executor = bench.executor()
    bench.builder.may_go_on.clear()
    for name in ("a", "b"):
        executor.start(job(executor, repo, commit, stage(f"images/{name}"), f"{name}-0123456789-1"), Git(repo.path))
    time.sleep(0.5)
    assert len(bench.builder.built) == 1
    bench.builder.may_go_on.set()
    for name in ("a", "b"):
        until(executor, f"{name}-0123456789-1", launched)
    assert sorted(bench.builder.built) == ["images/a", "images/b"]


def test_a_dockerfile_that_cannot_be_built_fails_the_stage_with_words(bench: Bench, repo: Repo) -> None:
    executor, commit = bench.executor(), folder(repo, f"FROM {base_image()}\nRUN echo no such model; sleep 1; exit 7\n")
    wanted = job(executor, repo, commit, stage())
    executor.start(wanted, Git(repo.path))
    status = until(executor, wanted.name, lambda s: s is not None and s.state == "failed")
    assert status is not None
    assert not status.infrastructure  # it is not tried again by itself
    for words in ("image images/count", "no such model", "exit status 7", "correct its Dockerfile"):
        assert words in status.message
    assert bench.names() == []
    executor.forget(wanted.name)
    assert executor.status(wanted.name) is None
    executor.start(wanted, Git(repo.path))  # a retry builds again
    until(executor, wanted.name, lambda s: s is not None and s.state == "failed")
    assert len(bench.builder.built) == 2


def test_a_registry_that_is_down_is_not_the_users_fault(bench: Bench, repo: Repo) -> None:
    bench.settings = replace(bench.settings, registry="127.0.0.1:1/team")
    executor, commit = bench.executor(stuck_seconds=4), folder(repo)
    wanted = job(executor, repo, commit, stage())
    executor.start(wanted, Git(repo.path))
    waits = until(executor, wanted.name, lambda s: s is not None and "cannot be reached" in s.message)
    assert waits is not None
    assert waits.state == "pending"  # it is asked again
    status = until(executor, wanted.name, lambda s: s is not None and s.state == "failed")
    assert status is not None
    assert (status.infrastructure, "cannot be reached" in status.message) == (True, True)
    assert bench.builder.built == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # of the defect
@pytest.mark.parametrize("error", [MachineError("no disk"), RemoteError("refused"), ValueError("a defect")])
def test_no_failure_of_a_builder_lets_a_job_wait_for_ever(bench: Bench, repo: Repo, error: Exception) -> None:
    class Broken:
        def build(self, git: Git, commit: str, folder: str, reference: str) -> str:
            raise error

    executor, commit = bench.executor(Broken()), folder(repo)
    wanted = job(executor, repo, commit, stage())
    executor.start(wanted, Git(repo.path))
    status = until(executor, wanted.name, lambda s: s is not None and s.state == "failed")
    assert status is not None
    assert status.infrastructure
    assert (error.message if isinstance(error, GitdataError) else "broke off") in status.message
    for thread in threading.enumerate():  # what it dies of is this test's
        if thread.name == f"image {wanted.name}":
            thread.join(30)


def test_a_build_that_was_ended_from_outside_is_begun_again(bench: Bench, repo: Repo) -> None:
    class Ended:
        def build(self, git: Git, commit: str, folder: str, reference: str) -> str:
            if not bench.builder.built:
                bench.builder.built.append(folder)
                raise MachineError("the image's Job was deleted", transient=True)
            return bench.builder.build(git, commit, folder, reference)

    executor, commit = bench.executor(Ended()), folder(repo)
    wanted = job(executor, repo, commit, stage())
    executor.start(wanted, Git(repo.path))
    status = until(executor, wanted.name, launched)
    assert status is not None
    assert status.state != "failed", status
    assert bench.names() == [wanted.name]


def test_a_controller_without_a_builder_runs_what_others_have_pushed(bench: Bench, repo: Repo) -> None:
    commit = folder(repo)
    settings = replace(manifests.SETTINGS, namespace=bench.namespace)
    executor = KubernetesExecutor(settings, kubeconfig=str(bench.cluster.kubeconfig), images=bench.settings)
    bench.executors.append(executor)
    wanted = job(executor, repo, commit, stage())
    executor.start(wanted, Git(repo.path))
    status = until(executor, wanted.name, lambda s: s is not None and s.state == "failed")
    assert status is not None
    assert "this controller builds none" in status.message
    assert "gitdata images push" in status.message
    reference = reference_of("images/count", wanted.environment.id, bench.settings)
    bench.builder.build(Git(repo.path), commit, "images/count", reference)
    executor.start(wanted, Git(repo.path))
    until(executor, wanted.name, launched)
    assert bench.names() == [wanted.name]


def test_a_cancelled_job_is_not_made_when_its_image_is_there(bench: Bench, repo: Repo) -> None:
    executor, commit = bench.executor(), folder(repo)
    bench.builder.may_go_on.clear()
    wanted = job(executor, repo, commit, stage())
    executor.start(wanted, Git(repo.path))
    until(executor, wanted.name, lambda s: bool(bench.builder.built))
    executor.cancel(wanted.name)
    assert executor.jobs() == {wanted.name: JobStatus("failed", "cancelled", infrastructure=True)}
    executor.forget(wanted.name)
    assert executor.jobs() == {}
    bench.builder.may_go_on.set()
    other = job(executor, repo, commit, stage(), "other-0123456789-1")
    executor.start(other, Git(repo.path))  # what was built is used
    until(executor, other.name, launched)
    assert bench.names() == [other.name]
    assert len(bench.builder.built) == 1


def test_a_job_that_is_being_made_keeps_no_other_waiting(repo: Repo) -> None:
    """An API server may take minutes over one of them."""
    images = Images(ImageSettings(), None, None, patience=0)
    of = stage(f"127.0.0.1:1/team/app@sha256:{'1' * 64}", cmd=())
    names = ["slow-0123456789-1", "other-0123456789-1"]
    slow, other = (replace(manifests.job(of, name=name), environment=Environment("oci:", "")) for name in names)
    begun, may_go_on = threading.Event(), threading.Event()

    def making(job: Job, found: Image | GitdataError) -> None:
        begun.set()
        may_go_on.wait(60)

    images.begin(slow, Git(repo.path), making)
    assert begun.wait(30)
    threading.Timer(3, may_go_on.set).start()
    began = time.monotonic()
    images.begin(other, Git(repo.path), making)
    assert set(images.all_waiting()) == set(names)
    assert images.drop("none-0123456789-1") is False
    assert time.monotonic() - began < 1
    assert images.drop(slow.name) is False  # it has its Job by then
    assert may_go_on.is_set()


# ------------------------------------------------------------------------------------------------ an image's command


def test_without_a_command_the_image_says_what_runs(bench: Bench, repo: Repo) -> None:
    executor, commit = bench.executor(), folder(repo)
    wanted = job(executor, repo, commit, stage(cmd=()))
    executor.start(wanted, Git(repo.path))
    until(executor, wanted.name, launched)
    # The cluster replaces $(NAME) in values of variables, and reads $$ as a dollar.
    said = env(bench.job(wanted.name))["GITDATA_COMMAND"].replace("$$", "\0")
    assert "$" not in said
    assert json.loads(said.replace("\0", "$")) == ["/code/run", "--greet", "$(HOME) $HOME"]


def test_a_reference_is_asked_for_its_command(bench: Bench, repo: Repo, image_registry: Registry) -> None:
    executor, commit = bench.executor(), repo.head()
    of = stage(f"{image_registry.host}/library/python:3.11-slim-bookworm", cmd=())
    wanted = job(executor, repo, commit, of)
    assert wanted.environment.id.startswith("oci:sha256:")
    executor.start(wanted, Git(repo.path))
    until(executor, wanted.name, launched)
    assert json.loads(env(bench.job(wanted.name))["GITDATA_COMMAND"]) == ["python3"]


def test_an_image_without_a_command_fails_a_stage_without_one(bench: Bench, repo: Repo) -> None:
    executor, commit = bench.executor(), folder(repo, "FROM scratch\nCOPY . /code\n")
    wanted = job(executor, repo, commit, stage(cmd=()))
    executor.start(wanted, Git(repo.path))
    status = until(executor, wanted.name, lambda s: s is not None and s.state == "failed")
    assert status is not None
    assert not status.infrastructure
    assert "names no command; write transform.cmd" in status.message


# --------------------------------------------------------------------------------------------------- while planning


def test_an_image_that_is_not_there_is_told_with_the_registrys_words(
    bench: Bench, repo: Repo, image_registry: Registry
) -> None:
    executor = bench.executor()
    with pytest.raises(InvalidInputError, match="has no such image: manifest unknown"):
        executor.environment(Git(repo.path), repo.head(), stage(f"{image_registry.host}/team/none:1"))


def test_stages_take_images_only_from_where_they_may(bench: Bench, repo: Repo, image_registry: Registry) -> None:
    bench.settings = replace(bench.settings, allowed=("registry.example/team",))
    executor, commit = bench.executor(), folder(repo)
    elsewhere = stage(f"{image_registry.host}/library/python:3.11-slim-bookworm")
    for known in ("", f"oci:sha256:{'1' * 64}"):  # also where an earlier commit could: the operator has taken it back
        with pytest.raises(InvalidInputError, match="takes no images from there"):
            executor.environment(Git(repo.path), commit, elsewhere, known)
    wanted = job(executor, repo, commit, stage())  # but folders go to the operator's own registry
    executor.start(wanted, Git(repo.path))
    until(executor, wanted.name, launched)


def test_a_folder_that_cannot_be_an_image_is_told_while_planning(bench: Bench, repo: Repo) -> None:
    repo.write("images/plain/readme", "no Dockerfile\n")
    commit = folder(repo)
    with pytest.raises(InvalidInputError, match="has no Dockerfile"):
        bench.executor().environment(Git(repo.path), commit, stage("images/plain"))
    settings = replace(manifests.SETTINGS, namespace=bench.namespace)
    executor = KubernetesExecutor(settings, kubeconfig=str(bench.cluster.kubeconfig))
    bench.executors.append(executor)
    with pytest.raises(InvalidInputError, match="no registry is configured for its image"):
        executor.environment(Git(repo.path), commit, stage())
