-- Every span of one trace, in order of start.
SELECT
    lower(hex(span_id)) AS span_hex,
    if(parent_span_id = toFixedString('', 8), '', lower(hex(parent_span_id))) AS parent_hex,
    toUnixTimestamp64Nano(start_time) AS start_unix_ns,
    duration_ns,
    name,
    status_code,
    status_message,
    service_name,
    span_kind,
    counted,
    request_model,
    response_model,
    input_tokens,
    output_tokens,
    finish_reasons,
    input_messages,
    output_messages,
    input_text,
    output_text,
    tool_name,
    tool_arguments,
    tool_result,
    error,
    error_type,
    error_message,
    feature,
    tags,
    failing,
    failure_reasons
FROM spans
WHERE tenant = {tenant:String} AND lower(hex(trace_id)) = {trace_id:String}
ORDER BY start_time, span_id
