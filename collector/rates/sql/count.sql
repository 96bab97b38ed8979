-- Traces of the last day in which no span fails, by tenant and stratum, and how many of them the baseline has. A trace
-- belongs to its stratum of the highest rate, as it does where it is sampled.
SELECT
    tenant,
    stratum,
    count() AS traces,
    countIf(sampled) AS sampled_traces
FROM
(
    SELECT
        tenant,
        argMax(s_stratum, {rates:Array(Float64)}[s_stratum + 1]) AS stratum,
        max(ifNull(s_baseline, false)) AS sampled,
        max(ifNull(s_failing, false)) AS fails
    FROM
    (
        SELECT
            tenant,
            trace_id,
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
SETTINGS max_execution_time = 300, max_bytes_before_external_group_by = 1073741824
