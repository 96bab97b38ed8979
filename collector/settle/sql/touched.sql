-- How many traces were touched since, and the hour in which the first of them was received.
SELECT count() AS traces, toUnixTimestamp(min(received_hour)) AS received_hour_s
FROM trace_parts
WHERE touched_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
