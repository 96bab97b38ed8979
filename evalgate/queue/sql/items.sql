-- The traces of a queue as what happened to them in it says; of some of them, where ids are given.
SELECT
    trace_id,
    toUnixTimestamp64Micro(added_at) AS added_unix_us,
    score,
    parts,
    is_priority,
    is_random,
    draw,
    inclusion_probability,
    population,
    version,
    toUnixTimestamp64Micro(window_start) AS window_start_unix_us,
    toUnixTimestamp64Micro(start_time) AS start_unix_us,
    assigned_to,
    is_removed,
    toUnixTimestamp64Micro(requeued_at) AS requeued_unix_us
FROM tenant_queued_traces(tenant = {tenant:String})
WHERE queue = {queue:String} AND (empty({trace_ids:Array(String)}) OR has({trace_ids:Array(String)}, trace_id))
ORDER BY trace_id
