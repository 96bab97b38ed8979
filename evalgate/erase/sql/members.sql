-- What the ledger has as stored of rows that are about to go, by minute of receipt.
SELECT
    tenant,
    toStartOfMinute(toDateTime(received_at, 'UTC')) AS minute,
    scope_name = '${feedback_scope}' AS is_feedback,
    count() AS n
FROM ${table}
WHERE ${condition}
GROUP BY tenant, minute, is_feedback
