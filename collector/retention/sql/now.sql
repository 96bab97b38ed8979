-- The time, by the clock of the database.
SELECT now64(3, 'UTC') AS now
