-- Seconds to the first chunk of an answer by day, the longest of each trace, out of some hours of receipt.
SELECT
    toUInt32(toUnixTimestamp(toDateTime(toDate(started), 'UTC'))) AS day_unix_s,
    count() AS traces,
    quantilesTDigest(0.5, 0.95)(first_chunk_s) AS first_chunks_s
FROM
(
    SELECT
        trace_id,
        min(start_time) AS started,
        max(coalesce(
            toFloat64OrNull(span_attributes['gen_ai.response.time_to_first_chunk']),
            toFloat64OrNull(span_attributes['gen_ai.server.time_to_first_token']),
            toFloat64OrNull(span_attributes['ai.response.msToFirstChunk']) / 1e3
        )) AS first_chunk_s
    FROM tenant_spans(tenant = {tenant:String})
    WHERE counted AND hasAny(
        mapKeys(span_attributes),
        ['gen_ai.response.time_to_first_chunk', 'gen_ai.server.time_to_first_token', 'ai.response.msToFirstChunk']
    )
        AND toStartOfHour(received_at) IN {hours:Array(DateTime('UTC'))}
    GROUP BY trace_id
)
WHERE first_chunk_s > 0
GROUP BY day_unix_s
ORDER BY day_unix_s
