"""A server of chat completions on loopback that answers as a function of the test says, and as badly.

    with FakeOpenAI(lambda asked: verdict(0.9)) as fake:          # a text is an answer
        …  fake.base_url, fake.requests, fake.calls

    Status(429, {"Retry-After": "2"})    an error, with its headers
    Answer("…", finish_reason="length")  an answer with figures of one's own
    Raw(b"{")                            any body at all
    Cut(10)                              the connection ends so many bytes into the answer
    Slow(event, "…")                     the answer comes when the event is set, or the test ends
    Drip(0.01)                           the answer comes byte by byte, so many seconds apart

    FakeOpenAI(embeds=lambda text: [1.0, 0.0])      a vector for each text; None: the answer lacks it

`answers` may also be a list: one each, the last again and again. Requests are kept as they came, headers apart.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

WAIT_S = 30.0
"""How long a slow answer waits for its event before it gives up."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of chat completions."""

    number: int
    """From 0, in the order in which they came."""
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    """Names in small letters."""
    path: str

    @property
    def messages(self) -> list[dict[str, Any]]:
        return list(self.body["messages"])

    @property
    def text(self) -> str:
        """All contents, joined by newlines."""
        return "\n".join(str(m.get("content") or "") for m in self.messages)


@dataclass(frozen=True, slots=True)
class Answer:
    text: str | None
    finish_reason: str = "stop"
    input_tokens: int | None = 100
    """At least; of a text of more than 8000 characters it grows, as that of a server does."""
    output_tokens: int | None = 20
    tool_calls: Sequence[Mapping[str, Any]] = ()
    """{name, arguments}; arguments that are a text are sent as they are."""
    refusal: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = "no"
    code: str | None = None
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Raw:
    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cut:
    after: int = 10


@dataclass(frozen=True, slots=True)
class Slow:
    until: threading.Event
    answer: Answer | str = "late"


@dataclass(frozen=True, slots=True)
class Drip:
    every_s: float = 0.01


Reply = str | Answer | Status | Raw | Cut | Slow | Drip


def verdict(score: float, reasoning: str = "scripted") -> str:
    """Return what a well-behaved judge says."""
    return json.dumps({"reasoning": reasoning, "score": score})


