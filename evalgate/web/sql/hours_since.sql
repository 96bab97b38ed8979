-- How many rows of traces each hour of receipt holds, of the hours since then, the latest first.
SELECT toUnixTimestamp(received_hour) AS hour_unix_s, count() AS n
FROM tenant_trace_parts(tenant = {tenant:String})
WHERE received_hour >= toDateTime({from_s:UInt32}, 'UTC')
GROUP BY received_hour
ORDER BY received_hour DESC
