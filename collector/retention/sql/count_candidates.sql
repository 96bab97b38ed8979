SELECT uniq(tenant, trace_id) AS n
FROM retention_decisions
WHERE run = {run:String} AND fate = 'candidate'
