-- What a model said last of traces, where it saw something. Flags come after their traces; clocks may differ by an hour.
SELECT
    trace_id AS trace,
    argMax(category, at) AS said_category,
    argMax(confidence, at) AS said_confidence,
    argMax(reason, at) AS said_reason
FROM tenant_flags(tenant = {tenant:String})
WHERE category != 'unreadable'
    AND at >= toDateTime(greatest({first_s:UInt32}, 3600) - 3600, 'UTC')
GROUP BY trace_id
HAVING said_category != 'none'
ORDER BY trace
