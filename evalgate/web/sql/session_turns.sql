-- What was said in some traces, as their root-most spans have it, and which tools ran.
SELECT
    lower(hex(trace_id)) AS trace_hex,
    argMinIf(
        substringUTF8(ifNull(input_text, ''), 1, {chars:UInt32}),
        (parent_span_id != toFixedString('', 8), start_time),
        span_kind IN ('agent', 'workflow', 'llm') AND input_text != ''
    ) AS asked,
    argMinIf(
        substringUTF8(ifNull(output_text, ''), 1, {chars:UInt32}),
        (parent_span_id != toFixedString('', 8), -toUnixTimestamp64Nano(start_time)),
        span_kind IN ('agent', 'workflow', 'llm') AND output_text != ''
    ) AS answered,
    groupArrayIf(20)(ifNull(tool_name, toString(name)), span_kind = 'tool') AS tools,
    countIf(span_kind = 'tool') AS tool_count
FROM tenant_settled_spans(tenant = {tenant:String})
WHERE lower(hex(trace_id)) IN {trace_ids:Array(String)}
GROUP BY trace_id
/* bounds */
