-- Traces that an evaluator judged as failing, where it is sent as feedback: once for each of these names.
SELECT
    f.name AS name,
    f.trace_id AS trace_id,
    t.start_unix_ns AS start_unix_ns,
    t.weight AS sample_weight
FROM
(
    SELECT DISTINCT name, trace_id
    FROM tenant_feedback(tenant = {tenant:String})
    WHERE polarity = 'negative'
        AND name IN {names:Array(String)}
        AND trace_id != ''
        AND received_at >= fromUnixTimestamp64Milli({since_unix_ms:Int64})
    LIMIT {limit:UInt32}
) AS f
INNER JOIN
(
    SELECT trace_id, toUnixTimestamp64Nano(start_time) AS start_unix_ns, sample_weight AS weight
    FROM tenant_traces(tenant = {tenant:String})
    WHERE trace_id IN (
        SELECT trace_id
        FROM tenant_feedback(tenant = {tenant:String})
        WHERE polarity = 'negative'
            AND name IN {names:Array(String)}
            AND received_at >= fromUnixTimestamp64Milli({since_unix_ms:Int64})
    )
) AS t ON f.trace_id = t.trace_id
ORDER BY name, trace_id
