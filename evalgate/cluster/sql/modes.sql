-- The failure modes that standing labels name, by trace; "" where a label names none.
SELECT DISTINCT trace_id, failure_mode
FROM tenant_annotations(tenant = {tenant:String})
WHERE verdict != 'good'
