-- Traces that a queue has, or had.
SELECT trace_id FROM tenant_queued_traces(tenant = {tenant:String}) WHERE queue = {queue:String}
