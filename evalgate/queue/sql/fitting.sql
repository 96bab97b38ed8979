-- Which of some traces meet conditions.
SELECT trace_id
FROM tenant_traces(tenant = {tenant:String})
WHERE trace_id IN {trace_ids:Array(String)} /* conditions */
