-- One page of a list of traces, by few columns: which ones they are. /* key */ is what the list is sorted by.
SELECT trace_id, toUnixTimestamp64Nano(start_time) /* key */ AS sort_key
FROM tenant_traces(tenant = {tenant:String})
WHERE start_time >= fromUnixTimestamp64Nano({from_ns:Int64})
    AND start_time < fromUnixTimestamp64Nano({until_ns:Int64})
    /* candidates */
    /* conditions */
ORDER BY sort_key DESC, trace_id DESC
LIMIT {limit:UInt32}
/* bounds */
