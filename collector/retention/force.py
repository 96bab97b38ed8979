"""Which settings are in force: those of the log. A file proposes others, taken unless they remove something at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.retention import log
from collector.retention.settings import Settings
from collector.retention.survey import newly_due, refusal, shortened, survey
from schema.errors import Retryable

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from exporters.clickhouse.connect import Database

TRIES = 10


def propose(
    db: Database,
    settings: Settings,
    actor: str,
    today: Callable[[], date],
    where: Callable[..., str],
    *,
    counting: Callable[[], None] = lambda: None,
) -> None:
    """Put settings in force that remove nothing which those in force keep; return at once where they are.

    `where` says where a key of the configuration stands. `counting` is called before what may take long.

    Raises:
        ConfigError: they would remove something at once; nothing was changed.
        Retryable, Permanent: as the database does.

    """
    for _ in range(TRIES):
        entries = log.read(db)
        old = log.in_force(entries)
        if old == settings or (old is None and settings == Settings()):
            return
        before = old or Settings()
        if settings.is_shorter_than(before):
            counting()
            if due := newly_due(survey(db, day := today()), day, before, settings):
                raise refusal(where, shortened(before, settings), due)
        after, body = log.last_number(entries), settings.document()
        if log.append(db, "settings", after=after, actor=actor, reason="as configured", body=body):
            return
    raise Retryable("others write to the log of retention all the time; try again")
