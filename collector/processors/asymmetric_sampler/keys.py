"""64-bit keys of traces: what is remembered of millions of traces takes 8 bytes instead of 16 and a tenant.

Two traces have the same key by accident only: with 100 000 remembered, one of 2·10¹⁴ others is taken for one of them
(it would be kept, with the threshold of the other). Each tenant has salts of its own, made with the id of the journal,
so that nobody can choose ids that meet another's.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def trace_keys(
    trace_id: NDArray[np.uint8], origin: NDArray[np.int32], tenants: Sequence[str], salt: bytes
) -> NDArray[np.uint64]:
    """Return a key per row of `trace_id`, bytes [n, 16]; `origin` says the tenant of each by its record."""
    if not len(trace_id):
        return np.empty(0, np.uint64)
    number = {tenant: i for i, tenant in enumerate(dict.fromkeys(tenants))}
    salts = np.array([_salts(t, salt) for t in number], np.uint64)
    if len(number) == 1:
        high, low = salts[0]
    else:
        of_record = np.fromiter(map(number.__getitem__, tenants), np.int64, len(tenants))
        high, low = salts[of_record[origin]].T
    halves = np.ascontiguousarray(trace_id).view("<u8")
    with np.errstate(over="ignore"):
        return _mixed(_mixed(halves[:, 0] ^ high) + (halves[:, 1] ^ low))


def _salts(tenant: str, salt: bytes) -> tuple[int, int]:
    digest = hashlib.blake2b(tenant.encode(), key=salt[:64], digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the finalizer of SplitMix64, a bijection. Source: https://prng.di.unimi.it/splitmix64.c."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return mixed
