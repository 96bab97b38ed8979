-- The weights that spans get, but 1, which they have.
SELECT DISTINCT toFloat64(span_weight) AS weight
FROM retention_decisions
WHERE run = {run:String} AND fate = 'stays' AND span_weight != 1
ORDER BY weight
LIMIT {most:UInt32}
