-- Traces that are quiet and hold more than what was last settled of them: the longest waiting first. What was touched
-- in the future was touched before the clock was set back.
SELECT
    tenant,
    lower(hex(id)) AS trace,
    t_rows AS rows,
    t_bytes AS bytes,
    t_loose_logs AS logs,
    toUnixTimestamp64Milli(t_touched) AS touched_ms,
    toUnixTimestamp(t_received_hour) AS received_hour_s,
    t_error_count AS error_count,
    t_llm_calls AS llm_calls,
    t_input_tokens AS input_tokens,
    t_output_tokens AS output_tokens,
    t_cost_usd AS cost_usd,
    t_defects AS defects
FROM
(
    SELECT
        tenant,
        trace_id AS id,
        sum(span_count) AS t_rows,
        sum(content_bytes) AS t_bytes,
        sum(inserts) AS t_inserts,
        sum(loose_ends) AS t_loose_ends,
        sum(loose_logs) AS t_loose_logs,
        sum(error_count) AS t_error_count,
        sum(llm_calls) AS t_llm_calls,
        sum(input_tokens) AS t_input_tokens,
        sum(output_tokens) AS t_output_tokens,
        sum(cost_usd) AS t_cost_usd,
        groupUniqArrayArray(defects) AS t_defects,
        max(touched_at) AS t_touched,
        min(received_hour) AS t_received_hour,
        argMaxMerge(settled) AS s
    FROM trace_parts
    WHERE (tenant, trace_id) IN (
        SELECT tenant, trace_id
        FROM trace_parts
        WHERE touched_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
    )
    GROUP BY tenant, id
)
WHERE t_rows > 0
    AND (toUnixTimestamp64Milli(t_touched) <= {until_ms:Int64} OR toUnixTimestamp64Milli(t_touched) > {ahead_ms:Int64})
    AND (t_inserts > 1 OR t_loose_ends > 0 OR concat(tenant, '/', lower(hex(id))) IN {twins:Array(String)})
    AND (s.rows != t_rows OR s.logs != t_loose_logs)
ORDER BY t_touched, tenant, id
LIMIT {limit:UInt32}
