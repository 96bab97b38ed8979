"""The seal on what a cache keeps: answers count only where this machine, or who has its key, has written them.

A cache is a folder of the project. Without a seal, whoever may send a change may send answers with it: a verdict for
every case, which a gate would then believe. The key is that of `EVALGATE_CACHE_KEY`, for runners that hand a cache on;
else one of this user on this machine, made with the first answer that is kept.

    $XDG_STATE_HOME/otel-evalgate/cache.key     64 hex digits, mode 0600; by default in ~/.local/state
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from schema.hashing import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

VARIABLE = "EVALGATE_CACHE_KEY"
FILE = Path("otel-evalgate/cache.key")
KEY_CHARS = 64


class Seal:
    """Signs answers, and knows its own signature."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, name: str, answer: Mapping[str, Any]) -> str:
        """Return the signature of an answer under its name: it cannot be moved to another."""
        return hmac.new(self._key, name.encode() + b"\n" + canonical_json(answer), hashlib.sha256).hexdigest()

    def is_of(self, signature: Any, name: str, answer: Mapping[str, Any]) -> bool:
        """Return whether the signature is ours."""
        return isinstance(signature, str) and hmac.compare_digest(
            signature.encode("utf-8", "replace"), self.sign(name, answer).encode()
        )


def seal_of_this_machine(environ: Mapping[str, str] = os.environ) -> Seal:
    """Return the seal of the environment, else of this user. Where no key can be kept, it is one of this process."""
    if said := environ.get(VARIABLE):
        return Seal(hashlib.sha256(said.encode("utf-8", "surrogateescape")).digest())
    try:
        state = environ.get("XDG_STATE_HOME", "")
        folder = Path(state) if os.path.isabs(state) else Path.home() / ".local/state"  # noqa: PTH117 - of a text that may be empty
        return Seal(_kept(folder / FILE).encode("ascii"))
    except (OSError, RuntimeError, ValueError):  # no home, a disk that refuses, a file that is no key
        return Seal(secrets.token_bytes(32))


def _kept(file: Path) -> str:
    """Return the key of a file, which is made where there is none; of several makers one wins.

    Raises:
        OSError, ValueError: it can neither be read nor made.

    """
    try:
        return _read(file)
    except FileNotFoundError:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    handle = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as opened:
            opened.write(secrets.token_hex(KEY_CHARS // 2))
        with contextlib.suppress(FileExistsError):  # another maker was first
            os.link(own, file)  # whole, or not at all
    finally:
        own.unlink(missing_ok=True)
    return _read(file)


def _read(file: Path) -> str:
    text = file.read_text(encoding="ascii")
    if len(text) != KEY_CHARS:
        raise ValueError(f"{file} is no key")
    return text
