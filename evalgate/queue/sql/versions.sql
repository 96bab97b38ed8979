-- What happened to the definition of a queue, the first first.
SELECT version, event, actor, reason, body, toUnixTimestamp64Micro(at) AS at_unix_us
FROM tenant_queue_events(tenant = {tenant:String})
WHERE queue = {queue:String}
ORDER BY version, at
LIMIT 1 BY version
