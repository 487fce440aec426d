"""Take away what `gitdata deploy` made in a cluster: the controller, its Jobs, rights, keys and namespaces.

Data, results and history stay: they are in git and in the data remote. Namespaces that were there before stay too.
A namespace goes with all that is in it, also with Secrets that you made there; --keep-namespaces leaves them.
"""

from __future__ import annotations

import argparse
import sys

from gitdata.backends.kube import Cluster, Kube
from gitdata.commands.places import add_places, places_of
from gitdata.commands.terminal import print_line, print_lines, print_now, print_text
from gitdata.errors import BusyError, UsageError
from gitdata.executors.kubernetes_apply import gone, halt, jobs, made, remove, stopped, title


def configure(parser: argparse.ArgumentParser) -> None:
    add_places(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--keep-namespaces", action="store_true", help="leave the namespaces, and what others put there"
    )
    parser.add_argument("--timeout", type=float, default=120.0, metavar="SECONDS", help="for namespaces; default 120")


def run(args: argparse.Namespace) -> int:
    places = places_of(args)
    kube = Kube(Cluster(places.system, args.kubeconfig, args.context))
    found = made(kube, places)
    objects = [o for o in found.objects if o["kind"] != "Namespace" or not args.keep_namespaces]
    if not objects:
        print_line(f"nothing of gitdata is in this cluster (system {places.system})")
        return 0
    if not args.yes:
        _ask([title(o) for o in objects])

    def tell(text: str) -> None:
        print_now(text)

    halt(kube, found)  # it goes after its jobs: it says which are its own, to whoever has to begin again
    stopped(kube, places, args.timeout)
    remove(kube, [*jobs(kube, found, places), *objects], tell)
    left = gone(kube, [o for o in objects if o["kind"] == "Namespace"], args.timeout)
    if left:
        raise BusyError(f"still being deleted: {', '.join(left)}", hint="look again with `kubectl get namespaces`")
    return 0


def _ask(titles: list[str]) -> None:
    if not sys.stdin.isatty():
        raise UsageError("this deletes objects of a cluster", hint="say --yes")
    print_lines(titles)
    print_text("delete all of these? [y/N] ")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):  # nothing at all, too
        raise UsageError("nothing was deleted")
