-- Every case as it stands.
SELECT case_id, status, trace_id, failure_mode, feature, toUnixTimestamp64Micro(created_at) AS created_unix_us, body
FROM cases
WHERE tenant = {tenant:String} /* conditions */
ORDER BY created_at, case_id
