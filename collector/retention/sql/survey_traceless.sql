-- Log records that name no trace.
SELECT tenant, toDate(received_at) AS last_day, count() AS records
FROM events
WHERE trace_id = toFixedString('', 16)
GROUP BY tenant, last_day
