"""An API key as text, and what is kept of it.

    eg_<id>_<secret>     id      12 of a-z 0-9, names the key in lists and logs
                         secret  32 random bytes, base64url without padding: 43 characters

Kept is the id and the SHA-256 of the whole text. The secret has 256 random bits, so a slow hash would protect nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schema.identity import Identity, Scope

if TYPE_CHECKING:
    from collections.abc import Callable

ID_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
ID_CHARS: Final = 12
SECRET_BYTES: Final = 32
TOKEN: Final = re.compile(r"eg_([a-z0-9]{12})_([A-Za-z0-9_-]{43})", re.ASCII)
NO_KEY_SHA256: Final = "0" * 64
"""What the hash of an unknown key is compared with, so that it costs the same."""


@dataclass(frozen=True, slots=True)
class Key:
    """What is kept of a key."""

    key_id: str
    sha256: str
    """Of the whole key, hex."""
    tenant: str
    scopes: frozenset[Scope]
    name: str
    """What its owner calls it; never used to decide anything."""
    created_unix_s: int
    expires_unix_s: int | None = None
    revoked_unix_s: int | None = None

    @property
    def identity(self) -> Identity:
        """Who shows this key."""
        return Identity(self.tenant, self.scopes, self.key_id, self.name)

    def is_valid(self, now_unix_s: float) -> bool:
        """Tell whether it is neither revoked nor expired."""
        return self.revoked_unix_s is None and (self.expires_unix_s is None or now_unix_s < self.expires_unix_s)


def new_key(
    *,
    tenant: str,
    scopes: frozenset[Scope],
    name: str = "",
    now_unix_s: int,
    expires_unix_s: int | None = None,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> tuple[str, Key]:
    """Return a new key as text, which is shown once, and what is kept of it."""
    key_id = "".join(ID_ALPHABET[byte % len(ID_ALPHABET)] for byte in random_bytes(ID_CHARS))
    secret = base64.urlsafe_b64encode(random_bytes(SECRET_BYTES)).rstrip(b"=").decode("ascii")
    text = f"eg_{key_id}_{secret}"
    return text, Key(key_id, digest(text), tenant, scopes, name, now_unix_s, expires_unix_s)


def digest(text: str) -> str:
    """Return the SHA-256 of a key, hex."""
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def matches(text: str, known: Key | None) -> bool:
    """Tell whether a key as text is the known one; where there is none, the same work is done."""
    sha256 = NO_KEY_SHA256 if known is None else known.sha256
    return hmac.compare_digest(digest(text), sha256) and known is not None
