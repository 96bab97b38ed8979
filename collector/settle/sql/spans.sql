-- Every row of these traces as its INSERT understood it; of the rows of one span the first received first.
SELECT
    trace_id, span_id, parent_span_id, received_at, sequence, start_time, end_time, time_faults, name, wire_kind,
    status_code, status_message, trace_state, flags, scope_name, scope_version, service_name,
    span_attributes, resource_attributes, scope_attributes,
    `events.time` AS event_times, `events.name` AS event_names, `events.attributes` AS event_attributes,
    /* columns */
FROM spans
WHERE tenant = {tenant:String} AND lower(hex(trace_id)) IN {traces:Array(String)} AND copy_number = 0
ORDER BY trace_id, span_id, received_at, sequence
