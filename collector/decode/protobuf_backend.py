"""Which implementation of protobuf reads what strangers send."""

from __future__ import annotations

from google.protobuf.internal import api_implementation

from schema.errors import ConfigError


def refuse_slow_protobuf(backend: str | None = None) -> None:
    """Refuse the implementation in Python: it recurses with its input (CVE-2025-4565), and is fifty times slower.

    Raises:
        ConfigError: that is the one in use.

    """
    backend = api_implementation.Type() if backend is None else backend
    if backend == "python":
        raise ConfigError(
            "the protobuf package runs in pure Python, which hostile input can crash; unset "
            "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION, or install a protobuf wheel for this platform"
        )
