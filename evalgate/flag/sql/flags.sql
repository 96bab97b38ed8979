-- What was said last of some traces.
SELECT
    trace_id,
    l.1 AS version,
    l.2 AS category,
    l.3 AS confidence,
    l.4 AS reason,
    l.5 AS model,
    l.6 AS chosen,
    l.7 AS rate,
    l.8 AS cost_usd
FROM
(
    SELECT
        trace_id,
        argMax(tuple(version, category, confidence, reason, model, chosen, rate, cost_usd), (at, version)) AS l
    FROM tenant_flags(tenant = {tenant:String})
    WHERE trace_id IN {trace_ids:Array(String)}
    GROUP BY trace_id
)
ORDER BY trace_id
