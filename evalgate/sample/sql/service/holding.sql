-- The holding times in force: the latest settings in the log of retention.
SELECT body
FROM retention_log
WHERE kind = 'settings'
ORDER BY number DESC
LIMIT 1
