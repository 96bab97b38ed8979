-- Log records and feedback that name no trace go like traces that nobody flagged, each by its own day.
INSERT INTO retention_decisions (run, fate, tenant, trace_id, last_day)
SELECT DISTINCT {run:String}, 'goes', tenant, toFixedString('', 16), last_day
FROM
(
    SELECT tenant, toDate(received_at) AS last_day FROM events WHERE trace_id = toFixedString('', 16)
    UNION ALL
    SELECT tenant, toDate(received_at) AS last_day FROM feedback WHERE NOT match(trace_id, '^[0-9a-f]{32}\\z')
)
WHERE last_day IN {days:Array(Date)} AND /* age */ > /* other_days */
