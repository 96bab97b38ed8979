-- How many rows of traces each hour of receipt holds, the latest first.
SELECT toUnixTimestamp(received_hour) AS hour_unix_s, count() AS n
FROM tenant_trace_parts(tenant = {tenant:String})
GROUP BY received_hour
ORDER BY received_hour DESC
