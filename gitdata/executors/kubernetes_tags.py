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


@dataclass(slots=True)
class _Question:
    """begun, wanted: when it was asked, and when somebody last wanted the answer, on the monotonic clock."""

    answer: Future[Reference]
    begun: float
    wanted: float


@dataclass(frozen=True, slots=True)
class _Silence:
    """since, until: on the monotonic clock."""

    since: float
    until: float
    error: GitdataError


class Tags:
    """patience: for how many seconds a registry may be silent. pause: between two questions to one that is.

    keep: after how many seconds in which nobody wanted it an answer, or a silence, is forgotten. While a commit is in
    progress its stages want it at each turn; a later commit gets what the tag means then.
    """

    def __init__(self, registries: Registries, patience: float, pause: float = 15.0, keep: float = 3600.0) -> None:
        self._registries, self._patience, self._pause, self._keep = registries, patience, pause, keep
        self._questions: dict[tuple[str, str], _Question] = {}  # by image and request
        self._silent: dict[str, _Silence] = {}  # by host

    def digest(self, image: str, asked: str = "") -> str:
        """The digest that a reference means. asked: the request to ask anew, which no older answer fulfils.

        Raises InvalidInputError (no such image, not allowed), RemoteError (transient: not known yet), MachineError.
        """
        host, now = parse_reference(image).host, time.monotonic()
        self._forget(now)
        question = self._questions.get((image, asked))
        if question is None:
            silence = self._silent.get(host)
            if silence is not None and now < silence.until:
                raise silence.error
            question = _Question(Future(), now, now)
            self._questions[image, asked] = question
            args = (image, question.answer)
            threading.Thread(target=self._ask, args=args, name=f"tag {image}", daemon=True).start()
            wait([question.answer], _MOMENT)
        question.wanted = now
        if not question.answer.done():
            words = RemoteError(f"image {image}: its registry has not answered yet", transient=True)
            known = self._silent.get(host)
            if now - min(question.begun, known.since if known else now) < self._patience:
                raise words
            self._drop(question)  # one that answers a byte at a time never ends
            raise self._silence(host, words, question.begun)
        error = question.answer.exception()
        if error is None:
            self._silent.pop(host, None)
            return question.answer.result().digest
        self._drop(question)  # what failed is asked again
        if isinstance(error, RemoteError) and error.transient:
            raise self._silence(host, error, now)
        raise error

    def _silence(self, host: str, error: GitdataError, since: float) -> GitdataError:
        """Leave a host alone for a while; the error that stays until then."""
        now = time.monotonic()
        known = self._silent.get(host)
        since = min(since, known.since) if known else since
        if now - since >= self._patience:
            error = MachineError(f"{error.message}; asked for {now - since:.0f} s", hint="push again, or retry later")
        self._silent[host] = _Silence(since, now + self._pause, error)
        return error

    def _forget(self, now: float) -> None:
        for question in list(self._questions.values()):
            if question.answer.done() and now - question.wanted > self._keep:
                self._drop(question)
        for host, silence in list(self._silent.items()):
            if now - silence.until > self._keep:
                del self._silent[host]

    def _drop(self, question: _Question) -> None:
        self._questions = {key: one for key, one in self._questions.items() if one is not question}

    def _ask(self, image: str, future: Future[Reference]) -> None:
        try:
            future.set_result(resolve(image, self._registries))
        except GitdataError as error:
            future.set_exception(error)
        finally:
            if not future.done():
                future.set_exception(MachineError(f"image {image}: the question to its registry broke off"))
