-- What happened to one case, the first event first.
SELECT toUnixTimestamp64Micro(at) AS at_unix_us, event, actor, reason
FROM tenant_case_events(tenant = {tenant:String})
WHERE case_id = {case_id:String}
ORDER BY at
