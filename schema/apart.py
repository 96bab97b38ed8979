"""Keep tenants apart inside a batch.

A batch holds requests of many tenants, and ids are input: a tenant that sends the trace id, span id or response id of
another must not be joined to it, or its rows would take the other's content. So what rows are joined by is first made
different for different tenants. With one tenant, nearly always, nothing is done.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


def tenant_numbers(tenants: Sequence[str]) -> NDArray[np.int64] | None:
    """Return a number for the tenant of each record, None where all are of one."""
    if not tenants or tenants.count(tenants[0]) == len(tenants):
        return None
    number = {tenant: i for i, tenant in enumerate(dict.fromkeys(tenants))}
    return np.fromiter(map(number.__getitem__, tenants), np.int64, len(tenants))


def ids_apart(
    ids: NDArray[np.uint8],
    origin: NDArray[np.integer[Any]],
    tenants: Sequence[str],
    *,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> NDArray[np.uint8]:
    """Return ids of shape (n, 16) that are the same where the id and the tenant of the record are the same.

    Those of a tenant are mixed with 16 random bytes that nobody can know, so no choice of ids brings two together. Ids
    that are compared with one another must be mixed in one call.
    """
    numbers = tenant_numbers(tenants)
    if numbers is None:
        return ids
    salts = np.frombuffer(random_bytes(16 * (int(numbers.max()) + 1)), np.uint8).reshape(-1, 16)
    mixed: NDArray[np.uint8] = np.bitwise_xor(ids, salts[numbers[origin]])
    return mixed


def numbers_apart(
    number: NDArray[np.int64], origin: NDArray[np.integer[Any]], tenants: Sequence[str]
) -> NDArray[np.int64]:
    """Return numbers that are the same where the number and the tenant are; -1, which is nothing, stays.

    They are below the count of rows, or of the numbers given.
    """
    numbers = tenant_numbers(tenants)
    if numbers is None:
        return number
    both = np.where(number < 0, -1, number * (int(numbers.max()) + 1) + numbers[origin])
    known = both >= 0
    if known.any():
        both[known] = np.unique(both[known], return_inverse=True)[1]
    return both
