"""Labels of the pages land in the golden dataset of the folder, as those of `evalgate label` do."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.background import BackgroundTask

from evalgate.dataset.golden import DEFAULT_NAME, golden_path, keep_golden
from evalgate.errors import BadInput

if TYPE_CHECKING:
    from starlette.requests import Request

    from evalgate.database import TenantDatabase
    from evalgate.web.site import Site


def keeping(site: Site, request: Request, trace_id: str) -> BackgroundTask | None:
    """Return what brings the file up to date once the reviewer has the next item; None where it is not ours to write.

    A service that asks for keys is no folder of one person: its labels are exported (`evalgate golden export`). A file
    that cannot be written stops nobody, and `evalgate golden show` tells.
    """
    if site.gate.asks_for_keys:
        return None

    def work(database: TenantDatabase) -> None:
        with suppress(BadInput):
            keep_golden(database, [(trace_id, "")], site.folder(request) / golden_path(DEFAULT_NAME))

    return BackgroundTask(site.write, request, work)
