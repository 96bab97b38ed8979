-- Seconds to the first chunk of an answer, the longest of each trace. Nothing but these attributes is read of the maps.
SELECT
    lower(hex(trace_id)) AS trace,
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
    AND received_at >= toDateTime({first_s:UInt32}, 'UTC')
    AND received_at < toDateTime({last_s:UInt32}, 'UTC')
GROUP BY trace_id
HAVING first_chunk_s > 0
ORDER BY trace
