-- What was said of each trace, by name: an evaluation of 0 to 1 with its number.
SELECT
    trace_id AS trace,
    name AS said_name,
    countIf(polarity = 'negative') AS negative,
    countIf(polarity = 'positive') AS positive,
    minIf(number, number BETWEEN 0 AND 1) AS lowest,
    maxIf(number, number BETWEEN 0 AND 1) AS highest,
    countIf(number BETWEEN 0 AND 1) AS numbers
FROM
(
    SELECT trace_id, name, polarity, toFloat64OrNull(value) AS number
    FROM tenant_feedback(tenant = {tenant:String})
    WHERE trace_id != ''
        AND received_at >= toDateTime({first_s:UInt32}, 'UTC')
)
GROUP BY trace_id, name
ORDER BY trace, said_name
