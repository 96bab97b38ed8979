-- How many traces and spans have a label.
SELECT uniqExact(trace_id, span_id) AS items
FROM tenant_annotations(tenant = {tenant:String})
WHERE role != 'adjudication' /* conditions */
