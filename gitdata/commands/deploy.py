"""Run gitdata in a Kubernetes cluster: its namespaces, rights, network rules, keys and controller.

What is given here becomes objects of the cluster, each labelled as gitdata's; nothing else is touched. Doing it again
with other options changes what differs and deletes what is left over, never a namespace or a Job. Keys are those that
this machine uses for the remote now (AWS's environment and files, or DVC's configuration). See k8s-jobs/README.md;
`gitdata undeploy` takes it all away.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gitdata.backends.kube import Cluster, Kube
from gitdata.backends.registry import NoImageError, Registries, read_logins, resolve
from gitdata.commands.places import add_places, places_of
from gitdata.commands.terminal import print_line, print_now, print_text, say
from gitdata.controller.config import Settings, read_settings, read_toml
from gitdata.data.repository import Repository
from gitdata.data.share import share
from gitdata.errors import InvalidInputError, NotARepositoryError, UsageError
from gitdata.executors.kubernetes_apply import apply, made, prune, wait
from gitdata.executors.kubernetes_base import load
from gitdata.executors.kubernetes_deploy import (
    GIT,
    MAIL,
    REGISTRY,
    STORE,
    Places,
    Wanted,
    configuration,
    render,
    without_keys,
)
from gitdata.executors.kubernetes_doctor import check_server
from gitdata.executors.kubernetes_secrets import check_git_url, git_secret, registry_secret, store_keys, store_options
from gitdata.executors.kubernetes_settings import KubernetesSettings
from gitdata.executors.system_images import SYSTEM, system_reference
from gitdata.formats.dvcconfig import remotes
from gitdata.formats.manifests import dump_manifests

_LONGEST_POLL = 600.0  # seconds; the controller's probe gives it fifteen minutes for a turn


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--git", required=True, metavar="URL", help="the git repository, as a pod reaches it")
    parser.add_argument("--remote", required=True, metavar="URL", help="the data remote, s3://bucket/prefix")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the controller's settings, docs/configuration.md")
    parser.add_argument(
        "--registry", default="", metavar="PREFIX", help="where folder images go: registry.example/team"
    )
    for name in SYSTEM:
        what = f"default: PREFIX/gitdata-{name}, as `gitdata images push --system` names it"
        parser.add_argument(f"--{name}-image", default="", metavar="REF", help=what)
    parser.add_argument("--registry-login", type=Path, metavar="FILE", help="a Docker config.json with logins")
    what = "the same for stages and FROM, which need not push (default: that file)"
    parser.add_argument("--registry-pull-login", type=Path, metavar="FILE", help=what)
    parser.add_argument("--git-key", type=Path, metavar="FILE", help="private key for an ssh URL")
    parser.add_argument(
        "--known-hosts", type=Path, metavar="FILE", help="the ssh server's key, as ssh-keyscan prints it"
    )
    parser.add_argument("--git-token-env", metavar="VARIABLE", help="variable with the token for an https URL")
    parser.add_argument("--mail-key-env", metavar="VARIABLE", help="variable with the SendGrid key")
    parser.add_argument(
        "--store-cidr", action="append", default=[], metavar="CIDR", help="where the object store is, for closed pods"
    )
    parser.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="variable of the controller, such as a proxy"
    )
    add_places(parser)
    parser.add_argument("--laptop", action="store_true", help="ask for little: kind, minikube")
    parser.add_argument("--dry-run", action="store_true", help="only print what would be applied, for kubectl apply")
    parser.add_argument("--show-secrets", action="store_true", help="with --dry-run: print the keys too")
    parser.add_argument("--no-wait", action="store_true", help="do not wait until the controller is ready")
    parser.add_argument("--timeout", type=float, default=180.0, metavar="SECONDS", help="how long to wait; default 180")


def run(args: argparse.Namespace) -> int:
    places = places_of(args)
    wanted, builds = _wanted(args, places)
    objects = render(load(share("k8s-jobs"), laptop=args.laptop, builds=builds), wanted)
    if args.dry_run:
        if not args.show_secrets:
            print_line("# Secrets are left out; --show-secrets prints them too.")
        print_text(dump_manifests(objects if args.show_secrets else without_keys(objects)))
        return 0
    kube = Kube(Cluster(places.system, args.kubeconfig, args.context))
    check_server(kube)
    before = made(kube, places)
    apply(kube, objects, _tell)
    prune(kube, before, objects, _tell)
    if not args.no_wait:
        wait(kube, next(o for o in objects if o["kind"] == "Deployment"), args.timeout)
        print_line("the controller is ready: it has read the git repository and the data remote")
    return 0


def _tell(text: str) -> None:
    print_now(text)


def _wanted(args: argparse.Namespace, places: Places) -> tuple[Wanted, bool]:
    """All that was asked for, checked, and whether images are built on the cluster."""
    check_git_url(args.git)
    raw, settings = _file(args.config)
    if settings.images.logins and not args.registry_login:
        raise InvalidInputError(
            f"{args.config}: [images] logins is a file of this machine", hint="give it as --registry-login FILE"
        )
    store, options = store_options(args.remote, {**_dvc_options(args.remote), **settings.remote})
    secrets: dict[str, dict[str, str]] = {}
    if keys := store_keys(store):
        secrets[STORE] = keys
        if "AWS_SESSION_TOKEN" in keys:
            say("hint: the remote's keys are of a session: when it ends nothing runs until you deploy again")
    else:
        say("hint: no access keys for the remote were found here: the pods need a role of their own")
    if token := git_secret(args.git, args.git_key, _variable(args.git_token_env), args.known_hosts):
        secrets[GIT] = token
    else:
        say("hint: no token for the git repository was given: its server must let anybody push what is published")
    if args.registry_login:
        secrets[REGISTRY] = registry_secret(args.registry_login)
    elif args.registry_pull_login:
        raise UsageError(
            "--registry-pull-login is for those who only pull",
            hint="give --registry-login too, for the controller and to push; it may be the same file",
        )
    if args.mail_key_env:
        secrets[MAIL] = {"SENDGRID_API_KEY": _variable(args.mail_key_env)}
    images = {**raw.get("images", {})} | ({"registry": args.registry} if args.registry else {})
    if images.get("registry"):
        images.setdefault("builder", "cluster")
        raw["images"] = images
    wanted = Wanted(
        git=args.git,
        remote=args.remote,
        controller_image=_pinned(args, settings, "controller"),
        worker_image=_pinned(args, settings, "worker"),
        builder_image=_pinned(args, settings, "builder") if images.get("builder") == "cluster" else "",
        settings=raw,
        remote_options=options,
        endpoint=store.endpoint,
        store_cidrs=[_network(text) for text in args.store_cidr],
        secrets=secrets,
        pull_login=registry_secret(args.registry_pull_login) if args.registry_pull_login else {},
        env=_pairs(args.env),
        owner=KubernetesSettings(store_url=args.remote).owner,
        places=places,
    )
    _check_configuration(wanted)
    return wanted, images.get("builder") == "cluster"


def _file(path: Path | None) -> tuple[dict[str, Any], Settings]:
    """The user's file as it is, and what it says. Raises InvalidInputError for what means this machine."""
    if path is None:
        return {}, Settings()
    body = read_toml(path)
    if body.get("secrets"):
        raise InvalidInputError(
            f"{path}: [secrets.…] names values of this machine, which pods do not have",
            hint="make a Secret of that name in the namespace of the jobs, and list it in [kubernetes] secrets",
        )
    settings = read_settings(path)
    if settings.mail.key_file:
        raise InvalidInputError(f"{path}: [mail] key_file is a file of this machine", hint="use --mail-key-env")
    if settings.controller.poll_seconds > _LONGEST_POLL:
        raise InvalidInputError(f"{path}: [controller] poll_seconds: at most {_LONGEST_POLL:g} on a cluster")
    return {name: section for name, section in body.items() if name != "remote"}, settings


