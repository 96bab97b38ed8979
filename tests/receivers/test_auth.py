"""Keys at both transports: who is let in, what strangers are told, and that nothing of them is kept or read."""

from __future__ import annotations

import http.client
import socket
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import json_format
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from collector.auth.key import new_key
from collector.auth.key_file import KeyFile
from collector.receivers.otlp import OtlpConfig
from schema.errors import ConfigError
from schema.identity import Scope
from tests.receivers.conftest import to_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.receivers.conftest import MemoryJournal, Running, Transport

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
UNAUTHENTICATED, FORBIDDEN, EXHAUSTED = 16, 7, 8


class Keys:
    """Makes keys in the file of the receivers under test."""

    def __init__(self, file: KeyFile) -> None:
        self.file = file

    def make(self, tenant: str = "acme", *scopes: Scope, **more: Any) -> str:
        scopes = scopes or (Scope.INGEST,)
        text, key = new_key(tenant=tenant, scopes=frozenset(scopes), now_unix_s=int(time.time()), **more)
        self.file.add(key)
        return text


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(KeyFile(tmp_path / "keys.json"))


@pytest.fixture
def locked(start: Callable[..., Running], keys: Keys, journal: MemoryJournal) -> Running:
    """Start a receiver that asks for keys."""
    keys.make("somebody")
    return start(journal=journal, auth={"mode": "keys"})


