-- How many traces meet the conditions of the list.
SELECT count() AS traces, countIf(failing) AS failing, countIf(flagged) AS flagged
FROM traces
WHERE tenant = {tenant:String} /* conditions */
