r"""Answers of models on disk, so that a run that is made again costs nothing and a resumed one pays once.

    .evalgate/cache/models/3f/3f9c…e1.json
    {"schema": "evalgate/model-cache/1", "seal": "<HMAC-SHA-256 of name and answer>", "answer": {…}}

The name of a file is the SHA-256 of the endpoint's URL and of the request's body as it was asked for; neither keys nor
headers are part of either. A file that is damaged, of another shape or sealed by somebody else (`seal`) is a miss.
Files appear whole (rename) and are not synced: after a power cut some may be damaged, which the seal tells. Content of
cases is in them, so they are for their owner alone. Over `max_bytes`, those that were written first go first.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalgate.files import strict_json
from evalgate.model.seal import Seal, seal_of_this_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CACHE = Path(".evalgate/cache/models")
SCHEMA = "evalgate/model-cache/1"
DEFAULT_MAX_BYTES = 256 << 20
"""Some 100 000 verdicts."""
KEPT_SHARE = 0.8
"""Of `max_bytes`, after old answers have gone."""


class ModelCache:
    """Answers by the hash of their request. Safe from many threads and processes; a disk that fails is a miss."""

    def __init__(
        self,
        folder: Path = CACHE,
        max_bytes: int = DEFAULT_MAX_BYTES,
        *,
        seal: Callable[[], Seal] = seal_of_this_machine,
    ) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._make_seal = seal
        self._made: Seal | None = None
        self._bytes: int | None = None
        self._lock = threading.Lock()

    def get(self, key: str) -> Mapping[str, Any] | None:
        """Return the answer to a request, None where there is none that can be trusted."""
        try:
            entry = strict_json(self._path(key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(entry, dict) or entry.get("schema") != SCHEMA or not isinstance(entry.get("answer"), dict):
            return None
        answer: dict[str, Any] = entry["answer"]
        return answer if self._seal().is_of(entry.get("seal"), key, answer) else None

    def put(self, key: str, answer: Mapping[str, Any]) -> None:
        """Keep an answer. What cannot be written is not kept."""
        entry = {"schema": SCHEMA, "seal": self._seal().sign(key, answer), "answer": answer}
        data = json.dumps(entry, ensure_ascii=True, allow_nan=False).encode("ascii")
        path = self._path(key)
        with contextlib.suppress(OSError):
            before = _size(path)
            _write(path, data)
            self._grown(len(data) - before)

    def _seal(self) -> Seal:
        with self._lock:
            if self._made is None:
                self._made = self._make_seal()
            return self._made

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"

    def _grown(self, by_bytes: int) -> None:
        with self._lock:
            if self._bytes is None:
                self._bytes = sum(f.stat().st_size for f in self._files())
            else:
                self._bytes += by_bytes
            if self._bytes > self.max_bytes:
                self._bytes = self._shrink()

    def _shrink(self) -> int:
        """Remove the oldest answers; return the bytes that are left."""
        found = sorted((s.st_mtime_ns, s.st_size, f) for f in self._files() for s in [f.stat()])
        left = sum(size for _, size, _ in found)
        for _, size, file in found:
            if left <= self.max_bytes * KEPT_SHARE:
                break
            file.unlink(missing_ok=True)
            left -= size
        return left

    def _files(self) -> Iterator[Path]:
        return self.folder.glob("??/*.json")


def _write(path: Path, data: bytes) -> None:
    if not path.parent.parent.is_dir():
        path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        (path.parent.parent / ".gitignore").write_text("*\n", encoding="ascii")  # nobody means to commit them
    path.parent.mkdir(mode=0o700, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".new")  # mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
