-- Which traces a list shows: what failed first, then what was sampled, then the rest, the latest first.
SELECT trace_id
FROM tenant_traces(tenant = {tenant:String})
WHERE true /* conditions */
ORDER BY failing DESC, flagged DESC, start_time DESC, trace_id
LIMIT {limit:UInt32}
