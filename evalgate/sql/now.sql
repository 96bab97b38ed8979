-- The clock that all who share the database share.
SELECT toUnixTimestamp64Micro(now64(6, 'UTC')) AS now_unix_us
