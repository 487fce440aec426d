"""Mail: the one door to SendGrid, through its own client.

``controller/notify`` calls ``send`` once per claimed message and needs to know one thing for certain: was it
accepted, was it provably not, or can nobody tell? The key is never logged, stored or put into a message.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, Protocol
from urllib.error import URLError

from gitdata.errors import GitdataError, InvalidInputError, MachineError
from gitdata.formats.outbox import split_address
from gitdata.text import reason

SENDGRID_HOST = "https://api.sendgrid.com"
KEY_VARIABLE = "SENDGRID_API_KEY"

# Answers that concern all messages and may be different in a while: the key, the account, the rate, the server.
_FOR_ALL = (401, 402, 403, 404, 405, 408, 429)


class MailRefused(GitdataError):
    """Provably not accepted. ``transient``: the same message may be accepted later."""


class MailUnknown(GitdataError):
    """The request went out and no answer came back: nobody can tell whether it was accepted."""


class Mailer(Protocol):
    """What sends a message to one kind of target."""

    target: str

    def send(self, message: Mapping[str, Any]) -> str:
        """The provider's id of the accepted message. Raises MailRefused or MailUnknown."""


def sendgrid_key(environ: Mapping[str, str], file: Path | None = None) -> str:
    """The key from the file that the configuration names, else from the environment; "" for none."""
    if file is None:
        return environ.get(KEY_VARIABLE, "").strip()
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            f"cannot read the mail key from {file}: {reason(error)}", hint="see the controller's configuration"
        ) from error


class SendGridMailer:
    """SendGrid's v3 API. host: its base URL. timeout: seconds of silence until a call is given up."""

    target = "sendgrid"

    def __init__(self, key: str, host: str = SENDGRID_HOST, timeout: float = 10) -> None:
        if not key:
            raise MachineError(
                "there is no SendGrid key: messages stay pending",
                hint=f"set {KEY_VARIABLE}, or name a key file in the controller's configuration",
            )
        if not key.isascii() or not key.isprintable():
            raise InvalidInputError("the SendGrid key holds characters that no key has")
        try:  # here, not above: 0.2 s, and an optional extra
            from python_http_client.exceptions import HTTPError
            from sendgrid import SendGridAPIClient
        except ImportError as error:
            raise MachineError(
                "SendGrid's client is not installed: messages stay pending",
                hint="pip install 'gitdata-cli[notify]'",
            ) from error
        self._status_error: type[Exception] = HTTPError
        # The client logs every header at debug level, the key among them.
        logging.getLogger("python_http_client").setLevel(logging.WARNING)
        self._client = SendGridAPIClient(key, host=host.rstrip("/"))
        self._client.client.timeout = timeout
        self._host = host

    def send(self, message: Mapping[str, Any]) -> str:
        try:
            answer = self._client.send(_body(message))
        except self._status_error as error:
            raise self._judge(error) from error
        except URLError as error:
            # urllib wraps only what fails until the last byte of the request is out: no server can have all of it.
            raise MailRefused(f"cannot reach {self._host}: {error.reason}", transient=True) from error
        except (OSError, HTTPException) as error:
            raise MailUnknown(f"no answer from {self._host}: {error or type(error).__name__}") from error
        if answer.status_code != 202:
            raise MailUnknown(f"{self._host} answered {answer.status_code}, not 202")
        return str(answer.headers.get("X-Message-Id", ""))[:200]

    def _judge(self, error: Exception) -> GitdataError:
        """What an error status proves."""
        status = int(getattr(error, "status_code", 0))
        text = f"{self._host} answered {status}{_said(getattr(error, 'body', b''))}"
        if status == 504 or status < 400:
            return MailUnknown(text)  # a gateway that stopped waiting, or nothing that SendGrid says: proves nothing
        return MailRefused(text, transient=status >= 500 or status in _FOR_ALL)


def _body(message: Mapping[str, Any]) -> dict[str, Any]:
    """The request of ``POST /v3/mail/send``: one mail to all recipients."""
    content = [{"type": "text/plain", "value": message["text"]}]
    if message.get("html"):
        content.append({"type": "text/html", "value": message["html"]})
    return {
        "personalizations": [{"to": [_person(one) for one in message["to"]]}],
        "from": _person(message["from"]),
        "subject": message["subject"],
        "content": content,
    }


def _person(text: str) -> dict[str, str]:
    name, address = split_address(text)
    return {"email": address, "name": name} if name else {"email": address}


def _said(body: Any) -> str:
    """SendGrid's own words about an error, for the outbox."""
    try:
        first = json.loads(body)["errors"][0]["message"]
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return ""
    return f": {str(first)[:200]}"
