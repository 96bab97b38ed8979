-- Log records of each service that were received between two times; '' is every tenant.
SELECT tenant, service_name AS service, count() AS n
FROM events
WHERE ({tenant:String} = '' OR tenant = {tenant:String})
    AND received_at >= toDateTime({since_s:Int64}, 'UTC') AND received_at < toDateTime({until_s:Int64} + 60, 'UTC')
GROUP BY tenant, service
