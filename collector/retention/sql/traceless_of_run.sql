(tenant, toDate(/* received */)) IN (
    SELECT tenant, last_day FROM retention_decisions
    WHERE run = {run:String} AND fate = 'goes' AND trace_id = toFixedString('', 16)
)
