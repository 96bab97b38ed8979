-- The traces that name a user in one of their spans, as sent or as their whole trace has it, received before a time.
SELECT DISTINCT tenant, lower(hex(trace_id)) AS trace_id
FROM
(
    SELECT tenant, trace_id FROM spans
    WHERE user_id = {user:String} AND received_at < fromUnixTimestamp64Nano({at:Int64}, 'UTC')
    UNION ALL
    SELECT tenant, trace_id FROM span_revisions
    WHERE user_id = {user:String} AND received_at < fromUnixTimestamp64Nano({at:Int64}, 'UTC')
)
WHERE {tenant:String} = '' OR tenant = {tenant:String}
