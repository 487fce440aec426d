"""Watch a git repository and run what its pushes change.

Polls the repository's default branch, or the branches that --config names (and is woken at once by the post-receive
hook, `gitdata hooks install --server`, where the repository is on this machine), runs the stages whose inputs changed,
and publishes their outputs as commits of gitdata/<branch>, with provenance in git notes. All state is in git and in the
data remote: stop it or kill it at any moment and start it again, here or elsewhere.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from gitdata.backends.machine import cache_home
from gitdata.backends.mail import SENDGRID_HOST, Mailer, SendGridMailer, sendgrid_key
from gitdata.backends.stores import open_store
from gitdata.commands.executors import open_executor
from gitdata.commands.terminal import print_entry
from gitdata.controller.clone import open_clone
from gitdata.controller.config import MailSettings, Settings, read_settings
from gitdata.controller.loop import Controller
from gitdata.controller.serve import serve
from gitdata.controller.site import Site
from gitdata.errors import GitdataError, MachineError
from gitdata.formats.mask import Mask, named_secrets, url_password
from gitdata.formats.remoteurl import parse_remote_url
from gitdata.stopping import Stop, end_after

_SECONDS_TO_END = 7.0  # who asks for the end of a controller often kills it after ten


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repo", required=True, metavar="URL", help="the git repository: a URL or a folder")
    parser.add_argument(
        "--remote", required=True, metavar="URL", help="the data remote: a folder or s3://bucket/prefix"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings, see docs/configuration.md")
    parser.add_argument("--executor", choices=("local", "kubernetes"), help="where stages run; default: local")
    parser.add_argument("--kubeconfig", default="", metavar="FILE", help="which cluster, else the usual places")
    parser.add_argument("--context", default="", metavar="NAME", help="which context of the kubeconfig")
    parser.add_argument("--namespace", metavar="NAME", help="where the Jobs go; default: gitdata-jobs")
    parser.add_argument("--heartbeat", type=Path, metavar="FILE", help="a file to write at each turn, for a probe")
    parser.add_argument("--once", action="store_true", help="end when nothing is left to do")


def run(args: argparse.Namespace) -> int:
    stop = Stop()
    end_after(_SECONDS_TO_END, stop)
    try:
        _run(args, stop)
    except (GitdataError, OSError):
        if not stop.is_set():  # else what was under way was ended by the same signal, which is no fault
            raise
    return 0


def _run(args: argparse.Namespace, stop: Stop) -> None:
    settings = _settings(args)
    cache = cache_home()
    origin = origin_of(args.repo)
    place = parse_remote_url(args.remote)
    remote = args.remote if "://" in args.remote else str(Path(place.path).resolve())
    store = open_store(remote, settings.remote)
    git, lock = open_clone(cache, origin)
    tell = _masked(settings, origin, remote)
    where = {"kubeconfig": args.kubeconfig, "context": args.context, "config": args.config}
    with (
        lock,
        open_executor(settings, remote, cache, origin=origin, say=tell, **where) as executor,
    ):
        site = Site(git=git, store=store, executor=executor, origin=origin)
        controller = Controller(site, settings.controller, mailer=open_mailer(settings.mail), say=tell)
        tell(f"watching {site.repository}, data in {site.owner[0]}")
        try:
            serve(controller, once=args.once, stop=stop, heartbeat=args.heartbeat)
        finally:
            with suppress(GitdataError):
                controller.driver.leave()


def _masked(settings: Settings, *urls: str) -> Callable[[str], None]:
    """The log, without any secret that this controller knows."""
    values = [value for keys in settings.secrets.values() for value in keys.values()]
    key = sendgrid_key(os.environ, Path(settings.mail.key_file) if settings.mail.key_file else None)
    values += [*named_secrets((*os.environ.items(), *settings.remote.items())), *filter(None, [key])]
    mask = Mask([*values, *(password for url in urls for password in url_password(url))])
    return lambda text: say(mask.text(text))


def _settings(args: argparse.Namespace) -> Settings:
    """The file's settings, with what the command line says instead."""
    found = read_settings(args.config)
    if args.executor:
        found = replace(found, executor=replace(found.executor, kind=args.executor))
    if args.namespace:
        found = replace(found, kubernetes=replace(found.kubernetes, namespace=args.namespace))
    return found


def origin_of(text: str) -> str:
    """A URL as it is; a folder as an absolute path, also one that is not there now. Git tells them apart so, too."""
    return text if ":" in text.split("/", 1)[0] else str(Path(text).resolve())


def open_mailer(settings: MailSettings) -> Mailer | None:
    """What sends messages, or None with the reason said: then they stay pending and all else goes on."""
    key = sendgrid_key(os.environ, Path(settings.key_file) if settings.key_file else None)
    try:
        return SendGridMailer(key, settings.host or SENDGRID_HOST) if key else None
    except MachineError as error:
        say(f"{error.message} ({error.hint})")
        return None


def say(text: str) -> None:
    """An entry of the controller's log."""
    print_entry(time.strftime("%H:%M:%S"), text)
