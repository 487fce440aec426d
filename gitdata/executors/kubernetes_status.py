"""What a Job and its pods say, in the words of the Protocol. Pure: dictionaries of the API in, records out.

Called by executors.kubernetes. Only the conditions Complete and Failed end a Job; those before them mean that pods are
still ending. A Job never fails by itself for an image that cannot be pulled, a pod that nobody admits or a node that
does not exist: that is found here, by looking at pods that do not start.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeAlias

from gitdata.executors.base import Progress
from gitdata.executors.kubernetes_manifest import DATUMS, FAILED_FOR_GOOD, SHARDS, TIMEOUT
from gitdata.executors.kubernetes_settings import KubernetesSettings
from gitdata.formats.live import LiveShard
from gitdata.model import JobStatus

Object: TypeAlias = dict[str, Any]

OF_JOB = "batch.kubernetes.io/job-name"
INDEX = "batch.kubernetes.io/job-completion-index"  # a label and an annotation
TRIED = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"
_NEVER = {"InvalidImageName", "CreateContainerConfigError", "ErrImageNeverPull"}
_PERHAPS = {"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "CreateContainerError", "RunContainerError"}
_PERHAPS |= {"CrashLoopBackOff"}
_SOON = ("failed to sync", "not yet been read")  # what a kubelet says that has just begun, or is late


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a pod does not start, or end. waited: for how many seconds that may have been so, limit: for how many it may.

    infrastructure: not the user's to correct.
    """

    message: str
    waited: float
    limit: float
    infrastructure: bool = True

    @property
    def lasts(self) -> bool:
        """Whether that is too long."""
        return self.waited >= self.limit


def terminal(job: Object) -> bool:
    return any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in _conditions(job))


def needs_pods(job: Object) -> bool:
    """Whether the Job's own status does not say enough."""
    status = job.get("status") or {}
    failed = [c for c in _conditions(job) if c["type"] == "Failed" and c["status"] == "True"]
    if failed:
        return failed[0].get("reason") == "FailedIndexes"
    return (
        not terminal(job)
        and not job["spec"].get("suspend")
        and (status.get("ready", 0) < max(1, status.get("active", 0)) or bool(status.get("terminating")))
    )


def has_run(job: Object) -> bool:
    """Whether a pod of a Job is seen to run, or has. What failed is no sign: pods that never ran are counted too."""
    status = job.get("status") or {}
    return any(status.get(name) for name in ("ready", "succeeded", "completedIndexes", "failedIndexes"))


def ended(job: Object, pods: Iterable[Object], *, ran: bool = True) -> JobStatus | None:
    """The status of a Job that has ended, None while it has not. ran: whether any pod of it was ever seen to run."""
    for condition in _conditions(job):
        if condition["status"] != "True":
            continue
        if condition["type"] == "Complete":
            return JobStatus("succeeded", restarts=_restarts(job))
        if condition["type"] == "Failed":
            return _failed(job, condition, list(pods), ran=ran)
    if job["metadata"].get("deletionTimestamp"):
        return JobStatus("failed", "the Job was deleted", infrastructure=True)
    return None


def _failed(job: Object, condition: Object, pods: list[Object], *, ran: bool) -> JobStatus:
    reason, restarts = condition.get("reason", ""), _restarts(job)
    if reason == "DeadlineExceeded":
        limit = int(job["metadata"].get("annotations", {}).get(TIMEOUT, 0)) / 1000
        if not ran:  # the cluster was full, or had no image: nobody's command took too long
            words = f"no pod of the job began within job_timeout ({limit:g} s)"
            return JobStatus("failed", words, infrastructure=True, restarts=restarts)
        return JobStatus("failed", f"the job was ended after job_timeout ({limit:g} s)", restarts=restarts)
    if reason == "FailedIndexes":
        wanted = set(indexes(job["status"].get("failedIndexes", "")))
        last = {index: pod for index, pod in _by_index(pods).items() if index in wanted}
        bad = [pod for pod in last.values() if _exit(pod)[0] != FAILED_FOR_GOOD]
        if wanted == set(last) and not bad:
            # Every datum was tried to its end and is in the index; that some failed is for the index to say.
            return JobStatus("succeeded", restarts=restarts)
        words = next((_words(pod) for pod in bad), str(condition.get("message", reason)))
        return JobStatus("failed", words, infrastructure=True, restarts=restarts)
    return JobStatus("failed", condition.get("message") or reason or "failed", infrastructure=True, restarts=restarts)


