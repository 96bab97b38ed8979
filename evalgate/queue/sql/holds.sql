-- The latest that happened to the reservation of each item.
SELECT
    trace_id,
    number,
    event,
    reviewer,
    toUnixTimestamp64Micro(since) AS since_unix_us,
    toUnixTimestamp64Micro(until) AS until_unix_us
FROM tenant_queue_holds(tenant = {tenant:String})
WHERE queue = {queue:String} AND (empty({trace_ids:Array(String)}) OR has({trace_ids:Array(String)}, trace_id))