def _check_configuration(wanted: Wanted) -> None:
    """Read what the controller will read, before it has to."""
    with tempfile.TemporaryDirectory(prefix="gitdata-deploy-") as folder:
        file = Path(folder, "controller.toml")
        base = "[executor]\n[kubernetes]\n"
        file.write_text(configuration(base, wanted))
        read_settings(file)


def _dvc_options(url: str) -> Mapping[str, str]:
    """The options of that remote in the repository one is in, if one is in one that knows it."""
    try:
        known = remotes(Repository.open().config)
    except NotARepositoryError:
        return {}
    return next((r.options for r in known.values() if r.url.rstrip("/") == url.rstrip("/")), {})


def _pinned(args: argparse.Namespace, settings: Settings, which: str) -> str:
    """A system image by digest, so that a tag that moves changes nothing on the cluster. Raises as ``resolve``."""
    given: str = getattr(args, f"{which}_image")
    prefix: str = args.registry or settings.images.registry
    if not given:
        given = {"worker": settings.kubernetes.worker_image, "builder": settings.builds.image}.get(which, "")
    if not given and not prefix:
        raise UsageError(
            f"which image is the {which}?", hint=f"give --{which}-image, or --registry where all of them are"
        )
    weaker = args.registry_pull_login if which == "worker" else None  # what its pods have
    logins = weaker or args.registry_login
    asked = Registries(
        mirrors=settings.images.mirrors,
        logins=read_logins(logins) if logins else None,
        platform=settings.images.platform,
    )
    try:
        return resolve(given or system_reference(prefix, which, platform=settings.images.platform), asked).pinned
    except NoImageError as error:
        if given:
            raise
        push = f"gitdata images push --system --registry {prefix}"
        raise InvalidInputError(error.message, hint=f"build and push this version of it: {push}") from error


def _variable(name: str | None) -> str:
    if not name:
        return ""
    value = os.environ.get(name, "").strip()
    if not value:
        raise UsageError(f"the variable {name} is not set")
    return value


def _pairs(texts: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    if bad := [name for name, equals, _ in pairs if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)]:
        raise UsageError(f"--env {bad[0]}: write NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise UsageError(f"--store-cidr {text}: {error}", hint="such as 10.0.0.0/8") from error
