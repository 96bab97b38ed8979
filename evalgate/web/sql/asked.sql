-- What the user said last in some traces, as their root-most span has it that holds anything; cut for a line.
SELECT
    lower(hex(trace_id)) AS trace_id_hex,
    argMin(substringUTF8(assumeNotNull(input_text), 1, 200), (parent_span_id != toFixedString('', 8), start_time)) AS asked
FROM tenant_settled_spans(tenant = {tenant:String})
WHERE span_kind IN ('agent', 'workflow', 'llm')
    AND input_text != ''
    AND lower(hex(trace_id)) IN {trace_ids:Array(String)}
GROUP BY trace_id
/* bounds */
