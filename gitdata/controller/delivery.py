"""Delivery: what the loop sends after its turns, and what it says of the messages that stay. ``notify`` does it."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

from gitdata.backends.mail import Mailer
from gitdata.controller.notify import DeliveryReport, deliver
from gitdata.controller.site import Site


class Delivery:
    """The messages of one repository. ``mailer`` None: no key, messages stay pending."""

    def __init__(
        self,
        site: Site,
        mailer: Mailer | None,
        *,
        say: Callable[[str], None],
        say_once: Callable[[str, str], None],
        clock: Callable[[], int],
    ) -> None:
        self._site, self._mailer, self._clock = site, mailer, clock
        self._say, self._say_once = say, say_once
        self._nonce = uuid4().hex
        self._quiet_at: str | None = None  # the outbox in which nothing waits for us

    def is_quiet(self, outbox: str | None) -> bool:
        return outbox == self._quiet_at

    def send(self, stopping: Callable[[], bool]) -> DeliveryReport:
        """Send what may be sent, and say it. What cannot be sent now stays in the outbox. Raises GitdataError."""
        report = deliver(
            self._site.git, self._site.origin, self._mailer, now=self._clock(), nonce=self._nonce, stopping=stopping
        )
        self._quiet_at = report.tip if report.quiet else ""
        for message in report.sent:
            self._say(f"sent {message.id[:12]}: {message.message.get('subject', '')}")
        for count, what in (
            (len(report.pending), "pending" if self._mailer else "pending: there is no mail key"),
            (len(report.held), "held: `gitdata notify release` lets them go"),
            (len(report.unconfirmed), "unconfirmed: `gitdata notify resend` sends them again"),
        ):
            self._say_once(what, f"{count} messages are {what}" if count else "")
        self._say_once("problems", "; ".join(report.problems))
        return report
