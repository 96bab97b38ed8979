-- What each model call of a trace took: tokens of each kind and cost; and where a tool call belongs.
SELECT
    lower(hex(span_id)) AS span_hex,
    ifNull(counted, false) AS is_counted,
    input_tokens,
    output_tokens,
    cache_read_tokens,
    cache_write_tokens,
    reasoning_tokens,
    cost_usd,
    price_source
FROM tenant_settled_spans(tenant = {tenant:String})
WHERE lower(hex(trace_id)) = {trace_id:String} AND span_kind IN ('llm', 'embedding', 'rerank')
ORDER BY start_time, span_id
