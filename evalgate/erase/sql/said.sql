-- The rows of the table feedback that were made of log records that are to go, as keys (loose.py, OF_FEEDBACK).
WITH
    (k) -> if(attributes[k] != '', attributes[k], JSONExtractString(body, k)) AS said,
    if(trace_id = toFixedString('', 16), '', lower(hex(trace_id))) AS trace
SELECT DISTINCT lower(hex(sipHash128(
    tenant,
    intDiv(toUnixTimestamp64Nano(received_at), 1000),
    toUInt64(toUnixTimestamp64Nano(time)),
    multiIf(trace != '', trace, said('session.id') != '', said('session.id'), said('gen_ai.conversation.id')),
    if(said('gen_ai.evaluation.name') = '', 'feedback', said('gen_ai.evaluation.name')),
    said('gen_ai.response.id'),
    substring(said('gen_ai.evaluation.explanation'), 1, 1000)
))) AS key
FROM events
WHERE event_name = 'gen_ai.evaluation.result' AND (${condition})
