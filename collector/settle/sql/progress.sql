-- Up to when everything is settled, and the time, both by the clock of the database.
SELECT
    toUnixTimestamp64Nano(now64(9, 'UTC')) AS now_unix_ns,
    ifNull((SELECT max(toUnixTimestamp64Milli(until)) FROM settlement_progress WHERE name = 'settle'), 0) AS done_ms
