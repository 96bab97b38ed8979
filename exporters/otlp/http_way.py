"""OTLP over HTTP/1.1, protobuf, one kept connection."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from isal import igzip

from exporters.otlp.answers import MAX_ANSWER_BYTES, seconds_of
from exporters.otlp.remedies import UNTRUSTED, key_remedy
from schema.errors import ConfigError, Permanent, Retryable

if TYPE_CHECKING:
    from exporters.otlp.exporter import OtlpConfig
    from schema.component import Signal

RETRYABLE: Final = frozenset({429, 502, 503, 504})
MENDABLE: Final = frozenset({401, 403, 404, 405, 407, 408})
"""No fault of a request: wrong address or key. They are tried again although the specification would not, as whoever
runs the collector can put them right."""
KEYLESS: Final = frozenset({401, 403})


class HttpWay:
    """One connection, used by one thread at a time."""

    def __init__(self, config: OtlpConfig) -> None:
        parts = urlsplit(config.endpoint)
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port or (443 if self._secure else 80)
        self._path = parts.path.rstrip("/")
        self._where = f"{parts.scheme}://{parts.netloc}"
        self._timeout_s = config.timeout_s
        self._gzip = config.compression == "gzip"
        self._headers = {
            "User-Agent": "otel-evalgate",
            **config.headers,
            "Content-Type": "application/x-protobuf",
            **({"Content-Encoding": "gzip"} if self._gzip else {}),
        }
        self._context = _context(config) if self._secure else None
        self._connection: HTTPConnection | None = None

    def send(self, signal: Signal, body: bytes) -> bytes:
        """Send one request; see `exporters.otlp.exporter.Way`."""
        connection = self._connection or self._connect()
        self._connection = None
        deadline = threading.Timer(self._timeout_s, _hang_up, (connection,))
        deadline.start()
        try:
            connection.request(
                "POST", f"{self._path}/v1/{signal}", igzip.compress(body, 1) if self._gzip else body, self._headers
            )
            answer = connection.getresponse()
            said = answer.read(MAX_ANSWER_BYTES)
        except ssl.SSLCertVerificationError as e:
            connection.close()
            raise Retryable(f"{self._where} {UNTRUSTED} ({e.verify_message})") from None
        except (OSError, HTTPException) as e:
            connection.close()
            raise Retryable(f"{self._where} cannot be reached or gave no answer: {type(e).__name__}") from None
        finally:
            deadline.cancel()
        if answer.isclosed() and not answer.will_close:
            self._connection = connection
        else:
            connection.close()
        if answer.status // 100 == 2:
            return said
        what = f"{self._where} answered {answer.status}"
        if answer.status in KEYLESS:
            what = f"{what}: {key_remedy(self._headers)}"
        raise _fault(what, answer.status, answer.getheader("Retry-After"))

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connect(self) -> HTTPConnection:
        if self._context is None:
            return HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        return HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=self._context)


def _hang_up(connection: HTTPConnection) -> None:
    """End a request whose time is up, also where the other side sends a byte now and then."""
    sock = connection.sock
    if sock is not None:
        with contextlib.suppress(OSError):  # it ended by itself just now
            sock.shutdown(socket.SHUT_RDWR)


def _fault(what: str, status: int, retry_after: str | None) -> Retryable | Permanent:
    if status in RETRYABLE or status in MENDABLE:
        again = Retryable(what)
        again.after_s = seconds_of(retry_after)
        return again
    return Permanent(what)


def _context(config: OtlpConfig) -> ssl.SSLContext:
    tls = config.tls
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        if tls.cert_file is not None:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except (OSError, ssl.SSLError) as e:
        raise ConfigError(f"the tls files of {config.endpoint} cannot be used: {e}") from None
    return context
