-- Traces of the last day in which no span fails, by tenant and stratum, how many of them the baseline has, and since
-- when any came. A trace belongs to its stratum of the highest rate, as it does where it is sampled.
SELECT
    tenant,
    stratum,
    count() AS traces,
    countIf(sampled) AS sampled_traces,
    toUnixTimestamp64Nano(min(first)) AS first_unix_ns
FROM
(
    SELECT
        tenant,
        argMax(s_stratum, {rates:Array(Float64)}[s_stratum + 1]) AS stratum,
        max(ifNull(s_baseline, false)) AS sampled,
        max(ifNull(s_failing, false)) AS fails,
        min(s_received_at) AS first
    FROM
    (
        SELECT
            tenant,
            trace_id,
            received_at AS s_received_at,
            failing AS s_failing,
            baseline AS s_baseline,
            toUInt16(0 /* stratum */) AS s_stratum
        FROM spans
        WHERE received_at >= fromUnixTimestamp64Nano({since_unix_ns:Int64}, 'UTC')
    )
    GROUP BY tenant, trace_id
)
WHERE NOT fails
GROUP BY tenant, stratum
SETTINGS max_execution_time = 300
