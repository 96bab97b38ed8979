"""Which reading validates: the kernel, and the protobuf library until it is compiled or where it cannot be."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from collector.decode.validate import DEFAULT_LIMITS, Limits, Validated, validate

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.decode.validate import Check, Encoding
    from schema.component import Signal

log = logging.getLogger(__name__)


def load_check() -> Check:
    """Return the check by a kernel, ready to run. Blocks while it is compiled.

    Raises:
        Exception: whatever keeps numba from working here.

    """
    from collector.decode.check import load_checker  # noqa: PLC0415 - numba takes 0.3 s to import, and may be missing

    return load_checker()


class Validator:
    """Validates from the first moment: by the protobuf library until the kernel is ready.

    `warm_up` makes it ready in a thread of its own. The process does not end before that thread does.
    """

    def __init__(self, load: Callable[[], Check] = load_check) -> None:
        self._load = load
        self._check: Check | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_fast(self) -> bool:
        """Whether the kernel is in use."""
        return self._check is not None

    def __call__(
        self,
        body: bytes | memoryview,
        signal: Signal,
        *,
        encoding: Encoding,
        gzip: bool,
        limits: Limits = DEFAULT_LIMITS,
        reserve: Callable[[int], None] | None = None,
    ) -> Validated:
        """Validate; see `validate`. Any thread may call."""
        return validate(body, signal, encoding=encoding, gzip=gzip, limits=limits, check=self._check, reserve=reserve)

    def warm_up(self) -> threading.Thread:
        """Begin to load the kernel; the thread ends when it is in use, or is known not to work here."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._warm_up, name="validation-kernel")
            self._thread.start()
        return self._thread

    def _warm_up(self) -> None:
        try:
            self._check = self._load()
        except Exception as e:  # noqa: BLE001 - numba and LLVM fail in many ways; the library always works
            log.warning(
                "no compiled kernel (%s: %s); the protobuf library validates, three times slower", type(e).__name__, e
            )
