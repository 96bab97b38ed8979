-- Feedback that names a response or a session and no trace, of which there is no row with the trace yet.
SELECT
    tenant, received_at, time_unix_ns, response_id, session_id, name, value, label, comment, source, polarity
FROM feedback
WHERE trace_id = '' AND (isNotNull(response_id) OR isNotNull(session_id)) AND received_at >= {since:DateTime64(9, 'UTC')}
    AND (tenant, received_at, time_unix_ns, name, ifNull(response_id, ''), ifNull(session_id, ''), ifNull(value, ''))
    NOT IN
    (
        SELECT tenant, received_at, time_unix_ns, name, ifNull(response_id, ''), ifNull(session_id, ''), ifNull(value, '')
        FROM feedback
        WHERE trace_id != '' AND received_at >= {since:DateTime64(9, 'UTC')}
    )
ORDER BY received_at DESC
LIMIT {limit:UInt32}
