"""The one place that talks HTTP: a request's body in, what came back out.

The openai SDK sends it, over one pool of connections for all threads; its own retries are off (ours know the budget
and the rate limit) and it parses nothing (a server may answer with anything). Redirects are not followed: they would
take content and key to where nobody has allowed it. To loopback nothing goes through a proxy.
"""

from __future__ import annotations

import importlib.util
import threading
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from evalgate.errors import BadInput
from evalgate.files import strict_json
from evalgate.model.chat import ModelErrorKind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from openai import APIResponse, OpenAI

    from evalgate.model.settings import ModelSettings

MAX_ANSWER_BYTES = 8 << 20
"""Far above the longest answer of any model."""
NO_KEY = "none"
"""Servers on one's own machine ask for no key, and the SDK insists on one."""
NOT_CONNECTED = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout"})
MISSING_EXTRA = "models need the openai package: pip install 'otel-evalgate[judge]'"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What the endpoint answered, whatever the status."""

    status: int
    headers: Mapping[str, str]
    """Names in small letters."""
    body: bytes
    latency_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nothing that one could read came back."""

    kind: ModelErrorKind
    message: str
    was_sent: bool = True
    """Whether the endpoint may have received the request."""


class Transport(Protocol):
    """Sends one request of chat completions, or of embeddings. Never raises for a request. Safe from many threads."""

    def __call__(self, body: Mapping[str, Any], timeout_s: float) -> HttpAnswer | NoAnswer:
        """Send it once."""


def require_extra() -> None:
    """Say so at once where the SDK is not installed.

    Raises:
        BadInput: naming the extra.

    """
    if not all(map(_is_installed, ("openai", "genai_prices"))):
        raise BadInput(MISSING_EXTRA)


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:  # somebody has put None in its place
        return False


class SdkTransport:
    """The openai SDK; it is imported with the first request that is really sent (half a second)."""

    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings
        self._client: OpenAI | None = None
        self._lock = threading.Lock()

    def __call__(self, body: Mapping[str, Any], timeout_s: float) -> HttpAnswer | NoAnswer:
        """Send it once."""
        client = self._open()
        import openai  # noqa: PLC0415 - see the class

        began = time.monotonic()
        ends = began + timeout_s
        try:
            with self._send(client, body, timeout_s) as response:
                data = bytearray()
                for piece in response.iter_bytes():
                    data += piece
                    if len(data) > MAX_ANSWER_BYTES:
                        return NoAnswer(
                            ModelErrorKind.MALFORMED, f"the answer is larger than {MAX_ANSWER_BYTES >> 20} MiB"
                        )
                    if time.monotonic() > ends:
                        return NoAnswer(ModelErrorKind.TIMEOUT, f"no whole answer within {timeout_s:g} s")
                latency_ms = round((time.monotonic() - began) * 1000, 1)
                return HttpAnswer(response.status_code, _lower(response.headers), bytes(data), latency_ms)
        except openai.APITimeoutError as e:
            return NoAnswer(
                ModelErrorKind.TIMEOUT, f"no answer within {timeout_s:.3g} s", was_sent=not _before_sending(e)
            )
        except openai.APIConnectionError as e:
            return NoAnswer(ModelErrorKind.CONNECTION, _cause(e), was_sent=not _before_sending(e))
        except openai.APIStatusError as e:
            return HttpAnswer(e.status_code, _lower(e.response.headers), e.response.content[:MAX_ANSWER_BYTES])
        except Exception as e:  # noqa: BLE001 - the HTTP library's own, while the answer is read; it becomes a value
            slow = "timeout" in type(e).__name__.lower()
            return NoAnswer(ModelErrorKind.TIMEOUT if slow else ModelErrorKind.CONNECTION, _cause(e))

    def _send(
        self, client: OpenAI, body: Mapping[str, Any], timeout_s: float
    ) -> AbstractContextManager[APIResponse[Any]]:
        return client.chat.completions.with_streaming_response.create(**body, timeout=timeout_s)

    def list_models(self, timeout_s: float = 10.0) -> tuple[str, ...]:
        """Return the names of the models that the endpoint says it has, sorted; none where it does not say."""
        client = self._open()
        try:
            raw = client.models.with_raw_response.list(timeout=timeout_s)
            value = strict_json(raw.content.decode("utf-8"))
            return tuple(sorted({str(m["id"]) for m in value["data"]}))
        except Exception:  # noqa: BLE001 - a hint for people; the call that matters tells what is wrong
            return ()

    def _open(self) -> OpenAI:
        with self._lock:
            if self._client is None:
                require_extra()
                import openai  # noqa: PLC0415 - see the class

                settings = self._settings
                is_plain = settings.is_loopback and settings.base_url.startswith("http:")
                pool = openai.DefaultHttpxClient(
                    follow_redirects=False,
                    trust_env=not settings.is_loopback,
                    verify=not is_plain,  # without TLS no certificates are read, which takes 0.1 s
                )
                weakref.finalize(self, pool.close)  # whoever lets go of the last model closes its connections
                self._client = openai.OpenAI(
                    api_key=settings.key.reveal() if settings.key else NO_KEY,
                    base_url=settings.base_url,
                    max_retries=0,
                    http_client=pool,
                )
            return self._client


class SdkEmbeddings(SdkTransport):
    """The same for requests of embeddings."""

    def _send(
        self, client: OpenAI, body: Mapping[str, Any], timeout_s: float
    ) -> AbstractContextManager[APIResponse[Any]]:
        return client.embeddings.with_streaming_response.create(**body, timeout=timeout_s)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _before_sending(error: BaseException) -> bool:
    """Return whether no connection was made, by the name of the HTTP library's error."""
    return type(error.__cause__).__name__ in NOT_CONNECTED


def _cause(error: BaseException) -> str:
    cause = error.__cause__ or error
    hint = ". Does a server run there? See --judge-url" if _before_sending(error) else ""
    return f"{type(cause).__name__}: {cause}{hint}"
