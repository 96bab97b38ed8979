"""Who is logged in: random ids in a cookie, the keys they stand for in memory, bounded and expiring.

A login is no permission: the key behind it is shown to the gate again with every request, so a key that is revoked or
expires ends its logins as soon as the gate knows.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LOGINS: Final = 1000
"""Beyond it the oldest ends."""
ID_BYTES: Final = 32


class Logins:
    """The logins of one process; a restart ends all. Used on the event loop alone."""

    def __init__(
        self,
        *,
        lasts_s: float,
        monotonic_s: Callable[[], float] = time.monotonic,
        random_id: Callable[[int], str] = secrets.token_urlsafe,
    ) -> None:
        self._lasts_s = lasts_s
        self._monotonic_s = monotonic_s
        self._random_id = random_id
        self._held: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def add(self, key: str) -> str:
        """Return the id of a new login with this key, which the gate has admitted."""
        while len(self._held) >= MAX_LOGINS:
            self._held.popitem(last=False)
        login = self._random_id(ID_BYTES)
        self._held[login] = (self._monotonic_s() + self._lasts_s, key)
        return login

    def key(self, login: str) -> str | None:
        """Return the key of a login; None where there is none or it has expired."""
        until_s, key = self._held.get(login, (0.0, ""))
        if not key:
            return None
        if self._monotonic_s() >= until_s:
            self.end(login)
            return None
        return key

    def end(self, login: str) -> None:
        """Forget a login."""
        self._held.pop(login, None)
