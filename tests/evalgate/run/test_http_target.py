"""An HTTP endpoint as target, good and bad."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.errors import BadInput
from evalgate.run.targets import http as http_targets
from evalgate.run.targets.answer import Busy
from evalgate.run.targets.http import HttpTarget, http_target
from schema.run import ErrorKind, Output, RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CASE = {"case_id": "c1", "input": {"messages": [], "text": "Hi"}}


class Seen:
    """What the server was sent."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.closing = threading.Event()


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler, Seen], None]) -> Iterator[tuple[str, Seen]]:
    """Serve on loopback; `answer` writes the whole answer."""
    seen = Seen()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            seen.headers.append(dict(self.headers))
            seen.paths.append(self.path)
            answer(self, seen)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/answer", seen
    finally:
        seen.closing.set()
        server.shutdown()
        server.server_close()


def says(
    body: bytes, status: int = 200, headers: dict[str, str] | None = None
) -> Callable[[BaseHTTPRequestHandler, Seen], None]:
    def answer(handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@pytest.mark.parametrize(
    ("body", "output"),
    [
        (b"plain", Output("plain")),
        (b'"a JSON text"', Output("a JSON text")),
        (b'{"output": "x", "tool_calls": [{"name": "t"}]}', Output("x", ({"name": "t", "arguments": None},))),
        (b'{"days": 30}', Output('{"days": 30}')),
    ],
)
def test_the_request_is_posted_and_the_answer_is_text_or_json(body: bytes, output: Output) -> None:
    with serving(says(body)) as (url, seen):
        assert http_target(url)(CASE, 10) == output
    assert seen.bodies == [CASE]
    assert seen.headers[0]["Content-Type"] == "application/json"


@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_is_refused_and_nobody_else_is_asked(status: int) -> None:
    with (
        serving(says(b"stolen")) as (elsewhere, other),
        serving(says(b"", status, {"Location": elsewhere})) as (url, _),
    ):
        answer = http_target(url)(CASE, 10)
    assert isinstance(answer, RunError)
    assert "redirects are refused" in answer.message
    assert other.bodies == []


@pytest.mark.parametrize("status", [429, 502, 503])
def test_a_service_that_is_away_may_be_asked_again(status: int) -> None:
    with serving(says(b"later", status, {"Retry-After": "3"})) as (url, _):
        answer = http_target(url)(CASE, 10)
    assert isinstance(answer, Busy)
    assert answer.retry_after_s == 3
    assert answer.error == RunError(
        ErrorKind.RATE_LIMIT if status == 429 else ErrorKind.TARGET,
        f"HTTP {status}: later",
    )


def test_a_request_that_is_wrong_is_not_sent_again() -> None:
    with serving(says(b"no such field \x1b[31m", 400)) as (url, _):
        answer = http_target(url)(CASE, 10)
    assert answer == RunError(ErrorKind.TARGET, "HTTP 400: no such field \\x1b[31m")


def test_nobody_listens() -> None:
    with serving(says(b"")) as (url, _):
        pass
    answer = http_target(url)(CASE, 10)
    assert isinstance(answer, Busy)
    assert "cannot reach http://127.0.0.1" in answer.error.message


def test_an_answer_that_never_comes_times_out() -> None:
    def silent(handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        seen.closing.wait(20)

    with serving(silent) as (url, _):
        answer = http_target(url)(CASE, 0.05)
    assert answer == Busy(RunError(ErrorKind.TIMEOUT, "no answer within 0.05 s"))


def test_an_answer_that_drips_does_not_hold_a_run_for_ever() -> None:
    def dripping(handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b"x")

    times = iter([0.0, 2.0, 2.0])
    with serving(dripping) as (url, _):
        answer = HttpTarget(url, clock=lambda: next(times))(CASE, 1.0)
    assert answer == Busy(RunError(ErrorKind.TIMEOUT, "no answer within 1 s"))


def test_an_answer_that_is_too_large_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_targets, "MAX_ANSWER_BYTES", 1 << 20)
    with serving(says(b"x" * ((1 << 20) + 1))) as (url, _):
        answer = http_target(url)(CASE, 10)
    assert answer == RunError(ErrorKind.TARGET, "the answer is larger than 1 MiB")


def test_a_header_comes_from_the_environment_and_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "Bearer s3cret")
    with serving(says(b"x")) as (url, seen):
        target = http_target(url, ["Authorization=SHOP_TOKEN"])
        target(CASE, 10)
    assert seen.headers[0]["Authorization"] == "Bearer s3cret"
    assert "s3cret" not in repr(target)


@pytest.mark.parametrize(
    ("url", "headers", "words"),
    [
        ("http://shop.example/answer", [], "in the clear"),
        ("https://", [], "is not a URL"),
        ("https://u:p@shop.example/", [], "no user and no password"),
        ("https://shop.example/", ["Authorization"], "NAME=VARIABLE"),
        ("https://shop.example/", ["X-A=ABSENT_VARIABLE"], "is not set"),
        ("https://shop.example/", ["X-A=MULTILINE"], "no header may"),
    ],
)
def test_what_would_leak_or_cannot_work_is_refused_first(
    monkeypatch: pytest.MonkeyPatch, url: str, headers: list[str], words: str
) -> None:
    monkeypatch.setenv("MULTILINE", "a\r\nX-B: c")
    monkeypatch.delenv("ABSENT_VARIABLE", raising=False)
    with pytest.raises(BadInput) as error:
        http_target(url, headers)
    assert words in str(error.value)


def test_plain_http_elsewhere_is_a_choice() -> None:
    assert http_target("http://shop.example/answer", insecure=True).url == "http://shop.example/answer"
