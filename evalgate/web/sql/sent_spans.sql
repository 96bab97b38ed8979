-- Every span of a trace as its sender told of it, or the one that is named.
SELECT
    lower(hex(trace_id)) AS trace_hex,
    lower(hex(span_id)) AS span_hex,
    if(parent_span_id = toFixedString('', 8), '', lower(hex(parent_span_id))) AS parent_hex,
    trace_state,
    flags,
    name,
    wire_kind,
    toUnixTimestamp64Nano(start_time) AS start_unix_ns,
    toUnixTimestamp64Nano(end_time) AS end_unix_ns,
    status_code,
    status_message,
    dropped_attributes,
    dropped_events,
    dropped_links,
    scope_name,
    scope_version,
    scope_attributes,
    resource_attributes,
    span_attributes,
    arrayMap(t -> toUnixTimestamp64Nano(t), `events.time`) AS event_times,
    `events.name` AS event_names,
    `events.attributes` AS event_attributes,
    `links.trace_id` AS link_traces,
    `links.span_id` AS link_spans,
    `links.trace_state` AS link_states,
    `links.attributes` AS link_attributes
FROM tenant_settled_spans(tenant = {tenant:String})
WHERE lower(hex(trace_id)) = {trace_id:String} AND ({span_id:String} = '' OR lower(hex(span_id)) = {span_id:String})
ORDER BY start_time, span_id
