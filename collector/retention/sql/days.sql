-- The days of receipt before which something may go, and when rows last came into each.
SELECT day, max(touched) AS touched_at
FROM
(
    SELECT toDate(received_hour) AS day, max(touched_at) AS touched FROM trace_parts GROUP BY day
    UNION ALL
    SELECT DISTINCT toDate(received_at) AS day, toDateTime64(0, 3, 'UTC') FROM events
    UNION ALL
    SELECT DISTINCT toDate(received_at) AS day, toDateTime64(0, 3, 'UTC') FROM feedback
)
WHERE day <= {until:Date}
GROUP BY day
ORDER BY day
