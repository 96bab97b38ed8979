"""Raw requests on disk, in order, from acknowledgement to delivery (docs/journal.md)."""

from collector.journal.journal import Journal, JournalOptions
from collector.journal.reader import Batch
from collector.journal.record import Record

__all__ = ["Batch", "Journal", "JournalOptions", "Record"]
