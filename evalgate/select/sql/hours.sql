-- How many rows of traces each hour of receipt holds, the latest first.
SELECT toUnixTimestamp(received_hour) AS hour_unix_s, count() AS n
FROM trace_parts
WHERE tenant = {tenant:String}
GROUP BY received_hour
ORDER BY received_hour DESC