def send(running: Running, transport: Transport, body: Any, headers: dict[str, str]) -> tuple[int, str]:
    """Return the number of the gRPC code, and the message."""
    if transport == "grpc":
        with grpc.insecure_channel(
            running.receiver.endpoints["grpc"], options=[("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            export: Any = channel.unary_unary(METHOD)
            try:
                export(body.SerializeToString(), timeout=30, metadata=tuple(headers.items()))
            except grpc.RpcError as e:
                return e.code().value[0], e.details() or ""
        return 0, ""
    json = transport == "http-json"
    kind = "application/json" if json else "application/x-protobuf"
    content = to_json(body) if json else body.SerializeToString()
    response, answer = running.exchange("/v1/traces", content, {"content-type": kind, **headers})
    assert response.headers["content-type"] == kind
    if response.status == 200:
        return 0, ""
    status = json_format.Parse(answer, Status()) if json else Status.FromString(answer)
    assert response.status == {UNAUTHENTICATED: 401, FORBIDDEN: 403, EXHAUSTED: 429}[status.code]
    challenge = response.headers["www-authenticate"]
    assert (challenge == 'Bearer realm="otel-evalgate"') == (status.code == UNAUTHENTICATED)
    return status.code, status.message


def test_the_tenant_is_that_of_the_key(
    start: Callable[..., Running], keys: Keys, *, transport: Transport, make_request: Any, journal: MemoryJournal
) -> None:
    made = {tenant: f"Bearer {keys.make(tenant)}" for tenant in ("acme", "globex")}
    running = start(journal=journal, auth={"mode": "keys"})
    for tenant in ("acme", "globex", "acme"):
        headers = {"authorization": made[tenant]}
        assert send(running, transport, make_request(1), headers)[0] == 0
        assert send(running, transport, make_request(1), {**headers, "x-evalgate-tenant": tenant})[0] == 0
    assert [r.tenant for r in journal.records] == ["acme", "acme", "globex", "globex", "acme", "acme"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": f"Bearer eg_{'a' * 12}_{'b' * 43}"},
        {"authorization": "Basic dXNlcjpwYXNz"},
        {"x-api-key": "KEY"},
        {"authorization": "KEY"},
        {"authorization": "Bearer KEY, Bearer KEY"},
    ],
)
def test_strangers_are_refused_and_nothing_of_them_is_kept(
    locked: Running,
    keys: Keys,
    *,
    transport: Transport,
    headers: dict[str, str],
    make_request: Any,
    journal: MemoryJournal,
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = keys.make()
    code, message = send(locked, transport, make_request(1), {k: v.replace("KEY", key) for k, v in headers.items()})
    assert code == UNAUTHENTICATED
    assert key[3:15] not in message + caplog.text
    assert key[16:] not in message + caplog.text
    assert journal.records == []
    assert locked.receiver.counts["traces", "unauthenticated"] == 1


@pytest.mark.parametrize(
    ("scope", "header"), [(Scope.READ, {}), (Scope.ADMIN, {}), (Scope.INGEST, {"x-evalgate-tenant": "globex"})]
)
def test_a_good_key_for_something_else_is_forbidden(
    start: Callable[..., Running],
    keys: Keys,
    *,
    transport: Transport,
    make_request: Any,
    journal: MemoryJournal,
    scope: Scope,
    header: dict[str, str],
) -> None:
    headers = {"authorization": f"Bearer {keys.make('acme', scope)}", **header}
    running = start(journal=journal, auth={"mode": "keys"})
    assert send(running, transport, make_request(1), headers)[0] == FORBIDDEN
    assert journal.records == []


def test_two_authorization_headers_are_none(start: Callable[..., Running], keys: Keys, make_request: Any) -> None:
    key = keys.make()
    body = make_request(1).SerializeToString()
    locked = start(auth={"mode": "keys"})
    connection = http.client.HTTPConnection(*locked.address("http"), timeout=30)
    for names, status in ((("AUTHORIZATION",), 200), (("authorization", "Authorization"), 401)):
        connection.putrequest("POST", "/v1/traces")
        for name in names:
            connection.putheader(name, f"  bearer   {key} ")
        connection.putheader("content-type", "application/x-protobuf")
        connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        response.read()
        assert response.status == status
    connection.close()
    with grpc.insecure_channel(locked.receiver.endpoints["grpc"]) as channel:
        export: Any = channel.unary_unary(METHOD)
        with pytest.raises(grpc.RpcError) as caught:
            export(body, timeout=30, metadata=(("authorization", f"Bearer {key}"),) * 2)
        assert isinstance(caught.value, grpc.Call)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_stranger_is_answered_before_his_body_comes(locked: Running) -> None:
    with socket.create_connection(locked.address("http"), timeout=10) as sock:
        sock.sendall(
            b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n"
            b"content-length: 60000000\r\nexpect: 100-continue\r\n\r\n"
        )
        assert sock.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_of_a_strangers_message_nothing_is_read_over_grpc(locked: Running) -> None:
    """Only what fits the window of HTTP/2 leaves the sender: the answer comes while most of it is still there."""
    with grpc.insecure_channel(
        locked.receiver.endpoints["grpc"],
        options=[("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)],
    ) as channel:
        export: Any = channel.unary_unary(METHOD)
        with pytest.raises(grpc.RpcError) as caught:
            export(b"\0" * (200 << 20), timeout=30)
        assert isinstance(caught.value, grpc.Call)
        # The limit of a message is 64 MiB: one that was read would be RESOURCE_EXHAUSTED.
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_revoked_key_is_refused_on_a_connection_that_is_open(
    start: Callable[..., Running], keys: Keys, make_request: Any
) -> None:
    key = keys.make()
    body = make_request(1).SerializeToString()
    locked = start(auth={"mode": "keys"})
    connection = http.client.HTTPConnection(*locked.address("http"), timeout=30)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/x-protobuf"}

    def post() -> int:
        connection.request("POST", "/v1/traces", body, headers)
        response = connection.getresponse()
        response.read()
        return response.status

    assert post() == 200
    own = connection.sock
    keys.file.revoke(key[3:15], now_unix_s=int(time.time()))
    revoked_s = time.monotonic()
    while post() == 200:
        assert time.monotonic() - revoked_s < 10
    assert connection.sock is own
    connection.close()


def test_a_tenant_that_floods_is_refused_with_a_delay_and_nobody_else(
    start: Callable[..., Running], keys: Keys, transport: Transport, make_request: Any, journal: MemoryJournal
) -> None:
    loud, quiet = keys.make("loud"), keys.make("quiet")
    running = start(journal=journal, auth={"mode": "keys"}, tenants={"bytes_per_s_of": {"loud": 1}})
    body = make_request(1)
    codes = [send(running, transport, body, {"authorization": f"Bearer {loud}"})[0] for _ in range(3)]
    assert codes in ([0, EXHAUSTED, EXHAUSTED], [0, 0, EXHAUSTED])
    assert [send(running, transport, body, {"authorization": f"Bearer {quiet}"})[0] for _ in range(3)] == [0, 0, 0]
    response, answer = running.exchange(
        "/v1/traces",
        make_request(1).SerializeToString(),
        {"content-type": "application/x-protobuf", "authorization": f"Bearer {loud}"},
    )
    delay = RetryInfo()
    assert any(d.Unpack(delay) for d in Status.FromString(answer).details)
    assert int(response.headers["retry-after"]) >= 1


@pytest.mark.parametrize("path", ["/v1%2Ftraces", "/v1/traces%2F", "/%76%31/traces", "/v1/./traces", "//v1/traces"])
def test_a_path_that_is_written_otherwise_is_no_way_round(locked: Running, keys: Keys, path: str) -> None:
    for headers in ({}, {"authorization": f"Bearer {keys.make()}"}):
        response, _ = locked.exchange(path, b"", {"content-type": "application/x-protobuf", **headers})
        assert response.status == 404


def test_every_path_of_the_receiver_asks_for_a_key(locked: Running) -> None:
    for path in ("/v1/traces", "/v1/logs", "/v1/feedback"):
        for method in ("POST", "GET", "PUT", "OPTIONS", "DELETE"):
            response, _ = locked.exchange(path, b"", {"content-type": "application/json"}, method)
            assert response.status == (401 if method == "POST" else 405)


TLS = {"cert_file": "a", "key_file": "b"}
MUTUAL = {**TLS, "client_ca_file": "c"}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "anyone there could send"),
        ({"tls": TLS}, "anyone there could send"),
        ({"tls": MUTUAL}, None),
        ({"insecure": True}, None),
        ({"keys": True}, "keys could be read"),
        ({"keys": True, "tls": TLS}, None),
        ({"keys": True, "insecure": True}, None),
    ],
)
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_beyond_loopback_it_takes_both_authentication_and_tls(
    protocol: str, settings: dict[str, Any], problem: str | None
) -> None:
    own = {k: v for k, v in settings.items() if k != "keys"}
    document: dict[str, Any] = {"protocols": {protocol: {"endpoint": "0.0.0.0:4317", **own}}}
    if "keys" in settings:
        document["auth"] = {"mode": "keys"}
    if problem is None:
        OtlpConfig.model_validate(document)
        return
    with pytest.raises(ValueError, match=problem):
        OtlpConfig.model_validate(document)


@pytest.mark.parametrize(
    ("auth", "words"),
    [({}, "without asking who sends (auth) and without TLS"), ({"auth": {"mode": "keys"}}, "without TLS")],
)
def test_what_is_insecure_is_said_at_each_start(
    start: Callable[..., Running], keys: Keys, auth: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    keys.make()
    start(only="http", http={"endpoint": "0.0.0.0:0", "insecure": True}, **auth)
    (said,) = [r.getMessage() for r in caplog.records if "insecure" in r.getMessage()]
    assert words in said
    start(only="http", http={"insecure": True})
    assert len([r for r in caplog.records if "insecure" in r.getMessage()]) == 1


def test_limits_of_tenants_without_keys_are_an_error() -> None:
    with pytest.raises(ValueError, match="tenants has no meaning without keys"):
        OtlpConfig.model_validate({"protocols": {"http": None}, "tenants": {}})


def test_a_damaged_key_file_stops_the_start(start: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("{")
    (tmp_path / "keys.json").chmod(0o600)
    with pytest.raises(ConfigError, match="damaged"):
        start(auth={"mode": "keys"})
