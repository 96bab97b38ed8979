"""What to do where a backend is reached and takes nothing: said with the fault, as trying again alone mends nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

UNTRUSTED: Final = (
    "was reached, but its certificate is not trusted here; name the file of the authority that signed it in "
    "exporters.otlp.tls.ca_file"
)
HEADER: Final = "exporters.otlp.headers.authorization"
NO_KEY: Final = frozenset({"", "bearer", "unset"})
"""What a header ends with whose variable was forgotten; `unset` is the default in our configurations."""


def key_remedy(headers: Mapping[str, str]) -> str:
    """Return what to do about a backend that does not let us in. It quotes no header."""
    authorization = next((text for name, text in headers.items() if name.lower() == "authorization"), None)
    if authorization is None:
        return f"put a key for it into {HEADER}, if that is how it lets senders in"
    if authorization.strip().rpartition(" ")[2].lower() in NO_KEY:
        return f"{HEADER} holds no key: set the variable it is made of, such as EVALGATE_KEY"
    return f"the key in {HEADER} is not one that may send there, or no longer"
