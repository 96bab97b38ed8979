-- What the spans of each trace say: the tools in their order, the user's request beside the three before it in the
-- session, and what kind of words the answer has. Texts are counted here; none but a few words of hedging leave.
SELECT
    trace,
    arrayMap(c -> c.2, run) AS tools,
    -- How often the call was made that was made most, with the same arguments; and of which tool it is.
    arrayMax(arrayMap(c -> toUInt32(countEqual(hashes, c.3)), run)) AS same_calls,
    run[indexOf(arrayMap(c -> countEqual(hashes, c.3), run), same_calls)].2 AS same_tool,
    -- Every call that failed was followed by one of the same tool that did not.
    arrayExists(c -> c.4, run) AND NOT arrayExists(
        c -> c.4 AND NOT arrayExists(d -> d.2 = c.2 AND d.1 > c.1 AND NOT d.4, run), run
    ) AS is_recovered,
    lengthUTF8(request) AS request_chars,
    answer.1 AS answer_words,
    answer.2 AS hedges,
    answer.3 AS refusals,
    answer.4 AS hedge_words,
    answer.5 AS refusal_words,
    arrayMap(
        e -> if(e.1 = request, 1., if(least(lengthUTF8(request), lengthUTF8(e.1)) < {least_chars:UInt32}, 0., 1. - ngramDistanceUTF8(e.1, request))),
        earlier
    ) AS likenesses,
    if(request = '' OR empty(earlier), 0., arrayMax(likenesses)) AS likeness,
    if(likeness = 0, '', earlier[indexOf(likenesses, likeness)].2) AS like_trace
FROM
(
    SELECT
        *,
        arrayMap(c -> c.3, run) AS hashes,
        groupArray((request, trace)) OVER (
            PARTITION BY if(session = '', trace, session) ORDER BY started, trace ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING
        ) AS earlier
    FROM
    (
        SELECT
            lower(hex(trace_id)) AS trace,
            min(start_time) AS started,
            max(ifNull(session_id, '')) AS session,
            arraySort(groupArrayArrayIf(500)(called, span_kind = 'tool')) AS ran,
            arraySort(groupArrayArrayIf(500)(called, span_kind != 'tool')) AS asked,
            if(empty(ran), asked, ran) AS run,
            argMinIf(said, (parent_span_id != toFixedString('', 8), start_time, span_id), said != '') AS request,
            argMinIf(
                answered, (parent_span_id != toFixedString('', 8), -toUnixTimestamp64Nano(end_time), span_id), answered.1 > 0
            ) AS answer
        FROM
        (
            SELECT
                trace_id,
                span_id,
                parent_span_id,
                start_time,
                end_time,
                session_id,
                span_kind,
                lowerUTF8(substringUTF8(ifNull(output_text, ''), 1, {most_chars:UInt32})) AS written,
                length(extractAll(written, '[\\pL\\pN''’]+')) AS words,
                if(
                    span_kind = 'tool' OR words = 0,
                    (0, 0, 0, [], []),
                    (
                        words,
                        countMatches(written, {hedges:String}),
                        countMatches(substringUTF8(written, 1, 300), {refusals:String}),
                        arraySlice(extractAll(written, {hedges:String}), 1, 3),
                        arraySlice(extractAll(substringUTF8(written, 1, 300), {refusals:String}), 1, 2)
                    )
                )::Tuple(UInt32, UInt32, UInt32, Array(String), Array(String)) AS answered,
                if(
                    span_kind = 'tool',
                    '',
                    trim(BOTH ' ' FROM replaceRegexpAll(
                        lowerUTF8(substringUTF8(ifNull(input_text, ''), 1, 400)), '[^\\pL\\pN]+', ' '
                    ))
                ) AS said,
                multiIf(
                    span_kind = 'tool',
                    [(
                        toUnixTimestamp64Nano(start_time),
                        ifNull(tool_name, name),
                        -- Of a call whose name or arguments nobody recorded, too: a hash of NULL is NULL.
                        cityHash64(ifNull(tool_name, ''), name, ifNull(tool_arguments, '')),
                        ifNull(error, false) OR ifNull(failing, false)
                    )],
                    counted AND position(output_messages, '"tool_call"') > 0,
                    arrayMap(
                        p -> (toUnixTimestamp64Nano(start_time), JSONExtractString(p, 'name'), cityHash64(p), false),
                        arrayMap(
                            p -> concat('{"name":', JSONExtractRaw(p, 'name'), ',"arguments":', JSONExtractRaw(p, 'arguments'), '}'),
                            arrayFilter(
                                p -> JSONExtractString(p, 'type') = 'tool_call',
                                arrayFlatten(arrayMap(
                                    m -> JSONExtractArrayRaw(m, 'parts'), JSONExtractArrayRaw(ifNull(output_messages, ''))
                                ))
                            )
                        )
                    ),
                    []
                )::Array(Tuple(Int64, String, UInt64, Bool)) AS called
            FROM tenant_settled_spans(tenant = {tenant:String})
            WHERE span_kind IN ('tool', 'agent', 'workflow', 'llm')
                AND received_at >= toDateTime({first_s:UInt32}, 'UTC')
                AND received_at < toDateTime({last_s:UInt32}, 'UTC')
        )
        GROUP BY trace_id
    )
)
ORDER BY trace
