-- Traces that name one response, one of them touched lately: they may record one call twice. What more traces name
-- than {most} is no id of a response, but a constant.
SELECT tenant, arraySort(groupUniqArray(lower(hex(trace_id)))) AS traces
FROM spans
WHERE received_at >= fromUnixTimestamp64Milli({received_since_ms:Int64}, 'UTC')
    AND (tenant, response_id) IN (
        SELECT tenant, response_id
        FROM spans
        WHERE received_at >= fromUnixTimestamp64Milli({received_since_ms:Int64}, 'UTC')
            AND isNotNull(response_id)
            AND (tenant, trace_id) IN (
                SELECT tenant, trace_id
                FROM trace_parts
                WHERE touched_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
            )
    )
GROUP BY tenant, response_id
HAVING length(traces) > 1 AND length(traces) <= {most:UInt32}
