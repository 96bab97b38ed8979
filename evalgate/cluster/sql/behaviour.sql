-- What some traces said and did: one row each. Texts are cut, lists are bounded.
SELECT
    lower(hex(trace_id)) AS trace_hex,
    argMinIf(
        substringUTF8(ifNull(input_text, ''), 1, {chars:UInt32}),
        (parent_span_id != toFixedString('', 8), start_time, span_id),
        span_kind IN ('agent', 'workflow', 'llm') AND ifNull(input_text, '') != ''
    ) AS asked,
    -- What the root-most span answered; where that says nothing, what was said last.
    argMinIf(
        substringUTF8(ifNull(output_text, ''), 1, {chars:UInt32}),
        (parent_span_id != toFixedString('', 8), if(parent_span_id = toFixedString('', 8), 0, -toUnixTimestamp64Nano(start_time)), span_id),
        span_kind IN ('agent', 'workflow', 'llm') AND ifNull(output_text, '') != ''
    ) AS answered,
    arraySlice(arraySort(groupUniqArrayIf(20)(
        substringUTF8(concat(ifNull(error_type, ''), ' ', ifNull(error_message, ''), ' ', status_message), 1, 400),
        error OR status_code = 'error'
    )), 1, 5) AS errors,
    arrayMap(
        t -> t.3,
        arraySort(groupArrayIf({steps:UInt32})((start_time, span_id, substringUTF8(ifNull(tool_name, name), 1, 80)), span_kind = 'tool'))
    ) AS ran,
    -- Where tools have no spans: what the models asked for.
    arrayFlatten(arrayMap(
        t -> t.3,
        arraySort(groupArrayIf({steps:UInt32})(
            (
                start_time,
                span_id,
                arrayMap(
                    p -> substringUTF8(JSONExtractString(p, 'name'), 1, 80),
                    arrayFilter(
                        p -> JSONExtractString(p, 'type') = 'tool_call',
                        arrayFlatten(arrayMap(
                            m -> JSONExtractArrayRaw(m, 'parts'), JSONExtractArrayRaw(ifNull(output_messages, ''))
                        ))
                    )
                )
            ),
            span_kind = 'llm' AND counted AND position(ifNull(output_messages, ''), 'tool_call') > 0
        ))
    )) AS called,
    arraySort(groupUniqArrayArray(20)(finish_reasons)) AS finished,
    arraySort(groupUniqArrayIf(20)(ifNull(tool_name, name), span_kind = 'tool' AND (error OR status_code = 'error'))) AS tools_failed,
    countIf(span_kind = 'tool') AS tool_spans,
    countIf(span_kind = 'retrieval') AS retrieval_spans,
    countIf(span_kind = 'agent') AS agent_spans
FROM tenant_settled_spans(tenant = {tenant:String})
WHERE received_at >= toDateTime64({first_received:UInt32}, 9, 'UTC')
    /* which */
GROUP BY trace_id
