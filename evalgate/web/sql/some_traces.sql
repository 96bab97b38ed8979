-- Some traces as a list shows them, by their whole ids. Planning takes longer with each column, so there are no more of
-- them than are shown. Nothing is bounded here: a trace may have begun long before what a list saw of it.
SELECT
    trace_id,
    toUnixTimestamp64Nano(start_time) AS start_unix_ns,
    toUnixTimestamp64Nano(received_at) AS received_unix_ns
    /* columns */
FROM tenant_traces(tenant = {tenant:String})
WHERE trace_id IN {trace_ids:Array(String)}
