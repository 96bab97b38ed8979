-- How many traces meet the conditions.
SELECT count() AS n
FROM tenant_traces(tenant = {tenant:String})
WHERE true /* conditions */
