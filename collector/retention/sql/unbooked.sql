-- What the ledger does not have as expired yet of what decided runs counted of a day.
SELECT tenant, minute, signal, sum(n) AS missing
FROM
(
    SELECT tenant, minute, toString(signal) AS signal, toInt64(count) AS n
    FROM retention_counts
    WHERE day = {day:Date} AND run IN (SELECT run FROM retention_log WHERE kind = 'decided')
    UNION ALL
    SELECT tenant, minute, toString(signal) AS signal, -count AS n
    FROM ledger
    WHERE toDate(minute) = {day:Date} AND state = 'expired'
)
GROUP BY tenant, minute, signal
HAVING missing != 0
ORDER BY tenant, minute, signal
