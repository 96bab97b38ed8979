-- What the spans of some traces say, as they are stored; a span that was stored twice comes twice.
SELECT
    lower(hex(trace_id)) AS trace_hex,
    lower(hex(span_id)) AS span_hex,
    toUnixTimestamp64Nano(start_time) AS start_unix_ns,
    duration_ns,
    name,
    input_messages,
    output_messages,
    input_text,
    output_text,
    tool_name,
    tool_arguments,
    tool_result
FROM tenant_settled_spans(tenant = {tenant:String})
WHERE lower(hex(trace_id)) IN {trace_ids:Array(String)}
ORDER BY trace_hex, start_time, span_id
