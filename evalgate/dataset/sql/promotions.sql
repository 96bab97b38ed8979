-- Who promoted cases last, when and why.
SELECT case_id, argMax(actor, at) AS promoted_by, argMax(reason, at) AS reason, toUnixTimestamp64Micro(max(at)) AS at_unix_us
FROM tenant_case_events(tenant = {tenant:String})
WHERE event = 'promoted' AND case_id IN {case_ids:Array(String)}
GROUP BY case_id
