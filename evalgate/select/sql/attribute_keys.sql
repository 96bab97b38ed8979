-- Which attribute keys each instrumentation sent, and on how many spans.
SELECT
    scope_name,
    scope_version,
    key,
    count() AS spans,
    lower(hex(any(trace_id))) AS example_trace,
    toUnixTimestamp64Nano(max(received_at)) AS last_seen_unix_ns
FROM tenant_spans(tenant = {tenant:String})
ARRAY JOIN mapKeys(span_attributes) AS key
WHERE received_at >= toDateTime({since_s:UInt32}, 'UTC')
GROUP BY scope_name, scope_version, key
ORDER BY spans DESC, key
LIMIT {limit:UInt32}
