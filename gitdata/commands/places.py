"""Which cluster, and which of its namespaces: options of ``deploy``, ``undeploy`` and ``doctor``.

It imports no client of a cluster: ``doctor`` looks at this machine more often than at one.
"""

from __future__ import annotations

import argparse
import re

from gitdata.errors import UsageError
from gitdata.executors.kubernetes_deploy import BUILDS, JOBS, SYSTEM, Places
from gitdata.executors.kubernetes_settings import NAMESPACE


def add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kubeconfig", default="", metavar="FILE", help="which cluster, else the usual places")
    parser.add_argument("--context", default="", metavar="NAME", help="which context of the kubeconfig")
    for name, default in (("system", SYSTEM), ("jobs", JOBS), ("builds", BUILDS)):
        parser.add_argument(f"--namespace-{name}", default=default, metavar="NAME", help=f"default: {default}")


def places_of(args: argparse.Namespace) -> Places:
    places = Places(args.namespace_system, args.namespace_jobs, args.namespace_builds)
    for name in (places.system, places.jobs, places.builds):
        if not re.fullmatch(NAMESPACE, name):
            raise UsageError(f"{name[:100]!r} is no name of a namespace", hint="such as gitdata-jobs")
    if len({places.system, places.jobs, places.builds}) != 3:
        raise UsageError("the namespaces must be three", hint="pods of stages must not be where the keys are")
    return places
