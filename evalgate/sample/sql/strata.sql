-- Traces by the rule that gives their rate, as a place in the order of rates: of a trace the highest of its spans'. Where retention took what nobody flagged, a trace counts as many as it stands for.
SELECT
    stratum,
    sum(weight) AS traces,
    sumIf(weight, is_failing) AS failing,
    countIf(is_baseline AND NOT is_failing) AS sampled,
    countIf(is_baseline OR is_failing) AS flagged
FROM
(
    SELECT trace_id, max(of_span) AS stratum
    FROM
    (
        SELECT trace_id, /* stratum */ 0 AS of_span
        FROM
        (
            SELECT
                *,
                if(
                    input_text_bytes = 0,
                    input_text_kept,
                    JSONExtractString(concat('"', substring(input_messages, input_text_at, input_text_bytes), '"'))
                ) AS input_text,
                if(
                    output_text_bytes = 0,
                    output_text_kept,
                    JSONExtractString(concat('"', substring(output_messages, output_text_at, output_text_bytes), '"'))
                ) AS output_text
            FROM tenant_spans(tenant = {tenant:String})
            WHERE received_at >= toDateTime({since_s:UInt32}, 'UTC')
        )
    )
    GROUP BY trace_id
) AS spans
INNER JOIN
(
    SELECT
        trace_id,
        max(failing) AS is_failing,
        max(baseline) AS is_baseline,
        greatest(ifNull(max(frozen_weight), 0.) * ifNull(max(arrival_rate), 1.), 1.) AS weight
    FROM tenant_trace_parts(tenant = {tenant:String})
    WHERE received_hour >= toDateTime({since_s:UInt32}, 'UTC')
    GROUP BY trace_id
) AS traces USING (trace_id)
GROUP BY stratum
ORDER BY stratum
