"""SendGrid through its real client, against a real HTTP server: accepted, provably not, or nobody knows."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitdata.backends.mail import MailRefused, MailUnknown, SendGridMailer, sendgrid_key
from gitdata.errors import InvalidInputError, MachineError
from helpers.mail import SINK, running_sink

MESSAGE = {
    "from": "Watch <a@example.org>",
    "to": ["b@example.org", "C <c@example.org>"],
    "subject": "Threat: person",
    "text": "ü",
    "html": "<p>ü</p>",
}


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that reads a request and answers these bytes."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                data = b""
                while b"\r\n\r\n" not in data or not data.rstrip().endswith((b"}", b"GET")):
                    piece = connection.recv(65536)
                    data += piece
                    if not piece or data.startswith(b"GET"):
                        break
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def status(code: int, body: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (code, len(body), body)


def test_an_accepted_mail(tmp_path: Path) -> None:
    with running_sink(tmp_path) as sink:
        assert SendGridMailer("SG.key", sink.url + "/").send(MESSAGE) == "000001"
        [mail] = sink.mails()
    assert mail["mail"] == {
        "from": {"email": "a@example.org", "name": "Watch"},
        "personalizations": [{"to": [{"email": "b@example.org"}, {"email": "c@example.org", "name": "C"}]}],
        "subject": "Threat: person",
        "content": [{"type": "text/plain", "value": "ü"}, {"type": "text/html", "value": "<p>ü</p>"}],
    }


@pytest.mark.parametrize(
    ("code", "transient"),
    [(400, False), (413, False), (401, True), (403, True), (429, True), (500, True), (502, True), (503, True)],
)
def test_an_error_status_is_a_refusal(code: int, transient: bool) -> None:
    with (
        answering(status(code, b'{"errors":[{"message":"because"}]}')) as url,
        pytest.raises(MailRefused, match=f"answered {code}: because") as caught,
    ):
        SendGridMailer("SG.key", url).send(MESSAGE)
    assert caught.value.transient is transient


@pytest.mark.parametrize(
    "answer",
    [b"", b"nonsense\r\n\r\n", status(200), status(204), status(504), b"HTTP/1.1 2", status(307)],
    ids=["hang up", "not http", "200", "204", "gateway timeout", "cut", "redirect"],
)
def test_no_clear_answer_is_unknown(answer: bytes) -> None:
    with answering(answer) as url, pytest.raises(MailUnknown):
        SendGridMailer("SG.key", url).send(MESSAGE)


def test_silence_is_unknown() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(MailUnknown, match="timed out"):
            SendGridMailer("SG.key", url, timeout=0.2).send(MESSAGE)


def test_a_closed_port_and_an_unknown_host_are_refusals() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    for nowhere in (url, "http://mail.invalid"):
        with pytest.raises(MailRefused, match="cannot reach") as caught:
            SendGridMailer("SG.key", nowhere).send(MESSAGE)
        assert caught.value.transient


def test_a_full_connection_queue_is_a_refusal() -> None:
    """The connection is never made: the timeout falls before the request, and that is proof."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        with pytest.raises(MailRefused, match="timed out"):
            SendGridMailer("SG.key", f"http://127.0.0.1:{address[1]}", timeout=0.3).send(MESSAGE)
        for filler in fillers:
            filler.close()


def test_no_key_is_said_plainly() -> None:
    with pytest.raises(MachineError, match="no SendGrid key") as caught:
        SendGridMailer("")
    assert "SENDGRID_API_KEY" in caught.value.hint
    with pytest.raises(InvalidInputError):
        SendGridMailer("SG.a\r\nX-Evil: 1")


def test_where_the_key_comes_from(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("SG.file\n")
    assert sendgrid_key({"SENDGRID_API_KEY": "SG.env"}) == "SG.env"
    assert sendgrid_key({"SENDGRID_API_KEY": "SG.env"}, file) == "SG.file"
    assert sendgrid_key({}) == ""
    with pytest.raises(InvalidInputError, match="nokey"):
        sendgrid_key({}, tmp_path / "nokey")


def test_the_key_is_never_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("python_http_client").setLevel(logging.DEBUG)
    caplog.set_level(logging.DEBUG)
    with running_sink(tmp_path, fail_first=1) as sink:
        mailer = SendGridMailer("SG.very-secret", sink.url)
        with pytest.raises(MailRefused) as caught:
            mailer.send(MESSAGE)
        mailer.send(MESSAGE)
    assert "very-secret" not in caplog.text + str(caught.value) + repr(mailer)


def test_the_client_is_imported_only_when_there_is_a_key() -> None:
    code = "import sys, gitdata.backends.mail; sys.exit('sendgrid' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_the_extra_it_says_what_to_install() -> None:
    code = """
import sys
sys.modules["sendgrid"] = None
from gitdata.backends.mail import SendGridMailer
from gitdata.errors import MachineError
try:
    SendGridMailer("SG.key")
except MachineError as error:
    print(error.hint)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "gitdata-cli[notify]" in out


def test_the_sink_as_a_program(tmp_path: Path) -> None:
    """The demo starts it so: a port of its own choice, written to a file once it listens."""
    port_file = tmp_path / "port"
    sink = subprocess.Popen(
        [sys.executable, str(SINK), str(tmp_path / "mails"), "--port-file", str(port_file), "--fail-first", "1"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert sink.stdout is not None
        assert "mail sink at http://127.0.0.1:" in sink.stdout.readline()
        mailer = SendGridMailer("SG.key", f"http://127.0.0.1:{port_file.read_text().strip()}")
        with pytest.raises(MailRefused, match="503"):
            mailer.send(MESSAGE)
        assert mailer.send(MESSAGE) == "000001"
    finally:
        sink.terminate()
        sink.communicate()
    assert [path.name for path in (tmp_path / "mails").iterdir()] == ["000001.json"]
