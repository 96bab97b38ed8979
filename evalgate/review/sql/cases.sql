-- Every case as it stands.
SELECT case_id, status, trace_id, failure_mode, feature, toUnixTimestamp64Micro(created_at) AS created_unix_us, body
FROM tenant_cases(tenant = {tenant:String})
WHERE true /* conditions */
ORDER BY created_at, case_id
