-- Every queue as it is defined now.
SELECT queue, version, body, toUnixTimestamp64Micro(changed_at) AS changed_unix_us, actor, reason
FROM tenant_queues(tenant = {tenant:String})
ORDER BY queue
