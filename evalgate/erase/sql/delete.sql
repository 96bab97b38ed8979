-- Returns when the rows are in no part that is read any more, on every replica.
ALTER TABLE ${table} DELETE WHERE ${condition} SETTINGS mutations_sync = 2
