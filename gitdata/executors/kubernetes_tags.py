"""What the tags that stages name mean, asked once each, without anybody waiting for a registry that does not answer.

Called by executors.kubernetes_images while planning, which is done for all stages and branches one after another: a
question goes to a thread, and who asks gets the answer at once, after a moment, or at a later turn. A registry that is
silent is left alone for a while, and given up on after long enough: a mistyped name must not wait for ever.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, wait
from dataclasses import dataclass

from gitdata.backends.registry import Reference, Registries, parse_reference, resolve
from gitdata.errors import GitdataError, MachineError, RemoteError

_MOMENT = 1.0  # seconds: most registries answer in a tenth of it


@dataclass(frozen=True, slots=True)
class _Silence:
    """since, until: on the monotonic clock."""

    since: float
    until: float
    error: GitdataError


class Tags:
    """patience: for how many seconds a registry may be silent. pause: between two questions to one that is."""

    def __init__(self, registries: Registries, patience: float, pause: float = 15.0) -> None:
        self._registries, self._patience, self._pause = registries, patience, pause
        self._asked: dict[str, Future[Reference]] = {}
        self._begun: dict[str, float] = {}  # when each question was asked
        self._silent: dict[str, _Silence] = {}  # by host

    def digest(self, image: str) -> str:
        """The digest that a reference means.

        Raises InvalidInputError (no such image, not allowed), RemoteError (transient: not known yet), MachineError.
        """
        host = parse_reference(image).host
        future = self._asked.get(image)
        if future is None:
            silence = self._silent.get(host)
            if silence is not None and time.monotonic() < silence.until:
                raise silence.error
            future = self._asked[image] = Future()
            self._begun[image] = time.monotonic()
            threading.Thread(target=self._ask, args=(image, future), name=f"tag {image}", daemon=True).start()
            wait([future], _MOMENT)
        if not future.done():
            asked = time.monotonic() - self._begun[image]
            if asked >= self._patience:  # one that answers a byte at a time never ends
                del self._asked[image]
                words = f"image {image}: its registry has not answered for {asked:.0f} s"
                raise MachineError(words, hint="push again, or retry later")
            raise RemoteError(f"image {image}: its registry has not answered yet", transient=True)
        error = future.exception()
        if error is None:
            self._silent.pop(host, None)
            return future.result().digest
        del self._asked[image]  # what failed is asked again
        if isinstance(error, RemoteError) and error.transient:
            raise self._silence(host, error)
        raise error

    def _silence(self, host: str, error: GitdataError) -> GitdataError:
        now = time.monotonic()
        known = self._silent.get(host)
        since = known.since if known else now
        if now - since >= self._patience:
            error = MachineError(f"{error.message}; asked for {now - since:.0f} s", hint="push again, or retry later")
        self._silent[host] = _Silence(since, now + self._pause, error)
        return error

    def _ask(self, image: str, future: Future[Reference]) -> None:
        try:
            future.set_result(resolve(image, self._registries))
        except GitdataError as error:
            future.set_exception(error)
        finally:
            if not future.done():
                future.set_exception(MachineError(f"image {image}: the question to its registry broke off"))
