-- The traces that somebody has labelled.
SELECT DISTINCT trace_id FROM tenant_annotations(tenant = {tenant:String})
