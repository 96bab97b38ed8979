-- The latest traces of each session.
SELECT assumeNotNull(session_id) AS session, lower(hex(trace_id)) AS trace, toUnixTimestamp64Nano(min(start_time)) AS start_unix_ns
FROM settled_spans
WHERE tenant = {tenant:String} AND session_id IN {sessions:Array(String)}
GROUP BY session, settled_spans.trace_id
ORDER BY start_unix_ns DESC
LIMIT {limit:UInt32} BY session
