-- How much reached each state in each step of time, of all signals.
SELECT state, toInt64(toUnixTimestamp(toStartOfInterval(minute, toIntervalMinute({step:UInt32})))) AS at_s, sum(count) AS n
FROM ledger
WHERE ({tenant:String} = '' OR tenant = {tenant:String})
    AND minute >= toDateTime({since_s:Int64}, 'UTC') AND minute <= toDateTime({until_s:Int64}, 'UTC')
GROUP BY state, at_s
HAVING n != 0
ORDER BY state, at_s
