"""Say what is missing: on this machine, in this repository and, with --kubernetes, in a cluster.

One line each: ok, missing (nothing works without it) or hint (needed for some things). The exit code is 0 if nothing
is missing, else that of the first thing that is (docs/exit-codes.md).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from gitdata.backends.registry import read_logins
from gitdata.commands.checks import Check, Finding, findings, of_machine, of_repository
from gitdata.commands.places import add_places, places_of
from gitdata.commands.terminal import print_json, print_state
from gitdata.controller.config import read_settings, read_toml

_COLOURS = {"ok": "32", "missing": "31", "hint": "33"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-r", "--remote", metavar="NAME", help="the data remote, by its name in .dvc/config")
    parser.add_argument("--kubernetes", action="store_true", help="look at a cluster instead")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="with --kubernetes: settings not in the cluster yet"
    )
    parser.add_argument("--registry-login", type=Path, metavar="FILE", help="with --kubernetes: a Docker config.json")
    add_places(parser)
    parser.add_argument("--json", action="store_true", help="one JSON document")


def run(args: argparse.Namespace) -> int:
    checks = _cluster(args) if args.kubernetes else [*of_machine(), *of_repository(args.remote)]
    found = _told(findings(checks), quiet=args.json)
    if args.json:
        rows = [{"name": f.name, "state": f.state, "text": f.text, "hint": f.hint} for f in found]
        print_json({"checks": rows})
    return next((f.code for f in found if f.state == "missing"), 0)


def _told(found: Iterable[Finding], *, quiet: bool) -> list[Finding]:
    """Each is said as soon as it is known: a remote that does not answer takes its time."""
    kept = []
    for one in found:
        kept.append(one)
        if not quiet:
            hint = f" ({one.hint})" if one.hint else ""
            print_state(f"{one.state:<8}", _COLOURS[one.state], f"{one.name}: {one.text}{hint}")
    return kept


def _cluster(args: argparse.Namespace) -> list[Check]:
    from gitdata.backends.kube import Cluster, Kube  # half a second: only where a cluster is asked
    from gitdata.executors.kubernetes_doctor import Patient

    places = places_of(args)
    read_settings(args.config)  # what is wrong with it is said in its words
    patient = Patient(
        Kube(Cluster(places.system, args.kubeconfig, args.context)),
        places,
        read_toml(args.config) if args.config else None,
        read_logins(args.registry_login) if args.registry_login else None,
    )
    return [
        ("API server", patient.server, True),
        ("namespaces", patient.namespaces, True),
        ("rights", patient.rights, True),
        ("secrets", patient.secrets, True),
        ("network rules", patient.network, False),
        ("builds", patient.builds, False),
        ("nodes", patient.nodes, False),
        ("worker image", patient.worker_image, False),
        ("controller", patient.controller, False),
    ]
