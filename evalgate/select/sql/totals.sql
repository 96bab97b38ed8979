-- How many traces meet the conditions of the list. (An alias like the column would stand for it in WHERE.)
SELECT count() AS n_traces, countIf(failing) AS n_failing, countIf(flagged) AS n_flagged
FROM tenant_traces(tenant = {tenant:String})
WHERE true /* conditions */
