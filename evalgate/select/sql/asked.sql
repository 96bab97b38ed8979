-- What the user said last in each trace of a list, as its root-most span has it that holds anything; cut for a line.
SELECT
    lower(hex(trace_id)) AS trace_id_hex,
    argMin(substringUTF8(assumeNotNull(input_text), 1, 400), (parent_span_id != toFixedString('', 8), start_time)) AS asked
FROM tenant_settled_spans(tenant = {tenant:String})
WHERE span_kind IN ('agent', 'workflow', 'llm')
    AND input_text != ''
    AND lower(hex(trace_id)) IN (
        SELECT trace_id
        FROM tenant_traces(tenant = {tenant:String})
        WHERE true /* conditions */
        ORDER BY failing DESC, flagged DESC, start_time DESC, trace_id
        LIMIT {limit:UInt32}
    )
GROUP BY trace_id
