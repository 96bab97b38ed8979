-- The versions of what holds for these traces.
SELECT DISTINCT toUnixTimestamp64Nano(version) AS version_unix_ns
FROM
(
    SELECT version
    FROM span_revisions FINAL
    WHERE tenant = {tenant:String} AND lower(hex(trace_id)) IN {traces:Array(String)}
    UNION ALL
    SELECT version
    FROM settlements FINAL
    WHERE tenant = {tenant:String} AND lower(hex(trace_id)) IN {traces:Array(String)}
)
