-- How many rows of a run the ledger has as stored, by minute of receipt.
INSERT INTO retention_counts (run, day, tenant, minute, signal, count)
SELECT {run:String}, toDate(minute), tenant, minute, signal, count()
FROM
(
    SELECT tenant, toStartOfMinute(toDateTime(received_at, 'UTC')) AS minute, 'traces' AS signal
    FROM spans
    WHERE toDate(received_at) <= {until:Date} AND /* of_run */
    UNION ALL
    SELECT
        tenant,
        toStartOfMinute(toDateTime(received_at, 'UTC')) AS minute,
        if(scope_name = {feedback_scope:String}, 'feedback', 'logs') AS signal
    FROM events
    WHERE toDate(received_at) <= {until:Date} AND (/* of_run */ OR (trace_id = toFixedString('', 16) AND /* traceless */))
)
GROUP BY tenant, minute, signal
SETTINGS max_bytes_before_external_group_by = 134217728
