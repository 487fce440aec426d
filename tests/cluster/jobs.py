"""Jobs as the tests of the testbed itself make them."""

from __future__ import annotations

from typing import Any

JOBS = "/apis/batch/v1/namespaces/{}/jobs"
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


def indexed_job(
    name: str, completions: int, image: str, command: list[str] | None = None, **spec: Any
) -> dict[str, Any]:
    """An Indexed Job that Pod Security ``restricted`` admits."""
    container = {"name": "main", "image": image, "securityContext": RESTRICTED}
    if command:
        container["command"] = command
    user = {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {"restartPolicy": "Never", "automountServiceAccountToken": False, "securityContext": user}
    template = {"metadata": {"annotations": spec.pop("annotations", {})}, "spec": {**pod, "containers": [container]}}
    many = {"completionMode": "Indexed", "completions": completions, "parallelism": completions, "backoffLimit": 0}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {**many, **spec, "template": template},
    }
