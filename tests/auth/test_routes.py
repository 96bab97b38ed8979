"""Every route of every listener says which scope it takes, and takes it; what is not declared is not served."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import uvloop

from collector.auth.key import new_key
from collector.auth.key_file import KeyFile
from collector.auth.routes import Route
from collector.extensions import health_check
from collector.extensions.clickhouse_http import application, clickhouse_http
from collector.receivers import otlp_grpc
from collector.receivers.otlp import OtlpConfig, otlp
from evalgate.top.status import NoAnswer, fetch
from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate
from schema.component import Context
from schema.errors import ConfigError
from schema.identity import Scope
from tests.receivers.conftest import EventLoopThread, MemoryJournal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

KEYS: dict[str, Any] = {"auth": {"mode": "keys"}}
RECEIVER = ("/v1/traces", "/v1/logs", "/v1/feedback")
SPELLINGS = ("/%2F", "/..%2f", "/%2e%2e%2f", "/%252e", "//", "/./", "/;", "/%00", "/v1%2Ftraces", "/v1/traces/")
STATUS = {"state": "running", "ready": True, "journal": {}, "endpoints": {"otlp": "secret.example"}}


class Listeners:
    """All listeners of a collector that asks for keys, and keys of each scope."""

    def __init__(self, folder: Path, ports: Mapping[str, int], keys: Mapping[str, str]) -> None:
        self.folder, self.ports, self.keys = folder, ports, keys

    def ask(self, listener: str, method: str, path: str, scope: str | None, **headers: str) -> tuple[int, bytes]:
        own = {} if scope is None else {"authorization": f"Bearer {self.keys[scope]}"}
        with closing(http.client.HTTPConnection("127.0.0.1", self.ports[listener], timeout=20)) as connection:
            connection.putrequest(method, path, skip_accept_encoding=True)
            body = b"{}" if method == "POST" and listener == "receiver" else b""
            for name, value in {"content-type": "application/json", **own, **headers}.items():
                connection.putheader(name, value)
            connection.putheader("content-length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.read()


@contextmanager
def running(component: Any, loop: EventLoopThread) -> Iterator[Any]:
    loop.run(component.start())
    try:
        yield component
    finally:
        loop.run(component.shutdown())


@pytest.fixture(scope="module")
def listeners(tmp_path_factory: pytest.TempPathFactory, embedded_folder: Path) -> Iterator[Listeners]:
    folder = tmp_path_factory.mktemp("listeners")
    file, keys = KeyFile(folder / "keys.json"), {}
    for scope in Scope:
        keys[scope.value], kept = new_key(tenant="acme", scopes=frozenset({scope}), now_unix_s=int(time.time()))
        file.add(kept)
    dsn = f"chdb://{embedded_folder}?database=routes"
    with connect(dsn) as db:
        migrate(db)
    loop = EventLoopThread(uvloop.new_event_loop())
    context = Context("x", folder, MemoryJournal(), dsn=dsn, status=lambda: STATUS)
    at = {"endpoint": "127.0.0.1:0"}
    receiver = otlp(OtlpConfig.model_validate({"protocols": {"http": at, "grpc": at}, **KEYS}), context)
    database = clickhouse_http(clickhouse_http.config.model_validate({**at, **KEYS}), context)
    health = health_check.health_check(health_check.HealthCheckConfig.model_validate({**at, **KEYS}), context)
    with running(receiver, loop), running(database, loop), running(health, loop):
        ports = {
            "receiver": int(receiver.endpoints["http"].rpartition(":")[2]),
            "grpc": int(receiver.endpoints["grpc"].rpartition(":")[2]),
            "database": int(database.url.rpartition(":")[2]),
            "health": int(health.url.rpartition(":")[2]),
        }
        listeners = Listeners(folder, ports, keys)
        yield listeners
    loop.close()


def routes() -> list[tuple[str, Route]]:
    """Return what each listener declares."""
    return [
        *(("receiver", Route(path, ("POST",), (Scope.INGEST,))) for path in RECEIVER),
        *(("database", route) for route in application.ROUTES.values()),
        *(("health", route) for route in health_check.ROUTES),
    ]


def test_the_receiver_declares_its_paths(listeners: Listeners) -> None:
    config = OtlpConfig.model_validate({"protocols": {"http": None}}).protocols.http
    assert config is not None
    assert (config.traces_url_path, config.logs_url_path, config.feedback_url_path) == RECEIVER
    assert {r.scopes for r in otlp_grpc.ROUTES.values()} == {(Scope.INGEST,)}


@pytest.mark.parametrize(("listener", "route"), routes(), ids=lambda x: getattr(x, "path", x))
def test_a_route_takes_its_scope_and_no_other(listeners: Listeners, listener: str, route: Route) -> None:
    assert bool(route.scopes) != bool(route.public), "either it takes a scope, or it says why not"
    for method in route.methods:
        for scope in Scope if route.scopes else ():
            status, _ = listeners.ask(listener, method, route.path, scope.value)
            assert (status in (401, 403)) == (scope not in route.scopes), (method, scope)
        status, body = listeners.ask(listener, method, route.path, None)
        assert status == (200 if not route.scopes else 403 if listener == "database" else 401)
        assert b"secret.example" not in body


@pytest.mark.parametrize("listener", ["receiver", "database", "health"])
@pytest.mark.parametrize("path", SPELLINGS)
def test_another_spelling_of_a_path_is_no_way_in(listeners: Listeners, listener: str, path: str) -> None:
    for method in ("GET", "POST"):
        for prefix in ("", "/metrics"):
            status, body = listeners.ask(listener, method, f"{prefix}{path}", None)
            assert b"secret.example" not in body
            assert status in ((200, 405) if listener == "health" else (404, 403))


def test_whoever_has_no_key_is_told_whether_it_is_ready_and_no_more(listeners: Listeners) -> None:
    _, brief = listeners.ask("health", "GET", "/", None)
    assert json.loads(brief) == {"state": "running", "ready": True}
    _, whole = listeners.ask("health", "GET", "/", "admin")
    assert json.loads(whole) == STATUS
    assert listeners.ask("health", "GET", "/", None, authorization="Bearer eg_x")[0] == 401
    assert listeners.ask("health", "GET", "/", "read")[0] == 403


def test_top_says_that_a_key_is_needed_and_sends_it(listeners: Listeners, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{listeners.ports['health']}"
    monkeypatch.delenv("EVALGATE_KEY", raising=False)
    with pytest.raises(NoAnswer, match="scope admin"):
        fetch(url)
    monkeypatch.setenv("EVALGATE_KEY", listeners.keys["read"])
    with pytest.raises(NoAnswer, match="scope admin"):
        fetch(url)
    monkeypatch.setenv("EVALGATE_KEY", listeners.keys["admin"])
    assert fetch(url)["endpoints"] == STATUS["endpoints"]


def test_every_grpc_method_takes_a_key(listeners: Listeners) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{listeners.ports['grpc']}") as channel:
        for method in otlp_grpc.ROUTES:
            for scope, code in ((None, "UNAUTHENTICATED"), ("read", "PERMISSION_DENIED"), ("ingest", None)):
                metadata = () if scope is None else (("authorization", f"Bearer {listeners.keys[scope]}"),)
                call: Any = channel.unary_unary(method)
                if code is None:
                    call(b"", timeout=10, metadata=metadata)
                    continue
                with pytest.raises(grpc.RpcError) as caught:
                    call(b"", timeout=10, metadata=metadata)
                assert isinstance(caught.value, grpc.Call)
                assert caught.value.code().name == code


@pytest.mark.parametrize(
    ("settings", "is_told"), [({}, False), ({"insecure": True}, True), ({"endpoint": "127.0.0.1:0"}, True)]
)
def test_beyond_this_machine_only_the_state_is_told(settings: dict[str, Any], is_told: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a parameter of the test
    config = health_check.HealthCheckConfig.model_validate({"endpoint": "0.0.0.0:0", **settings})

    async def ask() -> tuple[int, dict[str, Any]]:
        check = health_check.HealthCheck(config, lambda: STATUS, tmp_path)
        await check.start()
        try:
            assert check.url is not None
            port = int(check.url.rpartition(":")[2])
            return await asyncio.to_thread(get, port, "/metrics"), await asyncio.to_thread(document, port)
        finally:
            await check.shutdown()

    def get(port: int, path: str) -> int:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            connection.request("GET", path)
            return connection.getresponse().status

    def document(port: int) -> dict[str, Any]:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            connection.request("GET", "/")
            found: dict[str, Any] = json.loads(connection.getresponse().read())
            return found

    status, told = asyncio.run(ask())
    assert (status == 200) == is_told
    assert ("endpoints" in told) == is_told
    assert told["ready"] is True


def test_keys_of_the_health_check_are_not_sent_in_the_clear(tmp_path: Path) -> None:
    config = health_check.HealthCheckConfig.model_validate({"endpoint": "0.0.0.0:0", **KEYS})
    with pytest.raises(ConfigError, match="keys could be read"):
        asyncio.run(health_check.HealthCheck(config, dict, tmp_path).start())
