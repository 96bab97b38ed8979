-- Distinct spans of each service that were received between two times; '' is every tenant.
SELECT tenant, service_name AS service, uniqExact(trace_id, span_id) AS n
FROM spans
WHERE ({tenant:String} = '' OR tenant = {tenant:String})
    AND received_at >= toDateTime({since_s:Int64}, 'UTC') AND received_at < toDateTime({until_s:Int64} + 60, 'UTC')
GROUP BY tenant, service
