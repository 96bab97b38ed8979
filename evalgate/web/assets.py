"""Files that pages load: read once at the start, named with their hash, so that a browser keeps them for good."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml",
        ".txt": "text/plain; charset=utf-8",
    }
)
FOR_GOOD: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    content: bytes
    kind: str
    version: str
    """Of the content: the beginning of its hash."""


class Assets:
    """All files of the folder `static`; nothing else can be asked for."""

    def __init__(self, package: str = "evalgate.web") -> None:
        self._held: dict[str, Asset] = {}
        for file in files(package).joinpath("static").iterdir():
            kind = KINDS.get(file.name[file.name.rfind(".") :])
            if kind is not None:
                content = file.read_bytes()
                self._held[file.name] = Asset(content, kind, hashlib.sha256(content).hexdigest()[:12])

    def address(self, name: str) -> str:
        """Return where a page finds a file. Raises KeyError where there is none: a template is wrong."""
        return f"/static/{name}?v={self._held[name].version}"

    def answer(self, request: Request) -> Response:
        """Answer a request for one file."""
        asset = self._held.get(request.path_params["name"])
        if asset is None:
            return Response("there is no such file\n", 404, media_type="text/plain")
        tag = f'"{asset.version}"'
        headers = {
            "etag": tag,
            "cache-control": FOR_GOOD if request.query_params.get("v") == asset.version else "no-cache",
        }
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(asset.content, headers=headers, media_type=asset.kind)
