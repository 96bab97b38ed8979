"""What the collector counts in memory for the ledger, and the way of that into the database.

    receivers ─count─▶ Books ─every second─▶ outbox (files beside the journal) ─every two─▶ exporters' table `ledger`

What a batch stores or sets aside is booked with the batch; this is for the rest: refusals, re-deliveries, and what was
taken out of quarantine.
"""

from collector.ledger.books import Books
from collector.ledger.outbox import FOLDER, Outbox

__all__ = ["FOLDER", "Books", "Outbox"]
