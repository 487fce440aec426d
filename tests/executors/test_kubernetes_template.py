"""k8s-jobs/job-template.yaml, which people read, is the Job that the executor makes: it cannot drift.

After a change of the manifest: ``python tests/executors/test_kubernetes_template.py`` writes it anew.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from executors.manifests import IMAGE, SETTINGS, job
from gitdata.executors.kubernetes_manifest import manifest
from gitdata.formats.manifests import dump_manifests
from gitdata.formats.yaml12 import load_yaml

FILE = Path(__file__).parents[2] / "k8s-jobs" / "job-template.yaml"
HEADER = """\
# The Job that the controller makes for one attempt at a run of a stage, here with ten datums and two workers. To look
# at: gitdata makes it in gitdata/executors/kubernetes_manifest.py, and a test keeps this file the same.
"""


def template() -> dict[str, Any]:
    """The Job of the plain stage with the configuration that deploy writes."""
    deployed = replace(SETTINGS, service_account="gitdata-stage", pull_secrets=("gitdata-registry",))
    return manifest(job(), IMAGE, deployed)


def test_the_template_is_what_the_executor_makes() -> None:
    assert load_yaml(FILE.read_bytes(), FILE.name) == template()
    assert FILE.read_text() == HEADER + dump_manifests([template()])


if __name__ == "__main__":
    FILE.write_text(HEADER + dump_manifests([template()]))
