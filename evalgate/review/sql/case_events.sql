-- What happened to one case, the first event first.
SELECT toUnixTimestamp64Micro(at) AS at_unix_us, event, actor, reason
FROM case_events
WHERE tenant = {tenant:String} AND case_id = {case_id:String}
ORDER BY at
