"""Raw requests on disk, in order, from acknowledgement to delivery (docs/journal.md)."""

from collector.journal.batch import Batch, Position
from collector.journal.journal import Journal
from collector.journal.options import JournalOptions, ReaderOptions
from collector.journal.reader import Reader
from collector.journal.record import Record

__all__ = ["Batch", "Journal", "JournalOptions", "Position", "Reader", "ReaderOptions", "Record"]
