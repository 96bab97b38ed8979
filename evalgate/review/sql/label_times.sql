-- When people labelled since Monday: what it took them.
SELECT annotator, toUnixTimestamp64Micro(created_at) AS created_unix_us
FROM tenant_annotations(tenant = {tenant:String})
WHERE created_at >= fromUnixTimestamp64Micro({monday_us:Int64}, 'UTC')
ORDER BY annotator, created_at
LIMIT 10000
