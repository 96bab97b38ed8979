"""Keys whose values are secrets whatever they look like: what an attribute is called tells.

Counts of tokens are no secrets, nor are times to a first token. Values of headers that a library copied into attributes
are, but for a few headers known to be harmless, and so is what LangSmith copies of the environment.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_KEY_CHARS: Final = 512
"""More of a key is not looked at: its end tells."""

SECRET: Final = re.compile(
    r"authori[sz]ation$|(?:^|[^a-z])auth(?:entication)?[_-]?(?:header|key)$"
    r"|api[_-]?keys?$"
    r"|password$|passwd$|passphrase$|(?:^|[^a-z])pwd$"
    r"|secrets?$"
    r"|(?:access|private|secret|encryption|signing|license)[_-]?key(?:[_-]?id)?$"
    r"|cookies?$"
    r"|(?:access|auth|refresh|session|bearer|security|csrf|xsrf|personal|api)[_-]?token$|(?:^|[^a-z])id[_-]?token$"
    r"|credentials?$|connection[_-]?string$"
    r"|(?:^|\.)token$"
    r"|^langsmith\.metadata\.(?:langsmith|langchain)_"
    r"|^(?:llm|http\.request|http\.response)\.headers$"
)
"""Of a key in lower case. Nothing in it repeats: it is tried at each character of a key that a sender made up."""
HEADER: Final = re.compile(r"^ai\.request\.headers\.(.+)$")
HARMLESS_HEADERS: Final = frozenset(
    {"user-agent", "accept", "accept-encoding", "accept-language", "content-type", "content-length", "content-encoding",
     "host", "connection", "traceparent", "x-request-id", "openai-organization", "openai-project", "anthropic-version"}
)  # fmt: skip
INNER: Final = frozenset({"tool.parameters", "llm.invocation_parameters", "gen_ai.tool.call.arguments"})
"""Attributes of JSON text in which names of secrets are looked for one by one."""
INNER_SECRET: Final = re.compile(
    rb"(?i:authorization|cookie|secret|passw(?:or)?d|pwd|passphrase|api[_-]?key|access[_-]?key|access[_-]?token"
    rb"|auth[_-]?token|refresh[_-]?token|session[_-]?token|client[_-]?secret|credentials?)"
    rb"(?:\\{0,7}[\"'])[ \t]{0,4}:[ \t]{0,4}(?:\\{0,7}[\"'])([^\"'\\]++)"
)
"""In JSON, in JSON within a string, and in what Python prints of a dict."""


class SecretNames:
    """Tells keys that name secrets; remembers what it said of the keys it has seen."""

    def __init__(self, more: Sequence[str] = ()) -> None:
        """`more` are keys, or their last parts, besides those known; case does not matter."""
        self._more = tuple(k.lower() for k in more)
        self._said: dict[str, bool] = {}
        self._is_on = True

    @classmethod
    def none(cls) -> SecretNames:
        """Return one that knows of no secret."""
        names = cls()
        names._is_on = False
        return names

    def __contains__(self, key: str) -> bool:
        said = self._said.get(key) if self._is_on else False
        if said is None:
            if len(self._said) >= MAX_REMEMBERED:
                self._said.clear()
            said = self._said[key] = self._is_secret(key[-MAX_KEY_CHARS:].lower())
        return said

    def _is_secret(self, key: str) -> bool:
        if any(key == k or key.endswith((f".{k}", f"_{k}", f"-{k}")) for k in self._more):
            return True
        if header := HEADER.match(key):
            return header[1] not in HARMLESS_HEADERS
        return SECRET.search(key) is not None


MAX_REMEMBERED: Final = 8192
"""Keys; a sender may make up any number."""
