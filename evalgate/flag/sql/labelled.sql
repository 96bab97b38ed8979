-- The traces that people have judged: no model need.
SELECT DISTINCT trace_id FROM tenant_annotations(tenant = {tenant:String})
