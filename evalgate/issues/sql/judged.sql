-- How many traces evaluators judged on each day, where that is sent as feedback.
SELECT name, toString(toDate(received_at)) AS day, uniqExact(trace_id) AS traces
FROM tenant_feedback(tenant = {tenant:String})
WHERE name IN {names:Array(String)}
    AND trace_id != ''
    AND polarity IN ('negative', 'positive')
    AND received_at >= fromUnixTimestamp64Milli({since_unix_ms:Int64})
GROUP BY name, day
ORDER BY name, day