def troubles(
    owner: Object, pods: Sequence[Object], events: Iterable[Object], settings: KubernetesSettings, now: datetime
) -> list[Trouble]:
    """What keeps pods from starting, each with how long that may go on.

    owner: the Job. pods: all of it. events: of the Job, or of pods that do not start, oldest first; of each object the
    newest counts.
    """
    found = []
    without_node = _without_node(pods, now)
    for pod in pods:
        notes = pod["metadata"].get("annotations") or {}
        if int(notes.get(IGNORED) or 0) > settings.max_evictions:
            found.append(Trouble(f"a pod was evicted more than {settings.max_evictions} times", 0, 0))
        if (pod.get("status") or {}).get("phase") != "Pending":
            continue
        for condition in _conditions(pod):
            if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
                # A cluster that grows needs its time: this is no failure for long.
                message = f"no node takes the pod: {condition.get('message')}"
                found.append(Trouble(message, without_node, settings.unschedulable_seconds))
        for container in _containers(pod):
            waiting = (container.get("state") or {}).get("waiting") or {}
            reason = _waits_for(container)
            if reason in _NEVER | _PERHAPS:
                message = f"container {container['name']}: {reason}: {waiting.get('message', '')}"[:1000]
                # Only what is wrong with the user's own container is theirs to correct, and is so at once.
                theirs = container["name"] == "user" and reason in _NEVER and not any(w in message for w in _SOON)
                limit = 0.0 if theirs else settings.stuck_seconds
                found.append(Trouble(message, starting(pod, now), limit, infrastructure=not theirs))
    begun = (owner.get("status") or {}).get("startTime")  # not when it was made: a queue may have kept it
    begun_for = _since(begun, now) if begun else 0.0
    waited = {pod["metadata"]["name"]: starting(pod, now) for pod in pods}
    newest = {(event.get("involvedObject") or {}).get("name"): event for event in events}
    for name, event in newest.items():
        reason, message = str(event.get("reason", "")), str(event.get("message", ""))
        if reason == "FailedCreate":
            limit = settings.unschedulable_seconds if "exceeded quota" in message else settings.stuck_seconds
            found.append(Trouble(f"no pod can be made: {message}"[:1000], waited.get(name, begun_for), limit))
        elif event.get("type") == "Warning":
            message = f"a pod does not start: {reason}: {message}"[:1000]
            if reason == "FailedScheduling":
                found.append(Trouble(message, without_node, settings.unschedulable_seconds))
            else:
                found.append(Trouble(message, waited.get(name, begun_for), settings.stuck_seconds))
    return found


