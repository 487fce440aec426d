"""What image references mean on this machine, asked without keeping other stages and branches waiting.

Called by executors.local while planning, which is done for all stages and branches one after another. A question goes
to a thread, because podman fetches an image to know it and a registry may say nothing: who asks gets the answer at
once, after a moment, or at a later turn.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, wait

from gitdata.backends.containers import Engine
from gitdata.backends.processes import Processes
from gitdata.errors import GitdataError, MachineError, RemoteError

_LONGEST_PAUSE = 60.0


class References:
    """moment: for how many seconds an answer is waited for, None: until it comes."""

    def __init__(self, moment: float | None) -> None:
        self._moment = moment
        self._programs = Processes()
        self._questions: dict[tuple[str, str], _Question] = {}

    def environment(self, engine: Engine, image: str, asked: str) -> str:
        """What a reference means, asked once, and once for each request ``asked``; what failed is asked again.

        Raises RemoteError (transient: not known yet), InvalidInputError (no such image), MachineError (no answer).
        """
        question = self._questions.get((image, asked))
        if question is None or time.monotonic() >= question.again:
            question = self._questions[image, asked] = _Question(engine, image, self._programs)
            wait([question.answer], self._moment)
        if not question.answer.done():
            raise RemoteError(f"image {image}: its registry has not answered yet", transient=True)
        return question.answer.result()

    def close(self) -> None:
        """End what is asked, and ask nothing more."""
        self._programs.close()


class _Question:
    """again: from when on it must be asked again, on the monotonic clock."""

    def __init__(self, engine: Engine, image: str, programs: Processes) -> None:
        self.answer: Future[str] = Future()
        self.again = float("inf")
        self._begun = time.monotonic()
        args = (engine, image, programs)
        threading.Thread(target=self._ask, args=args, name=f"image {image}", daemon=True).start()

    def _ask(self, engine: Engine, image: str, programs: Processes) -> None:
        try:
            self.answer.set_result(engine.resolve(image, programs))
        except GitdataError as error:
            # A name that was mistyped must not wait for ever: what passes is left to who pushes again.
            hint = "push again, or retry later"
            self._fail(MachineError(error.message, hint=hint) if error.transient else error)
        finally:
            if not self.answer.done():
                self._fail(MachineError(f"image {image}: the question what it means broke off"))

    def _fail(self, error: GitdataError) -> None:
        now = time.monotonic()
        # What failed late stays for a while: a plan is made more than once before a commit is published.
        self.again = now + min(_LONGEST_PAUSE, now - self._begun)
        self.answer.set_exception(error)
