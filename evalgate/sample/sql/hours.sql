-- Which hours there are since then, and how many spans were received in each.
SELECT toUnixTimestamp(received_hour) AS hour_unix_s, sum(span_count) AS spans
FROM tenant_trace_parts(tenant = {tenant:String})
WHERE received_hour >= toDateTime({since_s:UInt32}, 'UTC')
GROUP BY received_hour
ORDER BY received_hour