def _without_node(pods: Sequence[Object], now: datetime) -> float:
    """For how many seconds no node has had a pod of a Job, nor any been made: while some run, the others may wait."""
    at_nodes = [pod for pod in pods if (pod.get("spec") or {}).get("nodeName")]
    if not pods or any((pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed") for pod in at_nodes):
        return 0.0
    ends = [(container.get("state") or {}).get("terminated") or {} for pod in pods for container in _containers(pod)]
    moments = [pod["metadata"]["creationTimestamp"] for pod in pods] + [end.get("finishedAt") for end in ends]
    return min(_since(moment, now) for moment in moments if moment)


def starting(pod: Object, now: datetime) -> float:
    """For how many seconds a pod has been starting: since a node took it; as long as none does, since it was made."""
    for condition in _conditions(pod):
        taken = condition["type"] == "PodScheduled" and condition["status"] == "True"
        if taken and condition.get("lastTransitionTime"):
            return _since(condition["lastTransitionTime"], now)
    return age(pod, now)


def cut_off(pods: Iterable[Object], settings: KubernetesSettings, now: datetime) -> list[Trouble]:
    """Pods that should have ended: the kubelet of a lost node says nothing, and their Job waits for it for ever."""
    found = []
    for pod in pods:
        ends = pod["metadata"].get("deletionTimestamp")  # its time to end in peace is in it
        late = _since(ends, now) if ends else 0.0
        if late > 0 and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
            node = (pod.get("spec") or {}).get("nodeName", "")
            words = f"pod {pod['metadata']['name']} was deleted, but its node {node} does not answer"
            found.append(Trouble(words, late, settings.stuck_seconds))
    return found


def is_news(pod: Object) -> bool:
    """Whether a pod says more than that it goes its way: its command has ended, or something does not start."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed") or _exit(pod)[0] is not None:
        return True
    return any(_waits_for(container) in _NEVER | _PERHAPS for container in _containers(pod))


def unfinished(job: Object) -> list[int]:
    """The shards of which the Job does not say that they have ended."""
    status = job.get("status") or {}
    done = {*indexes(status.get("completedIndexes", "")), *indexes(status.get("failedIndexes", ""))}
    return [index for index in range(int(job["spec"].get("completions") or 0)) if index not in done]


def over(job: Object, pods: Iterable[Object]) -> JobStatus | None:
    """The status of a Job that does not know yet that all its work is done: its controller looks once a second.

    pods: of the unfinished shards. What their launchers said is believed as far as it says "done": what was done is
    in the index before.
    """
    newest = _by_index(pods)
    said = {index: _exit(pod)[0] for index, pod in newest.items()}
    if any(said.get(index) not in (0, FAILED_FOR_GOOD) for index in unfinished(job)):
        return None
    again = sum(int((pod["metadata"].get("annotations") or {}).get(TRIED) or 0) for pod in newest.values())
    return JobStatus("succeeded", restarts=max(again, _restarts(job)))


def progress(
    job: Object,
    pods: Iterable[Object] = (),
    *,
    done: bool = False,
    live: Mapping[int, LiveShard] = MappingProxyType({}),
) -> Progress:
    """How many datums the finished shards had; the rest from the last words of pods, which are for people only.

    done: all have ended, even if the Job does not say so yet. live: what shards told of themselves while they ran.
    """
    notes = job["metadata"].get("annotations") or {}
    total, shards = int(notes.get(DATUMS, 0)), int(notes.get(SHARDS, 0))
    finished = range(shards) if done else set(range(shards)) - set(unfinished(job))
    said = [_counts(pod) for pod in _by_index(pods).values()]
    said += [
        {"failed": s.failed, "recovered": s.recovered, "down": s.bytes_down, "up": s.bytes_up} for s in live.values()
    ]
    failed, recovered, down, up = (sum(c.get(name, 0) for c in said) for name in ("failed", "recovered", "down", "up"))
    processed = sum(len(range(i, total, shards)) for i in finished)
    processed += sum(shard.processed for index, shard in live.items() if index not in finished)
    return Progress(total, min(total, processed), failed, recovered, down, up)


def _counts(pod: Object) -> dict[str, int]:
    """The numbers that the agent left; a command could have written them, so they are only numbers."""
    try:
        said = json.loads(_exit(pod)[1])
        return {str(name): value for name, value in said.items() if type(value) is int and 0 <= value < 1 << 53}
    except (ValueError, AttributeError, RecursionError):
        return {}


def indexes(text: str) -> Iterator[int]:
    """``1,3-5`` -> 1, 3, 4, 5, as Jobs write their indexes."""
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def age(of: Object, now: datetime) -> float:
    """Seconds since an object was made, by the server's clock as near as ours is."""
    return _since(of["metadata"]["creationTimestamp"], now)


def _since(moment: str, now: datetime) -> float:
    return (now - datetime.fromisoformat(moment)).total_seconds()


def _conditions(of: Object) -> list[Object]:
    found: list[Object] = (of.get("status") or {}).get("conditions") or []
    return found


def _containers(pod: Object) -> list[Object]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _waits_for(container: Object) -> str:
    return str(((container.get("state") or {}).get("waiting") or {}).get("reason", ""))


def _restarts(job: Object) -> int:
    return int((job.get("status") or {}).get("failed") or 0)


def _by_index(pods: Iterable[Object]) -> Mapping[int, Object]:
    """The newest pod of each index."""
    found: dict[int, Object] = {}
    for pod in sorted(pods, key=lambda p: str(p["metadata"]["creationTimestamp"])):
        index = (pod["metadata"].get("annotations") or {}).get(INDEX)
        if index is not None:
            found[int(index)] = pod
    return found


def _exit(pod: Object) -> tuple[int | None, str]:
    """Exit code and last words of the user's container."""
    for container in _containers(pod):
        done = (container.get("state") or {}).get("terminated")
        if container["name"] == "user" and done:
            return int(done["exitCode"]), str(done.get("message") or done.get("reason") or "")
    return None, ""


def _words(pod: Object) -> str:
    """Why a pod failed, in the best words there are."""
    status = pod.get("status") or {}
    code, said = _exit(pod)
    if status.get("reason") or status.get("message"):
        return f"pod {pod['metadata']['name']}: {status.get('reason', '')}: {status.get('message', '')}"[:1000]
    if code is None:
        return f"pod {pod['metadata']['name']} ended before its command began"
    return f"pod {pod['metadata']['name']}: exit code {code}{f': {said}' if said else ''}"[:1000]
