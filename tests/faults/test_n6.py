"""N6: TLS that does not fit.

Injected: plaintext and garbage at the TLS ports, TLS 1.1, a client without a certificate, with an expired and with a
foreign one, and certificates renewed on disk, half of a pair first, while requests are sent.
Holds: each of them is refused without a record and without harm to others; new connections get the new certificate
without a restart, open ones stay; a pair that does not fit together changes nothing.
Figure: 5 renewals, each seen on HTTP and on gRPC.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import time
import warnings
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import trustme
import uvloop

from collector.receivers.otlp import OtlpConfig, otlp
from schema.component import Context
from schema.errors import ConfigError
from tests.receivers.conftest import METHODS, EventLoopThread, MemoryJournal, Running, spans

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BODY: bytes = spans(1).SerializeToString()
PLAIN = b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"


class Files:
    """The files that a configuration names."""

    def __init__(self, folder: Path) -> None:
        self.cert, self.key, self.client_ca = (folder / name for name in ("tls.crt", "tls.key", "ca.crt"))

    def write(self, issued: trustme.LeafCert) -> None:
        issued.private_key_pem.write_to_path(self.key)
        self.write_cert(issued)

    def write_cert(self, issued: trustme.LeafCert) -> None:
        self.cert.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))

    def config(self, **more: Any) -> dict[str, Any]:
        return {"cert_file": str(self.cert), "key_file": str(self.key), "reload_interval_s": 0, **more}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


def server_cert(ca: trustme.CA) -> trustme.LeafCert:
    return ca.issue_cert("localhost", "127.0.0.1")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start receivers of both protocols with these `tls` settings."""
    loop = EventLoopThread(uvloop.new_event_loop())
    running: list[Running] = []

    def begin(tls: dict[str, Any], **http: Any) -> Running:
        protocols = {name: {"endpoint": "127.0.0.1:0", "tls": tls} for name in ("grpc", "http")}
        protocols["http"] |= http
        journal = MemoryJournal()
        receiver = otlp(OtlpConfig.model_validate({"protocols": protocols}), Context("otlp", tmp_path, journal))
        loop.run(receiver.start())
        running.append(Running(receiver, journal, loop))
        return running[-1]

    yield begin
    for r in running:
        loop.run(r.receiver.shutdown())
    loop.close()


