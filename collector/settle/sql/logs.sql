-- The log records of these traces that tell of a span.
SELECT trace_id, span_id, received_at, time, event_name, body, attributes, loose
FROM events
WHERE tenant = {tenant:String} AND lower(hex(trace_id)) IN {traces:Array(String)}
    AND span_id != toFixedString('', 8)
    AND (loose OR startsWith(event_name, 'gen_ai.') OR event_name IN {names:Array(String)})
ORDER BY time, received_at
