"""Raw requests on disk, in order, from acknowledgement to delivery (docs/journal.md)."""

from collector.journal.batch import Batch, Position
from collector.journal.journal import Journal, JournalOptions
from collector.journal.reader import Reader, ReaderOptions
from collector.journal.record import Record

__all__ = ["Batch", "Journal", "JournalOptions", "Position", "Reader", "ReaderOptions", "Record"]
