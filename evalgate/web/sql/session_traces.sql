-- The traces with a span that was sent, or was understood, as one of a session.
SELECT lower(hex(trace_id)) AS trace_hex, min(start_unix_ns) AS began_unix_ns
FROM
(
    SELECT trace_id, toUnixTimestamp64Nano(start_time) AS start_unix_ns
    FROM tenant_spans(tenant = {tenant:String})
    WHERE session_id = {session:String}
    UNION ALL
    SELECT trace_id, toUnixTimestamp64Nano(received_at) AS start_unix_ns
    FROM tenant_span_revisions(tenant = {tenant:String})
    WHERE session_id = {session:String}
)
GROUP BY trace_id
ORDER BY began_unix_ns DESC, trace_id
LIMIT {limit:UInt32}
