"""The ASGI application: a request in, the engine's bytes out."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import uuid
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from collector.auth.routes import Route
from collector.extensions.clickhouse_http.admission import AUTHORISE, Caller, identify
from collector.extensions.clickhouse_http.form import form_fields, is_form
from collector.extensions.clickhouse_http.request import (
    NATIVE,
    Statement,
    content_type,
    decode_body,
    empty_native_block,
    encode_answer,
    read_statement,
)
from collector.web.sites import foreign
from exporters.clickhouse.engine import Answer, EngineError
from exporters.clickhouse.fence import MAX_STATEMENT_CHARS, Fence, check_settings
from exporters.clickhouse.tenant_filter import TenantFilter, tenant_filter
from schema.errors import Reason, Refused
from schema.identity import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor

    from starlette.types import Receive, Send
    from starlette.types import Scope as AsgiScope

    from exporters.clickhouse.engine import Engine
    from schema.serving import Gate

logger = logging.getLogger(__name__)

T = TypeVar("T")

READ_ONLY_METHODS = frozenset({"GET", "HEAD"})
METHODS = ("GET", "HEAD", "POST")
PING = "whether it answers is no secret"
ROUTES: Mapping[str, Route] = MappingProxyType(
    {
        "/": Route("/", METHODS, (Scope.READ, Scope.REVIEW, Scope.ADMIN)),
        "/ping": Route("/ping", METHODS, (), public=PING),
        "/replicas_status": Route("/replicas_status", METHODS, (), public=PING),
    }
)
REFUSALS: Mapping[Reason, tuple[int, int, str]] = MappingProxyType(
    {
        # ClickHouse's own error for each, src/Common/ErrorCodes.cpp
        Reason.BAD_DATA: (400, 62, "SYNTAX_ERROR"),
        Reason.TOO_LARGE: (413, 307, "TOO_MANY_BYTES"),
        Reason.UNSUPPORTED_MEDIA_TYPE: (415, 48, "NOT_IMPLEMENTED"),
        Reason.FORBIDDEN: (403, 497, "ACCESS_DENIED"),
        Reason.UNAUTHENTICATED: (403, 516, "AUTHENTICATION_FAILED"),
        Reason.UNAVAILABLE: (503, 202, "TOO_MANY_SIMULTANEOUS_QUERIES"),
    }
)
STATUS_OF_CODE: Mapping[int, int] = MappingProxyType(
    {60: 404, 81: 404, 46: 404, 47: 404, 62: 400, 115: 400, 53: 400, 27: 400, 6: 400, 36: 400, 42: 400, 43: 400}
    | {158: 413, 396: 413, 307: 413, 159: 408, 241: 500, 497: 403, 516: 403, 164: 403, 456: 400, 457: 400}
)
"""HTTP status of ClickHouse errors, as src/Server/HTTP/exceptionCodeToHTTPStatus.cpp has them; all others 500."""

TENANTS = "SELECT DISTINCT tenant FROM trace_parts UNION DISTINCT SELECT DISTINCT tenant FROM ledger"
EXECUTION_TIME = "max_execution_time"
MAX_STATEMENT_BYTES = MAX_STATEMENT_CHARS
"""What is read of the body of a reader, and what it may inflate to."""
MAX_LENGTH_DIGITS = 18
MEMORY = "max_memory_usage"
DECIMAL = re.compile(r"\d+(\.\d+)?")


class Application:
    """ClickHouse's HTTP interface over one engine."""

    def __init__(
        self,
        engine: Engine,
        threads: Executor,
        *,
        gate: Gate,
        hosts: frozenset[str],
        max_body_bytes: int,
        max_execution_time_s: float,
        max_memory_bytes: int,
        name: str,
    ) -> None:
        self._engine = engine
        self._threads = threads
        self._gate = gate
        self._hosts = hosts
        self._max_body_bytes = max_body_bytes
        self._max_execution_time_s = max_execution_time_s
        self._max_memory_bytes = max_memory_bytes
        self._name = name

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        query_id = str(uuid.uuid4())
        try:
            response = await self._answer(request)
        except Refused as e:
            status, code, word = REFUSALS.get(e.reason, (500, 1002, "UNKNOWN_EXCEPTION"))
            response = _problem(status, code, f"Code: {code}. DB::Exception: {e}. ({word})")
        except EngineError as e:
            response = _problem(STATUS_OF_CODE.get(e.code, 500), e.code, str(e))
        except ClientDisconnect:
            return
        except Exception:  # a client must get an answer, whatever our bug is
            # The texts of statements may hold content of spans: the log has the place only.
            logger.exception("a bug: request %s got no answer", query_id)
            response = _problem(500, 1002, "Code: 1002. DB::Exception: internal error. (UNKNOWN_EXCEPTION)")
        response.headers["x-clickhouse-query-id"] = query_id
        response.headers["x-clickhouse-server-display-name"] = self._name
        response.headers["x-content-type-options"] = "nosniff"
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if reason := foreign(request.headers, self._hosts):
            raise Refused(Reason.FORBIDDEN, reason)
        # As it was written: starlette decodes, and an encoded slash is no slash.
        route = ROUTES.get(request.scope["raw_path"].decode("latin-1"))
        if route is None:
            return _problem(404, 60, "There is no such path here; this is ClickHouse's HTTP interface: GET or POST /")
        if request.method not in route.methods:
            return _problem(405, 48, "use GET or POST", {"allow": "GET, HEAD, POST"})
        if not route.scopes:
            return Response("Ok.\n", media_type="text/plain")
        url = dict(parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True))
        caller = identify(request.headers, url, self._engine.lock.owner.token, self._gate, route)
        statement = await self._statement(request, url, caller)
        if not statement.text.strip():
            return Response("Ok.\n", media_type="text/plain")
        accepted = request.headers.get("accept-encoding", "") if url.get("enable_http_compression") == "1" else ""
        return await self._in_thread(lambda: self._run(statement, caller, request.method, accepted))

    async def _statement(self, request: Request, url: Mapping[str, str], caller: Caller) -> Statement:
        # Who owns nothing here sends a statement; data, which may be large, come from the owner.
        limit_bytes = self._max_body_bytes if caller.is_owner else min(self._max_body_bytes, MAX_STATEMENT_BYTES)
        if any(url.get(name) == "1" for name in ("compress", "decompress")):
            raise Refused(
                Reason.UNSUPPORTED_MEDIA_TYPE,
                "the native compression (compress=1) is not spoken here: use HTTP compression, or none",
            )
        body = b"" if request.method in READ_ONLY_METHODS else await self._body(request, limit_bytes)
        coding = request.headers.get("content-encoding", "")
        if body and coding:
            body = await self._in_thread(lambda: decode_body(body, coding, limit_bytes))
        if body and is_form(kind := request.headers.get("content-type", "")):
            url, body = {**form_fields(body, kind), **url}, b""
        statement = read_statement(url, request.headers, body)
        if not caller.is_owner and len(statement.text) > MAX_STATEMENT_CHARS:
            raise Refused(Reason.TOO_LARGE, f"the statement is longer than {MAX_STATEMENT_CHARS} characters")
        return statement

    async def _body(self, request: Request, limit_bytes: int) -> bytes:
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and (len(announced) > MAX_LENGTH_DIGITS or int(announced) > limit_bytes):
            raise _too_large(limit_bytes)
        pieces: list[bytes] = []
        size = 0
        async for piece in request.stream():
            size += len(piece)
            if size > limit_bytes:
                raise _too_large(limit_bytes)
            pieces.append(piece)
        return b"".join(pieces)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run blocking work in threads of our own: those of the service sync its journal and must not wait for ours."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _run(self, statement: Statement, caller: Caller, method: str, accepted: str) -> Response:
        """Run in a thread: the fence, the statement, the answer."""
        form, text, settings = statement.answer_format, statement.text, dict(statement.settings)
        database = statement.database if statement.database not in (None, "default") else self._engine.database
        if method in READ_ONLY_METHODS and form is None:
            raise Refused(Reason.FORBIDDEN, "GET only reads; send statements that change something by POST")
        fence, confined = None, None
        if not caller.is_owner:
            if isinstance(text, bytes):
                raise Refused(Reason.FORBIDDEN, f"an INSERT needs credentials: {AUTHORISE}")
            if database not in (self._engine.database, "system", "information_schema"):
                raise Refused(Reason.FORBIDDEN, f"the only database here is {self._engine.database!r}")
            confined = self._confine(caller)
            settings = self._reader_settings(settings) | ({} if confined is None else dict(confined.settings))
            fence = self._fence(statement.parameters, confined)
            text = fence.check(text)
        run = partial(self._engine.execute, parameters=statement.parameters, settings=settings, database=database)
        answer = run(text, statement.format)
        if form == NATIVE and not answer.body and isinstance(text, str):
            bare = statement.without_format(text)
            if fence is not None:  # what is cut out may change what the rest says
                bare = fence.check(bare)
            meta = json.loads(run(bare, "JSONCompact").body)["meta"]
            answer = replace(answer, body=empty_native_block([(c["name"], c["type"]) for c in meta]))
        if confined is not None:  # how much was read would tell of rows that are not shown
            answer = replace(answer, rows_read=0, bytes_read=0)
        return _success(answer, form, accepted)

    def _confine(self, caller: Caller) -> TenantFilter | None:
        """Return what confines a caller to one tenant; None where it may read all there is.

        Who comes without a key reads everything of a database of one tenant: there is nobody to hide.
        """
        if caller.tenant is None or (not caller.is_named and len(self._rows(TENANTS)) <= 1):
            return None
        return tenant_filter(self._rows, caller.tenant)

    def _rows(self, sql: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._engine.execute(sql, "JSONEachRow").body.splitlines()]

    def _reader_settings(self, settings: dict[str, str]) -> dict[str, str]:
        """Keep what a reader may set, the time limit only shorter, and bound the memory."""
        limit = settings.pop(EXECUTION_TIME, "")
        check_settings(settings)
        if DECIMAL.fullmatch(limit) and 0 < float(limit) < self._max_execution_time_s:
            settings[EXECUTION_TIME] = limit
        return settings | {MEMORY: str(self._max_memory_bytes)}

    def _fence(self, parameters: Mapping[str, str], confined: TenantFilter | None) -> Fence:
        def explain(statement: str) -> str:
            limits = {MEMORY: str(self._max_memory_bytes)}
            answer = self._engine.execute(f"EXPLAIN AST {statement}", "TSVRaw", parameters=parameters, settings=limits)
            return answer.body.decode("utf-8", "replace")

        if confined is None:
            return Fence(self._engine.database, explain)
        return Fence(self._engine.database, explain, confined.tables, confined.hidden)


def _too_large(limit_bytes: int) -> Refused:
    what = "a statement has at most that" if limit_bytes == MAX_STATEMENT_BYTES else "max_body_bytes"
    return Refused(Reason.TOO_LARGE, f"the body is larger than {limit_bytes} bytes ({what})")


def _success(answer: Answer, form: str | None, accepted: str) -> Response:
    body, coding = encode_answer(answer.body, accepted)
    summary = {
        "read_rows": str(answer.rows_read),
        "read_bytes": str(answer.bytes_read),
        "written_rows": str(answer.rows_written),
        "written_bytes": str(answer.bytes_written),
        "result_bytes": str(len(answer.body)),
        "elapsed_ns": str(int(answer.elapsed_s * 1e9)),
    }
    headers = {"content-type": content_type(form), "x-clickhouse-summary": json.dumps(summary)}
    if form is not None:
        headers["x-clickhouse-format"] = form
    if coding is not None:
        headers["content-encoding"] = coding
    return Response(body, headers=headers)


def _problem(status: int, code: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        text + "\n",
        status,
        {
            "content-type": "text/plain; charset=UTF-8",
            "x-clickhouse-exception-code": str(code),
            **(headers or {}),
        },
    )
