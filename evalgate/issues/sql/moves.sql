-- The moves of issues from status to status, in order.
SELECT
    number,
    sequence,
    toUnixTimestamp64Micro(at) AS at_unix_us,
    from_status,
    to_status,
    toUnixTimestamp64Micro(since) AS since_unix_us,
    actor,
    reason,
    is_automatic
FROM tenant_issue_events(tenant = {tenant:String})
WHERE event = 'moved' /* conditions */
ORDER BY number, sequence, at