def trusting(ca: trustme.CA, own: trustme.LeafCert | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca.configure_trust(context)
    if own is not None:
        own.configure_cert(context)
    return context


def connect(running: Running, context: ssl.SSLContext) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection(*running.address("http"), timeout=10, context=context)


def post(connection: http.client.HTTPSConnection) -> int:
    connection.request("POST", "/v1/traces", BODY, {"content-type": "application/x-protobuf"})
    response = connection.getresponse()
    response.read()
    return response.status


def served_by(running: Running, name: str, context: ssl.SSLContext) -> bytes:
    """Return the certificate that a new connection gets."""
    with socket.create_connection(running.address(name), timeout=10) as raw:
        if name == "grpc":
            context.set_alpn_protocols(["h2"])
        with context.wrap_socket(raw, server_hostname="localhost") as wrapped:
            found = wrapped.getpeercert(binary_form=True)
    assert found is not None
    return found


def export(running: Running, ca: trustme.CA, own: trustme.LeafCert | None = None) -> grpc.StatusCode:
    credentials = grpc.ssl_channel_credentials(
        ca.cert_pem.bytes(),
        None if own is None else own.private_key_pem.bytes(),
        None if own is None else own.cert_chain_pems[0].bytes(),
    )
    port = running.address("grpc")[1]
    with grpc.secure_channel(f"localhost:{port}", credentials, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        call: Any = channel.unary_unary(METHODS["traces"])
        try:
            call(BODY, timeout=10)
        except grpc.RpcError as e:
            return e.code()
    return grpc.StatusCode.OK


def talk(running: Running, name: str, data: bytes) -> bytes:
    """Send plain bytes and return what comes until the server closes."""
    with socket.create_connection(running.address(name), timeout=10) as sock, contextlib.suppress(ConnectionError):
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        found = b""
        while piece := sock.recv(4096):
            found += piece
        return found
    return b""


@pytest.mark.quick
def test_what_is_no_tls_is_refused_and_harms_nobody(
    serve: Callable[..., Running], files: Files, ca: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    files.write(server_cert(ca))
    running = serve(files.config())
    connection = connect(running, trusting(ca))
    assert post(connection) == 200
    for data in (
        PLAIN,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0" * 4096,
        b"\x16\x03\x01\xff\xff" + b"x" * 70_000,
        b"",
    ):
        assert not talk(running, "http", data).startswith(b"HTTP/")
        assert b"HTTP/1.1 200" not in talk(running, "grpc", data)
    old = trusting(ca)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    for name in ("http", "grpc"):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            served_by(running, name, old)
    assert post(connection) == 200
    assert export(running, ca) is grpc.StatusCode.OK
    connection.close()
    assert {r.body for r in running.journal.records} == {BODY}
    assert [r for r in caplog.records if r.levelname in ("ERROR", "CRITICAL")] == []


@pytest.mark.quick
def test_only_a_client_with_a_certificate_of_ours_gets_in(
    serve: Callable[..., Running], files: Files, ca: trustme.CA
) -> None:
    clients = trustme.CA()
    files.write(server_cert(ca))
    clients.cert_pem.write_to_path(files.client_ca)
    running = serve(files.config(client_ca_file=str(files.client_ca)))
    past = datetime.now(UTC) - timedelta(days=1)
    bad = {
        "none": None,
        "foreign": trustme.CA().issue_cert("app"),
        "expired": clients.issue_cert("app", not_before=past - timedelta(days=9), not_after=past),
    }
    for name, own in bad.items():
        connection = connect(running, trusting(ca, own))
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
            post(connection)
        connection.close()
        assert export(running, ca, own) is grpc.StatusCode.UNAVAILABLE, name
    assert running.journal.records == []
    good = clients.issue_cert("app")
    connection = connect(running, trusting(ca, good))
    assert post(connection) == 200
    connection.close()
    assert export(running, ca, good) is grpc.StatusCode.OK


@pytest.mark.quick
def test_certificates_are_renewed_without_a_restart(
    serve: Callable[..., Running],
    files: Files,
    ca: trustme.CA,
    caplog: pytest.LogCaptureFixture,
    record_property: Callable[[str, object], None],
) -> None:
    first = server_cert(ca)
    files.write(first)
    running = serve(files.config())
    connection = connect(running, trusting(ca))
    assert post(connection) == 200
    own = connection.sock
    seen = {name: {served_by(running, name, trusting(ca))} for name in ("http", "grpc")}
    renewals = 5
    for _ in range(renewals):
        before = {name: served_by(running, name, trusting(ca)) for name in seen}
        issued = server_cert(ca)
        files.write_cert(issued)  # the key is still the old one
        assert {name: served_by(running, name, trusting(ca)) for name in seen} == before
        issued.private_key_pem.write_to_path(files.key)
        for name, found in seen.items():
            found.add(served_by(running, name, trusting(ca)))
        assert post(connection) == 200
        assert export(running, ca) is grpc.StatusCode.OK
    assert {name: len(found) for name, found in seen.items()} == {"http": renewals + 1, "grpc": renewals + 1}
    assert connection.sock is own
    connection.close()
    assert "stays in use" in caplog.text
    record_property("figure", f"{renewals} renewals seen on each of both")


@pytest.mark.quick
def test_connections_that_never_shake_hands_are_bounded(
    serve: Callable[..., Running], files: Files, ca: trustme.CA
) -> None:
    files.write(server_cert(ca))
    running = serve(files.config(), max_connections=3)
    idle = [socket.create_connection(running.address("http"), timeout=10) for _ in range(3)]
    with pytest.raises((ssl.SSLError, ConnectionError)):
        served_by(running, "http", trusting(ca))
    for sock in idle:
        sock.close()
    deadline_s = time.monotonic() + 10
    while True:
        try:
            assert served_by(running, "http", trusting(ca))
            break
        except (ssl.SSLError, ConnectionError):
            assert time.monotonic() < deadline_s, "places of connections that ended are not free again"


@pytest.mark.quick
def test_files_that_are_no_pair_stop_the_start(serve: Callable[..., Running], files: Files, ca: trustme.CA) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        serve(files.config())
    files.write(server_cert(ca))
    server_cert(ca).private_key_pem.write_to_path(files.key)
    with pytest.raises(ConfigError, match="cannot be used"):
        serve(files.config())
    files.write(server_cert(ca))
    files.client_ca.write_text("no certificate")
    with pytest.raises(ConfigError, match="cannot be used"):
        serve(files.config(client_ca_file=str(files.client_ca)))
