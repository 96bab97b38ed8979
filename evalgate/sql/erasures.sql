-- The last entry by which somebody began or ended to erase, 0 where nobody ever did.
SELECT max(number) AS entry
FROM retention_log
WHERE kind IN ('erase', 'erased')