class FakeOpenAI:
    """Listens on loopback while it is entered. `answers` may be exchanged at any time."""

    def __init__(
        self,
        answers: Callable[[Asked], Reply] | Sequence[Reply] | str = "hello",
        *,
        embeds: Callable[[str], Sequence[float] | None] | None = None,
    ) -> None:
        self.answers = answers
        self.embeds = embeds
        self.requests: list[Asked] = []
        self.connections = 0
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self._open: set[socket.socket] = set()

    @property
    def base_url(self) -> str:
        assert self._server is not None, "enter it first"
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def calls(self) -> int:
        """How many requests of chat completions came."""
        with self._lock:
            return len(self.requests)

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"server_of": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), name="fake-openai", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        assert self._server is not None
        self._server.shutdown()
        for connection in self._connections():  # or threads of kept-alive connections wait for the next request
            _hang_up(connection)
        self._server.server_close()

    def reply(self, asked: Asked) -> Reply:
        if self.embeds is not None and asked.path.endswith("/embeddings"):
            return Raw(json.dumps(embeddings(asked, self.embeds)).encode())
        answers = self.answers
        if isinstance(answers, str):
            return answers
        if callable(answers):
            return answers(asked)
        return answers[min(asked.number, len(answers) - 1)]

    def begin(self, body: Mapping[str, Any], headers: Mapping[str, str], path: str) -> Asked:
        with self._lock:
            asked = Asked(len(self.requests), body, headers, path)
            self.requests.append(asked)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            return asked

    def end(self) -> None:
        with self._lock:
            self._at_once -= 1

    def wait(self, event: threading.Event) -> None:
        """Return when the event is set, the server closes, or nobody sets it."""
        for _ in range(int(WAIT_S / 0.02)):
            if self._closing.is_set() or event.wait(0.02):
                return

    def is_closing_within(self, seconds: float) -> bool:
        """Wait so long, or until the server closes."""
        return self._closing.wait(seconds)

    def connected(self, connection: socket.socket) -> None:
        with self._lock:
            self.connections += 1
            self._open.add(connection)

    def gone(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)

    def _connections(self) -> list[socket.socket]:
        with self._lock:
            return list(self._open)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that did not wait; anything else is a fault of the test."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server_of: FakeOpenAI
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.server_of.connected(self.connection)

    def finish(self) -> None:
        self.server_of.gone(self.connection)
        super().finish()

    def do_POST(self) -> None:
        fake = self.server_of
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        asked = fake.begin(body, {k.lower(): v for k, v in self.headers.items()}, self.path)
        try:
            reply = fake.reply(asked)
            if isinstance(reply, Slow):
                fake.wait(reply.until)
                reply = reply.answer
        finally:
            fake.end()
        if not self.path.endswith("/chat/completions") and not (fake.embeds and self.path.endswith("/embeddings")):
            reply = Status(404, message=f"there is no {self.path}")
        self._send(reply, asked)

    def do_GET(self) -> None:
        models = {"object": "list", "data": [{"id": "scripted", "object": "model"}]}
        self._write(200, json.dumps(models).encode(), "application/json", {})

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Say nothing."""

    def _send(self, reply: Reply, asked: Asked) -> None:
        match reply:
            case Raw(body, status, kind, headers):
                self._write(status, body, kind, headers)
            case Status():
                error = {"message": reply.message, "type": "scripted", "code": reply.code, "param": reply.param}
                self._write(reply.status, json.dumps({"error": error}).encode(), "application/json", reply.headers)
            case Cut(after):
                whole = json.dumps(completion(Answer("cut"), asked)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(whole)))
                self.end_headers()
                self.wfile.write(whole[:after])
                self.close_connection = True
            case Drip(every_s):
                whole = json.dumps(completion(Answer("drop by drop"), asked)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(whole)))
                self.end_headers()
                with contextlib.suppress(OSError):  # the client did not wait
                    for byte in whole:
                        self.wfile.write(bytes([byte]))
                        if self.server_of.is_closing_within(every_s):
                            break
                self.close_connection = True
            case str() | Answer():
                answer = Answer(reply) if isinstance(reply, str) else reply
                self._write(200, json.dumps(completion(answer, asked)).encode(), "application/json", {})
            case Slow():
                raise AssertionError("a slow answer in a slow answer")

    def _write(self, status: int, body: bytes, kind: str, headers: Mapping[str, str]) -> None:
        try:
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):  # the client did not wait
            self.close_connection = True


def completion(answer: Answer, asked: Asked) -> dict[str, Any]:
    """Return the JSON object of a chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": answer.refusal}
    if answer.tool_calls:
        message["tool_calls"] = [_tool_call(n, c) for n, c in enumerate(answer.tool_calls)]
    usage = (
        {
            "prompt_tokens": max(answer.input_tokens, len(asked.text) // 4 - 2000),
            "completion_tokens": answer.output_tokens or 0,
        }
        if answer.input_tokens is not None
        else None
    )
    return {
        "id": f"chatcmpl-{asked.number}",
        "object": "chat.completion",
        "created": 0,
        "model": answer.model or asked.body.get("model"),
        "choices": [{"index": 0, "message": message, "finish_reason": answer.finish_reason}],
        "usage": usage,
    }


def embeddings(asked: Asked, embeds: Callable[[str], Sequence[float] | None]) -> dict[str, Any]:
    """Return the JSON object of an answer with vectors, the last text first: their order is in `index`."""
    texts = list(asked.body["input"])
    rows = [(i, embeds(text)) for i, text in enumerate(texts)]
    data = [{"object": "embedding", "index": i, "embedding": list(row)} for i, row in rows if row is not None]
    tokens = sum(len(text) // 4 + 1 for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data[::-1], "model": asked.body["model"], "usage": usage}


def _tool_call(number: int, call: Mapping[str, Any]) -> dict[str, Any]:
    arguments = call["arguments"]
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": f"call_{number}", "type": "function", "function": {"name": call["name"], "arguments": text}}


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # it is closed already
        return
