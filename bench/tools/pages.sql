-- Spans of one day, four a trace: an agent, a model call, a tool, a model call. Everything is a function of the number
-- of the trace, so that each run has the same traces: 3 % fail, 10 % are sampled, five make a session, one of 100 003
-- is asked about a zeppelin.
INSERT INTO spans
(
    tenant, trace_id, span_id, parent_span_id, received_at, sequence, copy_number, start_time, end_time, duration_ns, name,
    wire_kind, status_code, status_message, scope_name, service_name, span_kind, counted, operation, provider,
    request_model, response_model, input_tokens, output_tokens, finish_reasons, input_messages, output_messages,
    input_text_kept, output_text_kept, tool_name, tool_arguments, tool_result, error, error_type, session_id, user_id,
    agent_name, feature, environment, release, cost_usd, failing, failure_reasons, baseline, baseline_rate,
    policy_version, span_attributes
)
WITH
    ['refund', 'order', 'parcel', 'late', 'please', 'account', 'the', 'a', 'of', 'card', 'invoice', 'address', 'change',
        'cancel', 'delivery', 'status', 'where', 'my', 'is', 'not', 'price', 'discount', 'login', 'password', 'help', 'size',
        'shoes', 'return', 'policy', 'days', 'money', 'back'] AS words,
    intDiv(number, 4) AS in_day,
    toUInt64({first:UInt64}) + in_day AS t,
    number % 4 AS k,
    sipHash64(t) AS h,
    toDateTime64({day:String}, 9, 'UTC')
        + toIntervalNanosecond(toInt64(in_day * 86400000000000 / {traces:UInt64}) + h % 1000000) AS began,
    toUInt64(300 + h % 4000 + if(h % 97 = 0, 30000, 0)) AS took_ms,
    began + toIntervalMillisecond(intDiv(k * took_ms, 5)) AS s_start,
    toUInt64(if(k = 0, took_ms, intDiv(took_ms, 4))) * 1000000 AS s_duration,
    h % 33 = 0 AS is_failing,
    concat(
        arrayStringConcat(arrayMap(i -> words[sipHash64(t, i) % 32 + 1], range(24)), ' '),
        if(t % 100003 = 7, ' zeppelin', '')
    ) AS asked,
    arrayStringConcat(arrayMap(i -> words[sipHash64(t, i, 7) % 32 + 1], range(60)), ' ') AS answered,
    k IN (1, 3) AS is_llm
SELECT
    'default',
    sipHash128(t),
    reinterpretAsFixedString(t * 4 + k + 1),
    if(k = 0, toFixedString('', 8), reinterpretAsFixedString(t * 4 + 1)),
    began + toIntervalSecond(took_ms / 1000 + 2),
    number,
    0,
    s_start,
    s_start + toIntervalNanosecond(s_duration),
    s_duration,
    ['invoke_agent support', 'chat m-large', 'execute_tool lookup', 'chat m-small'][k + 1],
    'internal',
    if(is_failing AND k = 2, 'error', 'unset'),
    '',
    'bench',
    ['support', 'shop', 'search'][h % 3 + 1],
    ['agent', 'llm', 'tool', 'llm'][k + 1],
    is_llm,
    ['invoke_agent', 'chat', 'execute_tool', 'chat'][k + 1],
    if(is_llm, 'openai', NULL),
    if(is_llm, ['m-large', 'm-small'][intDiv(k, 2) + 1], NULL),
    if(is_llm, ['m-large', 'm-small'][intDiv(k, 2) + 1], NULL),
    if(is_llm, 400 + h % 3000, NULL),
    if(is_llm, 40 + h % 500, NULL),
    if(is_llm, ['stop'], []),
    if(is_llm, concat('[{"role":"user","parts":[{"type":"text","content":"', asked, '"}]}]'), NULL),
    if(is_llm, concat('[{"role":"assistant","parts":[{"type":"text","content":"', answered, '"}]}]'), NULL),
    if(k = 0, asked, NULL),
    if(k = 0, answered, NULL),
    if(k = 2, 'lookup', NULL),
    if(k = 2, concat('{"id":', toString(h % 100000), '}'), NULL),
    if(k = 2, if(is_failing, 'timeout', concat('{"found":"', substring(answered, 1, 80), '"}')), NULL),
    is_failing AND k = 2,
    if(is_failing AND k = 2, 'TimeoutError', NULL),
    concat('session-', toString(intDiv(t, 5))),
    concat('user-', toString(intDiv(t, 5) % 20000)),
    if(k = 0, 'support', NULL),
    ['refunds', 'orders', 'account', 'search'][intDiv(h, 7) % 4 + 1],
    'production',
    concat('1.', toString(intDiv(t, 400000))),
    if(is_llm, 0.0001 * (1 + h % 50), NULL),
    is_failing AND k = 2,
    if(is_failing AND k = 2, ['tool_error'], []),
    intDiv(h, 11) % 10 = 0,
    0.1,
    'p1',
    map('gen_ai.operation.name', 'chat', 'app.request', toString(h % 1000000))
FROM numbers({traces:UInt64} * 4)
SETTINGS max_insert_threads = 1, max_block_size = 65536
