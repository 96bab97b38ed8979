"""Note what a policy version stands for: one row per version, whoever starts, however often."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from schema.errors import Permanent

if TYPE_CHECKING:
    from exporters.clickhouse.connect import Database
    from schema.policy import Policy

log = logging.getLogger(__name__)

KNOWN: Final = "SELECT count() AS n FROM sampling_policies WHERE version = {version:String}"


def note_policy(db: Database, policy: Policy) -> None:
    """Add the policy to `sampling_policies` unless it is there.

    Of several that do so at the same time one row stays: they have the same deduplication token. A database that takes
    no row of it is no reason not to start: spans say the version all the same.

    Raises:
        Retryable: the database cannot be reached now.

    """
    try:
        (known,) = db.rows(KNOWN, {"version": policy.version})
        if not known["n"]:
            row = pa.table({"version": [policy.version], "body": [policy.body]})
            db.insert_arrow("sampling_policies", row, f"policy/{policy.version}")
    except Permanent as e:
        log.warning("%s: what the policy version %s stands for is not noted: %s", db.url, policy.version, e)
