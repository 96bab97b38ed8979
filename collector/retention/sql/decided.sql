-- What a run decided, in figures.
SELECT
    countIf(fate = 'goes' AND trace_id != toFixedString('', 16)) AS traces,
    countIf(fate = 'goes' AND trace_id = toFixedString('', 16)) AS traceless,
    countIf(fate = 'stays') AS stays,
    maxIf(last_day, fate = 'goes') AS until_goes,
    maxIf(last_day, fate = 'stays') AS until_stays
FROM retention_decisions
WHERE run = {run:String} AND fate != 'candidate'
