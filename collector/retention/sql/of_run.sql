(tenant, /* id */) IN (
    SELECT tenant, trace_id FROM retention_decisions
    WHERE run = {run:String} AND fate = 'goes' AND trace_id != toFixedString('', 16)
)
