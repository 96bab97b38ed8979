"""Target: an HTTP endpoint. The request is POSTed as JSON; the answer is text, or JSON with `output`.

Redirects are refused: a case would go where nobody sent it. Plain http is for this machine alone unless the user says
otherwise. 429 and the 5xx of a service that is away are tried again; any other status is an error of that case.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from evalgate.errors import BadInput
from evalgate.run.targets.answer import Answer, Busy
from evalgate.run.targets.program import from_bytes
from evalgate.terminal import one_line
from schema.run import ErrorKind, RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MAX_ANSWER_BYTES = 8 << 20
PIECE_BYTES = 64 * 1024
SHOWN_BYTES = 2000
"""Of an error's body."""
REDIRECT = range(300, 400)
AWAY = (408, 425, 429, 500, 502, 503, 504)
"""Status codes after which the same request may work."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """One endpoint. Safe from many threads: each request has its own connection."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    clock: Callable[[], float] = time.monotonic

    def __call__(self, request: Mapping[str, Any], timeout_s: float) -> Answer:
        """Send one request."""
        ends = self.clock() + timeout_s
        body = json.dumps(request).encode("ascii")
        sent = urllib.request.Request(  # noqa: S310 - the scheme was checked
            self.url, data=body, headers={"Content-Type": "application/json", **self.headers}, method="POST"
        )
        late = RunError(ErrorKind.TIMEOUT, f"no answer within {timeout_s:g} s")
        try:
            with self._opener().open(sent, timeout=timeout_s) as response:
                data = self._read(response, ends)
        except urllib.error.HTTPError as e:
            with e:
                return _refused(e)
        except TimeoutError:
            return Busy(late)
        except urllib.error.URLError as e:
            if isinstance(e.reason, TimeoutError):
                return Busy(late)
            away = isinstance(e.reason, OSError) and not isinstance(e.reason, ssl.SSLError)
            error = RunError(ErrorKind.TARGET, one_line(f"cannot reach {self.url}: {e.reason}", 300))
            return Busy(error) if away else error
        except (OSError, http.client.HTTPException) as e:
            return Busy(RunError(ErrorKind.TARGET, one_line(f"the connection broke: {type(e).__name__}: {e}", 300)))
        if data is None:
            return Busy(late)
        if len(data) > MAX_ANSWER_BYTES:
            return RunError(ErrorKind.TARGET, f"the answer is larger than {MAX_ANSWER_BYTES >> 20} MiB")
        return from_bytes(data)

    def _opener(self) -> urllib.request.OpenerDirector:
        """Return what opens URLs: never a redirect, and no proxy on the way to this machine."""
        local = is_loopback(urlsplit(self.url).hostname or "")
        return urllib.request.build_opener(_NoRedirect(), *([urllib.request.ProxyHandler({})] if local else []))

    def _read(self, response: Any, ends: float) -> bytes | None:
        """Return the body, a little more than the limit where it is larger, None where the time is over."""
        data = bytearray()
        while len(data) <= MAX_ANSWER_BYTES and (piece := response.read1(PIECE_BYTES)):
            data += piece
            if self.clock() > ends:
                return None
        return bytes(data)


def http_target(url: str, headers: Sequence[str] = (), *, insecure: bool = False) -> HttpTarget:
    """Return the target at a URL; `headers` are NAME=VARIABLE of the environment, so that no secret is typed.

    Raises:
        BadInput: it is no URL, would send cases in the clear, or a variable is not set.

    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise BadInput(f"--target {url!r} is not a URL") from None
    if not parts.hostname:
        raise BadInput(f"--target {url!r} is not a URL; write one such as http://127.0.0.1:8000/answer")
    if parts.username or parts.password:
        raise BadInput("--target must hold no user and no password: they would show in reports. Use --header")
    if parts.scheme == "http" and not insecure and not is_loopback(parts.hostname):
        raise BadInput(
            f"--target {url}: http would send cases in the clear; use https, "
            "or --insecure-target where the network is trusted"
        )
    return HttpTarget(url, dict(_header(h) for h in headers))


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _header(text: str) -> tuple[str, str]:
    name, equals, variable = text.partition("=")
    if not equals or not name or not variable or not name.replace("-", "").isalnum() or not name.isascii():
        raise BadInput(f"--header {text!r}: write NAME=VARIABLE, the variable of the environment that holds the value")
    value = os.environ.get(variable)
    if value is None:
        raise BadInput(f"--header {name}: the variable {variable!r} is not set")
    if not value.isprintable():
        raise BadInput(f"--header {name}: the value in {variable!r} holds characters that no header may")
    return name, value


def _refused(error: urllib.error.HTTPError) -> Answer:
    if error.code in REDIRECT:
        where = one_line(error.headers.get("Location") or "elsewhere", 200)
        return RunError(ErrorKind.TARGET, f"it redirects to {where}; redirects are refused, name that URL instead")
    try:
        body = error.read(SHOWN_BYTES).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        body = ""
    said = RunError(
        ErrorKind.RATE_LIMIT if error.code == http.HTTPStatus.TOO_MANY_REQUESTS else ErrorKind.TARGET,
        one_line(f"HTTP {error.code}: {body or error.reason}", 300),
    )
    return Busy(said, _seconds(error.headers.get("Retry-After"))) if error.code in AWAY else said


def _seconds(text: str | None) -> float | None:
    """Return a Retry-After in seconds; a date is left to our own waits."""
    return float(text) if text and text.strip().isdecimal() else None
