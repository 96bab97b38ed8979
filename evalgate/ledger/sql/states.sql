-- What became of what was received between two times; '' is every tenant.
SELECT tenant, signal, state, reason, sum(count) AS count, sum(uncounted_requests) AS uncounted_requests
FROM ledger
WHERE ({tenant:String} = '' OR tenant = {tenant:String})
    AND minute >= toDateTime({since_s:Int64}, 'UTC') AND minute <= toDateTime({until_s:Int64}, 'UTC')
GROUP BY tenant, signal, state, reason
HAVING count != 0 OR uncounted_requests != 0
ORDER BY tenant, signal, state, reason
