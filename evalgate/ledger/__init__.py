"""The ledger on a terminal: what became of everything that was received, and whether that is what senders sent."""
