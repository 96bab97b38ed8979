SELECT DISTINCT day FROM retention_counts WHERE run = {run:String} ORDER BY day
