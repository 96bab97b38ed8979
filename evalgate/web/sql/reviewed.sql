-- Of the traces of a window: how many people labelled, and how many of these are a promoted case.
SELECT
    count() AS labelled,
    countIf(trace_id IN (
        SELECT trace_id FROM tenant_cases(tenant = {tenant:String}) WHERE status = 'promoted'
    )) AS promoted
FROM tenant_traces(tenant = {tenant:String})
WHERE trace_id IN (SELECT trace_id FROM tenant_annotations(tenant = {tenant:String}))
    /* conditions */
